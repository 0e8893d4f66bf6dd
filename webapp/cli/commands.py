"""The commands that speak to a server."""

import argparse
import csv
import getpass
import struct
import sys
import time
from difflib import unified_diff
from pathlib import Path
from uuid import uuid4

import httpx
import yaml

from kumite.recorder import Refused, Target, send_rows
from kumite.recorder import sync as send_leftovers
from kumite.sources import read_file
from webapp.cli import follow, screen
from webapp.cli.arguments import filter_of
from webapp.cli.client import Api, Json
from webapp.cli.config import DEFAULT_URL, Config, load_config, save_config
from webapp.cli.errors import CliError, Exit
from webapp.cli.specs import read_text, sweep_of, with_changes


def login(arguments: argparse.Namespace) -> int:
    """Store address and token after checking that they work."""
    token = arguments.token or getpass.getpass("Token (kmt_...): ")
    config = Config(url=(arguments.url or DEFAULT_URL).rstrip("/"), token=token.strip())
    with Api(config) as api:
        me = api.get("me/")
    path = save_config(config)
    screen.say(f"Signed in at {config.url} as {me['name']} ({me['email']}). The token is kept in {path}.")
    return Exit.OK


def methods(arguments: argparse.Namespace) -> int:
    with Api(load_config()) as api:
        found = api.get(f"methods/{arguments.slug}/" if arguments.slug else "methods/")
    if arguments.json:
        screen.say_json(found)
        return Exit.OK
    if arguments.slug:
        return _show_method(found)
    rows = screen.table("method", "title", "idea")
    for method in found:
        rows.add_row(*screen.cells(method["slug"], method["title"], method["summary"]))
    screen.out.print(rows)
    return Exit.OK


def _show_method(method: Json) -> int:
    screen.say(method["title"], style="bold")
    screen.say(method["summary"])
    if paper := method["paper"]:
        screen.say(f"{paper['authors']}, {paper['year']}: {paper['title']} (arXiv {paper['arxiv']})", style="dim")
    presets = screen.table("preset", "title", "description")
    for preset in method["presets"]:
        presets.add_row(*screen.cells(preset["slug"], preset["title"], preset["description"]))
    knobs = screen.table("knob", "default", "help")
    for name, schema in method["knobs"]["properties"].items():
        knobs.add_row(*screen.cells(f"method.{name}", schema.get("default", ""), schema.get("description", "")))
    screen.out.print(presets, knobs, sep="\n\n")
    return Exit.OK


def run(arguments: argparse.Namespace) -> int:
    """Create an experiment from a spec file and queue its run."""
    text = read_text(arguments.spec)
    body: Json = {"spec": with_changes(text, arguments.set)} if arguments.set else {"yaml": text}
    if arguments.workspace:
        body["workspace"] = arguments.workspace
    with Api(load_config()) as api:
        experiment = _create(api, body)
        run_id = experiment["runs"][0]["id"]
        screen.say(f"Run {run_id} of {experiment['name']} is queued: {api.url}/runs/{run_id}/")
        return follow.watch(api, run_id) if arguments.watch else Exit.OK


def launch(arguments: argparse.Namespace) -> int:
    """Create one experiment from a spec file, with a run for every seed and combination of values."""
    spec, seeds, swept = sweep_of(read_text(arguments.spec), arguments.set, arguments.seeds)
    body: Json = {"spec": spec, "sweep": swept, "paired": arguments.paired}
    body |= {"seeds": seeds} if seeds else {}
    body |= {"workspace": arguments.workspace} if arguments.workspace else {}
    with Api(load_config()) as api:
        experiment = _create(api, body)
        runs = experiment["runs"][::-1]
        count = f"{len(runs)} runs" if len(runs) != 1 else "1 run"
        screen.say(f"{count} of {experiment['name']} queued: {api.url}/experiments/{experiment['id']}/")
        for run in runs:
            changed = "".join(f", {path} {value}" for path, value in run["overrides"].items())
            screen.say(f"  {run['id'][:8]}  seed {run['seed']}{changed}")
    return Exit.OK


def _create(api: Api, body: Json) -> Json:
    """Ask once more if the answer got lost on the way; the key makes sure that only one experiment comes of it."""
    key = str(uuid4())
    try:
        created: Json = api.post("experiments/", body, idempotency_key=key)
    except CliError as error:
        if error.code != Exit.UNREACHABLE:
            raise
        time.sleep(1)
        created = api.post("experiments/", body, idempotency_key=key)
    return created


