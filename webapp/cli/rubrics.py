"""Commands about how judges are asked: rubrics, dry runs of them, grading again."""

import argparse
from difflib import unified_diff
from typing import Any

from webapp.cli import screen
from webapp.cli.client import Api, Json
from webapp.cli.config import load_config
from webapp.cli.errors import CliError, Exit
from webapp.cli.jobs import ended
from webapp.cli.specs import read_text

MOST_LISTED = 1000


def rubrics(arguments: argparse.Namespace) -> int:
    with Api(load_config()) as api:
        wanted = {"kind": arguments.kind, "workspace": arguments.workspace}
        wanted["retired"] = "true" if arguments.retired else ""
        found = list(api.pages("rubrics/", limit=MOST_LISTED, **wanted))
    if arguments.json:
        screen.say_json(found)
    elif not found:
        screen.say("No rubric matches. Keep one with: kumite rubric-save NAME FILE --kind answer")
    else:
        rows = screen.table("rubric", "kind", "newest", "workspace", "begun")
        for each in found:
            begun = screen.ago(each["created_at"])
            rows.add_row(*screen.cells(each["name"], each["kind"], each["newest"], each["workspace"], begun))
        screen.out.print(rows)
    return Exit.OK


def rubric(arguments: argparse.Namespace) -> int:
    """The text of a version as it is, for a file or a pipe; what is known of the versions goes to standard error."""
    with Api(load_config()) as api:
        found = _read(api, arguments)
    if arguments.json:
        screen.say_json(found)
        return Exit.OK
    version = _version(found, arguments.version)
    if arguments.against:
        before = _version(found, arguments.against)
        names = f"{found['name']} {before['number']}", f"{found['name']} {version['number']}"
        texts = before["text"].splitlines(), version["text"].splitlines()
        screen.say("\n".join(unified_diff(*texts, *names, lineterm="")) or "The very same text.")
        return Exit.OK
    rows = screen.table("version", "used", "by", "saved", "note")
    for each in found["versions"]:
        by, saved = each["created_by"] and each["created_by"]["name"], screen.ago(each["created_at"])
        rows.add_row(*screen.cells(each["number"], each["num_uses"], by, saved, each["note"]))
    screen.err.print(screen.clean(f"{found['name']}: {found['title'].lower()}"), style="bold", markup=False)
    screen.err.print(rows)
    for hint in version["hints"]:
        screen.err.print(screen.clean(hint), style="yellow", markup=False, soft_wrap=True)
    screen.say(version["text"])
    return Exit.OK


def rubric_save(arguments: argparse.Namespace) -> int:
    """A new rubric, or the next version of the one that has the name."""
    body: Json = {"text": read_text(arguments.file, what="rubric"), "note": arguments.note}
    with Api(load_config()) as api:
        listed = _named(api, arguments.name, arguments.workspace)
        if listed:
            saved = api.post(f"rubrics/{_only(listed, arguments.name)['id']}/versions/", body)
        elif not arguments.kind:
            raise CliError(
                f"There is no rubric {arguments.name!r} yet. Say what the new one does with --kind.", Exit.WRONG_INPUT
            )
        else:
            where = {"workspace": arguments.workspace} if arguments.workspace else {}
            saved = api.post("rubrics/", body | where | {"name": arguments.name, "kind": arguments.kind})
    if arguments.json:
        screen.say_json(saved)
    else:
        screen.say(f"{saved['name']} has version {saved['newest']} now.")
        for hint in saved["versions"][0]["hints"]:
            screen.say(hint, style="yellow")
    return Exit.OK


def rubric_retire(arguments: argparse.Namespace) -> int:
    with Api(load_config()) as api:
        listed = _named(api, arguments.name, arguments.workspace, retired=arguments.back)
        found = api.patch(f"rubrics/{_only(listed, arguments.name)['id']}/", {"retired": not arguments.back})
    if arguments.json:
        screen.say_json(found)
    else:
        screen.say(f"{found['name']} is offered {'again' if arguments.back else 'no more'}.")
    return Exit.OK


def dry_run(arguments: argparse.Namespace) -> int:
    """Ten stored samples judged in the words of a rubric, beside what was."""
    body: Json = {"text": read_text(arguments.text, what="rubric")} if arguments.text else {}
    with Api(load_config()) as api:
        found = _only(_named(api, arguments.name, arguments.workspace), arguments.name)
        run = api.run_id(arguments.run)
        body |= {"run": run, "version": arguments.version, "judge": _judge(api, arguments, run)}
        asked = api.post(f"rubrics/{found['id']}/dry-runs/", body)
        ended(api, api.get(f"jobs/{asked['id']}/"))
        done = api.get(f"dry-runs/{asked['id']}/")
    if arguments.json:
        screen.say_json(done)
    else:
        (_show_pairs if done["pairs"] else _show_samples)(done)
        told = f"Judged by {done['judge']} on samples of {done['run_name']}; nothing in any run changed."
        screen.say(told, style="dim")
    return Exit.OK


