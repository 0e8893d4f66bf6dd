"""Where a run's files lie on a worker's machine."""

import shutil
from pathlib import Path
from uuid import UUID

from django.conf import settings


def run_folder(run_id: UUID | str) -> Path:
    return Path(settings.ARTIFACTS_DIR) / "runs" / str(run_id)


def models_folder() -> Path:
    """Models made on this machine, kept for the next run."""
    return Path(settings.ARTIFACTS_DIR) / "models"


def unfinished_checkpoints(run_id: UUID | str) -> list[Path]:
    """Checkpoints whose rename has not happened: being written right now, or left by a process that died."""
    folder = run_folder(run_id) / "checkpoints"
    return [*folder.glob(".tmp*"), *folder.glob("*.tmp")]


def remove_unfinished_checkpoints(run_id: UUID | str) -> None:
    """Only for a run that has no process any more."""
    for path in unfinished_checkpoints(run_id):
        shutil.rmtree(path, ignore_errors=True)