def runs(arguments: argparse.Namespace) -> int:
    wanted = {"status": arguments.status, "method": arguments.method, "search": arguments.search, "tag": arguments.tag}
    columns = _columns(arguments.columns)
    wanted["metric"] = ",".join(name for name, _ in columns) or None
    with Api(load_config()) as api:
        found = list(api.pages("runs/", limit=arguments.limit, **wanted))
    if arguments.json:
        screen.say_json(found)
    elif not found:
        screen.say("No run matches. Start one with: kumite run spec.yaml")
    else:
        screen.out.print(_runs_table(found, columns))
    return Exit.OK


def _columns(text: str) -> list[tuple[str, str]]:
    """``"reward/solver:best, a/b"`` as ``[("reward/solver", "best"), ("a/b", "last")]``."""
    found = [part.strip().partition(":") for part in text.split(",") if part.strip()]
    if unknown := sorted({how for _, _, how in found if how} - {"last", "best", "high", "low", "mean"}):
        raise CliError(
            f"A column is a metric's last, best, high, low or mean value, not its {unknown[0]}.", Exit.WRONG_INPUT
        )
    return [(name, how or "last") for name, _, how in found]


def _runs_table(found: list[Json], columns: list[tuple[str, str]]) -> object:
    heads = [f"{name} {how}" for name, how in columns]
    rows = screen.table("run", "experiment", "method", "seed", "status", "step", *heads, "created")
    for each in found:
        title, steps = f"{each['experiment_name']} #{each['number']}", f"{each['step']}/{each['total_steps']}"
        left = screen.cells(each["id"][:8], title, each["method"], each["seed"])
        values = [each["metrics"].get(name, {}).get(how) for name, how in columns]
        figures = ["" if value is None else f"{value:.4g}" for value in values]
        rest = screen.cells(steps, *figures, screen.ago(each["created_at"]))
        rows.add_row(*left, screen.status_text(each["status"]), *rest)
    return rows


def show(arguments: argparse.Namespace) -> int:
    with Api(load_config()) as api:
        found = api.get(f"runs/{api.run_id(arguments.run)}/")
        evaluations = api.get(f"runs/{found['id']}/evaluations/")
    if arguments.json:
        screen.say_json(found)
        return Exit.OK
    screen.say(f"{found['experiment_name']} #{found['number']}", style="bold")
    rows = screen.table("", "")
    rows.show_header = False
    rows.add_row("status", screen.status_text(found["status"]))
    for name in (
        "id",
        "workspace",
        "method",
        "seed",
        "waiting_reason",
        "phase",
        "worker",
        "failure_text",
        "explanation",
    ):
        if found[name] not in (None, ""):
            rows.add_row(name.replace("_", " "), *screen.cells(found[name]))
    rows.add_row("step", f"{found['step']} of {found['total_steps']}")
    if evaluations:
        rows.add_row(*screen.cells("held-out, first", _scores(evaluations[0])))
        rows.add_row(*screen.cells("held-out, last", _scores(evaluations[-1])))
    screen.out.print(rows)
    return Exit.OK


def _scores(evaluation: Json) -> str:
    scores = ", ".join(f"{name} {value:.3f}" for name, value in evaluation["scores"].items())
    return f"{scores} (step {evaluation['step']})"


def control(arguments: argparse.Namespace) -> int:
    """pause, resume, checkpoint or stop."""
    with Api(load_config()) as api:
        run_id = api.run_id(arguments.run)
        found = api.post(f"runs/{run_id}/{arguments.command}/")
    screen.say(f"Run {run_id[:8]}: {arguments.command} requested; it is {found['status'].replace('_', ' ')}.")
    return Exit.OK


def import_files(arguments: argparse.Namespace) -> int:
    """Bring in each file as a run that has ended."""
    target = _target()
    for text in arguments.files:
        path = Path(text)
        try:
            rows = read_file(path)
        except (OSError, ValueError, IndexError, struct.error) as error:
            raise CliError(f"{path} cannot be read: {error}", Exit.WRONG_INPUT) from error
        if not rows:
            raise CliError(f"{path} holds no numbers.", Exit.WRONG_INPUT)
        try:
            send_rows(target, rows, project=arguments.project, name=path.stem[:59], workspace=arguments.workspace)
        except (Refused, httpx.TransportError) as error:
            raise CliError(f"{path} was not taken: {error}", Exit.WRONG_INPUT) from error
        screen.say(f"Brought in {path}: {len(rows):,} rows.")
    return Exit.OK


def example(arguments: argparse.Namespace) -> int:
    """Lay the example out in a workspace, or take it away."""
    with Api(load_config()) as api:
        workspace = api.workspace(arguments.workspace)
        if arguments.remove:
            api.delete(f"workspaces/{workspace}/example/")
            screen.say(f"The example is gone from {workspace}.")
            return Exit.OK
        runs = api.post(f"workspaces/{workspace}/example/")["runs"]
        screen.say(f"{len(runs)} finished runs stand in {workspace}. Look at the first: {api.url}/runs/{runs[0]}/")
    return Exit.OK


