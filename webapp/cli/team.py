"""Commands about a person's rules and a workspace's secrets."""

import argparse
import getpass
import sys

from webapp.cli import screen
from webapp.cli.client import Api
from webapp.cli.config import load_config
from webapp.cli.errors import Exit


def rules(arguments: argparse.Namespace) -> int:
    with Api(load_config()) as api:
        found = api.get("alert-rules/")
    if arguments.json:
        screen.say_json(found)
    elif not found:
        screen.say("You have drawn no line yet. Draw one with: kumite rule-add eval/greedy_accuracy below 0.3")
    else:
        rows = screen.table("number", "metric", "side", "value", "in a row", "runs")
        for each in found:
            of = (
                f"run {each['run'][:8]}"
                if each["run"]
                else {"mine": "yours"}.get(each["scope"], "all of your workspaces")
            )
            rows.add_row(
                *screen.cells(each["id"], each["metric"], each["side"], each["threshold"], each["lasting"], of)
            )
        screen.out.print(rows)
    return Exit.OK


def rule_add(arguments: argparse.Namespace) -> int:
    body = {name: getattr(arguments, name) for name in ("metric", "side", "threshold", "lasting")}
    with Api(load_config()) as api:
        run = api.run_id(arguments.run) if arguments.run else None
        made = api.post("alert-rules/", body | {"run": run, "scope": "workspaces" if arguments.all else "mine"})
    screen.say(f"Rule {made['id']}: you will be told of {made['metric']} {made['side']} {made['threshold']:g}.")
    return Exit.OK


def rule_remove(arguments: argparse.Namespace) -> int:
    with Api(load_config()) as api:
        api.delete(f"alert-rules/{arguments.rule}/")
    screen.say("The rule is removed.")
    return Exit.OK


def secrets(arguments: argparse.Namespace) -> int:
    with Api(load_config()) as api:
        found = api.get(f"workspaces/{api.workspace(arguments.workspace)}/secrets/")
    if arguments.json:
        screen.say_json(found)
    elif not found:
        screen.say("No secret is kept. Keep one with: kumite secret-set HF_TOKEN")
    else:
        rows = screen.table("secret", "set", "by", "")
        for each in found:
            by, state = (
                each["set_by"] and each["set_by"]["name"],
                "" if each["readable"] else "cannot be read; set it again",
            )
            rows.add_row(*screen.cells(each["name"], screen.ago(each["set_at"]), by, state))
        screen.out.print(rows)
    return Exit.OK


def secret_set(arguments: argparse.Namespace) -> int:
    """The value is never an argument, which other people of the machine and the shell's history would see."""
    value = getpass.getpass(f"{arguments.name}: ") if sys.stdin.isatty() else sys.stdin.read()
    with Api(load_config()) as api:
        workspace = api.workspace(arguments.workspace)
        api.put(f"workspaces/{workspace}/secrets/{arguments.name}/", {"value": value.strip()})
    screen.say(f"{arguments.name} is kept in {workspace}. Runs that start from now on get it.")
    return Exit.OK


def secret_remove(arguments: argparse.Namespace) -> int:
    with Api(load_config()) as api:
        workspace = api.workspace(arguments.workspace)
        api.delete(f"workspaces/{workspace}/secrets/{arguments.name}/")
    screen.say(f"{arguments.name} is forgotten in {workspace}. Runs at work still know it.")
    return Exit.OK
