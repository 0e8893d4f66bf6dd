"""How the rewards of a role are spread, step by step: as many columns as a person can tell apart, each one whole step."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from training_core.play.findings import quantile
from webapp.experiments.models import Run
from webapp.pages.tags import number
from webapp.telemetry.lens import lens_of
from webapp.telemetry.models import Sample

NUM_COLUMNS = 48
NUM_BINS = 20
WIDTH, HEIGHT = 1000.0, 200.0
"""Units of the drawing, stretched to its place on the page."""

_REWARDS = """
    SELECT sample.step, turn ->> 'role', (turn ->> 'reward')::float, count(*)
    FROM telemetry_sample sample
    JOIN telemetry_event event ON event.run_id = sample.run_id AND event.seq = sample.seq
    CROSS JOIN LATERAL jsonb_array_elements(event.data -> 'turns') turn
    WHERE sample.run_id = %s AND sample.step = ANY(%s) AND jsonb_typeof(turn -> 'reward') = 'number'
    GROUP BY 1, 2, 3
    ORDER BY 1, 3
"""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Rewards of one step between two levels, in units of the drawing; ``shade`` from 0 to 1 is darker the more they are."""

    x: float
    y: float
    width: float
    height: float
    shade: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """One step: how many rewards, and their least, quarter, middle, three quarters and most."""

    step: int
    count: int
    quarters: tuple[float, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The rewards of one role; ``bars`` are the last column's cells drawn as a histogram beside the others."""

    title: str
    hue: int
    low: float
    high: float
    columns: tuple[Column, ...]
    bars: tuple[Cell, ...]
    words: str

    @property
    def last(self) -> Column:
        return self.columns[-1]


def spreads(run: Run, *, at: int | None = None) -> list[Spread]:
    """A role each, in the method's order, up to a step; empty for runs that pay nobody."""
    steps = _shown_steps(run, at)
    found: dict[str, dict[int, list[tuple[float, int]]]] = defaultdict(lambda: defaultdict(list))
    with connection.cursor() as cursor:
        cursor.execute(_REWARDS, (run.pk, steps))
        for step, role, reward, count in cursor.fetchall():
            if math.isfinite(reward):
                found[role][step].append((reward, count))
    lens = lens_of(run)
    known = [role.name for role in lens.roles]
    names = sorted(found, key=lambda name: (known.index(name) if name in known else len(known), name))
    return [_spread(lens.role_title(name), lens.hues.get(name, 1), found[name]) for name in names]


def _shown_steps(run: Run, at: int | None) -> list[int]:
    """The last step with samples and others at even distances before it."""
    rows = Sample.objects.filter(run=run) if at is None else Sample.objects.filter(run=run, step__lte=at)
    steps = list(rows.order_by("step").values_list("step", flat=True).distinct())
    if len(steps) <= NUM_COLUMNS:
        return steps
    apart = (len(steps) - 1) / (NUM_COLUMNS - 1)
    return [steps[round(place * apart)] for place in range(NUM_COLUMNS)]


def _spread(title: str, hue: int, by_step: dict[int, list[tuple[float, int]]]) -> Spread:
    rewards = [reward for counted in by_step.values() for reward, _ in counted]
    low, high = _range(min(rewards), max(rewards))
    edges = [low + (high - low) * place / NUM_BINS for place in range(NUM_BINS + 1)]
    width = WIDTH / len(by_step)
    columns = [_column(step, by_step[step], edges, x=place * width, width=width) for place, step in enumerate(by_step)]
    last = list(by_step)[-1]
    bars = _cells(last, by_step[last], edges, x=0.0, width=None)
    return Spread(
        title=title,
        hue=hue,
        low=low,
        high=high,
        columns=tuple(columns),
        bars=bars,
        words=_words(columns[-1], by_step[last]),
    )


def _range(least: float, most: float) -> tuple[float, float]:
    """The usual range of a reward where all lie in it, else from the least to the most."""
    for low, high in ((0.0, 1.0), (-1.0, 1.0)):
        if low <= least and most <= high:
            return low, high
    return (least, most) if most > least else (least - 0.5, least + 0.5)


def _column(
    step: int, counted: Sequence[tuple[float, int]], edges: Sequence[float], *, x: float, width: float
) -> Column:
    every = [reward for reward, count in counted for _ in range(count)]
    return Column(
        step=step,
        count=len(every),
        quarters=tuple(quantile(every, share) for share in (0, 0.25, 0.5, 0.75, 1)),
        cells=_cells(step, counted, edges, x=x, width=width),
    )


def _cells(
    step: int, counted: Sequence[tuple[float, int]], edges: Sequence[float], *, x: float, width: float | None
) -> tuple[Cell, ...]:
    """A cell for each level that any reward reached, lowest last; without a width as wide as their share of the fullest."""
    num_bins, total = len(edges) - 1, sum(count for _, count in counted)
    counts = [0] * num_bins
    for reward, count in counted:
        counts[min(bisect_right(edges, reward) - 1, num_bins - 1)] += count
    height, fullest = HEIGHT / num_bins, max(counts)
    cells = []
    for place in reversed(range(num_bins)):
        if share := counts[place] / total:
            between = f"{number(edges[place])} to {number(edges[place + 1])}"
            words = f"Step {step}, {between}: {counts[place]} of {total} ({100 * share:.0f}%)"
            wide = WIDTH * counts[place] / fullest if width is None else width
            y = HEIGHT - (place + 1) * height
            cells.append(Cell(x=x, y=y, width=wide, height=height, shade=0.1 + 0.9 * math.sqrt(share), words=words))
    return tuple(cells)


def _words(column: Column, counted: Sequence[tuple[float, int]]) -> str:
    least, quarter, middle, three_quarters, most = column.quarters
    if least == most:
        return f"All {column.count} rewards of step {column.step} are {number(least)}: nothing tells them apart."
    ends = [f"{100 * count / column.count:.0f}%" for _, count in (counted[0], counted[-1])]
    of = f"Of {column.count} rewards of step {column.step}"
    half = f"half lie between {number(quarter)} and {number(three_quarters)}, the middle one is {number(middle)}"
    if quarter == three_quarters:
        half = f"half or more are {number(middle)}"
    return f"{of} {half}; {ends[0]} get the least, {number(least)}, and {ends[1]} the most, {number(most)}."
