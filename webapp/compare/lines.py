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

MAX_BANDS = 12
"""With more lines than this in a chart bands would hide each other, and only the means travel."""
TOKENS_PER_S, SECONDS = "tokens/sampled_per_s", "time/rollout_s"
"""Their product are the tokens sampled in a step."""
HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line over a grid of stretches; a stretch it has no point in is NaN. ``key`` is a run or an arm.

    ``Line(key="...", x=array([1, 2]), y=array([0.4, 0.5]), low=array([0.4, 0.4]), high=array([0.5, 0.6]), num_runs=1)``
    """

    key: str
    x: Array
    y: Array
    low: Array
    high: Array
    num_runs: int


def read_lines(
    runs: Sequence[UUID], arms: Mapping[str, Sequence[UUID]], metrics: Sequence[str], window: Window, axis: str
) -> tuple[int, dict[str, list[Line]]]:
    """By metric the lines of the ``runs`` and of the ``arms``; first the number of steps a place stands for."""
    names = [*metrics, TOKENS_PER_S, SECONDS] if axis == "tokens" else list(metrics)
    everything = [*runs, *(run for same in arms.values() for run in same)]
    readings = read(list(dict.fromkeys(everything)), names, window)
    width = max((reading.width for reading in readings.values()), default=1)
    found = {}
    for metric in metrics:
        singles = {run: _of_run(readings[run], metric, axis) for run in dict.fromkeys(everything)}
        lines = [_single(str(run), singles[run]) for run in runs]
        lines += [_mean(key, [singles[run] for run in same], width) for key, same in arms.items()]
        found[metric] = [line for line in lines if len(line.x)]
    return width, found


@dataclass(frozen=True, kw_only=True)
class _Places:
    """A run's metric, place by place."""

    steps: Array
    x: Array
    y: Array
    low: Array
    high: Array


def _of_run(reading: Reading, metric: str, axis: str) -> _Places:
    line = reading.merged(metric)
    return _Places(
        steps=line["step"], x=_x(reading, line["step"], axis), y=means(line), low=line["low"], high=line["high"]
    )


def _x(reading: Reading, steps: Array, axis: str) -> Array:
    if axis == "time":
        begin = reading.moments["t"][0] if len(reading.moments) else 0.0
        return (reading.times(steps) - begin) / HOUR_S
    if axis == "tokens":
        return _tokens(reading, steps)
    return steps.astype(float)


def _tokens(reading: Reading, steps: Array) -> Array:
    """Tokens sampled up to each step: the rate times the seconds of play, added up."""
    rate, seconds = reading.merged(TOKENS_PER_S), reading.merged(SECONDS)
    shared, at_rate, at_seconds = np.intersect1d(rate["step"], seconds["step"], return_indices=True)
    if not len(shared):
        return np.full(len(steps), np.nan)
    sampled = np.cumsum(means(rate)[at_rate] * seconds["total"][at_seconds])
    found: Array = np.interp(steps, shared, sampled, left=0.0)
    return found


def _single(key: str, places: _Places) -> Line:
    return Line(key=key, x=places.x, y=places.y, low=places.low, high=places.high, num_runs=1)


def _mean(key: str, singles: Sequence[_Places], width: int) -> Line:
    """The mean over runs in every stretch that any of them has points in; the band is their standard deviation."""
    told = [places for places in singles if len(places.steps)]
    if len(told) < 2:
        return (
            _single(key, told[0])
            if told
            else Line(key=key, **dict.fromkeys(("x", "y", "low", "high"), np.empty(0)), num_runs=0)
        )
    grid = np.unique(np.concatenate([places.steps // width for places in told]))
    table = np.full((len(told), 2, len(grid)), np.nan)
    for row, places in zip(table, told, strict=True):
        at = np.searchsorted(grid, places.steps // width)
        row[0, at], row[1, at] = places.x, places.y
    there = ~np.isnan(table[:, 1])
    count = there.sum(axis=0)
    mean_x, mean_y = np.nansum(table, axis=0) / count
    spread = np.where(there, table[:, 1] - mean_y, 0.0)
    deviation = np.sqrt((spread**2).sum(axis=0) / np.maximum(count - 1, 1))
    return Line(key=key, x=mean_x, y=mean_y, low=mean_y - deviation, high=mean_y + deviation, num_runs=len(told))


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