def _show_pairs(done: Json) -> None:
    found = done["pairs"]
    rows = screen.table("question", "first", "second", "better", "was", "now", "shown first", "shown second")
    for line in found["lines"]:
        better = {True: "first", False: "second", None: ""}[line["truth"]]
        now = "not readable" if line["value"] is None else f"{_side(line['value'])}{' !' * line['flips']}"
        texts = [_brief(line[name], 32) for name in ("question", "first_read", "second_read")]
        orders = ["" if line["value"] is None else _side(order) for order in line["orders"]]
        rows.add_row(*screen.cells(*texts, better, _side(line["value_before"]), now, *orders))
    screen.out.print(rows)
    before = f"{found['agreed']} of {found['num_compared']} before, " if found["num_compared"] else ""
    known = f"In line with the truth: {before}{found['agree']} of {found['num_known']} now. "
    screen.say(f"{known if found['num_known'] else ''}{found['num_flips']} verdicts flip (!).")
    if found["first_shown"] is not None:
        turn = f"{found['num_contradict']} of {len(found['lines'])} turn with the order"
        screen.say(f"{turn}; {found['first_shown']:.0%} of the verdicts are for the answer shown first.")


def _show_samples(done: Json) -> None:
    found = done["outcome"]
    rows = screen.table("question", "answer", "truth", "was", "now", "reward was", "now ")
    for line in found["lines"]:
        truth = {True: "right", False: "wrong", None: ""}[line["truth"]]
        now = "not readable" if line["value"] is None else f"{_word(line['value'])}{' !' * line['flips']}"
        texts = [_brief(line["question"]), _brief(line["answer"]), truth]
        rewards = [_figure(line["reward_before"]), _figure(line["reward"])]
        rows.add_row(*screen.cells(*texts, _word(line["value_before"]), now, *rewards))
    screen.out.print(rows)
    known = f"In line with the truth: {found['agreed']} before, {found['agree']} now, of {found['num_known']}. "
    screen.say(f"{known if found['num_known'] else ''}{found['num_flips']} of {len(found['lines'])} verdicts flip (!).")


def grade_again(arguments: argparse.Namespace) -> int:
    """The newest answers of a run, judged again."""
    with Api(load_config()) as api:
        run = api.run_id(arguments.run)
        body: Json = {"run": run, "judge": _judge(api, arguments, run)}
        body |= {"samples": arguments.samples, "n": arguments.verdicts, "version": arguments.version}
        if arguments.rubric:
            body["rubric"] = _only(_named(api, arguments.rubric, arguments.workspace), arguments.rubric)["id"]
        asked = api.post("gradings/", body)
        ended(api, api.get(f"jobs/{asked['job']}/"))
        done = api.get(f"gradings/{asked['id']}/")
    if arguments.json:
        screen.say_json(done)
        return Exit.OK
    found = done["findings"]
    rows = screen.table("", "as it was", "now")
    for name in ("agreement", "kappa", "false_accept", "false_reject"):
        rows.add_row(*screen.cells(name.replace("_", " "), *(_share(found[side][name]) for side in ("was", "would"))))
    screen.out.print(rows)
    flips = screen.table("question", "answer", "truth", "was", "now")
    for each in found["flips"][:20]:
        truth = {True: "right", False: "wrong", None: ""}[each["truth"]]
        texts = [_brief(each["question"]), _brief(each["answer"]), truth]
        flips.add_row(*screen.cells(*texts, _word(each["was"]), _word(each["would"])))
    if found["flips"]:
        screen.out.print(flips)
    screen.say(f"{found['num_flips']} of {done['num_items']} verdicts flip; judged by {done['judge']}.")
    return Exit.OK


def _named(api: Api, name: str, workspace: str, *, retired: bool = False) -> list[Json]:
    """The rubrics of that name, one a workspace at most while they are offered."""
    retired_too = "true" if retired else ""
    return list(api.pages("rubrics/", limit=20, name=" ".join(name.split()), workspace=workspace, retired=retired_too))


def _only(listed: list[Json], name: str) -> Json:
    if len(listed) == 1:
        return listed[0]
    if listed:
        raise CliError(
            f"Several rubrics are called {name!r}. Say in which workspace with --workspace.", Exit.WRONG_INPUT
        )
    raise CliError(f"There is no rubric {name!r}. List them with: kumite rubrics", Exit.NOT_FOUND)


def _read(api: Api, arguments: argparse.Namespace) -> Json:
    listed = _named(api, arguments.name, arguments.workspace)
    found: Json = api.get(f"rubrics/{_only(listed, arguments.name)['id']}/")
    return found


def _version(found: Json, number: int | None) -> Json:
    version = next((each for each in found["versions"] if number in (None, each["number"])), None)
    if version is None:
        raise CliError(f"{found['name']} has no version {number}; its newest is {found['newest']}.", Exit.NOT_FOUND)
    chosen: Json = version
    return chosen


def _judge(api: Api, arguments: argparse.Namespace, run: str) -> Json:
    judge = api.run_id(arguments.judge) if arguments.judge else run
    return {"run": judge, "step": arguments.step, "policy": arguments.policy}


def _word(value: float | None) -> str:
    return "" if value is None else f"{'accepts' if value >= 0.5 else 'refuses'} {value:.2f}"


def _side(value: float | None) -> str:
    """Which of two answers the chance that the first wins is for."""
    word = "" if value is None else "first" if value > 0.5 else "second" if value < 0.5 else "undecided"
    return word and f"{word} {value:.2f}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _share(found: Any) -> str:
    return "" if found is None else f"{found['value']:.2f} ({found['low']:.2f}, {found['high']:.2f})"


def _brief(text: str, most: int = 48) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
