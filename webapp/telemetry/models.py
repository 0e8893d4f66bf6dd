"""What runs said: every event once, metrics again as points for charts, samples again as rows to find them by."""

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from webapp.experiments.models import Run


class Event(models.Model):
    """One line a run wrote. ``data`` is described in ``training_core.spec.events``."""

    pk = models.CompositePrimaryKey("run_id", "seq")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    seq = models.BigIntegerField()
    attempt = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=12)
    step = models.BigIntegerField()
    t = models.FloatField()
    """Unix time in seconds on the worker's clock."""
    data = models.JSONField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["run", "kind", "seq"], name="event_by_kind")]

    def __str__(self) -> str:
        return f"{self.kind} {self.seq}"


class MetricPoint(models.Model):
    """One value of one metric; the rows behind every chart."""

    pk = models.CompositePrimaryKey("run_id", "name", "seq")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metric_points")
    name = models.CharField(max_length=80)
    seq = models.BigIntegerField()
    """The event that carried the value."""
    step = models.BigIntegerField()
    value = models.FloatField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["run", "name", "step"], name="metric_by_step")]

    def __str__(self) -> str:
        return f"{self.name} at {self.step}"


class Sample(models.Model):
    """What is asked of a sample before it is opened; its texts stay in the event of the same run and seq."""

    pk = models.CompositePrimaryKey("run_id", "seq")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="samples")
    seq = models.BigIntegerField()
    step = models.BigIntegerField()
    episode = models.TextField()
    title = models.TextField()
    """The first characters of the question."""
    layout = models.CharField(max_length=8)
    group_key = models.CharField(max_length=16)
    """Equal for samples of one question, in every run: ``sample_index.group_key``."""
    parent_key = models.CharField(max_length=16, blank=True)
    """``group_key`` of the question that this one was made from; empty where it was made from none."""
    made = models.BooleanField()
    """Whether the question was made in this sample rather than drawn from a pool or a task."""
    kept = models.BooleanField(null=True)
    discard_reason = models.TextField(blank=True)
    """Why the sample, or some of its completions, do not count; empty where all do."""
    zero_signal = models.BooleanField()
    """Whether its completions were to be learnt from, yet none is better than another."""
    disagrees = models.PositiveIntegerField()
    """Verdicts against the truth."""
    num_turns = models.PositiveIntegerField()
    num_pairs = models.PositiveIntegerField()
    num_right = models.PositiveIntegerField()
    num_wrong = models.PositiveIntegerField()
    """Answers by their truth, where it is known; neither questions nor verdicts."""
    solved = models.FloatField(null=True)
    """Share of right answers by the truth, else as the method measured it."""
    reward_min = models.FloatField(null=True)
    reward_mean = models.FloatField(null=True)
    reward_max = models.FloatField(null=True)
    """Over all turns that have a reward."""
    result = models.TextField(blank=True)
    """How a game ended."""
    roles = models.JSONField()
    """``rows.RoleTally`` of each role, in the order they first spoke."""
    search = SearchVectorField()
    """The words of title and texts with their places: ``sample_index.words``."""

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["run", "step", "seq"], name="sample_by_step"),
            models.Index(fields=["run", "group_key", "seq"], name="sample_by_group"),
            models.Index(fields=["run", "parent_key"], name="sample_by_parent", condition=~models.Q(parent_key="")),
            GinIndex(fields=["search"], name="sample_words"),
        ]

    def __str__(self) -> str:
        return f"sample {self.episode}"
