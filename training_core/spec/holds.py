"""Checkpoints of a run that others count on; a file in its folder names their steps. Torch-free."""

import json
from pathlib import Path

HOLDS = "holds.json"
"""In the run's folder: ``[40, 80]``, written by whoever knows of forks and promotions."""


def held_steps(folder: Path) -> set[int]:
    """Steps whose checkpoints stay beyond the run's own limit."""
    try:
        return set(json.loads((folder / HOLDS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return set()
