"""Teach the starters over several seeds and record what they can do: ``python -m bench.starter --seeds 5``.

Every starter is made from nothing, so that its CPU seconds are true; the figures go to ``bench/results/starter.json``.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from training_core.curricula.registry import curriculum_names, find_curriculum
from training_core.policies.starter import ensure_starter
from training_core.spec.tasks import TASKS

RESULTS = Path(__file__).resolve().parent / "results" / "starter.json"


def measure(curriculum: str, task: str, seed: int, models_dir: Path) -> dict[str, Any]:
    """Scores, steps and CPU seconds of one starter."""
    begin = time.perf_counter()
    folder = ensure_starter(
        task=TASKS[task](),
        curriculum=curriculum,
        models_dir=models_dir,
        progress=lambda fraction, text: print(
            f"\r{curriculum} {task} seed {seed}: {fraction:4.0%}  {text:<50}", end="", file=sys.stderr
        ),
        seed=seed,
    )
    card = json.loads((folder / "starter.json").read_text(encoding="utf-8"))
    print(file=sys.stderr)
    return {
        "curriculum": curriculum,
        "task": task,
        "seed": seed,
        **{name: round(value, 3) for name, value in card["scores"].items()},
        "num_steps": card["num_steps"],
        "cpu_s": card["cpu_s"],
        "wall_s": round(time.perf_counter() - begin, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--curriculum", choices=curriculum_names(), default="evolve")
    parser.add_argument("--tasks", nargs="*", choices=[*TASKS], help="default is the curriculum's first")
    parser.add_argument("--keep", type=Path, help="make the starters in this folder and keep them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        for task in options.tasks or find_curriculum(options.curriculum).tasks[:1]:
            for seed in options.seeds:
                row = measure(options.curriculum, task, seed, options.keep or Path(aside))
                print(json.dumps(row))
                record(row)


def record(row: dict[str, Any]) -> None:
    """Replace the row of the same curriculum, task and seed in the results."""
    known = json.loads(RESULTS.read_text(encoding="utf-8"))["starters"] if RESULTS.exists() else []
    rows = [old for old in known if _key(old) != _key(row)] + [row]
    rows.sort(key=_key)
    RESULTS.parent.mkdir(exist_ok=True)
    content = {"processor": platform.processor() or platform.machine(), "threads": 1, "starters": rows}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["curriculum"], row["task"], row["seed"]


if __name__ == "__main__":
    main()
