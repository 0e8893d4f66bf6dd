"""Does a step cost what its tokens cost, and does a long run keep its memory?

    python -m bench.scaling                  # 4 model sizes x 4 batch sizes, then the figure
    python -m bench.scaling --memory 10000   # steps of a very small run, its memory read every second
    python -m bench.scaling --draw           # the figure again, from the stored results

One thread; costs are CPU seconds, the least of three repetitions. Results go to ``bench/results/scaling.json``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil
import torch

from bench.contenders import kumite
from bench.contenders.workloads import SHAPES, Workload
from bench.figure import Line, Panel, write
from bench.machine import describe
from tests.tiny_model import make_tiny_model
from training_core.spec.io import dump_yaml, parse_spec

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "scaling.json"
FIGURE = ROOT / "docs" / "scaling.svg"
MEMORY_FIGURE = ROOT / "docs" / "memory.svg"
SIZES = {64: "0.25M", 128: "1M", 192: "2M", 256: "4M"}
"""Hidden sizes of the four models; all have four layers."""
PROMPTS = (4, 8, 16, 32)
"""Prompts in a step, with 8 completions of 64 tokens each."""
COLOURS = ("#9aa5b1", "#4c8c8a", "#c2703d", "#23262d")
REPEATS = 3


def measure_scaling() -> list[dict[str, Any]]:
    """CPU seconds of a whole step, rollout and update, for every size and batch."""
    torch.set_num_threads(1)
    rows = []
    for hidden in SIZES:
        shape = f"hidden {hidden}"
        SHAPES[shape] = {
            "hidden_size": hidden,
            "intermediate_size": 4 * hidden,
            "num_hidden_layers": 4,
            "num_attention_heads": hidden // 32,
        }
        for prompts in PROMPTS:
            rows.append(_measure_step(shape, hidden, prompts))
            print(json.dumps(rows[-1]), flush=True)
    return rows


def _measure_step(shape: str, hidden: int, prompts: int) -> dict[str, Any]:
    workload = Workload(prompt_tokens=(12, 12), max_tokens=64, fixed_length=True, shape=shape, num_prompts=prompts)
    step = kumite.build_step(workload)
    parameters = sum(parameter.numel() for parameter in step.learner.optimizers["main"].parameters)
    step.take(0)
    costs = []
    for number in range(1, REPEATS + 1):
        begin = time.process_time()
        step.take(number)
        costs.append(time.process_time() - begin)
    tokens = prompts * (12 + 8 * 64)
    return {"hidden": hidden, "parameters": parameters, "tokens": tokens, "cpu_s": round(min(costs), 4)}


def straightness(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """The line y = fixed + slope x through the points, and the share of the variation it explains (R squared)."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    fixed = mean_y - slope * mean_x
    rest = sum((y - fixed - slope * x) ** 2 for x, y in points)
    return {
        "fixed_s": round(fixed, 4),
        "us_per_token": round(slope * 1e6, 2),
        "r_squared": round(1 - rest / sum((y - mean_y) ** 2 for _, y in points), 4),
    }


