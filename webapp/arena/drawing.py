"""Ratings over training steps as a drawing: a line for each run, a bar for each interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 30


@dataclass(frozen=True, kw_only=True)
class Rated:
    """``Rated(step=20, rating=1120.0, low=1070.0, high=1170.0)``."""

    step: int
    rating: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Mark:
    x: float
    y: float
    top: float
    bottom: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Line:
    name: str
    hue: int
    path: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class Tick:
    at: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """All that the template puts into the SVG."""

    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def draw(runs: Mapping[str, Sequence[Rated]]) -> Drawing | None:
    """The drawing, or None where no run has two ratings."""
    if all(len(rated) < 2 for rated in runs.values()):
        return None
    every = [each for rated in runs.values() for each in rated]
    steps, ends = [each.step for each in every], [end for each in every for end in (each.low, each.high)]
    first, last = min(steps), max(steps)
    low, high = min(ends), max(ends)
    pad = max(10.0, (high - low) * 0.05)
    low, high = low - pad, high + pad

    def x(step: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * ((step - first) / (last - first) if last > first else 0.5), 1)

    def y(rating: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (rating - low) / (high - low), 1)

    lines = []
    for place, (name, rated) in enumerate(runs.items()):
        ordered = sorted(rated, key=lambda each: each.step)
        marks = tuple(
            Mark(
                x=x(each.step),
                y=y(each.rating),
                top=y(each.high),
                bottom=y(each.low),
                words=f"{name}, step {each.step:,}: {each.rating:.0f} ({each.low:.0f} to {each.high:.0f})",
            )
            for each in ordered
        )
        path = "M" + "L".join(f"{mark.x} {mark.y}" for mark in marks)
        lines.append(Line(name=name, hue=place % 8 + 1, path=path, marks=marks))
    across = tuple(Tick(at=x(value), words=f"{value:,}") for value in sorted({first, (first + last) // 2, last}))
    up = tuple(Tick(at=y(value), words=f"{value:.0f}") for value in _round_values(low, high))
    return Drawing(lines=tuple(lines), across=across, up=up)


def _round_values(low: float, high: float) -> list[float]:
    """Four to nine round numbers between."""
    size = next((size for size in (10, 20, 50, 100, 200, 500, 1000, 2000) if (high - low) / size <= 8), 5000)
    first = int(low // size + 1) * size
    return [float(value) for value in range(first, int(high) + 1, size)]
