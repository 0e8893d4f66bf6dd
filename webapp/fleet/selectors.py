"""The Fleet page: who works, on what, and what waits. Runs a person may not see are shown as taken, without a name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import BooleanField, Case, Prefetch, QuerySet, Value, When
from django.db.models.expressions import ExpressionWrapper
from django.db.models.functions import Now

from webapp.accounts.models import User
from webapp.experiments.choices import HELD, RunStatus
from webapp.experiments.models import QUEUE_ORDER, Run
from webapp.experiments.selectors import waiting_reasons
from webapp.fleet.models import Slot, Worker, was_heard

QUEUE_SHOWN = 200


class WorkerState(StrEnum):
    READY = "ready"
    BUSY = "busy"
    DRAINING = "draining"
    LOST = "lost"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class SlotView:
    """One slot: ``SlotView(label="GPU 0", ...)``. ``is_taken`` without ``run`` is a run the viewer may not see."""

    slot: Slot
    label: str
    is_taken: bool
    run: Run | None


@dataclass(frozen=True, kw_only=True)
class WorkerView:
    worker: Worker
    state: WorkerState
    sentence: str
    """What the state means: "last heard of 3 minutes ago; its runs have gone back to the queue"."""
    slots: list[SlotView]

    @property
    def num_free(self) -> int:
        return sum(not slot.is_taken for slot in self.slots)


@dataclass(frozen=True, kw_only=True)
class QueuedView:
    """A waiting run: ``QueuedView(position=1, reason="waits for a free slot", ...)``; a foreign ``run`` is None."""

    key: UUID
    position: int
    priority: int
    waiting_since: datetime
    num_gpus: int
    reason: str
    run: Run | None
    goes_up: UUID | None = None
    """The run above, before which it would go one place up; None for the first."""
    goes_down: UUID | None = None
    """The run before which it would go one place down; None where that is the end."""
    is_last: bool


@dataclass(frozen=True, kw_only=True)
class FleetOverview:
    workers: list[WorkerView]
    queue: list[QueuedView]
    num_queued: int
    """All of them, also beyond the ones listed."""
    first_unlisted: UUID | None
    """The run that comes after the listed ones."""
    running: list[Run]
    num_running: int
    """All of them, also the ones the viewer may not see."""

    @property
    def num_slots(self) -> int:
        return sum(
            len(view.slots) for view in self.workers if view.state not in {WorkerState.LOST, WorkerState.STOPPED}
        )

    @property
    def num_free_slots(self) -> int:
        return sum(view.num_free for view in self.workers if view.state in {WorkerState.READY, WorkerState.BUSY})


def fleet_overview(user: User | AnonymousUser) -> FleetOverview:
    """Everything the Fleet page shows. Operators see every run, others the runs of their workspaces."""
    visible = {run.pk: run for run in _visible_runs(user).filter(status__in=[*HELD, RunStatus.QUEUED])}
    waiting = list(queue_in_order()[: QUEUE_SHOWN + 2])
    queue, keys = waiting[:QUEUE_SHOWN], [run.pk for run in waiting]
    reasons = waiting_reasons(queue)
    held = Run.objects.filter(status__in=HELD)
    return FleetOverview(
        workers=[_worker_view(worker, visible) for worker in _workers()],
        queue=[_queued_view(place, run, keys, visible, reasons[run.pk]) for place, run in enumerate(queue)],
        first_unlisted=keys[QUEUE_SHOWN] if len(keys) > QUEUE_SHOWN else None,
        num_queued=Run.objects.filter(status=RunStatus.QUEUED).count(),
        running=[
            visible[key] for key in held.order_by("started_at", "pk").values_list("pk", flat=True) if key in visible
        ],
        num_running=held.count(),
    )


def queue_in_order() -> QuerySet[Run]:
    """Queued runs in the order in which workers look at them; those that wait for their next attempt come last."""
    waits = Case(When(not_before__gt=Now(), then=Value(1)), default=Value(0))
    queued = Run.objects.filter(status=RunStatus.QUEUED).annotate(waits=waits)
    return queued.order_by("waits", *QUEUE_ORDER)


def _visible_runs(user: User | AnonymousUser) -> QuerySet[Run]:
    sees_all = isinstance(user, User) and user.is_staff and user.is_active
    runs = Run.objects.all() if sees_all else Run.objects.visible_to(user)
    return runs.select_related("experiment__workspace", "worker", "created_by")


def _workers() -> QuerySet[Worker]:
    fresh = ExpressionWrapper(was_heard(), output_field=BooleanField())
    slots = Prefetch("slots", queryset=Slot.objects.order_by("kind", "index"))
    return Worker.objects.annotate(is_fresh=fresh).prefetch_related(slots).order_by("stopped_at", "name")


def _worker_view(worker: Worker, visible: dict[UUID, Run]) -> WorkerView:
    slots = [_slot_view(slot, visible) for slot in worker.slots.all()]
    state = _state(worker, slots)
    return WorkerView(worker=worker, state=state, sentence=_SENTENCES[state], slots=slots)


def _state(worker: Worker, slots: Iterable[SlotView]) -> WorkerState:
    if worker.stopped_at is not None:
        return WorkerState.STOPPED
    if not worker.is_fresh:  # type: ignore[attr-defined]  # annotated by _workers
        return WorkerState.LOST
    if worker.draining:
        return WorkerState.DRAINING
    return WorkerState.BUSY if any(slot.is_taken for slot in slots) else WorkerState.READY


_SENTENCES = {
    WorkerState.READY: "Ready for work.",
    WorkerState.BUSY: "At work.",
    WorkerState.DRAINING: "Finishes what it has and takes nothing new.",
    WorkerState.LOST: "Not heard of for a while. Its runs go back to the queue and go on from their last checkpoint.",
    WorkerState.STOPPED: "Stopped. Its runs went back to the queue.",
}


def _slot_view(slot: Slot, visible: dict[UUID, Run]) -> SlotView:
    label = f"{slot.get_kind_display()} {slot.index}"
    return SlotView(
        slot=slot, label=label, is_taken=slot.run_id is not None, run=visible.get(slot.run_id) if slot.run_id else None
    )


def _queued_view(place: int, run: Run, keys: Sequence[UUID], visible: dict[UUID, Run], reason: str) -> QueuedView:
    return QueuedView(
        key=run.pk,
        position=place + 1,
        priority=run.priority,
        waiting_since=run.created_at,
        num_gpus=run.num_gpus,
        reason=reason,
        run=visible.get(run.pk),
        goes_up=keys[place - 1] if place else None,
        goes_down=keys[place + 2] if place + 2 < len(keys) else None,
        is_last=place + 1 == len(keys),
    )
