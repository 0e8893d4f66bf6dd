"""Reading metrics of one run or many at the resolution of a drawing, in a few queries and at a cost that follows pixels.

Every answer combines the coarsest level whose buckets are no wider than a pixel, finer levels where that one is not
complete yet, and the tail of events that are not packed. Stretches begin at multiples of their width, the same for all
runs and metrics, so lines can be compared stretch by stretch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from django.db import connection

from webapp.telemetry.blocks import FAN, MAX_LEVEL
from webapp.telemetry.buckets import BUCKET, MOMENT, Array, from_points, merged, unpacked

MAX_ROWS = 256
"""Rows of a level read for one line; where a stretch of few steps holds more, a coarser level answers."""
FOR_EVER = 2**62

_ENDS = """
SELECT asked.run_id, first.first_step, first.spacing, last.number, last.last_step, last.last_seq
FROM unnest(%(runs)s::uuid[]) AS asked(run_id)
CROSS JOIN LATERAL (SELECT first_step, spacing FROM telemetry_metricblock AS block
                    WHERE block.run_id = asked.run_id AND level = 0 AND number = 0) AS first
CROSS JOIN LATERAL (SELECT number, last_step, last_seq FROM telemetry_metricblock AS block
                    WHERE block.run_id = asked.run_id AND level = 0 AND last_seq <= %(up_to)s
                    ORDER BY number DESC LIMIT 1) AS last
"""
_TAIL = """
SELECT asked.run_id, event.seq, event.step, event.t,
       ARRAY(SELECT (event.said->>name)::float8 FROM unnest(%(names)s::text[]) AS name)
FROM unnest(%(runs)s::uuid[], %(afters)s::bigint[]) AS asked(run_id, after)
CROSS JOIN LATERAL (SELECT seq, step, t, data->'values' AS said FROM telemetry_event
                    WHERE run_id = asked.run_id AND kind = 'metric' AND seq > asked.after AND seq <= %(up_to)s
                    OFFSET 0) AS event
ORDER BY asked.run_id, event.seq
"""
_BLOCKS = """
SELECT block.run_id, block.level, block.number, block.moments
FROM unnest(%(runs)s::uuid[], %(levels)s::int[], %(firsts)s::int[], %(lasts)s::int[]) AS piece(run_id, level, first, last)
JOIN telemetry_metricblock AS block ON block.run_id = piece.run_id AND block.level = piece.level
    AND block.number BETWEEN piece.first AND piece.last
WHERE block.last_step >= %(from)s AND block.first_step <= %(to)s
ORDER BY block.run_id, block.level DESC, block.number
"""
_CHUNKS = """
SELECT chunk.run_id, chunk.name, chunk.level, chunk.number, chunk.body
FROM unnest(%(runs)s::uuid[], %(levels)s::int[], %(numbers)s::int[]) AS piece(run_id, level, number)
CROSS JOIN unnest(%(names)s::text[]) AS asked(name)
JOIN telemetry_metricchunk AS chunk ON chunk.run_id = piece.run_id AND chunk.name = asked.name
    AND chunk.level = piece.level AND chunk.number = piece.number
ORDER BY chunk.run_id, chunk.name, chunk.level DESC, chunk.number
"""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What of the lines is asked for: steps ``first..last`` where given, at ``pixels``, without events after ``up_to``."""

    pixels: int = 600
    first: int | None = None
    last: int | None = None
    up_to: int = FOR_EVER


@dataclass(kw_only=True)
class Reading:
    """One run's lines: buckets by metric, no two of them in the same stretch of ``width`` steps, and when they were."""

    run_id: UUID
    width: int = 1
    lines: dict[str, Array] = field(default_factory=dict)
    moments: Array = field(default_factory=lambda: np.empty(0, MOMENT))

    def merged(self, name: str) -> Array:
        """The line with one bucket for each stretch; empty for a metric the run never reported."""
        return merged(self.lines.get(name, np.empty(0, BUCKET)), self.width)

    def times(self, steps: Array) -> Array:
        """Unix time at each of the steps, at the resolution of the reading."""
        return at_steps(self.moments["step"], self.moments["t"], steps)


def at_steps(known: Array, values: Array, steps: Array) -> Array:
    """The first of ``values`` known at or after each step; the last one after the end."""
    if not len(known):
        return np.zeros(len(steps))
    found: Array = values[np.searchsorted(known, steps).clip(max=len(known) - 1)]
    return found


@dataclass(kw_only=True)
class _Held:
    """What is stored of a run: its packed blocks, and its tail as moments and rows of values."""

    run_id: UUID
    num_blocks: int = 0
    spacing: int = 0
    first_step: int | None = None
    last_step: int | None = None
    last_seq: int = 0
    moments: list[tuple[int, int, float]] = field(default_factory=list)
    values: list[list[float | None]] = field(default_factory=list)

    @property
    def steps(self) -> list[int]:
        """The ends of what is stored; empty where nothing is."""
        ends = [self.first_step, self.last_step, *(step for _, step, _ in (self.moments[:1] + self.moments[-1:]))]
        return [step for step in ends if step is not None]

    def level(self, steps_per_pixel: float, num_blocks: float) -> int:
        """The coarsest level whose buckets are no wider than a pixel, or a coarser one where that has too many rows."""
        level = 0
        while level < MAX_LEVEL and (
            FAN ** (level + 1 + self.spacing) <= steps_per_pixel or num_blocks / FAN**level > MAX_ROWS
        ):
            level += 1
        return level

    def pieces(self, level: int) -> Iterator[tuple[int, int, int]]:
        """(level, first number, last number): whole rows of ``level``, then finer ones for the blocks they leave."""
        covered = 0
        for lower in range(level, -1, -1):
            first, end = covered // FAN**lower, self.num_blocks // FAN**lower
            if end > first:
                yield lower, first, end - 1
            covered = end * FAN**lower


