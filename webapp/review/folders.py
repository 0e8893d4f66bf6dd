"""Where data sets that people made lie: below the same root as runs."""

from pathlib import Path

from django.conf import settings
from django.utils.text import slugify

from webapp.review.models import Dataset


def dataset_path(made: Dataset) -> Path:
    """The file of a version; a ``.jsonl`` task reads it by this path where the worker sees the same folder."""
    name = f"{made.kind}-{slugify(made.name.replace('/', '-'))[:60] or made.pk}-v{made.version}.jsonl"
    return Path(settings.ARTIFACTS_DIR) / "datasets" / str(made.workspace_id) / name
