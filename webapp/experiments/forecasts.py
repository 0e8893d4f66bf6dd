"""What a launch would cost and when it would start: measured on the workspace's own runs where there are any, else by rule.

The measured rate is the time between a run's first and last metric events, evaluations included, for each token it was estimated
to sample and train; a spec of other sizes is scaled by its own tokens.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from statistics import median

from django.core.cache import cache
from django.db.models import QuerySet
from django.utils import timezone

from training_core.spec.estimate import Estimate, estimate
from training_core.spec.events import EventKind
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import SpecError, parse_spec
from webapp.experiments.choices import HELD, RunStatus
from webapp.experiments.models import Run, RunQuerySet
from webapp.experiments.selectors import ESTIMATE_TOLERANCE, living_workers, memory_per_slot, offered_memory
from webapp.fleet.models import Slot, SlotHealth, SlotKind, Worker
from webapp.pages.tags import duration
from webapp.telemetry.models import Event
from webapp.workspaces.models import Workspace

RULE_FACTOR = 3.0
"""How far a rule of thumb may be off, either way."""
MIN_STEPS = 3
MAX_MEASURED = 5
_REMEMBERED_S = 60


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Whether a worker has the memory: ``Fit(worker="kumite-1", offered=16e9, verdict="fits")``."""

    worker: str
    offered: int
    verdict: str
    """fits, tight, too small, or unknown."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    cost: Estimate
    low_s: float | None
    high_s: float | None
    num_measured: int
    """Earlier runs the time was measured on; 0 where it is a rule of thumb."""
    num_runs: int
    fits: tuple[Fit, ...]
    queue: str
    """When it would start, in a sentence."""

    @property
    def time_words(self) -> str:
        """``12 min to 20 min``, of one run; empty where nobody can tell."""
        if self.low_s is None or self.high_s is None:
            return ""
        low, high = duration(self.low_s), duration(self.high_s)
        return low if low == high else f"{low} to {high}"

    @property
    def total_words(self) -> str:
        """The same of all runs of the experiment, one after the other."""
        if self.low_s is None or self.high_s is None or self.num_runs < 2:
            return ""
        return f"{duration(self.low_s * self.num_runs)} to {duration(self.high_s * self.num_runs)}"

    @property
    def basis(self) -> str:
        """What the time rests on, in a sentence."""
        if self.num_measured:
            runs = "an earlier run" if self.num_measured == 1 else f"{self.num_measured} earlier runs"
            return f"Measured on {runs} of this method and model in this workspace."
        return "A rule of thumb: no run of this method and model has been measured in this workspace yet."


def forecast(spec: ExperimentSpec, workspace: Workspace | None, *, num_runs: int = 1) -> Forecast:
    """Cost, memory and start of a launch of this spec."""
    cost = estimate(spec)
    rates = measured_rates(spec, workspace) if workspace else ()
    work = _work(spec, cost)
    low, high = None, None
    if rates:
        spread = 1.5 if len(rates) == 1 else 1.2
        low, high = min(rates) * work / spread, max(rates) * work * spread
    elif cost.seconds is not None:
        low, high = cost.seconds / RULE_FACTOR, cost.seconds * RULE_FACTOR
    expected = median(rates) * work if rates else cost.seconds
    return Forecast(
        cost=cost,
        low_s=low,
        high_s=high,
        num_measured=len(rates),
        num_runs=num_runs,
        fits=tuple(_fits(spec, cost)),
        queue=queue_words(spec, num_runs=num_runs, expected_s=expected),
    )


def _work(spec: ExperimentSpec, cost: Estimate) -> float:
    """Tokens of a whole run, evaluations included, that time is taken to grow with."""
    asked = spec.evaluation.num_items * (spec.evaluation.samples_per_item + 1) * cost.assumed_completion_tokens
    rounds = spec.steps / spec.evaluation.every + 2
    steps = spec.steps - (spec.start.step if spec.start and spec.start.what == "everything" else 0)
    return steps * (cost.sampled_per_step + cost.trained_per_step) + rounds * asked


def measured_rates(spec: ExperimentSpec, workspace: Workspace) -> tuple[float, ...]:
    """Seconds per token of the workspace's latest runs with this method, model and kind of device."""
    on_gpu = spec.resources.num_gpus > 0
    asked = f"{workspace.pk} {spec.method.name} {spec.model.source} {spec.engine.kind} {on_gpu}"
    key = f"rates:{sha256(asked.encode()).hexdigest()[:32]}"
    known = cache.get(key)
    if known is None:
        found = _comparable(spec, workspace, on_gpu=on_gpu)
        known = tuple(rate for rate in map(_rate, found) if rate is not None)
        cache.set(key, known, _REMEMBERED_S)
    return tuple(known)


def _comparable(spec: ExperimentSpec, workspace: Workspace, *, on_gpu: bool) -> QuerySet[Run]:
    runs = Run.objects.filter(
        experiment__workspace=workspace,
        experiment__method=spec.method.name,
        experiment__is_rehearsal=False,
        experiment__is_example=False,
        spec__model__source=spec.model.source,
        spec__engine__kind=spec.engine.kind,
        last_step__gte=MIN_STEPS,
    )
    runs = runs.filter(num_gpus__gt=0) if on_gpu else runs.filter(num_gpus=0)
    return runs.order_by("-created_at")[:MAX_MEASURED]