def measure_memory(num_steps: int) -> dict[str, Any]:
    """Resident memory of a whole run of a very small model, read every second, by the step it was at."""
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside)
        spec = parse_spec(_small_spec(make_tiny_model(folder / "model"), num_steps))
        (folder / "spec.yaml").write_text(dump_yaml(spec), encoding="utf-8")
        argv = [sys.executable, "-m", "training_core", "run", str(folder / "spec.yaml"), "--dir", str(folder / "run")]
        with (folder / "log").open("w") as log:
            child = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
        points = _watch(child, folder / "run", num_steps)
        if child.returncode:
            raise RuntimeError((folder / "log").read_text(encoding="utf-8")[-2000:])
    settled = [mib for step, mib in points if step >= num_steps // 10]
    quarter = max(1, len(settled) // 4)
    return {
        "steps": num_steps,
        "rss_mib": [[step, round(mib, 1)] for step, mib in _thinned(points, 100)],
        "first_quarter_mib": round(sum(settled[:quarter]) / quarter, 1),
        "last_quarter_mib": round(sum(settled[-quarter:]) / quarter, 1),
        "highest_mib": round(max(settled), 1),
    }


def _small_spec(model: Path, num_steps: int) -> dict[str, Any]:
    return {
        "steps": num_steps,
        "model": {"source": str(model)},
        "evaluation": {"every": num_steps, "num_items": 8},
        "checkpoint": {"every": max(1, num_steps // 10), "keep": 1},
        "recording": {"samples_per_step": 1},
        "method": {
            "name": "mae",
            "batch_per_role": 2,
            "probe_items": 8,
            "quality_samples": 1,
            "difficulty_samples": 1,
            "seed_pairs": True,
            "pool_cap": 64,
            "sampling": {"max_tokens": 4},
        },
    }


def _watch(child: "subprocess.Popen[bytes]", folder: Path, num_steps: int) -> list[tuple[int, float]]:
    process, points, told = psutil.Process(child.pid), [], 0.0
    while child.poll() is None:
        time.sleep(1)
        try:
            mib = process.memory_info().rss / 2**20
        except psutil.Error:
            break
        step = _step_of(folder / "events.jsonl")
        if step > 0 and mib > 0:  # 0 once the process has ended
            points.append((step, mib))
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(f"step {step} of {num_steps}: {mib:.1f} MiB", file=sys.stderr, flush=True)
    child.wait()
    return points


def _step_of(events: Path) -> int:
    """The step of the last whole line, read from the end of the file."""
    if not events.exists():
        return 0
    with events.open("rb") as file:
        file.seek(max(0, events.stat().st_size - 65_536))
        lines = file.read().split(b"\n")[:-1]
    for line in reversed(lines):
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError):
            continue
    return 0


def _thinned(points: Sequence[tuple[int, float]], most: int) -> Sequence[tuple[int, float]]:
    return points[:: max(1, len(points) // most)]


def draw(found: dict[str, Any]) -> None:
    """The figures of what there are results of."""
    if "steps" in found:
        _draw_steps(found["steps"])
    if "memory" in found:
        points = [(x, y) for x, y in found["memory"]["rss_mib"]]
        curve = Line(points=points, colour=COLOURS[-1], width=1.8)
        panel = Panel(title="Resident memory in MiB", lines=[curve], legend=[], top=None)
        write(MEMORY_FIGURE, [panel], x_label="steps", description="Resident memory of a run of many steps")


def _draw_steps(rows: Sequence[dict[str, Any]]) -> None:
    """Seconds against tokens, and the same per token."""
    series = {hidden: [(row["tokens"], row["cpu_s"]) for row in rows if row["hidden"] == hidden] for hidden in SIZES}
    per_token = {hidden: [(x, 1e6 * y / x) for x, y in points] for hidden, points in series.items()}
    legend = [(f"{name} parameters", colour, "") for name, colour in zip(SIZES.values(), COLOURS, strict=True)]
    panels = [
        Panel(
            title=title,
            lines=[
                Line(points=points, colour=colour, width=1.8)
                for points, colour in zip(curves.values(), COLOURS, strict=True)
            ],
            legend=legend,
            top=None,
        )
        for title, curves in (("CPU seconds per step", series), ("CPU microseconds per token", per_token))
    ]
    write(FIGURE, panels, x_label="tokens in a step", description="The cost of a step grows linearly with its tokens")


def record(**found: Any) -> dict[str, Any]:
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    content: dict[str, Any] = {**known, "machine": describe(), "threads": 1, **found}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", type=int, metavar="STEPS", help="watch the memory of a run of so many steps")
    parser.add_argument("--draw", action="store_true", help="draw the figure from the stored results and stop")
    options = parser.parse_args()
    if options.draw:
        found = json.loads(RESULTS.read_text(encoding="utf-8"))
    elif options.memory:
        found = record(memory=measure_memory(options.memory))
    else:
        rows = measure_scaling()
        fits = {
            name: straightness([(row["tokens"], row["cpu_s"]) for row in rows if row["hidden"] == hidden])
            for hidden, name in SIZES.items()
        }
        found = record(steps=rows, fits=fits)
    draw(found)


if __name__ == "__main__":
    main()
