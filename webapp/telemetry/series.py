"""A run's metrics read back as lines, fast and honest whatever their length."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db import connection

from webapp.experiments.models import Run
from webapp.telemetry.buckets import MOMENT, POINT, Array, means
from webapp.telemetry.pyramid import FOR_EVER, Reading, Window, read

# A skip scan over the primary key: DISTINCT would read every row.
_NAMES = """
WITH RECURSIVE found AS (
    (SELECT name FROM telemetry_metricchunk WHERE run_id = %(run)s ORDER BY name LIMIT 1)
    UNION ALL
    SELECT (SELECT name FROM telemetry_metricchunk WHERE run_id = %(run)s AND name > found.name ORDER BY name LIMIT 1)
    FROM found WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL
UNION
SELECT said.key FROM telemetry_event AS event CROSS JOIN LATERAL jsonb_each(event.data->'values') AS said
WHERE run_id = %(run)s AND kind = 'metric' AND said.value <> 'null'::jsonb AND seq > COALESCE((
    SELECT last_seq FROM telemetry_metricblock WHERE run_id = %(run)s AND level = 0 ORDER BY number DESC LIMIT 1), 0)
"""
_CHUNK_AT_END = """
SELECT wanted.name, chunk.body, block.moments FROM unnest(%(names)s::text[]) AS wanted(name)
CROSS JOIN LATERAL (SELECT number, body FROM telemetry_metricchunk
                    WHERE run_id = %(run)s AND name = wanted.name AND level = 0 ORDER BY number {order} LIMIT 1) AS chunk
JOIN telemetry_metricblock AS block ON block.run_id = %(run)s AND block.level = 0 AND block.number = chunk.number
"""
_TAIL = """
SELECT step, ARRAY(SELECT (event.said->>name)::float8 FROM unnest(%(names)s::text[]) AS name)
FROM (SELECT seq, step, data->'values' AS said FROM telemetry_event
      WHERE run_id = %(run)s AND kind = 'metric' AND seq > COALESCE((
          SELECT last_seq FROM telemetry_metricblock WHERE run_id = %(run)s AND level = 0 ORDER BY number DESC LIMIT 1), 0)
      OFFSET 0) AS event
ORDER BY seq
"""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart: ``Series(steps=[1, 2], values=[0.4, 0.5], low=[0.4, 0.5], high=[0.4, 0.5], total=2)``.

    Where a place of the line stands for several points, its value is their mean, ``low`` and ``high`` are the least and
    the greatest of them. ``total`` counts the stored points the line stands for.
    """

    steps: list[int] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)
    low: list[float | None] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)
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
        return sorted(name for (name,) in cursor.fetchall())


def metric_series(
    run: Run,
    names: Sequence[str],
    max_points: int = 600,
    *,
    x_from: int | None = None,
    x_to: int | None = None,
    up_to: int | None = None,
) -> dict[str, Series]:
    """Lines for charts over the steps ``x_from..x_to``: exact up to ``max_points``, above that means with their extremes.

    ``up_to`` leaves out what came after that event, so that a page and its socket meet without overlap.
    """
    reading = read_run(run, names, max_points, x_from=x_from, x_to=x_to, up_to=up_to)
    return {name: as_series(line_of(reading, name, max_points)) for name in names}


def stacked_series(
    run: Run,
    names: Sequence[str],
    max_points: int = 600,
    *,
    x_from: int | None = None,
    x_to: int | None = None,
    up_to: int | None = None,
) -> dict[str, Series]:
    """Lines that are added up: exact up to ``max_points`` steps, above that the mean of each stretch of steps.

    All lines have their points at the same steps, as far as they have any there.
    """
    reading = read_run(run, names, max_points, x_from=x_from, x_to=x_to, up_to=up_to)
    return {name: as_series(line) for name, line in stacked_lines(reading, names).items()}


def read_run(
    run: Run,
    names: Sequence[str],
    max_points: int,
    *,
    x_from: int | None = None,
    x_to: int | None = None,
    up_to: int | None = None,
) -> Reading:
    """The run's lines in numpy; ``line_of`` and ``stacked_lines`` take them out."""
    up_to = FOR_EVER if up_to is None else up_to
    return read([run.pk], names, Window(pixels=max_points, first=x_from, last=x_to, up_to=up_to))[run.pk]


def line_of(reading: Reading, name: str, max_points: int) -> Array:
    """The very points where they are few enough, else one bucket for each stretch of steps."""
    line = reading.lines.get(name)
    if line is not None and len(line) <= max_points and bool((line["count"] == 1).all()):
        return line
    return reading.merged(name)


def stacked_lines(reading: Reading, names: Sequence[str]) -> dict[str, Array]:
    """One bucket for each stretch, all lines at the last step that any of them has in it."""
    lines = {name: reading.merged(name).copy() for name in names}
    ends: dict[int, int] = {}
    for line in lines.values():
        for step in line["step"].tolist():
            stretch = step // reading.width
            ends[stretch] = max(step, ends.get(stretch, 0))
    for line in lines.values():
        line["step"] = [ends[stretch] for stretch in (line["step"] // reading.width).tolist()]
    return lines


def as_series(line: Array) -> Series:
    return Series(
        steps=line["step"].tolist(),
        values=_numbers(means(line)),
        low=_numbers(line["low"]),
        high=_numbers(line["high"]),
        total=int(line["count"].sum()),
    )


def _numbers(values: Array) -> list[float | None]:
    """JSON has no infinity; a gap is the honest picture of a sum that no float holds."""
    finite = np.isfinite(values)
    found: list[float | None] = np.where(finite, values, None).tolist()  # type: ignore[call-overload]
    return found


def metric_ends(run: Run, names: Sequence[str]) -> dict[str, Ends]:
    """First and last value of those metrics that exist."""
    wanted: dict[str, Any] = {"run": run.pk, "names": list(names)}
    with connection.cursor() as cursor:
        firsts = {name: value for name, (_, value) in _at_end(cursor, wanted, "ASC", 0).items()}
        lasts = _at_end(cursor, wanted, "DESC", -1)
        cursor.execute(_TAIL, wanted)
        for step, values in cursor.fetchall():
            for name, value in zip(wanted["names"], values, strict=True):
                if value is not None:
                    firsts.setdefault(name, value)
                    lasts[name] = (step, value)
    return {name: Ends(first=firsts[name], last=value, step=step) for name, (step, value) in lasts.items()}


def _at_end(cursor: Any, wanted: dict[str, Any], order: str, place: int) -> dict[str, tuple[int, float]]:
    """Each metric's first or last packed point as (step, value)."""
    cursor.execute(_CHUNK_AT_END.format(order=order), wanted)
    found = {}
    for name, body, moments in cursor.fetchall():
        point = np.frombuffer(body, POINT)[place]
        step = np.frombuffer(moments, MOMENT)["step"][point["place"]]
        found[name] = (int(step), float(point["value"]))
    return found
