"""The sparkline keeps the shape of a run in at most 60 points."""

from itertools import pairwise

import pytest

from webapp.telemetry.headline import MAX_POINTS, extend


@pytest.mark.parametrize("count", [1, 2, 59, 60, 61, 500, 3000])
def test_first_and_last_are_kept_and_there_are_never_more_than_sixty(count: int) -> None:
    points = extend([], [(step, step / 2) for step in range(count)])
    assert points[0] == (0, 0)
    assert points[-1] == (count - 1, (count - 1) / 2)
    assert len(points) <= MAX_POINTS
    assert points == sorted(points)


def test_one_by_one_gives_the_same_as_all_at_once() -> None:
    everything = [(step, 1.0) for step in range(1000)]
    one_by_one: list = []
    for point in everything:
        one_by_one = extend(one_by_one, [point])
    assert one_by_one == extend([], everything)


def test_resolution_is_the_same_everywhere() -> None:
    steps = [step for step, _ in extend([], [(step, 0.0) for step in range(1000)])]
    gaps = {later - earlier for earlier, later in pairwise(steps[:-1])}
    assert gaps == {32}
    assert len(steps) > MAX_POINTS / 2
