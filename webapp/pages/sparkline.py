"""A sparkline as an SVG path, from ``[[step, value], ...]``."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 120, 28
_PAD = 2


@dataclass(frozen=True, kw_only=True)
class Spark:
    """``Spark(line="M0 26L120 2", area="...", first=0.1, last=0.8, low=0.1, high=0.8)``"""

    line: str
    area: str
    first: float
    last: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """What the drawing says, for those who do not see it."""
        return f"from {self.first:.3g} to {self.last:.3g}; lowest {self.low:.3g}, highest {self.high:.3g}"


def spark(points: Sequence[Sequence[float]]) -> Spark | None:
    """The drawing of two or more points; None for fewer."""
    if len(points) < 2:
        return None
    steps, values = [float(p[0]) for p in points], [float(p[1]) for p in points]
    low, high = min(values), max(values)
    span_x, span_y = (steps[-1] - steps[0]) or 1.0, high - low
    coordinates = [
        (
            (step - steps[0]) / span_x * WIDTH,
            _PAD + (HEIGHT - 2 * _PAD) * (1 - (value - low) / span_y if span_y else 0.5),
        )
        for step, value in zip(steps, values, strict=True)
    ]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in coordinates)
    area = f"{line}L{WIDTH} {HEIGHT}L0 {HEIGHT}Z"
    return Spark(line=line, area=area, first=values[0], last=values[-1], low=low, high=high)
