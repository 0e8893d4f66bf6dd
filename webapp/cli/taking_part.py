"""Commands that take part: orders to a run at work, review, calibration sets."""

import argparse
from typing import Any
from uuid import uuid4

import yaml

from webapp.cli import screen
from webapp.cli.client import Api, Json
from webapp.cli.config import load_config
from webapp.cli.errors import CliError, Exit
from webapp.cli.follow import ENDED, states

VALUES = {"right": 1.0, "wrong": 0.0, "back": None}


def orders(arguments: argparse.Namespace) -> int:
    """What was ordered and what became of it."""
    with Api(load_config()) as api:
        found = list(api.pages(f"runs/{api.run_id(arguments.run)}/orders/", limit=arguments.limit))
    if arguments.json:
        screen.say_json(found)
    elif not found:
        screen.say("Nobody has ordered anything of this run.")
    else:
        rows = screen.table("order", "by", "what", "fate", "given")
        for each in found:
            by = each["by"]["name"] if each["by"] else ""
            rows.add_row(*screen.cells(each["number"], by, _words(each), each["fate"], screen.ago(each["at"])))
        screen.out.print(rows)
    return Exit.OK


def overrule(arguments: argparse.Namespace) -> int:
    body = {"episode": arguments.episode, "turn": arguments.turn, "value": VALUES[arguments.value]}
    return _order(arguments, {"command": "overrule", **body})


def set_knob(arguments: argparse.Namespace) -> int:
    path, equals, text = arguments.change.partition("=")
    if not equals or not path:
        raise CliError(
            f"{arguments.change!r} is not of the form a.b=value: method.optimizer.lr=0.0005", Exit.WRONG_INPUT
        )
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CliError(f"{text!r} is not a YAML value.", Exit.WRONG_INPUT) from error
    return _order(arguments, {"command": "knob", "path": path.strip(), "value": value})


def question(arguments: argparse.Namespace) -> int:
    body: Json = {"command": "question", "action": arguments.action, "question": arguments.question}
    return _order(arguments, body | ({"answer": arguments.answer} if arguments.answer is not None else {}))


def _order(arguments: argparse.Namespace, body: Json) -> int:
    with Api(load_config()) as api:
        run_id = api.run_id(arguments.run)
        order: Json = api.post(f"runs/{run_id}/orders/", body, idempotency_key=uuid4().hex)
        if arguments.wait:
            order = _answered(api, run_id, order)
    if arguments.json:
        screen.say_json(order)
    else:
        screen.say(f"Order {order['number']}: {order['fate']}")
    return Exit.FAILED if order["answer"] and not order["obeyed"] else Exit.OK


def _answered(api: Api, run_id: str, order: Json) -> Json:
    """The order once the run has answered it, or has ended without."""
    path = f"runs/{run_id}/orders/{order['number']}/"
    for run in states(api, run_id):
        order = api.get(path)
        if not order["waiting"] or run["status"] in ENDED:
            break
    return order


def _words(order: Json) -> str:
    given = order["payload"]
    match order["command"]:
        case "overrule":
            said = {1.0: "is right", 0.0: "is wrong", None: "as the judge says"}
            return f"turn {given['turn']} of {given['episode']} {said.get(given['value'], given['value'])}"
        case "knob":
            return f"{given['path']} = {given['value']}"
    return f"{given['action']} question {given['question'][:60]}"


def review(arguments: argparse.Namespace) -> int:
    """The queue without the judge's word, or one item of it."""
    with Api(load_config()) as api:
        if arguments.item:
            return _show(api.get("review/item/", **_named(api, arguments.item)), arguments.json)
        run = api.run_id(arguments.run) if arguments.run else None
        found = api.get("review/", run=run, workspace=arguments.workspace, limit=arguments.limit)
    if arguments.json:
        screen.say_json(found)
    elif not found:
        screen.say("Nothing waits for your review.")
    else:
        rows = screen.table("item", "kind", "question", "answer", "bits")
        for each in found:
            place = f"{each['run'][:8]}/{each['episode']}/{each['turn']}"
            bits = "truth known" if each["truth_known"] else f"{each['gain']:.2f}"
            rows.add_row(*screen.cells(place, each["kind"], each["question"][:60], each["answer"][:30], bits))
        screen.out.print(rows)
        screen.say("Read one with: kumite review --item ITEM. Answer with: kumite verdict ITEM right")
    return Exit.OK


def verdict(arguments: argparse.Namespace) -> int:
    """Say right, wrong or unclear of an item, or take it back; then the judge's word is told."""
    with Api(load_config()) as api:
        named = _named(api, arguments.item)
        if arguments.label == "back":
            api.delete("review/item/", **named)
            screen.say("Taken back.")
            return Exit.OK
        body = {**named, "label": arguments.label, "note": arguments.note, "saw_judge": arguments.saw_judge}
        return _show(api.post("review/item/", body), arguments.json)


def _named(api: Api, text: str) -> Json:
    """``RUN/EPISODE/TURN`` as the API names it."""
    run, _, rest = text.partition("/")
    episode, _, turn = rest.rpartition("/")
    if not (episode and turn.isascii() and turn.isdigit()):
        raise CliError(f"{text!r} does not name an item. Give RUN/EPISODE/TURN: last/12-s3/1", Exit.WRONG_INPUT)
    return {"run": api.run_id(run), "episode": episode, "turn": int(turn)}


def _show(item: Json, as_json: bool) -> int:
    if as_json:
        screen.say_json(item)
        return Exit.OK
    screen.say(f"{item['run_name']}, step {item['step']}, sample {item['episode']}", style="dim")
    screen.say(item["question"], style="bold")
    screen.say(item["text"])
    if judge := item["judge"]:
        truth = {True: " A verifier knows: it is right.", False: " A verifier knows: it is wrong."}.get(
            judge["truth"], ""
        )
        word = "accepts" if judge["value"] >= 0.5 else "refuses"
        screen.say(f"\nThe judge ({judge['name']}) {word}: {judge['value']:.0%}.{truth}", style="cyan")
        screen.say(f"You said {item['mine']['label']}. {item['mine']['fate']}")
    else:
        screen.say("\nThe judge's word is hidden until you have answered.", style="dim")
    return Exit.OK


def calibration(arguments: argparse.Namespace) -> int:
    """List calibration sets, or save one as a file."""
    with Api(load_config()) as api:
        if arguments.save:
            where = {"workspace": arguments.workspace} if arguments.workspace else {}
            made = api.post("calibration-sets/", where | {"subject": arguments.save})
            to = arguments.out or f"{arguments.save.replace('/', '-')}-v{made['version']}.jsonl"
            path = api.download(f"calibration-sets/{made['id']}/file/", to)
            screen.say(f"Wrote {path}: version {made['version']} with {made['num_lines']} lines.")
            return Exit.OK
        found = api.get("calibration-sets/", workspace=arguments.workspace)
    if arguments.json:
        screen.say_json(found)
    elif not found:
        screen.say("Nobody has reviewed anything here yet. Begin with: kumite review")
    else:
        rows = screen.table("subject", "items", "right", "judges agree", "kappa", "versions")
        for each in found:
            shares = [each["judges"][name] for name in ("agreement", "kappa")]
            told = [
                "" if share is None else f"{share['value']:.2f} ({share['low']:.2f}, {share['high']:.2f})"
                for share in shares
            ]
            rows.add_row(
                *screen.cells(each["subject"], each["num_items"], each["num_right"], *told, len(each["versions"]))
            )
        screen.out.print(rows)
    return Exit.OK
