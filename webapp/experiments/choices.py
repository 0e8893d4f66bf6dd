"""States of a run and the moves between them."""

from django.db.models import TextChoices


class RunStatus(TextChoices):
    QUEUED = "queued", "Queued"
    CLAIMED = "claimed", "Claimed"
    STARTING = "starting", "Starting"
    RUNNING = "running", "Running"
    PAUSING = "pausing", "Pausing"
    PAUSED = "paused", "Paused"
    CANCELLING = "cancelling", "Stopping"
    CANCELLED = "cancelled", "Stopped"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    TIMED_OUT = "timed_out", "Timed out"


TERMINAL = frozenset({RunStatus.CANCELLED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.TIMED_OUT})
HELD = frozenset({RunStatus.CLAIMED, RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSING, RunStatus.CANCELLING})
"""States in which a worker holds the lease."""

_ENDS = {RunStatus.CANCELLED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.TIMED_OUT}

ALLOWED: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.CLAIMED, RunStatus.CANCELLED}),
    RunStatus.CLAIMED: frozenset(
        {RunStatus.STARTING, RunStatus.QUEUED, RunStatus.CANCELLING, RunStatus.PAUSING} | _ENDS
    ),
    RunStatus.STARTING: frozenset(
        {RunStatus.RUNNING, RunStatus.QUEUED, RunStatus.CANCELLING, RunStatus.PAUSING} | _ENDS
    ),
    RunStatus.RUNNING: frozenset({RunStatus.QUEUED, RunStatus.CANCELLING, RunStatus.PAUSING} | _ENDS),
    RunStatus.PAUSING: frozenset({RunStatus.PAUSED, RunStatus.QUEUED, RunStatus.CANCELLING} | _ENDS),
    RunStatus.PAUSED: frozenset({RunStatus.QUEUED, RunStatus.CANCELLED}),
    RunStatus.CANCELLING: frozenset(_ENDS),
    **{status: frozenset() for status in _ENDS},
}


class FailureKind(TextChoices):
    """Why a run failed; each has a sentence for the person in ``webapp.experiments.failures``."""

    LOST_WORKER = "lost_worker", "Worker lost"
    OUT_OF_MEMORY = "out_of_memory", "Out of memory"
    CRASH = "crash", "Crashed"
    DIVERGED = "diverged", "Diverged"
    JUDGE = "judge", "Judge unreliable"
    SPEC = "spec", "Spec cannot run"
    MODEL = "model", "Model cannot be loaded"
    DATA = "data", "Data cannot be read"
    HANG = "hang", "No progress"
    DISK_FULL = "disk_full", "Disk full"


class TransitionActor(TextChoices):
    USER = "user", "Person"
    WORKER = "worker", "Worker"
    REAPER = "reaper", "Reaper"
