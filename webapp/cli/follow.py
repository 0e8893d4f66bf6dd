"""Follows a run from the terminal: new events are read every second until the run ends."""

import re
import time
from collections.abc import Iterator
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from webapp.cli import screen
from webapp.cli.client import Api, Json
from webapp.cli.errors import CliError, Exit

POLL_S = 1.0
PATIENCE_S = 60.0
"""A server that is away for a moment, such as during a restart, does not end the watching."""
ENDED = {"succeeded", "failed", "cancelled", "timed_out"}
_DIGITS = re.compile(r"\d+")


def states(api: Api, run_id: str) -> Iterator[Json]:
    """The run again and again, the last time after it has ended; short absences of the server are waited out."""
    last_answer = time.monotonic()
    while True:
        try:
            run: Json = api.get(f"runs/{run_id}/")
            last_answer = time.monotonic()
        except CliError as error:
            if error.code != Exit.UNREACHABLE or time.monotonic() - last_answer > PATIENCE_S:
                raise
        else:
            yield run
            if run["status"] in ENDED:
                return
        time.sleep(POLL_S)


class EventReader:
    """Reads on from where it stopped; a new attempt that rewrites events is read again from where it begins."""

    def __init__(self, api: Api, run_id: str, *, kinds: str, after: int = 0) -> None:
        self.api, self.run_id, self.kinds, self.after = api, run_id, kinds, after

    def read(self, run: Json) -> Iterator[Json]:
        self.after = min(self.after, int(run["last_seq"]))
        while True:
            page = self.api.get(f"runs/{self.run_id}/events/", after=self.after, kinds=self.kinds, limit=500)
            yield from page["results"]
            self.after = page["next_after"]
            if not page["more"]:
                return


def watch(api: Api, run_id: str) -> int:
    """Show progress and scores until the run ends; Ctrl-C stops watching, not the run."""
    reader = EventReader(api, run_id, kinds="evaluation,state,log")
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} steps"))
    run: Json = {}
    try:
        with Progress(*columns, TimeElapsedColumn(), console=screen.out, transient=True) as progress:
            bar = progress.add_task("queued", total=1)
            for run in states(api, run_id):
                for event in reader.read(run):
                    _tell(event)
                said = run["waiting_reason"] or run["phase"] or run["status"].replace("_", " ")
                progress.update(bar, description=screen.clean(said), total=run["total_steps"], completed=run["step"])
    except KeyboardInterrupt:
        screen.say(f"The run goes on. Watch it again with: kumite logs {run_id[:8]} --follow")
        return Exit.INTERRUPTED
    return _end(run)


def _tell(event: Json) -> None:
    data: dict[str, Any] = event["data"]
    if event["kind"] == "evaluation":
        scores = "  ".join(f"{name} {value:.3f}" for name, value in data["scores"].items())
        screen.say(f"step {event['step']:>6}  {data['suite']}: {scores}")
    elif event["kind"] == "log" and data["level"] in {"warning", "error"}:
        screen.say(f"step {event['step']:>6}  {data['level']}: {data['text']}", style="yellow")
    elif event["kind"] == "state" and data["phase"] != "preparing":
        screen.say(f"step {event['step']:>6}  {data['text']}", style="dim")


def _end(run: Json) -> int:
    if run["status"] in {"failed", "timed_out"}:
        screen.say(
            f"The run {run['status'].replace('_', ' ')} at step {run['step']}. {run['failure_text']}", style="red"
        )
        screen.say(run["explanation"])
        return Exit.FAILED
    screen.say(f"The run {'was stopped' if run['status'] == 'cancelled' else 'succeeded'} at step {run['step']}.")
    return Exit.OK


class LinePrinter:
    """Prints log lines; of phases that only count on ("lesson 1", "lesson 2") the first."""

    def __init__(self) -> None:
        self._last_phase = ""

    def print(self, step: int, level: str, text: str) -> None:
        phase = _DIGITS.sub("", text) if level == "state" else ""
        if phase and phase == self._last_phase:
            return
        self._last_phase = phase
        style = {"warning": "yellow", "error": "red", "state": "dim"}.get(level, "")
        screen.say(f"{step:>6} {level:<7} {text}", style=style)


def follow_logs(api: Api, run_id: str, printer: LinePrinter, *, after: int) -> int:
    """Print log lines as they come until the run ends."""
    reader = EventReader(api, run_id, kinds="log,state", after=after)
    try:
        for run in states(api, run_id):
            for event in reader.read(run):
                printer.print(event["step"], event["data"].get("level", "state"), event["data"]["text"])
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return Exit.OK
