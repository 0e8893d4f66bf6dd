"""What runs said: every event once, metrics again as points for charts."""

from typing import ClassVar

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
