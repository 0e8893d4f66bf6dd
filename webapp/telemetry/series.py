"""Metrics read back as lines, fast and honest whatever their length."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from webapp.experiments.models import Run
from webapp.telemetry.rows import finite

# Exact where a line has few enough points; otherwise, per equal stretch of steps, its lowest and its highest point at
# their true places, with the line's two ends: a spike or a dip is never lost and nothing is averaged.
_SERIES = """
WITH wanted AS (
    SELECT name, count(*) AS total, min(step) AS first_step, max(step) AS last_step, min(seq) AS first_seq,
           max(seq) AS last_seq
    FROM telemetry_metricpoint WHERE run_id = %(run)s AND name = ANY(%(names)s) AND seq <= %(up_to)s GROUP BY name
), kept AS (
    SELECT points.name, points.seq, points.step, points.value, wanted.total
    FROM telemetry_metricpoint AS points JOIN wanted USING (name)
    WHERE points.run_id = %(run)s AND points.seq <= %(up_to)s
      AND (wanted.total <= %(max_points)s OR points.seq IN (wanted.first_seq, wanted.last_seq))
    UNION
    SELECT name, point[2]::bigint, point[3]::bigint, point[1], total
    FROM (
        SELECT points.name, wanted.total, min(ARRAY[points.value, points.seq, points.step]) AS low,
               max(ARRAY[points.value, points.seq, points.step]) AS high
        FROM telemetry_metricpoint AS points JOIN wanted USING (name)
        WHERE points.run_id = %(run)s AND points.seq <= %(up_to)s AND wanted.total > %(max_points)s
        GROUP BY points.name, wanted.total,
                 (points.step - wanted.first_step) * %(buckets)s / (wanted.last_step - wanted.first_step + 1)
    ) AS buckets CROSS JOIN LATERAL (VALUES (low), (high)) AS ends(point)
)
SELECT name, step, value, total FROM kept ORDER BY name, seq
"""

# Parts of a whole need the same steps in every line, and only means still add up. Stretches of one step are exact.
_STACK = """
WITH wanted AS (
    SELECT name, step, value FROM telemetry_metricpoint
    WHERE run_id = %(run)s AND name = ANY(%(names)s) AND seq <= %(up_to)s
), ends AS (SELECT min(step) AS first_step, max(step) AS last_step FROM wanted), stretched AS (
    SELECT name, step, value,
           (step - first_step)::bigint * %(stretches)s / GREATEST(last_step - first_step + 1, %(stretches)s) AS stretch
    FROM wanted CROSS JOIN ends
)
SELECT name, max(max(step)) OVER (PARTITION BY stretch) AS step, avg(value), count(*)
FROM stretched GROUP BY name, stretch ORDER BY name, stretch
"""

# A skip scan over the primary key: DISTINCT would read every point.
_NAMES = """
WITH RECURSIVE found AS (
    (SELECT name FROM telemetry_metricpoint WHERE run_id = %(run)s ORDER BY name LIMIT 1)
    UNION ALL
    SELECT (SELECT name FROM telemetry_metricpoint WHERE run_id = %(run)s AND name > found.name ORDER BY name LIMIT 1)
    FROM found WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL
"""

_ENDS = """
SELECT wanted.name, first.value, last.value, last.step FROM unnest(%(names)s::text[]) AS wanted(name)
CROSS JOIN LATERAL (SELECT value FROM telemetry_metricpoint
                    WHERE run_id = %(run)s AND name = wanted.name ORDER BY seq LIMIT 1) AS first
CROSS JOIN LATERAL (SELECT value, step FROM telemetry_metricpoint
                    WHERE run_id = %(run)s AND name = wanted.name ORDER BY seq DESC LIMIT 1) AS last
"""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart: ``Series(steps=[1, 2], values=[0.4, 0.5], total=2)``; ``total`` counts the stored points."""

    steps: list[int] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)
    total: int = 0

    @property
    def is_exact(self) -> bool:
        return len(self.steps) == self.total


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Where a metric began and where it stands: ``Ends(first=0.41, last=0.78, step=60)``."""

    first: float
    last: float
    step: int


def metric_names(run: Run) -> list[str]:
    """Every metric the run has reported, sorted."""
    with connection.cursor() as cursor:
        cursor.execute(_NAMES, {"run": run.pk})
        return [name for (name,) in cursor.fetchall()]


def metric_series(
    run: Run, names: Sequence[str], max_points: int = 600, *, up_to: int | None = None
) -> dict[str, Series]:
    """Lines for charts, exact up to ``max_points``; above that the extremes of each stretch of steps, never an average.

    ``up_to`` leaves out what came after that event, so that a page and its socket meet without overlap.
    """
    params: dict[str, Any] = {
        "run": run.pk,
        "names": list(names),
        "max_points": max_points,
        "buckets": max(1, max_points // 2 - 1),
        "up_to": 2**62 if up_to is None else up_to,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SERIES, params)
        rows = cursor.fetchall()
    result = {name: Series() for name in names}
    totals = {name: total for name, _, _, total in rows}
    result |= {name: Series(total=total) for name, total in totals.items()}
    for name, step, value, _ in rows:
        result[name].steps.append(step)
        result[name].values.append(finite(value))
    return result


def stacked_series(
    run: Run, names: Sequence[str], max_points: int = 600, *, up_to: int | None = None
) -> dict[str, Series]:
    """Lines that are added up: exact up to ``max_points`` steps, above that the mean of each stretch of steps.

    All lines have their points at the same steps, as far as they have any there.
    """
    params: dict[str, Any] = {
        "run": run.pk,
        "names": list(names),
        "stretches": max_points,
        "up_to": 2**62 if up_to is None else up_to,
    }
    with connection.cursor() as cursor:
        cursor.execute(_STACK, params)
        rows = cursor.fetchall()
    totals = {name: sum(count for other, *_, count in rows if other == name) for name in names}
    result = {name: Series(total=total) for name, total in totals.items()}
    for name, step, value, _ in rows:
        result[name].steps.append(step)
        result[name].values.append(finite(value))
    return result


def metric_ends(run: Run, names: Sequence[str]) -> dict[str, Ends]:
    """First and last value of those metrics that exist."""
    with connection.cursor() as cursor:
        cursor.execute(_ENDS, {"run": run.pk, "names": list(names)})
        return {name: Ends(first=first, last=last, step=step) for name, first, last, step in cursor.fetchall()}
