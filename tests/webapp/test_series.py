"""Lines for charts: exact while short, and never missing a peak when long."""

import random

import pytest

from tests.factories import START_T, make_experiment, make_run, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.telemetry.series import metric_ends, metric_names, metric_series, stacked_series
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada))


def write(run: Run, values: list[float | None], *, name: str = "grad/norm", steps: list[int] | None = None) -> None:
    tell(
        run,
        [
            {
                "seq": run.last_seq + 1 + place,
                "kind": "metric",
                "step": steps[place] if steps else place,
                "t": START_T + place,
                "data": {"values": {name: value}},
            }
            for place, value in enumerate(values)
        ],
    )


def test_a_short_line_is_exact(run: Run) -> None:
    write(run, [0.5, 0.25, 0.75])
    line = metric_series(run, ["grad/norm"], 3)["grad/norm"]
    assert (line.steps, line.values, line.total, line.is_exact) == ([0, 1, 2], [0.5, 0.25, 0.75], 3, True)


def test_a_long_line_keeps_its_ends_and_every_extreme(run: Run) -> None:
    rng = random.Random(3)
    values = [rng.gauss(0, 1) for _ in range(5000)]
    values[1234], values[4321] = 99.0, -99.0
    write(run, values)
    line = metric_series(run, ["grad/norm"], 200)["grad/norm"]
    kept = list(zip(line.steps, line.values, strict=True))
    assert len(kept) <= 200
    assert line.total == 5000
    assert kept[0] == (0, values[0])
    assert kept[-1] == (4999, values[4999])
    assert (1234, 99.0) in kept
    assert (4321, -99.0) in kept
    assert kept == sorted(kept)
    assert all(value == values[step] for step, value in kept)


def test_every_stretch_of_a_long_line_keeps_its_lowest_and_highest_point(run: Run) -> None:
    rng = random.Random(5)
    values = [rng.random() for _ in range(1000)]
    write(run, values)
    line = metric_series(run, ["grad/norm"], 102)["grad/norm"]
    for first in range(0, 1000, 20):
        stretch = values[first : first + 20]
        assert {min(stretch), max(stretch)} <= set(line.values)


def test_steps_that_are_far_apart_fall_into_stretches_of_steps(run: Run) -> None:
    write(run, [float(n) for n in range(100)], steps=[*range(99), 10_000])
    line = metric_series(run, ["grad/norm"], 20)["grad/norm"]
    assert line.steps[0] == 0
    assert line.steps[-1] == 10_000
    assert len(line.steps) <= 20


def test_many_points_at_one_step_keep_their_extremes(run: Run) -> None:
    write(run, [float(n % 7) for n in range(50)], steps=[3] * 50)
    assert set(metric_series(run, ["grad/norm"], 10)["grad/norm"].values) >= {0.0, 6.0}


def test_a_value_that_is_no_number_leaves_a_gap(run: Run) -> None:
    write(run, [0.5, float("nan"), float("inf"), 0.25])
    assert metric_series(run, ["grad/norm"])["grad/norm"].values == [0.5, 0.25]


def test_a_line_can_end_before_later_events(run: Run) -> None:
    write(run, [0.1, 0.2, 0.3, 0.4])
    assert metric_series(run, ["grad/norm"], up_to=2)["grad/norm"].values == [0.1, 0.2]


def test_names_are_listed_once(run: Run) -> None:
    write(run, [1.0, 2.0], name="b/two")
    write(run, [1.0], name="a/one")
    assert metric_names(run) == ["a/one", "b/two"]


def test_a_run_without_metrics_has_no_names_and_no_ends(run: Run) -> None:
    assert metric_names(run) == []
    assert metric_ends(run, ["a/one"]) == {}


def test_parts_of_a_whole_are_exact_while_short(run: Run) -> None:
    write(run, [1.0, 2.0, 4.0], name="time/decode_s")
    write(run, [0.5, 0.25], name="time/publish_s", steps=[0, 2])
    found = stacked_series(run, ["time/decode_s", "time/publish_s", "time/none_s"], 3)
    assert (found["time/decode_s"].steps, found["time/decode_s"].values) == ([0, 1, 2], [1.0, 2.0, 4.0])
    assert (found["time/publish_s"].steps, found["time/publish_s"].values) == ([0, 2], [0.5, 0.25])
    assert (found["time/none_s"].steps, found["time/none_s"].total) == ([], 0)


def test_parts_of_a_long_run_still_add_up_to_the_whole(run: Run) -> None:
    rng = random.Random(5)
    decode, rest = ([rng.random() for _ in range(1000)] for _ in range(2))
    write(run, decode, name="time/decode_s")
    write(run, rest, name="time/rest_s", steps=list(range(1000)))
    write(run, [d + r for d, r in zip(decode, rest, strict=True)], name="time/rollout_s")
    found = stacked_series(run, ["time/decode_s", "time/rest_s", "time/rollout_s"], 100)
    lines = found.values()
    assert {tuple(line.steps) for line in lines} == {tuple(range(9, 1000, 10))}
    assert {line.total for line in lines} == {1000}
    sums = [d + r for d, r in zip(found["time/decode_s"].values, found["time/rest_s"].values, strict=True)]
    assert sums == pytest.approx(found["time/rollout_s"].values)
    assert found["time/decode_s"].values[0] == pytest.approx(sum(decode[:10]) / 10)
