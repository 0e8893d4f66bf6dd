"""The lines of the Compare page: many runs and metrics at once, every one at the same stretches of steps.

A run's place in a stretch is the mean of all its points there, with the lowest and the highest. Runs of the same settings
are drawn as one line: the mean of the runs' means, exact because it is made from all points, with a band of one standard
deviation of the runs (n - 1) to either side.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from webapp.telemetry.buckets import Array, means
from webapp.telemetry.pyramid import Reading, Window, read
from webapp.telemetry.series_views import COUNTED

MAX_BANDS = 12
"""With more lines than this in a chart bands would hide each other, and only the means travel."""
AXES = {"step": "Step", "time": "Time", "tokens": "Tokens", "questions": "Questions"}
HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What of the lines is asked for: ``Asked(metrics=("reward/solver",), axis="step", pixels=600)``."""

    metrics: Sequence[str]
    axis: str = "step"
    pixels: int = 300
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line over the stretches it has points in; ``key`` is a run, or the runs of an arm joined by commas.

    ``Line(key="...", x=array([1, 2]), y=array([0.4, 0.5]), low=array([0.4, 0.4]), high=array([0.5, 0.6]), num_runs=1)``
    """

    key: str
    x: Array
    y: Array
    low: Array
    high: Array
    num_runs: int


def read_lines(
    singles: Sequence[UUID], arms: Mapping[str, Sequence[UUID]], asked: Asked
) -> tuple[int, dict[str, list[Line]]]:
    """By metric the lines of single runs and of arms; first the number of steps a place stands for."""
    names = [*asked.metrics, *([COUNTED[asked.axis]] if asked.axis in COUNTED else [])]
    runs = list(dict.fromkeys([*singles, *(run for same in arms.values() for run in same)]))
    readings = read(runs, names, Window(pixels=asked.pixels, first=asked.first, last=asked.last))
    width = max((reading.width for reading in readings.values()), default=1)
    found = {}
    for metric in asked.metrics:
        lines = [_single(readings[run], metric, asked.axis) for run in singles]
        lines += [_mean(key, [readings[run] for run in same], metric, asked.axis, width) for key, same in arms.items()]
        found[metric] = [line for line in lines if len(line.x)]
    return width, found


def _single(reading: Reading, metric: str, axis: str) -> Line:
    line = reading.merged(metric)
    x = _x(reading, line["step"], axis)
    return Line(key=str(reading.run_id), x=x, y=means(line), low=line["low"], high=line["high"], num_runs=1)


def _mean(key: str, readings: Sequence[Reading], metric: str, axis: str, width: int) -> Line:
    """The mean over those runs that have points in a stretch; where only one has, there is no band."""
    told = [reading for reading in readings if len(reading.merged(metric))]
    if len(told) < 2:
        only = _single(told[0] if told else readings[0], metric, axis)
        return Line(**{**only.__dict__, "key": key})
    lines = [reading.merged(metric) for reading in told]
    stretches = np.unique(np.concatenate([line["step"] // width for line in lines]))
    values, steps = np.full((len(lines), len(stretches)), np.nan), np.zeros(len(stretches), "i8")
    for row, line in zip(values, lines, strict=True):
        places = np.searchsorted(stretches, line["step"] // width)
        row[places] = means(line)
        steps[places] = np.maximum(steps[places], line["step"])
    there = ~np.isnan(values)
    count = there.sum(axis=0)
    mean = np.where(there, values, 0.0).sum(axis=0) / count
    squares = np.where(there, (values - mean) ** 2, 0.0).sum(axis=0)
    deviation = np.sqrt(squares / np.maximum(count - 1, 1))
    return Line(
        key=key,
        x=_mean_x(told, steps, axis),
        y=mean,
        low=mean - deviation,
        high=mean + deviation,
        num_runs=len(told),
    )


def _x(reading: Reading, steps: Array, axis: str) -> Array:
    """Where steps lie: hours since the run's first event, or what was counted by then."""
    if axis == "time":
        begin = reading.moments["t"][0] if len(reading.moments) else 0.0
        hours: Array = (reading.times(steps) - begin) / HOUR_S
        return hours
    if axis in COUNTED:
        counted = reading.merged(COUNTED[axis])
        if not len(counted):
            return np.full(len(steps), np.nan)
        so_far: Array = np.interp(steps, counted["step"], counted["high"], left=0.0)
        return so_far
    return steps.astype(float)


def _mean_x(readings: Sequence[Reading], steps: Array, axis: str) -> Array:
    if axis == "step":
        return steps.astype(float)
    found: Array = np.mean([_x(reading, steps, axis) for reading in readings], axis=0)
    return found


def packed(width: int, lines: Mapping[str, Sequence[Line]]) -> bytes:
    """A head in JSON, its length before it, then every line's numbers as 32-bit floats: x, y, and where drawn low and high.

    Lines whose places are the same share their x.
    """
    head: dict[str, object] = {"width": width}
    body: list[bytes] = []
    size, known = 0, dict[bytes, int]()
    charts = []
    for metric, of_metric in lines.items():
        has_bands = len(of_metric) <= MAX_BANDS
        described = []
        for line in of_metric:
            parts: dict[str, int] = {}
            for name in ("x", "y", "low", "high") if has_bands else ("x", "y"):
                values = np.asarray(getattr(line, name), "<f4").tobytes()
                if name == "x" and values in known:
                    parts["x"] = known[values]
                    continue
                parts[name] = size // 4
                if name == "x":
                    known[values] = size // 4
                body.append(values)
                size += len(values)
            described.append({"key": line.key, "n": len(line.x), "runs": line.num_runs, **parts})
        charts.append({"metric": metric, "lines": described})
    head["charts"] = charts
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    return len(text).to_bytes(4, "little") + text + b"".join(body)
