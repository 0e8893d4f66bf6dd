"""Each metric of a run in seven numbers, and its samples by kind, kept up with every batch of events: exact, and small enough for lists.

By name: the first and the last value, the step of the last, the lowest, the highest, the sum and the count of all points.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count

from webapp.telemetry.lines import Line
from webapp.telemetry.models import RunSummary, Sample

_FROM_EVENTS = """
SELECT said.key, (array_agg(said.value::float8 ORDER BY seq))[1], (array_agg(said.value::float8 ORDER BY seq DESC))[1],
       (array_agg(step ORDER BY seq DESC))[1], min(said.value::float8), max(said.value::float8),
       sum(GREATEST(-1e300, LEAST(1e300, said.value::float8))), count(*)
FROM telemetry_event CROSS JOIN LATERAL jsonb_each_text(data->'values') AS said
WHERE run_id = %s AND kind = 'metric' AND said.value IS NOT NULL GROUP BY said.key
"""
_KEEP = """
INSERT INTO telemetry_runsummary (run_id, metrics, samples) VALUES (%s, %s::jsonb, %s::jsonb)
ON CONFLICT (run_id) DO UPDATE SET metrics = EXCLUDED.metrics, samples = EXCLUDED.samples
"""
FIRST, LAST, LAST_STEP, LOW, HIGH, SUM, COUNT = range(7)
Numbers = list[Any]


@dataclass(frozen=True, kw_only=True)
class Digest:
    """``Digest(first=0.41, last=0.79, last_step=60, low=0.4, high=0.8, mean=0.7, count=60)``."""

    first: float
    last: float
    last_step: int
    low: float
    high: float
    mean: float
    count: int


def keep(run_id: UUID, lines: Sequence[Line], *, rewound: bool) -> None:
    """Take new events in; after a rewind everything is counted anew. Needs the run's row to be locked."""
    kinds = Counter(line.findings.kind for line in lines if line.findings)
    if rewound:
        metrics, samples = _counted_anew(run_id), _samples_anew(run_id)
    elif kinds or any(line.metrics for line in lines):
        kept = RunSummary.objects.filter(run_id=run_id).first() or RunSummary(metrics={}, samples={})
        metrics = extended(kept.metrics, ((line.step, line.metrics) for line in lines))
        samples = dict(Counter(kept.samples) + kinds)
    else:
        return
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [run_id, json.dumps(metrics), json.dumps(samples)])


def extended(summary: Mapping[str, Numbers], new: Iterable[tuple[int, Mapping[str, float]]]) -> dict[str, Numbers]:
    """The summary with further points of ``(step, values)``."""
    found = {name: list(numbers) for name, numbers in summary.items()}
    for step, values in new:
        for name, value in values.items():
            numbers = found.get(name)
            if numbers is None:
                found[name] = [value, value, step, value, value, value, 1]
                continue
            numbers[LAST], numbers[LAST_STEP] = value, step
            if value < numbers[LOW]:
                numbers[LOW] = value
            elif value > numbers[HIGH]:
                numbers[HIGH] = value
            numbers[SUM] = _finite(numbers[SUM] + value)
            numbers[COUNT] += 1
    return found


def digests(run_ids: Sequence[UUID]) -> dict[UUID, dict[str, Digest]]:
    """What is known of each run's metrics, in one query."""
    rows = RunSummary.objects.filter(run_id__in=list(run_ids)).values_list("run_id", "metrics")
    return {run_id: {name: digest(numbers) for name, numbers in metrics.items()} for run_id, metrics in rows}


def digest(numbers: Numbers) -> Digest:
    first, last, last_step, low, high, total, count = numbers
    return Digest(
        first=first, last=last, last_step=last_step, low=low, high=high, mean=_finite(total / count), count=count
    )


def _counted_anew(run_id: UUID) -> dict[str, Numbers]:
    with connection.cursor() as cursor:
        cursor.execute(_FROM_EVENTS, [run_id])
        return {name: [*values[:-2], _finite(values[-2]), values[-1]] for name, *values in cursor.fetchall()}


def _samples_anew(run_id: UUID) -> dict[str, int]:
    return dict(Sample.objects.filter(run_id=run_id).order_by().values_list("kind").annotate(count=Count("seq")))


def _finite(value: float) -> float:
    """JSON has no infinity; a sum that no float holds stays at the largest."""
    return value if math.isfinite(value) else math.copysign(1.7e308, value)
