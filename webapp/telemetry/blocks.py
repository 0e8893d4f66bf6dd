"""Metric events packed into blocks as a run grows, and levels of coarser blocks above them.

Rows are written once and never changed. Level 0 holds the points themselves; every eighth row completes one of the
level above, whose buckets are eight times as wide. Blocks end at the same event for all metrics, so a later attempt
that rewrites events drops whole blocks, and what they held before that event is in the tail again. The tail are the
metric events after the last block: they are stored once, as events, and packed when there are enough of them.
"""

import json
from collections.abc import Iterable, Mapping
from uuid import UUID

import numpy as np
from django.db import connection

from webapp.telemetry.buckets import BUCKET, MOMENT, POINT, Array, last_moments, merged, unpacked
from webapp.telemetry.copying import copy_rows, escape

EVENTS = 128
"""Metric events in a block."""
FAN = 8
MAX_LEVEL = 12

_PACKED = """
SELECT number, last_seq, spacing FROM telemetry_metricblock WHERE run_id = %s AND level = 0 ORDER BY number DESC LIMIT 1
"""
_TAIL = """
SELECT seq, step, t, data->>'values' FROM telemetry_event
WHERE run_id = %s AND kind = 'metric' AND seq > %s ORDER BY seq LIMIT %s
"""
_BELOW = """
SELECT moments FROM telemetry_metricblock
WHERE run_id = %s AND level = %s AND number BETWEEN %s AND %s ORDER BY number
"""
_CHUNKS_BELOW = """
SELECT chunk.name, chunk.body, block.moments FROM telemetry_metricchunk AS chunk
JOIN telemetry_metricblock AS block USING (run_id, level, number)
WHERE run_id = %s AND level = %s AND number BETWEEN %s AND %s ORDER BY number
"""
_COPY_BLOCK = """
COPY telemetry_metricblock (run_id, level, number, first_step, last_step, last_seq, spacing, moments) FROM STDIN
"""
_COPY_CHUNKS = "COPY telemetry_metricchunk (run_id, level, number, name, body) FROM STDIN"


def pack(run_id: UUID, *, last_seq: int, everything: bool = False) -> None:
    """Pack the tail block by block; ``everything`` leaves none of it behind. Needs the run's row to be locked."""
    number, packed_seq, spacing = _packed(run_id)
    while everything or last_seq - packed_seq >= EVENTS:
        events = _tail(run_id, packed_seq)
        if not events or (len(events) < EVENTS and not everything):
            return
        moments, points = _points(events)
        if number < 0:
            spacing = _spacing(moments["step"])
        number, packed_seq = number + 1, int(moments["seq"][-1])
        _write((run_id, 0, number), spacing, moments, points)
        _build_above(run_id, number, spacing)


def drop_from(run_id: UUID, seq: int) -> None:
    """Take back every block that holds an event from ``seq`` on."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM telemetry_metricblock WHERE run_id = %s AND last_seq >= %s", [run_id, seq])
        cursor.execute(
            """DELETE FROM telemetry_metricchunk AS chunk WHERE run_id = %s AND NOT EXISTS (
                   SELECT 1 FROM telemetry_metricblock AS block WHERE block.run_id = chunk.run_id
                   AND block.level = chunk.level AND block.number = chunk.number)""",
            [run_id],
        )


def _packed(run_id: UUID) -> tuple[int, int, int]:
    """Number of the last block, the last event in it, and the run's spacing; -1, 0, 0 without any."""
    with connection.cursor() as cursor:
        cursor.execute(_PACKED, [run_id])
        return cursor.fetchone() or (-1, 0, 0)


def _tail(run_id: UUID, after: int) -> list[tuple[int, int, float, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_TAIL, [run_id, after, EVENTS])
        found: list[tuple[int, int, float, str]] = cursor.fetchall()
        return found


def _points(events: Iterable[tuple[int, int, float, str]]) -> tuple[Array, dict[str, Array]]:
    """When the events were, and every metric's points in them; null is a gap."""
    moments: list[tuple[int, int, float]] = []
    found: dict[str, list[tuple[int, float]]] = {}
    for place, (seq, step, t, values) in enumerate(events):
        moments.append((seq, step, t))
        for name, value in json.loads(values).items():
            if value is not None:
                found.setdefault(name, []).append((place, value))
    return np.array(moments, MOMENT), {name: np.array(points, POINT) for name, points in found.items()}


def _spacing(steps: Array) -> int:
    """The power of 8 below the usual distance of two events in steps."""
    apart = (int(steps[-1]) - int(steps[0])) / max(len(steps) - 1, 1)
    return next(power for power in range(20) if apart < FAN ** (power + 1))


def _build_above(run_id: UUID, number: int, spacing: int) -> None:
    """Every level that the new block completes."""
    for level in range(1, MAX_LEVEL + 1):
        number, place = divmod(number, FAN)
        if place != FAN - 1:
            return
        _combine(run_id, level, number, spacing)


def _combine(run_id: UUID, level: int, number: int, spacing: int) -> None:
    width = FAN ** (level + spacing)
    where = (run_id, level - 1, FAN * number, FAN * number + FAN - 1)
    with connection.cursor() as cursor:
        cursor.execute(_BELOW, where)
        moments = np.concatenate([np.frombuffer(body, MOMENT) for (body,) in cursor.fetchall()])
        cursor.execute(_CHUNKS_BELOW, where)
        parts: dict[str, list[Array]] = {}
        for name, body, below in cursor.fetchall():
            parts.setdefault(name, []).append(
                unpacked(body, np.frombuffer(below, MOMENT)) if level == 1 else np.frombuffer(body, BUCKET)
            )
    coarser = {name: merged(np.concatenate(found), width) for name, found in parts.items()}
    _write((run_id, level, number), spacing, last_moments(moments, width), coarser)


def _write(key: tuple[UUID, int, int], spacing: int, moments: Array, bodies: Mapping[str, Array]) -> None:
    start, steps = "\t".join(map(str, key)), moments["step"]
    ends = f"{steps.min()}\t{steps.max()}\t{moments['seq'].max()}\t{spacing}"
    block = f"{start}\t{ends}\t\\\\x{moments.tobytes().hex()}\n"
    chunks = "".join(f"{start}\t{escape(name)}\t\\\\x{body.tobytes().hex()}\n" for name, body in bodies.items())
    copy_rows(_COPY_BLOCK, block)
    copy_rows(_COPY_CHUNKS, chunks)
