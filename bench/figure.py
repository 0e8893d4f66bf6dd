"""Small line charts as SVG files, for the measured figures of the method pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10
from pathlib import Path

INK, FAINT, PAPER = "#23262d", "#c9c5bb", "#fdfcf8"
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 360, 250, 44, 46, 34


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve of (x, y)."""

    points: Sequence[tuple[float, float]]
    colour: str
    dash: str = ""
    width: float = 1.4


@dataclass(frozen=True, kw_only=True)
class Panel:
    title: str
    lines: Sequence[Line]
    legend: Sequence[tuple[str, str, str]]
    """(label, colour, dash)."""
    top: float | None = 1.0
    """Where the y axis ends; None ends it at a round number above the highest point."""
    bottom: float | None = 0.0
    """Where it begins; None begins at 0, or at a round number below the lowest point where that is negative."""


def write(path: Path, panels: Sequence[Panel], *, x_label: str, description: str) -> None:
    """Panels side by side."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * len(panels)} {HEIGHT + 64}" role="img" '
        f'font-family="IBM Plex Sans, system-ui, sans-serif" font-size="12" fill="{INK}">',
        f"<title>{escape(description)}</title>",
        f'<rect width="{WIDTH * len(panels)}" height="{HEIGHT + 64}" rx="4" fill="{PAPER}"/>',
    ]
    for index, panel in enumerate(panels):
        parts.append(f'<g transform="translate({index * WIDTH} 0)">{_panel(panel, x_label)}</g>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _round_above(value: float) -> float:
    """The next of 1, 2, 4, 8 and 10 times a power of ten."""
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value)


def _ends(panel: Panel) -> tuple[float, float]:
    """Bottom and top of the y axis."""
    values = [y for line in panel.lines for _, y in line.points]
    highest, lowest = max(values), min(values)
    bottom = panel.bottom
    if bottom is None:
        bottom = -_round_above(-lowest) if lowest < 0 else 0.0
    top = panel.top
    if top is None:
        top = _round_above(highest) if highest > 0 else 0.0
    return (bottom, top) if top > bottom else (bottom, bottom + 1)


def _panel(panel: Panel, x_label: str) -> str:
    longest = max(x for line in panel.lines for x, _ in line.points) or 1
    bottom, top = _ends(panel)
    right, base = WIDTH - 14, HEIGHT - BOTTOM

    def place(x: float, y: float) -> str:
        return f"{LEFT + (right - LEFT) * x / longest:.1f},{base - (base - TOP) * (y - bottom) / (top - bottom):.1f}"

    out = [f'<text x="{LEFT}" y="24" font-size="14" font-weight="600">{escape(panel.title)}</text>']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y = base - (base - TOP) * tick
        out.append(f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{FAINT}" stroke-width="0.6"/>')
        out.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{bottom + tick * (top - bottom):.3g}</text>'
        )
    out += [
        f'<text x="{LEFT}" y="{base + 16}">0</text>',
        f'<text x="{right}" y="{base + 16}" text-anchor="end">{longest:.0f}</text>',
    ]
    out.append(f'<text x="{(LEFT + right) / 2}" y="{base + 16}" text-anchor="middle">{escape(x_label)}</text>')
    for line in panel.lines:
        points = " ".join(place(x, y) for x, y in line.points)
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        out.append(
            f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="{line.width}"{dash}/>'
        )
    for place_in_legend, (label, colour, dash) in enumerate(panel.legend):
        row, column = divmod(place_in_legend, 2)
        at = LEFT + column * 150
        y = HEIGHT + 2 + row * 18
        stroke = f' stroke-dasharray="{dash}"' if dash else ""
        out.append(f'<line x1="{at}" x2="{at + 20}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"{stroke}/>')
        out.append(f'<text x="{at + 25}" y="{y + 4}">{escape(label)}</text>')
    return "".join(out)
