"""Where the files of jobs lie; below the same root as those of runs."""

from pathlib import Path
from uuid import UUID

from django.conf import settings


def root_folder() -> Path:
    """What the places of checkpoints in a job are relative to."""
    return Path(settings.ARTIFACTS_DIR)


def jobs_folder() -> Path:
    return root_folder() / "jobs"


def job_folder(job_id: UUID | str) -> Path:
    return jobs_folder() / str(job_id)
