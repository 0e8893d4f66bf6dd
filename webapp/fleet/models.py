"""Machines that work: one row per worker process, one per slot it offers."""

import uuid
from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from webapp.fleet import timing


class WorkerQuerySet(models.QuerySet["Worker"]):
    def living(self) -> "WorkerQuerySet":
        """Workers that were heard of within the last lease, by the database's clock."""
        return self.filter(was_heard(), stopped_at=None)


def was_heard() -> models.Q:
    """Whether the last sign of life is younger than a lease."""
    return models.Q(last_beat_at__gt=Now() - timedelta(seconds=timing.LEASE_S))


class Worker(models.Model):
    """A Celery worker process on a host; alive while ``last_beat_at`` is fresh."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120, unique=True)
    host = models.CharField(max_length=120)
    boot_id = models.CharField(max_length=64)
    pid = models.PositiveIntegerField()
    start_ticks = models.BigIntegerField()
    """Start time of the process in clock ticks since boot; with pid and boot id it names exactly one process."""
    facts = models.JSONField(default=dict)
    """Cores, memory, GPUs, versions."""
    draining = models.BooleanField(default=False)
    started_at = models.DateTimeField(auto_now_add=True)
    last_beat_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, blank=True)

    objects = WorkerQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class SlotKind(models.TextChoices):
    CPU = "cpu", "CPU"
    GPU = "gpu", "GPU"


class SlotHealth(models.TextChoices):
    OK = "ok", "OK"
    DRAINING = "draining", "Draining"
    STUCK = "stuck", "Stuck"


class Slot(models.Model):
    """Room for one process group (CPU) or one device (GPU) on a host. Held by at most one run."""

    worker = models.ForeignKey(Worker, on_delete=models.CASCADE, related_name="slots")
    kind = models.CharField(max_length=3, choices=SlotKind.choices)
    index = models.PositiveSmallIntegerField()
    device_uuid = models.CharField(max_length=64, blank=True)
    memory_mib = models.PositiveIntegerField(default=0)
    health = models.CharField(max_length=10, choices=SlotHealth.choices, default=SlotHealth.OK)
    run = models.ForeignKey("experiments.Run", null=True, blank=True, on_delete=models.SET_NULL, related_name="slots")
    lease_token = models.BigIntegerField(default=0)
    host_rank = models.PositiveSmallIntegerField(default=0)
    """Which of the run's hosts this is; the worker at rank 0 holds the lease."""
    joined_token = models.BigIntegerField(default=0)
    """The lease under which a worker at a higher rank has begun its part; a part is begun once."""
    child_pid = models.PositiveIntegerField(null=True, blank=True)
    child_start_ticks = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["worker", "kind", "index"], name="slot_once")]

    def __str__(self) -> str:
        return f"{self.worker} {self.kind} {self.index}"