def read(run_ids: Sequence[UUID], names: Sequence[str], window: Window) -> dict[UUID, Reading]:
    """The lines of every run, all with the same stretches."""
    names = list(dict.fromkeys(names))
    held = _held(run_ids, names, window)
    ends = [step for one in held.values() for step in one.steps]
    if not ends:
        return {run_id: Reading(run_id=run_id) for run_id in run_ids}
    first = window.first if window.first is not None else min(ends)
    last = window.last if window.last is not None else max(ends)
    per_pixel = max(last - first + 1, 1) / window.pixels
    pieces, widest = [], 1
    for one in held.values():
        level = one.level(per_pixel, one.num_blocks * _share(one, first, last))
        pieces += [(one.run_id, *piece) for piece in one.pieces(level)]
        widest = max(widest, FAN ** (level + one.spacing) if level else 1)
    width = widest * max(1, -int(-per_pixel // widest))
    first, last = first // width * width, last // width * width + width - 1
    readings = {run_id: Reading(run_id=run_id, width=width) for run_id in run_ids}
    _fill(readings, names, pieces, first, last)
    for one in held.values():
        _add_tail(readings[one.run_id], one, names)
    for reading in readings.values():
        _cut(reading, first, last)
    return readings


def _share(held: _Held, first: int, last: int) -> float:
    """About which part of a run's blocks lies in a range of steps."""
    if held.first_step is None or held.last_step is None:
        return 0.0
    return min(1.0, (last - first + 1) / max(held.last_step - held.first_step + 1, 1))


def _held(run_ids: Sequence[UUID], names: list[str], window: Window) -> dict[UUID, _Held]:
    held = {run_id: _Held(run_id=run_id) for run_id in run_ids}
    with connection.cursor() as cursor:
        cursor.execute(_ENDS, {"runs": list(run_ids), "up_to": window.up_to})
        for run_id, first_step, spacing, number, last_step, last_seq in cursor.fetchall():
            held[run_id] = _Held(
                run_id=run_id,
                num_blocks=number + 1,
                spacing=spacing,
                first_step=first_step,
                last_step=last_step,
                last_seq=last_seq,
            )
        afters = [one.last_seq for one in held.values()]
        cursor.execute(_TAIL, {"runs": list(held), "afters": afters, "names": names, "up_to": window.up_to})
        for run_id, *moment, values in cursor.fetchall():
            held[run_id].moments.append((moment[0], moment[1], moment[2]))
            held[run_id].values.append(values)
    return held


def _fill(
    readings: dict[UUID, Reading], names: list[str], pieces: Sequence[tuple[UUID, int, int, int]], first: int, last: int
) -> None:
    """Read the blocks of the pieces within the steps, and the metrics' chunks of them."""
    if not pieces:
        return
    runs, levels, firsts, lasts = (list(column) for column in zip(*pieces, strict=True))
    wanted: dict[str, Any] = {"runs": runs, "levels": levels, "firsts": firsts, "lasts": lasts}
    moments: dict[tuple[UUID, int, int], Array] = {}
    with connection.cursor() as cursor:
        cursor.execute(_BLOCKS, {**wanted, "from": first, "to": last})
        for run_id, level, number, body in cursor.fetchall():
            moments[run_id, level, number] = np.frombuffer(body, MOMENT)
        if not moments:
            return
        runs, levels, numbers = (list(column) for column in zip(*moments, strict=True))
        cursor.execute(_CHUNKS, {"runs": runs, "levels": levels, "numbers": numbers, "names": names})
        parts: dict[tuple[UUID, str], list[Array]] = {}
        for run_id, name, level, number, body in cursor.fetchall():
            known = moments[run_id, level, number]
            parts.setdefault((run_id, name), []).append(np.frombuffer(body, BUCKET) if level else unpacked(body, known))
    for (run_id, name), found in parts.items():
        readings[run_id].lines[name] = np.concatenate(found)
    for run_id, reading in readings.items():
        of_run = [known for (other, _, _), known in moments.items() if other == run_id]
        if of_run:
            reading.moments = np.concatenate(of_run)


def _add_tail(reading: Reading, held: _Held, names: list[str]) -> None:
    if not held.moments:
        return
    moments = np.array(held.moments, MOMENT)
    reading.moments = np.concatenate([reading.moments, moments])
    table = np.array(held.values, float).reshape(len(moments), len(names))
    for place, name in enumerate(names):
        there = ~np.isnan(table[:, place])
        if there.any():
            points = from_points(moments["step"][there], table[there, place])
            before = reading.lines.get(name)
            reading.lines[name] = points if before is None else np.concatenate([before, points])


def _cut(reading: Reading, first: int, last: int) -> None:
    for name, line in reading.lines.items():
        reading.lines[name] = line[(line["step"] >= first) & (line["step"] <= last)]
