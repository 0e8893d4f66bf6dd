"""A run as it stood at a step: what was known then, so that a finished run can be watched again."""

from collections.abc import Sequence

from training_core.spec.events import EventKind
from webapp.experiments.models import Run
from webapp.telemetry.models import Event
from webapp.telemetry.series import Ends, metric_ends, metric_series

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
    if up_to is None:
        return metric_ends(run, names)
    lines = metric_series(run, names, 4, up_to=up_to)
    nan = float("nan")
    return {
        name: Ends(
            first=nan if line.values[0] is None else line.values[0],
            last=nan if line.values[-1] is None else line.values[-1],
            step=line.steps[-1],
        )
        for name, line in lines.items()
        if line.steps
    }


def clock_at(run: Run, seq: int) -> float | None:
    """Unix time of an event."""
    return Event.objects.filter(run=run, seq__lte=seq).order_by("-seq").values_list("t", flat=True).first()
