"""What runs said: every event once, metrics again in packed blocks for charts, samples again as rows to find them by."""

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from webapp.experiments.models import Run


class Event(models.Model):
    """One line a run wrote. ``data`` is described in ``training_core.spec.events``."""

    pk = models.CompositePrimaryKey("run_id", "seq")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events", db_index=False)
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


class MetricBlock(models.Model):
    """A stretch of a run's metric events, packed. At level 0 some 128 events; a row above stands for 8 of the level below.

    Events after the last block are not packed yet; they are the tail, and read from ``Event``.
    """

    pk = models.CompositePrimaryKey("run_id", "level", "number")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metric_blocks")
    level = models.PositiveSmallIntegerField()
    number = models.IntegerField()
    """0, 1, 2 inside the level; number ``n`` covers the numbers ``8n .. 8n + 7`` below it."""
    first_step = models.BigIntegerField()
    last_step = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    spacing = models.PositiveSmallIntegerField()
    """Buckets of level ``L`` are ``8 ** (L + spacing)`` steps wide; the same in the whole run."""
    moments = models.BinaryField()
    """``buckets.MOMENT`` of each event; above level 0 the last of each bucket's width."""

    def __str__(self) -> str:
        return f"block {self.level}.{self.number}"


class MetricChunk(models.Model):
    """One metric in one block: the very points at level 0, buckets of lowest, highest, sum and count above."""

    pk = models.CompositePrimaryKey("run_id", "name", "level", "number")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metric_chunks")
    name = models.CharField(max_length=80)
    level = models.PositiveSmallIntegerField()
    number = models.IntegerField()
    body = models.BinaryField()
    """``buckets.POINT`` at level 0, ``buckets.BUCKET`` above."""

    def __str__(self) -> str:
        return f"{self.name} {self.level}.{self.number}"


class Sample(models.Model):
    """What is asked of a sample before it is opened; its texts stay in the event of the same run and seq."""

    pk = models.CompositePrimaryKey("run_id", "seq")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="samples", db_index=False)
    seq = models.BigIntegerField()
    step = models.BigIntegerField()
    episode = models.TextField()
    title = models.TextField()
    """The first characters of the question."""
    layout = models.CharField(max_length=8)
    kind = models.CharField(max_length=8, db_default="question")
    """What was played, a ``sample_index.SampleKind``."""
    rank = models.PositiveSmallIntegerField(db_default=2)
    """How far up among the samples of its step a list shows it: 2 where somebody answered, 1 where nobody did, 0 for practice."""
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
            models.Index(fields=["run", "step", "rank", "seq", "kind"], name="sample_in_order"),
            models.Index(fields=["run", "group_key", "seq"], name="sample_by_group"),
            models.Index(fields=["run", "parent_key"], name="sample_by_parent", condition=~models.Q(parent_key="")),
            GinIndex(fields=["search"], name="sample_words", gin_pending_list_limit=8192),
        ]

    def __str__(self) -> str:
        return f"sample {self.episode}"


class RunSummary(models.Model):
    """Every metric of a run in seven numbers, so that lists of runs show and sort by any of them without reading points; its samples
    counted by kind."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, primary_key=True, related_name="summary")
    samples = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    """How many samples there are of each kind: ``{"question": 320, "practice": 64}``."""
    metrics = models.JSONField(default=dict)
    """By name ``[first, last, last_step, lowest, highest, sum, count]``; see ``webapp.telemetry.summary``."""

    def __str__(self) -> str:
        return f"{len(self.metrics)} metrics"
