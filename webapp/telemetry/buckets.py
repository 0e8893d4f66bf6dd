"""Arithmetic of metric points in numpy: points packed into bytes, and stretches of steps with all that was in them.

A bucket stands for the points of one stretch of steps: the step of its last point, the lowest and the highest value,
their sum and how many they were. Buckets of neighbouring stretches merge exactly, so means over any stretch that is
made of whole buckets are means over all of its points.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MOMENT = np.dtype([("seq", "<i8"), ("step", "<i8"), ("t", "<f8")])
"""When a metric event was written; one for all the values in it."""
POINT = np.dtype([("place", "<u2"), ("value", "<f8")])
"""A value and the place of its moment in the block."""
BUCKET = np.dtype([("step", "<i8"), ("low", "<f8"), ("high", "<f8"), ("total", "<f8"), ("count", "<i8")])


def from_points(steps: Array, values: Array) -> Array:
    """Each point as a bucket of its own."""
    found = np.empty(len(steps), BUCKET)
    found["step"] = steps
    for field in ("low", "high", "total"):
        found[field] = values
    found["count"] = 1
    return found


def unpacked(body: bytes, moments: Array) -> Array:
    """The points of a chunk of level 0 in the block whose moments these are."""
    points = np.frombuffer(body, POINT)
    return from_points(moments["step"][points["place"]], points["value"])


def merged(buckets: Array, width: int) -> Array:
    """Buckets that share a stretch ``[k * width, (k + 1) * width)`` of steps as one; they come in order of steps."""
    if len(buckets) < 2:
        return buckets
    stretch = buckets["step"] // width
    starts = np.flatnonzero(np.r_[True, stretch[1:] != stretch[:-1]])
    if len(starts) == len(buckets):
        return buckets
    found = np.empty(len(starts), BUCKET)
    found["step"] = buckets["step"][np.r_[starts[1:] - 1, len(buckets) - 1]]
    found["low"] = np.minimum.reduceat(buckets["low"], starts)
    found["high"] = np.maximum.reduceat(buckets["high"], starts)
    found["total"] = np.add.reduceat(buckets["total"], starts)
    found["count"] = np.add.reduceat(buckets["count"], starts)
    return found


def last_moments(moments: Array, width: int) -> Array:
    """The last moment of each stretch of steps."""
    stretch = moments["step"] // width
    return moments[np.r_[stretch[1:] != stretch[:-1], True]]


def means(buckets: Array) -> Array:
    found: Array = buckets["total"] / buckets["count"]
    return found
