"""When a waiting run will start, guessed from what runs now and how long such runs take; None where nobody can tell."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from uuid import UUID

from webapp.experiments.choices import HELD, RunStatus
from webapp.experiments.models import Run
from webapp.fleet.models import Slot, SlotHealth, SlotKind, Worker
from webapp.pages.tags import duration
from webapp.telemetry.state import steps_per_s

MAX_QUEUE, MAX_EARLIER = 200, 20


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A run in the queue: ``Waiting(run_id=..., num_slots=1, needs_s=1200.0)``; ``needs_s`` is None where unknown."""

    run_id: UUID
    num_slots: int
    needs_s: float | None


def starts(queue: Sequence[Waiting], busy_s: Sequence[float | None], num_free: int) -> dict[UUID, float | None]:
    """Seconds until each run of the queue starts, slots being given in order and back when their runs end.

    ``busy_s`` says for every taken slot when it becomes free. After a run of unknown length nothing can be told.
    """
    free_at = [0.0] * num_free + [seconds for seconds in busy_s if seconds is not None]
    heapq.heapify(free_at)
    found: dict[UUID, float | None] = {}
    for waiting in queue:
        if len(free_at) < waiting.num_slots:
            found[waiting.run_id] = None
            continue
        slots = [heapq.heappop(free_at) for _ in range(waiting.num_slots)]
        found[waiting.run_id] = slots[-1]
        if waiting.needs_s is not None:
            for _ in slots:
                heapq.heappush(free_at, slots[-1] + waiting.needs_s)
    return found


def forecasts(wanted: Sequence[Run]) -> dict[UUID, str]:
    """For queued runs in words: "3rd in the queue; starts in about 40 min". Kinds of slots are looked at apart."""
    words: dict[UUID, str] = {}
    for on_gpu in {run.num_gpus > 0 for run in wanted if run.status == RunStatus.QUEUED}:
        words |= _of_kind(wanted, on_gpu=on_gpu)
    return words


def _of_kind(wanted: Sequence[Run], *, on_gpu: bool) -> dict[UUID, str]:
    kind = {"num_gpus__gt": 0} if on_gpu else {"num_gpus": 0}
    queue = list(
        Run.objects.filter(status=RunStatus.QUEUED, **kind)
        .select_related("experiment")
        .defer("spec", "experiment__spec")
        .in_queue_order()[:MAX_QUEUE]
    )
    pace = _pace_of_methods({run.experiment.method for run in queue})
    waiting = [
        Waiting(run_id=run.pk, num_slots=max(run.num_gpus, 1) * run.num_hosts, needs_s=_needs_s(run, pace))
        for run in queue
    ]
    busy, free = _slots(SlotKind.GPU if on_gpu else SlotKind.CPU)
    when = starts(waiting, list(busy), free)
    places = {run.pk: place for place, run in enumerate(queue)}
    mine = [run for run in wanted if run.pk in places]
    return {run.pk: _words(run, places[run.pk], when[run.pk], free) for run in mine}


def _needs_s(run: Run, pace: Mapping[str, float]) -> float | None:
    each = pace.get(run.experiment.method)
    return None if each is None else each * max(run.total_steps - run.last_step, 1)


def _pace_of_methods(methods: set[str]) -> dict[str, float]:
    """Median seconds per step of the newest runs that went to their end, by method."""
    found: dict[str, float] = {}
    for method in methods:
        ended = Run.objects.filter(
            experiment__method=method, status=RunStatus.SUCCEEDED, started_at__isnull=False, last_step__gt=0
        ).order_by("-finished_at")
        times = ended.values_list("started_at", "finished_at", "last_step")[:MAX_EARLIER]
        paces = [(end - start).total_seconds() / steps for start, end, steps in times if start and end]
        if paces:
            found[method] = median(paces)
    return found


def _slots(kind: str) -> tuple[list[float | None], int]:
    """When each taken slot becomes free, and how many are free now, on workers that take new runs."""
    workers = Worker.objects.living().filter(draining=False)
    slots = list(Slot.objects.filter(worker__in=workers, kind=kind, health=SlotHealth.OK).select_related("run"))
    taken = {slot.run.pk: slot.run for slot in slots if slot.run is not None}
    left = {pk: _left_s(run) for pk, run in taken.items()}
    return [left[slot.run.pk] for slot in slots if slot.run is not None], sum(slot.run is None for slot in slots)


def _left_s(run: Run) -> float | None:
    if run.status not in HELD:
        return 0.0
    rate = steps_per_s(run)
    return (run.total_steps - run.last_step) / rate if rate else None


def _words(run: Run, ahead: int, seconds: float | None, num_free: int) -> str:
    place = "next in the queue" if not ahead else f"{ahead} ahead"
    if seconds is None:
        when = ""
    elif seconds < 15:
        when = "; should start at once"
    else:
        when = f"; starts in about {duration(_rounded(seconds))}"
    fewer = (
        f"; a version on {num_free} GPU{'s' * (num_free > 1)} could start now" if 0 < num_free < run.num_gpus else ""
    )
    return f"{place}{when}{fewer}"


def _rounded(seconds: float) -> float:
    """No more precise than a guess can be: to ten seconds, minutes, or five minutes."""
    step = 10 if seconds < 60 else 60 if seconds < 1800 else 300
    return max(step, round(seconds / step) * step)