def sync(_: argparse.Namespace) -> int:
    """Send what waits."""
    for path, outcome in send_leftovers(_target()):
        screen.say(f"{path.name} {outcome}")
    return Exit.OK


def _target() -> Target:
    config = load_config()
    return Target(url=config.url, token=config.token)


def export(arguments: argparse.Namespace) -> int:
    """Save everything a run measured, or its samples that fit, as a file."""
    with Api(load_config()) as api:
        run_id = api.run_id(arguments.run)
        suffix = "tfevents" if arguments.format == "tensorboard" else arguments.format
        to = arguments.out or f"{run_id[:8]}-{arguments.what}.{suffix}"
        wanted = {name: value for name, value in filter_of(arguments).items() if value not in (None, "", "all")}
        if wanted and arguments.what != "samples":
            raise CliError("Only samples can be narrowed. Add: --what samples", Exit.WRONG_INPUT)
        path = api.download(f"runs/{run_id}/export/", to, what=arguments.what, form=arguments.format, **wanted)
    screen.say(f"Wrote {path}.")
    return Exit.OK


def code(arguments: argparse.Namespace) -> int:
    """Save the files a run was carried out with."""
    with Api(load_config()) as api:
        run_id = api.run_id(arguments.run)
        num_files = len(api.get(f"runs/{run_id}/code/")["files"])
        path = api.download(f"runs/{run_id}/code.zip", arguments.out or f"{run_id[:8]}-code.zip")
    screen.say(f"Wrote {path}: {num_files} files.")
    return Exit.OK


def diff(arguments: argparse.Namespace) -> int:
    """What differs between two runs, as patches: their settings as YAML, then their code."""
    with Api(load_config()) as api:
        before, after = api.run_id(arguments.run), api.run_id(arguments.other)
        old, new = (yaml.safe_dump(api.get(f"runs/{each}/")["spec"], sort_keys=False) for each in (before, after))
        names = f"a/{before[:8]}.yaml", f"b/{after[:8]}.yaml"
        lines = [*unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="")]
        try:
            patches = api.get(f"runs/{before}/code/", against=after)["differences"]
        except CliError as error:  # the settings are worth telling all the same
            if error.code != Exit.NOT_FOUND:
                raise
            screen.err.print(screen.clean(error), style="red", markup=False, soft_wrap=True)
            patches = []
    lines += [line for each in patches for line in each["patch"].split("\n")[:-1]]
    for line in lines:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        screen.out.print(screen.clean(line), style=style or None, markup=False, highlight=False, soft_wrap=True)
    if not lines:
        screen.say("The very same settings and code.")
    return Exit.OK


def metrics(arguments: argparse.Namespace) -> int:
    """Metric values as a table or as CSV; without names, the names there are."""
    with Api(load_config()) as api:
        path = f"runs/{api.run_id(arguments.run)}/metrics/"
        found = api.get(path, names=",".join(arguments.name), max_points=arguments.max_points)
    if unknown := [name for name in arguments.name if name not in found["names"]]:
        raise CliError(
            f"The run has not reported {', '.join(unknown)}. List what it has with: kumite metrics RUN", Exit.NOT_FOUND
        )
    if arguments.json:
        screen.say_json(found["series"] if arguments.name else found["names"])
        return Exit.OK
    if not arguments.name:
        screen.say("\n".join(found["names"]) or "The run has not reported any metric yet.")
        return Exit.OK
    header, rows = ["step", *arguments.name], _by_step(arguments.name, found["series"])
    if arguments.csv:
        csv.writer(sys.stdout).writerows([header, *rows])
        return Exit.OK
    shown = screen.table(*header)
    for row in rows:
        shown.add_row(*screen.cells(*row))
    screen.out.print(shown)
    return Exit.OK


def _by_step(names: list[str], series: dict[str, Json]) -> list[list[object]]:
    columns = [dict(zip(series[name]["steps"], series[name]["values"], strict=True)) for name in names]
    steps = sorted({step for column in columns for step in column})
    return [[step, *(column.get(step) for column in columns)] for step in steps]


def samples(arguments: argparse.Namespace) -> int:
    """The lines of samples that fit, or one sample in full."""
    with Api(load_config()) as api:
        path = f"runs/{api.run_id(arguments.run)}/samples/"
        if arguments.seq:
            event = api.get(f"{path}{arguments.seq}/")
            if not arguments.json:
                return _show_sample(event)
            screen.say_json(event)
            return Exit.OK
        found = _samples(api, path, arguments)
    if arguments.json:
        screen.say_json(found)
    elif not found:
        screen.say("No sample matches yet.")
    else:
        rows = screen.table("seq", "step", "question", "answers right", "reward", "kept")
        for each in found:
            rows.add_row(*screen.cells(each["seq"], *_line(each), {True: "yes", False: "no", None: ""}[each["kept"]]))
        screen.out.print(rows)
    return Exit.OK


