"""Line charts drawn on the server, once as geometry, for pages (SVG) and for paper (PDF)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 640.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 54.0, 12.0, 12.0, 34.0
HUES = ("#0072b2", "#d55e00", "#009e73", "#b05f8f", "#b27a00", "#3f8fc2", "#8a8000", "#1b1e24")
"""Okabe and Ito's, as the tokens of the style sheets have them in light."""
DASHES = ("", "6 3", "2 3", "8 3 2 3")

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line: ``Curve(label="run 1", points=[(0, 0.4), (10, 0.7)], hue=0)``; equal hues are told apart by their dashes."""

    label: str
    points: Sequence[Point]
    hue: int
    dash: int = 0


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A place on an axis with its words."""

    at: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart laid out on ``WIDTH`` by ``HEIGHT``; y grows downwards, as on pages."""

    title: str
    x_label: str
    curves: Sequence[Curve]
    paths: Sequence[Sequence[Point]]
    """Each curve in the drawing's coordinates."""
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]

    @property
    def words(self) -> str:
        """What the drawing says, for those who do not see it."""
        ends = (f"{curve.label} from {curve.points[0][1]:.3g} to {curve.points[-1][1]:.3g}" for curve in self.curves)
        return f"{self.title} over {self.x_label}: " + "; ".join(ends)


def figure(title: str, curves: Sequence[Curve], *, x_label: str = "step") -> Figure | None:
    """Lay out the curves that have points; None where none has."""
    finite = [
        Curve(label=c.label, points=[p for p in c.points if isfinite(p[1])], hue=c.hue, dash=c.dash) for c in curves
    ]
    drawn = [curve for curve in finite if curve.points]
    if not drawn:
        return None
    xs, ys = ([point[axis] for curve in drawn for point in curve.points] for axis in (0, 1))
    x_values, y_values = _ticks(min(xs), max(xs), 6), _ticks(min(ys), max(ys), 5)
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = y_values[0], y_values[-1]

    def place_x(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((x - x_low) / (x_high - x_low) if x_high > x_low else 0.5)

    def place_y(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ((y - y_low) / (y_high - y_low) if y_high > y_low else 0.5)

    return Figure(
        title=title,
        x_label=x_label,
        curves=drawn,
        paths=[[(place_x(x), place_y(y)) for x, y in curve.points] for curve in drawn],
        x_ticks=[Tick(at=place_x(x), words=f"{x:,.6g}") for x in x_values if x_low <= x <= x_high],
        y_ticks=[Tick(at=place_y(y), words=f"{y:,.4g}") for y in y_values],
    )


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round values from at or below ``low`` to at or above ``high``, steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    first, last = floor(low / step), -floor(-high / step)
    return [round(place * step, 12) for place in range(first, last + 1)]


def svg(drawing: Figure) -> SafeString:
    """The chart as an SVG element that carries its own colours; ink follows the page's."""
    grid = format_html_join(
        "",
        '<path d="M{} {}H{}" stroke="currentColor" stroke-opacity="0.16"/>'
        '<text x="{}" y="{}" text-anchor="end">{}</text>',
        (
            (LEFT, f"{tick.at:.1f}", WIDTH - RIGHT, LEFT - 6, f"{tick.at + 4:.1f}", tick.words)
            for tick in drawing.y_ticks
        ),
    )
    feet = format_html_join(
        "",
        '<text x="{}" y="{}" text-anchor="middle">{}</text>',
        ((f"{tick.at:.1f}", HEIGHT - BOTTOM + 16, tick.words) for tick in drawing.x_ticks),
    )
    lines = format_html_join(
        "",
        '<path d="{}" fill="none" stroke="{}" stroke-width="1.8" stroke-linejoin="round" stroke-dasharray="{}"/>{}',
        (
            (_path(path), HUES[curve.hue % len(HUES)], DASHES[curve.dash % len(DASHES)], _dot(path, curve))
            for path, curve in zip(drawing.paths, drawing.curves, strict=True)
        ),
    )
    return format_html(
        '<svg class="figure" viewBox="0 0 {} {}" role="img" aria-label="{}" font-size="11" fill="currentColor">'
        '{}{}<text x="{}" y="{}" text-anchor="middle">{}</text>{}</svg>',
        WIDTH,
        HEIGHT,
        drawing.words,
        grid,
        feet,
        (LEFT + WIDTH - RIGHT) / 2,
        HEIGHT - 4,
        drawing.x_label,
        lines,
    )


def key(curve: Curve) -> SafeString:
    """A short piece of the line, for a legend."""
    return format_html(
        '<svg class="figure-key" viewBox="0 0 22 6" width="22" height="6" aria-hidden="true" focusable="false">'
        '<path d="M0 3H22" stroke="{}" stroke-width="2" stroke-dasharray="{}"/></svg>',
        HUES[curve.hue % len(HUES)],
        DASHES[curve.dash % len(DASHES)],
    )


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _dot(path: Sequence[Point], curve: Curve) -> SafeString | str:
    """A curve of one point would not be seen."""
    if len(path) > 1:
        return ""
    return format_html(
        '<circle cx="{}" cy="{}" r="3" fill="{}"/>',
        round(path[0][0], 1),
        round(path[0][1], 1),
        HUES[curve.hue % len(HUES)],
    )
