"""What a team keeps for later: names for checkpoints, its own data sets, its rubrics.

Only ``services.py``, ``datasets.py`` and ``rubric_services.py`` write the tables.
"""

import uuid
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from training_core.spec.rubrics import RUBRICS, RubricSpec
from webapp.experiments.models import Run
from webapp.workspaces.models import Workspace


class CheckpointName(models.Model):
    """A name under which a workspace promotes one checkpoint: ``CheckpointName(name="best judge", step=40)``; it is then never removed."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="checkpoint_names")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="checkpoint_names")
    step = models.BigIntegerField()
    name = models.CharField(max_length=60)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "name"], name="checkpoint_name_once"),
            models.UniqueConstraint(fields=["run", "step"], name="checkpoint_named_once"),
        ]

    def __str__(self) -> str:
        return self.name


class DatasetSource(models.TextChoices):
    """Where the lines of a data set come from."""

    UPLOADED = "uploaded", "Uploaded"
    PICKED = "picked", "Picked from samples"
    ANSWERS = "answers", "People's answers"


class DatasetForm(models.TextChoices):
    """What picked samples are written as."""

    SFT = "sft", "Demonstrations"
    PREFERENCE = "preference", "Preference pairs"


class Dataset(models.Model):
    """A data set of a workspace; its lines are those of its versions, which never change."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="team_datasets")
    name = models.CharField(max_length=80)
    source = models.CharField(max_length=10, choices=DatasetSource.choices, default=DatasetSource.UPLOADED)
    form = models.CharField(max_length=10, choices=DatasetForm.choices, blank=True)
    """Empty for what was not picked from samples."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    """Set while it is not offered; its files stay, because runs were made with them."""

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workspace", "name"], condition=Q(retired_at=None), name="team_dataset_name_once"
            ),
            models.CheckConstraint(condition=Q(source__in=DatasetSource.values), name="dataset_source_known"),
        ]

    def __str__(self) -> str:
        return self.name


class DatasetVersion(models.Model):
    """One state of a data set, as a ``.jsonl`` file."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    """1, 2, 3 inside the data set."""
    digest = models.CharField(max_length=64)
    """sha256 of the file, hexadecimal."""
    num_lines = models.PositiveIntegerField()
    num_bytes = models.PositiveBigIntegerField()
    columns = models.JSONField(default=list)
    note = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dataset", "number"], name="team_dataset_version_once")
        ]

    def __str__(self) -> str:
        return f"{self.dataset}, version {self.number}"

    @property
    def path(self) -> Path:
        """Where its lines stand; workers read the same path."""
        folder = Path(settings.DATA_DIR) / "teams" / str(self.dataset.workspace_id) / str(self.dataset_id)
        return folder / f"v{self.number}.jsonl"


class Rubric(models.Model):
    """A way to ask a judge, under a name; its texts are those of its versions, which never change."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="rubrics")
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=12)
    """What it does: a key of ``RUBRICS``."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    """Set while it is not offered; runs keep the text they were started with."""

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workspace", "name"], condition=Q(retired_at=None), name="rubric_name_once"
            ),
            models.CheckConstraint(condition=Q(kind__in=sorted(RUBRICS)), name="rubric_kind_known"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def spec(self) -> type[RubricSpec]:
        """What texts of its kind may show, and how their verdicts are read."""
        return RUBRICS[self.kind]


class RubricVersion(models.Model):
    """One text of a rubric."""

    rubric = models.ForeignKey(Rubric, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    """1, 2, 3 inside the rubric."""
    text = models.TextField()
    digest = models.CharField(max_length=64)
    """sha256 of the text, hexadecimal; specs that hold the text hold it too."""
    note = models.CharField(max_length=300, blank=True)
    """Why it was made."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["rubric", "number"], name="rubric_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.rubric}, version {self.number}"

    @property
    def label(self) -> str:
        """``Version 2``, where its rubric is known."""
        return f"Version {self.number}"

    @property
    def in_spec(self) -> dict[str, Any]:
        """As a spec holds it."""
        return {"text": self.text, "name": self.rubric.name, "version": self.number, "digest": self.digest}