def _samples(api: Api, path: str, arguments: argparse.Namespace) -> list[Json]:
    """As many as are wanted, page by page."""
    found: list[Json] = []
    more: Json = {}
    while len(found) < arguments.limit:
        limit = min(arguments.limit - len(found), 200)
        page = api.get(path, **filter_of(arguments), order=arguments.order, limit=limit, **more)
        found += page["results"]
        more = {name: page[f"next_{name}"] for name in ("before", "offset") if page[f"next_{name}"] is not None}
        if not more:
            break
    return found


def search(arguments: argparse.Namespace) -> int:
    """Samples of all runs that fit, with the words where they stand."""
    with Api(load_config()) as api:
        found: list[Json] = []
        page: int | None = 1
        while page and len(found) < arguments.limit:
            asked = {"order": arguments.order, "workspace": arguments.workspace, "page": page}
            told = api.get("samples/", **filter_of(arguments), **asked)
            found += told["results"]
            page = told["next_page"]
    found = found[: arguments.limit]
    if arguments.json:
        screen.say_json(found)
    elif not found:
        screen.say("No sample fits. Leave out a word, or widen steps and rewards.")
    else:
        rows = screen.table("run", "seq", "step", "question", "answers right", "reward", "found in")
        for each in found:
            sample, snippet = each["sample"], each["snippet"]
            where = f"{snippet['speaker']}: {' '.join(snippet['text'].split())}" if snippet else ""
            rows.add_row(*screen.cells(each["run"][:8], sample["seq"], *_line(sample), where))
        screen.out.print(rows)
    return Exit.OK


def _line(sample: Json) -> tuple[object, ...]:
    right = ", ".join(f"{t['role']} {t['right']}/{t['count']}" for t in sample["roles"] if t["right"] + t["wrong"])
    reward = sample["reward_mean"]
    return sample["step"], sample["title"], right, "" if reward is None else f"{reward:.3f}"


def _show_sample(event: Json) -> int:
    sample = event["data"]
    screen.say(sample["title"], style="bold")
    for turn in sample["turns"]:
        truth = {True: ", right", False: ", wrong", None: ""}[turn.get("correct")]
        reward = "" if turn.get("reward") is None else f", reward {turn['reward']:.3f}"
        screen.say(f"\n{turn['role']}{reward}{truth}", style="cyan")
        screen.say(turn["text"])
        terms = ", ".join(f"{name} {value:.3f}" for name, value in (turn.get("rewards") or {}).items())
        if terms:
            screen.say(terms, style="dim")
    return Exit.OK


def logs(arguments: argparse.Namespace) -> int:
    with Api(load_config()) as api:
        run_id = api.run_id(arguments.run)
        lines = api.get(f"runs/{run_id}/logs/", limit=arguments.limit)["results"][::-1]
        printer = follow.LinePrinter()
        for line in lines:
            printer.print(line["step"], line["level"], line["text"])
        if arguments.follow:
            return follow.follow_logs(api, run_id, printer, after=lines[-1]["seq"] if lines else 0)
    return Exit.OK


def say(arguments: argparse.Namespace) -> int:
    """Let weights of a run answer, perhaps beside those it began with."""
    from webapp.cli.jobs import outcome_of, weights

    text = sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
    named = arguments.prompt_name
    with Api(load_config()) as api:
        run_id = api.run_id(arguments.run)
        speakers = [weights(run_id, arguments), *([{"run": run_id, "step": 0}] if arguments.beside_start else [])]
        payload = {
            "speakers": speakers,
            "prompt": {"name": named, "values": {"question": text}} if named else {"text": text},
            "sampling": {"temperature": arguments.temperature, "max_tokens": arguments.max_tokens},
            "seed": arguments.seed,
        }
        job = outcome_of(api, "say", payload)
    for answer in job["result"]["answers"]:
        if len(speakers) > 1:
            screen.say(answer["name"], style="cyan")
        screen.say(answer["completions"][0]["text"])
    return Exit.OK


def export_model(arguments: argparse.Namespace) -> int:
    """Save a checkpoint as a zipped Hugging Face folder."""
    from webapp.cli.jobs import outcome_of, weights

    with Api(load_config()) as api:
        payload = {
            "weights": weights(api.run_id(arguments.run), arguments),
            "form": "adapter" if arguments.adapter else "merged",
        }
        job = outcome_of(api, "export", payload)
        path = api.download(f"jobs/{job['id']}/file/", arguments.out or job["result"]["file"])
    screen.say(f"Wrote {path}: {', '.join(job['result']['files'])}")
    return Exit.OK
