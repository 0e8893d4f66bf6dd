"""The arguments of what concerns a person and a workspace: lines drawn for metrics, secrets."""

import argparse
from typing import Any

from webapp.cli.arguments import WORKSPACE_HELP, command, positive, remote


def add_team(commands: Any) -> None:
    def added(name: str, help_text: str) -> argparse.ArgumentParser:
        return command(commands, name, help_text, remote(name.replace("-", "_"), "team"))

    rules = added("rules", "List the lines you drew for metrics.")
    drawn = added("rule-add", "Draw a line: be told of the run that crosses it.")
    drawn.add_argument("metric", metavar="METRIC", help="as its curve is named: eval/greedy_accuracy")
    drawn.add_argument("side", choices=("above", "below"))
    drawn.add_argument("threshold", metavar="VALUE", type=float)
    drawn.add_argument("--lasting", type=positive, default=3, help="measurements in a row (default: %(default)s)")
    which = drawn.add_mutually_exclusive_group()
    which.add_argument("--run", metavar="RUN", help="only this run")
    which.add_argument("--all", action="store_true", help="all runs of your workspaces, not only your own")
    gone = added("rule-remove", "Be told of it no more.")
    gone.add_argument("rule", metavar="NUMBER", type=positive, help="as 'kumite rules' lists it")
    secrets = added("secrets", "List the names of a workspace's secrets.")
    keep = added(
        "secret-set", "Keep a secret for a workspace's runs; its value is asked for, or read from standard input."
    )
    forget = added("secret-remove", "Forget a secret.")
    for parser in (keep, forget):
        parser.add_argument("name", metavar="NAME", help="the environment variable that holds it: HF_TOKEN")
    for parser in (secrets, keep, forget):
        parser.add_argument("--workspace", default="", help=WORKSPACE_HELP)
    for parser in (rules, secrets):
        parser.add_argument("--json", action="store_true", help="print JSON")
