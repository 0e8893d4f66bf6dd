"""Does every method do what its page says? Runs the claims of ``bench/claims`` on the starter, with their controls.

    python -m bench.methods                        # every claim, every arm, every seed
    python -m bench.methods spin mae --arms method --seeds 0
    python -m bench.methods spin --draw            # figures and table again, from the stored results

Writes ``bench/results/methods/<claim>.json`` (curves of each arm and seed), ``static/methods/<claim>-curves.svg`` and the tables
of ``docs/methods/README.md``, and prints what was asked for. Each run is a process of its own with one thread. CPU-seconds count
the run itself, not the teaching of the starter, which all runs share.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import methods_page
from bench.claims import Arm, Claim, PanelSpec, all_claims
from bench.figure import Line, Panel, write
from bench.machine import describe

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "methods"
FIGURES = ROOT / "static" / "methods"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7d7a72")
"""Okabe and Ito's, the method itself first."""
MOST_POINTS = 150
Record = dict[str, Any]


def carry_out(claim: Claim, arm: Arm, seed: int) -> Record:
    """Run one arm with one seed here; CPU-seconds are counted from the first step's beginning."""
    from training_core import Run
    from training_core.policies.models_dir import default_models_dir
    from training_core.spec.io import parse_spec

    curves: dict[str, list[list[float]]] = {name: [] for name in claim.metrics}
    begin: float | None = None

    def note(event: dict[str, Any]) -> None:
        nonlocal begin
        if event["kind"] == "state" and event["data"]["phase"] == "running":
            begin = time.process_time()
        if event["kind"] == "metric" and begin is not None:
            spent = time.process_time() - begin
            for name in curves.keys() & event["data"]["values"].keys():
                curves[name].append([event["step"], round(spent, 2), round(event["data"]["values"][name], 5)])

    with tempfile.TemporaryDirectory() as folder:
        run = Run(parse_spec(claim.spec_of(arm, seed)), folder, models_dir=default_models_dir(), listener=note)
        phase = run.execute()
        words = next((event["data"]["text"] for event in reversed(list(run.events())) if event["kind"] == "state"), "")
    spent = 0.0 if begin is None else time.process_time() - begin
    thinned = {name: _thin(points) for name, points in curves.items() if points}
    return {"arm": arm.name, "seed": seed, "phase": phase, "text": words, "cpu_s": round(spent, 1), "curves": thinned}


