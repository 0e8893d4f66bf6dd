"""Many runs in one answer, and the seeds of an experiment as one line with a band.

    lines = many_series(runs, ["reward/solver"], pixels=600)      # four queries, whatever the number of runs
    lines.of(run, "reward/solver")                                # buckets, see buckets.BUCKET
    lines.group(seeds, "reward/solver")                           # GroupLine over the seeds

All lines have the same stretches of ``lines.width`` steps, beginning at multiples of it, so what stands in one place of
two lines was at the same steps. Statistics of a group are made of every stored point: the value of a seed in a stretch
is the mean of all its points there, and mean, deviation and interval are taken over the seeds. The page asks
``/compare/series/?run=..&run=..&metric=..&pixels=600&x_from=..&x_to=..&groups=1`` (``series_views.py``),
and ``static/charts/wire.js`` reads the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from webapp.experiments.models import Run
from webapp.telemetry.buckets import Array, means, merged
from webapp.telemetry.pyramid import Reading, Window, read
from webapp.telemetry.series import line_of

# Student's t at 97.5 % by degrees of freedom 1..30.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True, kw_only=True)
class GroupLine:
    """The seeds' line, one value a place; ``count`` tells how many seeds have points there.

    ``low`` and ``high`` are the extremes of all points; ``deviation`` (n - 1) and ``interval``, the half width of the 95 %
    confidence interval of the mean by Student's t, are those of the seeds' values, NaN where only one seed is.
    """

    step: Array
    mean: Array
    low: Array
    high: Array
    deviation: Array
    interval: Array
    count: Array


@dataclass(frozen=True, kw_only=True)
class ManyLines:
    """Lines of many runs with common stretches."""

    readings: dict[UUID, Reading]
    pixels: int
    width: int

    def of(self, run_id: UUID, name: str) -> Array:
        """The very points where they are few enough, else a bucket for each stretch; empty where the run has none."""
        return line_of(self.readings[run_id], name, self.pixels)

    def group(self, run_ids: Sequence[UUID], name: str) -> GroupLine:
        """Mean and bands over those of the runs that have points."""
        lines = [merged(self.readings[run_id].merged(name), self.width) for run_id in run_ids]
        lines = [line for line in lines if len(line)]
        return group_line(lines, self.width)


def many_series(
    runs: Sequence[Run], names: Sequence[str], *, pixels: int = 600, x_from: int | None = None, x_to: int | None = None
) -> ManyLines:
    """The metrics of all runs over the steps ``x_from..x_to``, at one resolution."""
    readings = read([run.pk for run in runs], names, Window(pixels=pixels, first=x_from, last=x_to))
    width = max((reading.width for reading in readings.values()), default=1)
    return ManyLines(readings=readings, pixels=pixels, width=width)


def group_line(lines: Sequence[Array], width: int) -> GroupLine:
    """Statistics over lines that have at most one bucket in a stretch."""
    stretches = np.unique(np.concatenate([line["step"] // width for line in lines] or [np.empty(0, "i8")]))
    shape = (len(lines), len(stretches))
    value, low, high = np.full(shape, np.nan), np.full(shape, np.inf), np.full(shape, -np.inf)
    step = np.zeros(len(stretches), "i8")
    for row, line in enumerate(lines):
        places = np.searchsorted(stretches, line["step"] // width)
        value[row, places] = means(line)
        low[row, places], high[row, places] = line["low"], line["high"]
        step[places] = np.maximum(step[places], line["step"])
    there = ~np.isnan(value)
    count = there.sum(axis=0)
    mean = np.where(there, value, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(there, (value - mean) ** 2, 0.0).sum(axis=0)
    several = count > 1
    deviation = np.where(several, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
    t = np.array([student(int(n) - 1) if n > 1 else np.nan for n in count])
    interval = deviation * t / np.sqrt(np.maximum(count, 1))
    return GroupLine(
        step=step,
        mean=mean,
        low=low.min(axis=0, initial=np.inf),
        high=high.max(axis=0, initial=-np.inf),
        deviation=deviation,
        interval=interval,
        count=count,
    )


def student(freedom: int) -> float:
    """Student's t at 97.5 %; beyond 30 degrees of freedom to three digits by its expansion in 1 / freedom."""
    return _T[freedom - 1] if freedom <= len(_T) else 1.95996 + 2.37227 / freedom + 2.8225 / freedom**2