def _rate(run: Run) -> float | None:
    """Seconds per token of the newest attempt of a run; None where it says too little."""
    told = Event.objects.filter(run=run, kind=EventKind.METRIC, attempt=run.attempt).order_by("seq")
    first, last = told.values_list("step", "t").first(), told.values_list("step", "t").last()
    if first is None or last is None or last[0] - first[0] < MIN_STEPS - 1:
        return None
    try:
        spec = parse_spec(run.spec)
    except SpecError:
        return None
    share = (last[0] - first[0]) / spec.steps
    work = _work(spec, estimate(spec)) * share
    seconds = last[1] - first[1]
    return seconds / work if seconds > 0 and work > 0 else None


def _fits(spec: ExperimentSpec, cost: Estimate) -> list[Fit]:
    needed, on_gpu = memory_per_slot(spec, cost), spec.resources.num_gpus > 0
    found = []
    for worker in living_workers():
        offered = offered_memory(worker, on_gpu=on_gpu)
        if on_gpu and not offered:
            continue
        found.append(Fit(worker=worker.name, offered=offered, verdict=_verdict(needed, offered)))
    return found


def _verdict(needed: float | None, offered: int) -> str:
    if needed is None or not offered:
        return "unknown"
    if needed <= offered * 0.8:
        return "fits"
    return "tight" if needed <= offered * ESTIMATE_TOLERANCE else "too small"


# The queue


def queue_words(spec: ExperimentSpec, *, num_runs: int = 1, expected_s: float | None = None) -> str:
    """When a run of this spec would start, in words, and what would start sooner."""
    workers = [worker for worker in living_workers() if not worker.draining]
    kind = SlotKind.GPU if spec.resources.num_gpus else SlotKind.CPU
    needed = max(spec.resources.num_gpus, 1)
    if not workers:
        return "It waits: no worker is running that takes runs."
    most = max(_slots(worker, kind) for worker in workers)
    what = "CPU slot" if kind == SlotKind.CPU else "GPU"
    if most < needed:
        have = f"the largest worker has {most}" if most else "no worker here has one"
        return f"It would never start: it needs {needed} {what}{'s' * (needed > 1)} on one machine, and {have}."
    ahead = _ahead().count()
    free = [_slots(worker, kind, free=True) for worker in workers]
    if not ahead and sum(count >= needed for count in free) >= spec.resources.hosts:
        return _at_once(sum(free) // needed, num_runs, what)
    wait = _wait_s(workers, kind, needed)
    before = "" if not ahead else f"{ahead} run{'s are' if ahead > 1 else ' is'} before it. "
    about = (
        f"A {what} is free in about {duration(wait)}."
        if wait is not None
        else "Nobody can tell yet when a slot is free."
    )
    sooner = " With one GPU it would start now." if needed > 1 and max(free) >= 1 and not ahead else ""
    return f"It waits: {before}{about}{sooner}"


def _ahead() -> RunQuerySet:
    """Runs that would be claimed before a new one; rehearsals are over in a minute."""
    return Run.objects.filter(status=RunStatus.QUEUED, priority__gte=0, experiment__is_rehearsal=False)


def _at_once(room: int, num_runs: int, what: str) -> str:
    if num_runs <= room:
        return "It starts at once." if num_runs == 1 else f"All {num_runs} runs start at once."
    return f"{room} of {num_runs} runs start{'s' * (room == 1)} at once, the others as a {what} becomes free."


def _slots(worker: Worker, kind: str, *, free: bool = False) -> int:
    fit = [slot for slot in worker.slots.all() if slot.kind == kind and slot.health == SlotHealth.OK]
    return sum(slot.run_id is None for slot in fit) if free else len(fit)


def _wait_s(workers: Sequence[Worker], kind: str, needed: int) -> float | None:
    """Seconds until as many slots are free, with everything that waits before it; None where a run's end is unknown."""
    held = Run.objects.filter(status__in=HELD, slots__in=Slot.objects.filter(worker__in=workers, kind=kind)).distinct()
    free = sum(_slots(worker, kind, free=True) for worker in workers)
    ends = [(0.0, free)] if free else []
    for run in held:
        left = _seconds_left(run)
        if left is None:
            return None
        ends.append((left, max(run.num_gpus, 1)))
    heapq.heapify(ends)
    for run in _ahead().in_queue_order()[:50]:
        start, whole = _take(ends, max(run.num_gpus, 1)), _whole_s(run)
        if start is None or whole is None:
            return None
        heapq.heappush(ends, (start + whole, max(run.num_gpus, 1)))
    return _take(ends, needed)


def _take(ends: list[tuple[float, int]], needed: int) -> float | None:
    """Take slots from the heap of those that become free; returns when there were enough."""
    at = 0.0
    while needed > 0 and ends:
        moment, count = heapq.heappop(ends)
        at = max(at, moment)
        if count > needed:
            heapq.heappush(ends, (moment, count - needed))
        needed -= count
    return at if needed <= 0 else None


def _seconds_left(run: Run) -> float | None:
    whole = _whole_s(run)
    if run.started_at and run.last_step:
        elapsed = (timezone.now() - run.started_at).total_seconds()
        return elapsed / run.last_step * max(run.total_steps - run.last_step, 0)
    return whole


def _whole_s(run: Run) -> float | None:
    try:
        return estimate(parse_spec(run.spec)).seconds
    except SpecError:
        return None
