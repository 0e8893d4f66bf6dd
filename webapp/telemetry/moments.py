"""A run as it stood at a step: what was known then, so that a finished run can be watched again."""

from collections.abc import Sequence

from training_core.spec.events import EventKind
from webapp.experiments.models import Run
from webapp.telemetry.models import Event
from webapp.telemetry.series import Ends, metric_ends

RECENT = 10
"""Steps over which figures that jump from step to step are averaged."""


def seq_at(run: Run, step: int) -> int:
    """The last event of a step, or of the newest step before it.

    Steps never fall as numbers rise, so halving finds it: about twenty looks at the primary key, however long the run is.
    """
    low, high = 0, run.last_seq
    while low < high:
        middle = (low + high + 1) // 2
        found = Event.objects.filter(run=run, seq__gte=middle).order_by("seq").values_list("step", flat=True).first()
        if found is not None and found <= step:
            low = middle
        else:
            high = middle - 1
    return low


def recent_values(run: Run, *, up_to: int | None = None, count: int = RECENT) -> list[tuple[int, dict[str, float]]]:
    """The last steps' metrics, oldest first: ``[(41, {"reward/solver": 0.5}), (42, {...})]``. Evaluations are left out."""
    rows = Event.objects.filter(run=run, kind=EventKind.METRIC)
    if up_to is not None:
        rows = rows.filter(seq__lte=up_to)
    taken: dict[int, dict[str, float]] = {}
    for step, values in rows.order_by("-seq").values_list("step", "data__values")[: 2 * count]:
        if step > 0 and len(taken) < count and "time/evaluate_s" not in values:
            taken.setdefault(step, {name: value for name, value in values.items() if value is not None})
    return sorted(taken.items())


def ends_at(run: Run, names: Sequence[str], *, up_to: int | None = None) -> dict[str, Ends]:
    """Where metrics began and where they stood after event ``up_to``; those that had no value yet are left out."""
    ends = metric_ends(run, names)
    if up_to is None:
        return ends
    then = _values_at(run, names, up_to)
    return {
        name: Ends(first=ends[name].first, last=value, step=step)
        for name, (step, value) in then.items()
        if name in ends
    }


def _values_at(run: Run, names: Sequence[str], up_to: int) -> dict[str, tuple[int, float]]:
    """The last value of each metric that the events shortly before ``up_to`` or the evaluation before it told."""
    rows = Event.objects.filter(run=run, kind=EventKind.METRIC, seq__lte=up_to).order_by("-seq")
    told = list(rows.values_list("step", "data__values")[: 4 * RECENT])
    evaluations = Event.objects.filter(run=run, kind=EventKind.EVALUATION, seq__lte=up_to).order_by("-seq")
    if evaluated := evaluations.values_list("seq", flat=True).first():
        told += rows.filter(seq__gt=evaluated).order_by("seq").values_list("step", "data__values")[:1]
    found: dict[str, tuple[int, float]] = {}
    for step, values in told:
        for name in names:
            if name in values and name not in found:
                found[name] = (step, float("nan") if values[name] is None else values[name])
    return found


def clock_at(run: Run, seq: int) -> float | None:
    """Unix time of an event."""
    return Event.objects.filter(run=run, seq__lte=seq).order_by("-seq").values_list("t", flat=True).first()
