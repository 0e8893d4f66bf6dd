"""Lines as they travel to a page: compact JSON whose numbers are base64 of little-endian floats.

``{"axes": [[1, 1, 1, ...]], "lines": [{"name": ..., "axis": 0, "y": "f8:...", "low": "f4:...", "high": "f4:...",
"total": 9, "newest": 0.4}]}``. An axis lists its steps as differences, and lines on the same steps share it. Points that stand for
themselves travel in full (f8); means, lows and highs of several points in seven digits (f4), far finer than a pixel.
"""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import numpy as np

from webapp.telemetry.buckets import Array, means


def floats(values: Array, kind: str) -> str:
    """``"f4:"`` or ``"f8:"`` and the numbers; one that is not finite is NaN, a gap."""
    clean = np.where(np.isfinite(values), values, np.nan).astype(f"<{kind}")
    return f"{kind}:{b64encode(clean.tobytes()).decode('ascii')}"


class Axes:
    """The different lists of steps of one answer; ``of(steps)`` gives the place of a list, adding it where it is new."""

    def __init__(self) -> None:
        self.lists: list[list[int]] = []
        self._places: dict[bytes, int] = {}

    def of(self, steps: Array) -> int:
        key = steps.tobytes()
        if key not in self._places:
            self._places[key] = len(self.lists)
            self.lists.append(np.diff(steps, prepend=0).tolist())
        return self._places[key]


def line_json(axes: Axes, line: Array, *, newest: float | None = None) -> dict[str, Any]:
    """One line; ``newest`` is its last value, where its last place stands for several points."""
    exact = bool((line["count"] == 1).all())
    found: dict[str, Any] = {"axis": axes.of(line["step"]), "total": int(line["count"].sum())}
    if newest is not None:
        found["newest"] = newest
    if exact:
        return found | {"y": floats(line["total"], "f8")}
    bands = {"y": means(line), "low": line["low"], "high": line["high"]}
    return found | {name: floats(values, "f4") for name, values in bands.items()}


def answer(axes: Axes, lines: Iterable[dict[str, Any]], **more: Any) -> dict[str, Any]:
    lines = list(lines)  # fills the axes
    return {"axes": axes.lists, "lines": lines, **more}
