"""Does Multi-Agent Evolve learn on the starter? Curves per seed, beside an upper line, the paper's setting and controls.

    python -m bench.mae                       # every setting, seeds 0 to 4, about two CPU-minutes each
    python -m bench.mae --settings default --seeds 0
    python -m bench.mae --draw                # the figure again, from the stored results

Writes ``bench/results/mae.json`` (one record per setting and seed) and ``static/methods/mae-curves.svg``. CPU-seconds count the run
itself, not the teaching of the starter, which all settings share.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.figure import Line, Panel, write

RESULTS = Path(__file__).parent / "results" / "mae.json"
FIGURE = Path(__file__).parent.parent / "static" / "methods" / "mae-curves.svg"

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "verifier": {"judge": {"kind": "verifier"}},
    "frozen judge": {"judge": {"kind": "frozen"}},
    "random judge": {"judge": {"kind": "random"}, "min_judge_auc": 0.0},
    "frozen weights": {"optimizer": {"lr": 1e-30}, "rehearsal": None},
    "rehearsal only": {"train_proposer": False, "train_solver": False, "train_judge": False},
    "paper": {"paper": True},
}
"""Changes to the preset ``starter``; "paper" takes every knob from the paper but batch, lengths and step size."""


def spec_of(setting: str, seed: int) -> dict[str, Any]:
    from training_core.methods.registry import find_method

    preset = next(found for found in find_method("mae").presets if found.slug == "starter")
    spec = json.loads(json.dumps(preset.spec))
    changes = dict(SETTINGS[setting])
    if changes.pop("paper", False):
        ours = spec["method"]
        spec["method"] = {"name": "mae", "batch_per_role": ours["batch_per_role"], "sampling": ours["sampling"]}
        spec["method"]["optimizer"] = {"lr": 2e-4}
    for key, value in changes.items():
        spec["method"][key] = {**spec["method"].get(key, {}), **value} if key == "optimizer" else value
    return {**spec, "seed": seed, "name": f"{setting}, seed {seed}"}


def run_one(setting: str, seed: int) -> None:
    """Carry out one setting and print its record as JSON; a process of its own, so that CPU-seconds are its own."""
    from training_core import Run
    from training_core.policies.models_dir import default_models_dir
    from training_core.spec.io import parse_spec

    curves: dict[str, list[list[float]]] = {}
    clock = {"begin": None}

    def note(event: dict[str, Any]) -> None:
        if event["kind"] == "state" and event["data"]["phase"] == "running":
            clock["begin"] = time.process_time()
        if event["kind"] == "metric" and clock["begin"] is not None:
            spent = time.process_time() - clock["begin"]
            for name, value in event["data"]["values"].items():
                if name.startswith(("eval/", "judge/", "reward/", "questions/", "entropy/", "kl/", "length/")):
                    curves.setdefault(name, []).append([event["step"], round(spent, 2), round(value, 4)])

    with tempfile.TemporaryDirectory() as folder:
        phase = Run(
            parse_spec(spec_of(setting, seed)), folder, models_dir=default_models_dir(), listener=note
        ).execute()
    print(json.dumps({"setting": setting, "seed": seed, "phase": phase, "curves": curves}))


def summary(record: dict[str, Any]) -> str:
    curves = record["curves"]
    sampled, greedy = curves["eval/accuracy_sampled"], curves["eval/accuracy_greedy"]
    accepts = [value for *_, value in curves.get("judge/own_false_accept", [])] or [float("nan")]
    return (
        f"{record['setting']:15} seed {record['seed']}  sampled {sampled[0][2]:.3f} -> {sampled[-1][2]:.3f}  "
        f"greedy {greedy[0][2]:.3f} -> {greedy[-1][2]:.3f}  own false accepts {accepts[0]:.3f} -> {accepts[-1]:.3f} "
        f"(highest {max(accepts):.3f})  {sampled[-1][1]:.0f} CPU-s"
    )


COLOURS = {
    "default": "#0072b2",
    "verifier": "#009e73",
    "frozen judge": "#56b4e9",
    "rehearsal only": "#e69f00",
    "random judge": "#cc79a7",
    "paper": "#d55e00",
    "frozen weights": "#7d7a72",
}


def draw(records: list[dict[str, Any]]) -> None:
    """Every seed of every setting as a thin line: accuracy, greedy accuracy, and what the judge lets through."""
    settings = [name for name in COLOURS if any(record["setting"] == name for record in records)]
    legend = [(name, COLOURS[name], "") for name in settings]

    def lines(metric: str, only: set[str] | None = None) -> list[Line]:
        return [
            Line(
                points=[(step, value) for step, _, value in record["curves"][metric]], colour=COLOURS[record["setting"]]
            )
            for record in sorted(records, key=lambda record: -settings.index(record["setting"]))
            if metric in record["curves"] and (only is None or record["setting"] in only)
        ]

    judged = {"default", "frozen judge", "paper"}
    accepts = [(name, COLOURS[name], "") for name in settings if name in judged]
    write(
        FIGURE,
        [
            Panel(title="Held-out accuracy, sampled", lines=lines("eval/accuracy_sampled"), legend=legend),
            Panel(title="Held-out accuracy, greedy", lines=lines("eval/accuracy_greedy"), legend=[]),
            Panel(
                title="Own mistakes the judge accepts",
                lines=lines("judge/own_false_accept", judged),
                legend=accepts,
            ),
        ],
        x_label="step",
        description="Multi-Agent Evolve on the starter: held-out accuracy and false accepts over steps, one line per seed",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--draw", action="store_true", help="draw the figure from the stored results and stop")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.settings[0], options.seeds[0])
        return 0
    kept = json.loads(RESULTS.read_text())["runs"] if RESULTS.exists() else []
    if options.draw:
        draw(kept)
        return 0
    for setting in options.settings:
        for seed in options.seeds:
            command = [sys.executable, "-m", "bench.mae", "--one", "--settings", setting, "--seeds", str(seed)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            record = json.loads(done.stdout.splitlines()[-1])
            kept = [old for old in kept if (old["setting"], old["seed"]) != (setting, seed)] + [record]
            print(summary(record), flush=True)
            RESULTS.parent.mkdir(exist_ok=True)
            machine = {
                "cpu": platform.processor() or platform.machine(),
                "python": platform.python_version(),
                "threads": 1,
            }
            RESULTS.write_text(json.dumps({"machine": machine, "runs": kept}, separators=(",", ":")) + "\n")
    draw(kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
