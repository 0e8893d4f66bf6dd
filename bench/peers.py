"""Kumite beside the trackers that pip installs, line by line, in one run: ``python -m bench.peers``.

Trackio, MLflow, Aim and TensorBoard, each in an environment of its own under the user's cache, and Kumite over Postgres and Redis of this
benchmark are asked the same, taking turns: what a call costs a training program, how many points a CPU second stores, what one query and
one page of 50 runs cost, what an open page costs while nothing happens, how long a value takes to be seen, what a run of a million points
costs the browser, how much is installed. CPU seconds count every process that takes part. A peer that cannot be installed or does not
answer is told of with the reason. ``bench.peers_page`` writes the table.

    python -m bench.peers                                  all lines, all trackers
    python -m bench.peers --only query compare             these lines anew, the others stay as they were
    python -m bench.peers --peers Trackio TensorBoard      only beside these
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.machine import describe
from bench.trackers import lines
from bench.trackers.aim import Aim
from bench.trackers.base import Tracker
from bench.trackers.kumite import Kumite
from bench.trackers.mlflow import MLflow
from bench.trackers.tensorboard import TensorBoard
from bench.trackers.trackio import Trackio

RESULTS = Path(__file__).resolve().parent / "results" / "peers.json"
PEERS: tuple[type[Tracker], ...] = (Trackio, TensorBoard, MLflow, Aim)
LINES = ("footprint", "told", "query", "compare", "live", "million")
ROUNDS = {"told": 2, "query": 5}
"""Where trackers take turns; a figure is the median of its rounds."""

Figures = dict[str, Any]


class Table:
    """What was found, by line and tracker: figures, or why there are none."""

    def __init__(self, trackers: Sequence[Tracker], only: Sequence[str]) -> None:
        self.lines: dict[str, dict[str, Figures]] = {line: {} for line in only}
        self.trackers = list(trackers)

    def prepare(self, work: Callable[[Tracker], object], *, of: Sequence[str] = (), at_once: int = 1) -> None:
        """Do this for every tracker; one with which it fails is left out of these lines, or of all.

        One at a time happens in this thread, with whose end the kernel ends servers that were started in it.
        """
        with ThreadPoolExecutor(at_once) as pool:
            run = pool.map if at_once > 1 else map
            for tracker, problem in zip(self.trackers, run(partial(_problem, work), self.trackers), strict=True):
                for line in (of or self.lines) if problem else ():
                    self.leave_out(line, tracker, problem)

    def measure(self, line: str, ask: Callable[[Tracker, int], Figures]) -> None:
        """Ask every tracker in turn, and again; a figure is the median of the rounds."""
        found = self.lines[line]
        rounds: dict[str, list[Figures]] = {}
        for number in range(ROUNDS.get(line, 1)):
            for tracker in self.trackers:
                if tracker.name in found:
                    continue
                began = time.monotonic()
                try:
                    figures = ask(tracker, number)
                except Exception as problem:
                    traceback.print_exception(problem)
                    self.leave_out(line, tracker, _sentence(problem))
                    continue
                rounds.setdefault(tracker.name, []).append(figures)
                print(
                    f"{line:10} {tracker.name:12} {time.monotonic() - began:5.1f} s  {json.dumps(figures)}", flush=True
                )
        for name, several in rounds.items():
            found.setdefault(name, _median(several))

    def leave_out(self, line: str, tracker: Tracker, reason: str) -> None:
        if tracker.name not in self.lines[line]:
            print(f"{line:10} {tracker.name:12} not measured: {reason}", flush=True)
            self.lines[line][tracker.name] = {"missing": reason}


def _problem(work: Callable[[Tracker], object], tracker: Tracker) -> str:
    try:
        work(tracker)
    except Exception as problem:
        traceback.print_exception(problem)
        return _sentence(problem)
    return ""


def _sentence(problem: Exception) -> str:
    lines = str(problem).splitlines()
    return lines[0][:300] if lines else type(problem).__name__


def _median(rounds: Sequence[Figures]) -> Figures:
    """Figure by figure."""
    return {key: median(found[key] for found in rounds) for key in rounds[0]} if len(rounds) > 1 else rounds[0]


def measure(trackers: Sequence[Tracker], only: Sequence[str]) -> Table:
    table = Table(trackers, only)
    table.prepare(lambda one: one.open())
    if "footprint" in only:
        table.measure("footprint", lambda one, _: one.footprint())
    if "told" in only:
        table.measure("told", lines.told)
    compared = [line for line in ("query", "compare") if line in only]
    if compared:
        table.prepare(lambda one: one.fill(lines.RUNS, lines.RUN_STEPS, lines.CHARTS), at_once=2, of=compared)
    if "million" in only:
        rates = stored("told") | table.lines.get("told", {})
        table.prepare(lambda one: lines.fill_million(one, rates.get(one.name, {})), at_once=2, of=["million"])
    asked = [line for line in ("query", "compare", "live", "million") if line in only]
    if asked:
        table.prepare(lambda one: one.serve(), of=asked)
    for line, ask in (
        ("query", lines.query),
        ("compare", lines.compare),
        ("live", lines.live),
        ("million", lines.million),
    ):
        if line in only:
            table.measure(line, lambda one, _, ask=ask: ask(one))  # type: ignore[misc]
    return table


def stored(line: str) -> dict[str, Figures]:
    """What an earlier run found."""
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    found: dict[str, Figures] = known.get("lines", {}).get(line, {})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=LINES, default=LINES, metavar="LINE", help=", ".join(LINES))
    parser.add_argument(
        "--peers", nargs="*", choices=[peer.name for peer in PEERS], default=[peer.name for peer in PEERS]
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that no server is left behind
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="kumite-peers-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        trackers = [make(folder) for make in (Kumite, *PEERS) if make is Kumite or make.name in options.peers]
        try:
            table = measure(trackers, options.only)
        finally:
            for tracker in reversed(trackers):
                tracker.stop()
    found = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m bench.peers", *sys.argv[1:]]),
        "machine": describe() | {"load_before": round(load, 1)},
        "minutes": round((time.monotonic() - began) / 60, 1),
        "versions": {tracker.name: tracker.version for tracker in trackers},
        "commands": {tracker.name: tracker.commands for tracker in trackers},
        "renews": {tracker.name: tracker.renews for tracker in trackers},
        "remarks": {tracker.name: dict(tracker.remarks) for tracker in trackers},
        "lines": {line: stored(line) | table.lines.get(line, {}) for line in LINES},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
