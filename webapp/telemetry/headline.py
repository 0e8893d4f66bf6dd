"""The sparkline of a run in lists: at most 60 points of the method's headline metric, evenly spread over its steps."""

from collections.abc import Iterable
from functools import cache

from training_core.methods.registry import find_method
from webapp.experiments.models import EXTERNAL

MAX_POINTS = 60

Point = tuple[int, float]


@cache
def headline_metric(method: str) -> str:
    """Empty for a run that happens elsewhere."""
    return "" if method == EXTERNAL else find_method(method).headline_metric


def extend(points: Iterable[Point], new: Iterable[Point]) -> list[Point]:
    """Append points and keep at most ``MAX_POINTS``, always with the first and the newest.

    When there are too many, every other one is dropped; from then on points closer than the distance between the first
    two replace the newest, so the resolution is the same everywhere.
    """
    kept = list(points)
    for point in new:
        if len(kept) >= 3 and kept[-1][0] - kept[-2][0] < kept[1][0] - kept[0][0]:
            kept[-1] = point
        else:
            kept.append(point)
        if len(kept) > MAX_POINTS:
            kept = [*kept[:-1:2], kept[-1]]
    return kept