def _thin(points: list[list[float]]) -> list[list[float]]:
    """At most ``MOST_POINTS`` of them, the last always among them."""
    every = -(-len(points) // MOST_POINTS)
    return points[::-1][::every][::-1]


def row_of(claim: Claim, record: Record) -> str:
    """One line of the table: before and after of the claim's metric and of those beside it."""
    parts = []
    for name in (claim.metric, *claim.also):
        points = record["curves"].get(name)
        parts.append(f"{name} {points[0][2]:.3f} -> {points[-1][2]:.3f}" if points else f"{name} -")
    ending = "" if record["phase"] == "succeeded" else f"  {record['phase']}: {record['text']}"
    return f"{claim.slug:20} {record['arm']:28} seed {record['seed']}  {'  '.join(parts)}  {record['cpu_s']:.0f} CPU-s{ending}"


def holds(claim: Claim, records: Sequence[Record]) -> bool:
    """Whether the claim's metric moved as it should with every seed of the first arm."""
    sign = 1 if claim.direction == "up" else -1
    curves = [record["curves"].get(claim.metric) for record in records if record["arm"] == claim.arms[0].name]
    return bool(curves) and all(points and sign * (points[-1][2] - points[0][2]) > 0 for points in curves)


def draw(claim: Claim, records: Sequence[Record]) -> None:
    """The figure of the method's page: a thin line for every seed."""
    panels = [panel for panel in (_panel(claim, spec, records) for spec in claim.figure) if panel.lines]
    if panels:
        description = f"{claim.slug} on the starter: {', '.join(panel.title.lower() for panel in panels)} over steps"
        write(FIGURES / f"{claim.slug}-curves.svg", panels, x_label="step", description=description)


def _panel(claim: Claim, spec: PanelSpec, records: Sequence[Record]) -> Panel:
    several = len(spec.metrics) > 1
    colour_of = {arm.name: COLOURS[place % len(COLOURS)] for place, arm in enumerate(claim.arms)}
    lines, legend = [], []
    for place, (metric, label) in enumerate(spec.metrics.items()):
        for arm in reversed(spec.arms):
            colour = COLOURS[place % len(COLOURS)] if several else colour_of[arm]
            dash = "4 3" if several and arm != spec.arms[0] else ""
            drawn = [
                Line(points=[(step, value) for step, _, value in record["curves"][metric]], colour=colour, dash=dash)
                for record in records
                if record["arm"] == arm and record["curves"].get(metric)
            ]
            lines += drawn
            if drawn:
                named = label if len(spec.arms) == 1 else f"{label}, {arm}"
                legend.append((named if several else arm, colour, dash))
    legend.sort(key=lambda entry: entry[1] != COLOURS[0])
    bottom, top = spec.y_range or (None, None)
    return Panel(title=spec.title, lines=lines, legend=legend, top=top, bottom=bottom)


def stored(claim: Claim) -> list[Record]:
    """The records of an earlier time, without those of arms that are no more."""
    path = RESULTS / f"{claim.slug}.json"
    names = {arm.name for arm in claim.arms}
    kept: list[Record] = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    return [record for record in kept if record["arm"] in names]


def store(claim: Claim, records: Sequence[Record]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    order = [arm.name for arm in claim.arms]
    runs = sorted(records, key=lambda record: (order.index(record["arm"]), record["seed"]))
    text = json.dumps({"machine": describe(), "threads": 1, "runs": runs}, separators=(",", ":"))
    (RESULTS / f"{claim.slug}.json").write_text(text + "\n", encoding="utf-8")


def measure(claim: Claim, arms: Sequence[str], seeds: Sequence[int]) -> None:
    """Run what is asked for, each in a process of its own, and store every record at once."""
    for arm in claim.arms:
        if arms and arm.name not in arms:
            continue
        for seed in seeds or arm.seeds:
            command = [sys.executable, "-m", "bench.methods", claim.slug, "--one", arm.name, str(seed)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            record = json.loads(done.stdout.splitlines()[-1])
            others = [old for old in stored(claim) if (old["arm"], old["seed"]) != (arm.name, seed)]
            store(claim, [*others, record])
            print(row_of(claim, record), flush=True)


def main() -> int:
    claims = all_claims()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="CLAIM", help=f"{', '.join(claims)}; without a name all of them")
    parser.add_argument("--arms", nargs="*", default=[], help="only these arms")
    parser.add_argument("--seeds", nargs="*", type=int, default=[], help="these seeds in place of each arm's own")
    parser.add_argument("--draw", action="store_true", help="measure nothing; draw and tell what is stored")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in claims]:
        parser.error(f"there is no claim {unknown[0]!r}; there are {', '.join(claims)}")
    chosen = [claims[name] for name in options.names or claims]
    if options.one:
        name, seed = options.one
        arm = next(arm for arm in chosen[0].arms if arm.name == name)
        print(json.dumps(carry_out(chosen[0], arm, int(seed))))
        return 0
    for claim in chosen:
        if not options.draw:
            measure(claim, options.arms, options.seeds)
        draw(claim, stored(claim))
    methods_page.write(list(claims.values()), stored)
    print("\nbefore -> after")
    for claim in chosen:
        records = stored(claim)
        for record in records:
            print(row_of(claim, record))
        verdict = "holds" if holds(claim, records) else "DOES NOT HOLD"
        print(f"{claim.slug}: {claim.metric} goes {claim.direction} with every seed: {verdict}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
