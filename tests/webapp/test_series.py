"""Lines for charts: exact while short, and means with all extremes when long."""

import random
from statistics import fmean

import pytest

from tests.factories import START_T, make_experiment, make_run, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.telemetry.buckets import BUCKET
from webapp.telemetry.series import Ends, metric_ends, metric_names, metric_series, stacked_series
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


def test_a_long_line_is_means_with_the_extremes_of_every_stretch(run: Run) -> None:
    """5,000 points at 200 places are stretches of 32 steps: a pixel is 25, and buckets of 8 have to stay whole."""
    rng = random.Random(3)
    values = [rng.gauss(0, 1) for _ in range(5000)]
    values[1234], values[4321] = 99.0, -99.0
    write(run, values)
    line = metric_series(run, ["grad/norm"], 200)["grad/norm"]
    stretches = [values[first : first + 32] for first in range(0, 5000, 32)]
    assert line.steps == [*range(31, 4992, 32), 4999]
    assert line.total == 5000
    assert not line.is_exact
    assert line.low == [min(stretch) for stretch in stretches]
    assert line.high == [max(stretch) for stretch in stretches]
    assert line.values == pytest.approx([fmean(stretch) for stretch in stretches])
    assert (max(line.high), min(line.low)) == (99.0, -99.0)


@pytest.mark.parametrize("count", [127, 128, 129, 1023, 1024, 1025, 1500, 8192, 8200])
def test_every_level_gives_the_same_extremes_and_means(run: Run, count: int) -> None:
    """However much is packed, and at which level, a stretch holds all of its points and no other."""
    values = [float((7 * n) % 97) for n in range(count)]
    write(run, values)
    for max_points in (12, 60, 250):
        line = metric_series(run, ["grad/norm"], max_points)["grad/norm"]
        begins = [0, *(step + 1 for step in line.steps[:-1])]
        stretches = [values[begin : step + 1] for begin, step in zip(begins, line.steps, strict=True)]
        assert len(line.steps) <= max_points + 1
        assert line.steps[-1] == count - 1
        assert line.low == [min(stretch) for stretch in stretches]
        assert line.high == [max(stretch) for stretch in stretches]
        assert line.values == pytest.approx([fmean(stretch) for stretch in stretches])
        assert line.total == count


def test_a_zoom_shows_more_and_in_the_end_every_point(run: Run) -> None:
    values = [float((7 * n) % 97) for n in range(9000)]
    write(run, values)
    close = metric_series(run, ["grad/norm"], 100, x_from=4000, x_to=4079)["grad/norm"]
    assert close.is_exact
    assert (close.steps, close.values) == (list(range(4000, 4080)), values[4000:4080])
    wider = metric_series(run, ["grad/norm"], 100, x_from=4000, x_to=5999)["grad/norm"]
    assert wider.steps[0] - 4000 < 24
    assert 0 <= wider.steps[-1] - 5999 < 24
    assert wider.high[1] == max(values[wider.steps[0] + 1 : wider.steps[1] + 1])


def test_an_end_inside_a_packed_block_is_kept(run: Run) -> None:
    write(run, [float(n) for n in range(2000)])
    line = metric_series(run, ["grad/norm"], 2000, up_to=1100)["grad/norm"]
    assert line.values == [float(n) for n in range(1100)]
    thinned = metric_series(run, ["grad/norm"], 50, up_to=1100)["grad/norm"]
    assert (thinned.total, thinned.high[-1]) == (1100, 1099.0)


def test_a_metric_of_few_events_keeps_its_very_points_in_a_long_run(run: Run) -> None:
    tell(
        run,
        [
            {
                "seq": seq,
                "kind": "metric",
                "step": seq,
                "t": START_T + seq,
                "data": {"values": {"loss": 1.0, **({"eval/accuracy": seq / 1e4} if seq % 500 == 0 else {})}},
            }
            for seq in range(1, 6001)
        ],
    )
    line = metric_series(run, ["eval/accuracy", "loss"], 60)["eval/accuracy"]
    assert line.is_exact
    assert line.steps == list(range(500, 6001, 500))
    assert line.values == [step / 1e4 for step in line.steps]


def test_steps_that_are_far_apart_cost_no_more(run: Run) -> None:
    """Steps that count tokens: buckets are as many times wider."""
    write(run, [float(n) for n in range(2000)], steps=[1000 * n for n in range(2000)])
    assert set(run.metric_blocks.values_list("spacing", flat=True)) == {3}
    assert len(run.metric_chunks.get(level=1, number=0).body) <= 1024 / 4 * BUCKET.itemsize
    line = metric_series(run, ["grad/norm"], 100)["grad/norm"]
    assert (line.total, line.low[0], line.high[-1], len(line.steps) <= 101) == (2000, 0.0, 1999.0, True)


def test_a_lone_point_far_away_stands_by_itself(run: Run) -> None:
    write(run, [float(n) for n in range(100)], steps=[*range(99), 10_000])
    line = metric_series(run, ["grad/norm"], 20)["grad/norm"]
    assert line.steps == [98, 10_000]
    assert (line.low, line.high, line.values) == ([0.0, 99.0], [98.0, 99.0], [49.0, 99.0])


def test_many_points_at_one_step_keep_their_extremes(run: Run) -> None:
    write(run, [float(n % 7) for n in range(50)], steps=[3] * 50)
    line = metric_series(run, ["grad/norm"], 10)["grad/norm"]
    assert (line.steps, line.low, line.high, line.total) == ([3], [0.0], [6.0], 50)


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
    assert {tuple(line.steps) for line in lines} == {(*range(15, 992, 16), 999)}
    assert {line.total for line in lines} == {1000}
    sums = [d + r for d, r in zip(found["time/decode_s"].values, found["time/rest_s"].values, strict=True)]
    assert sums == pytest.approx(found["time/rollout_s"].values)
    assert found["time/decode_s"].values[0] == pytest.approx(sum(decode[:16]) / 16)


def test_the_ends_of_a_metric_are_found_in_packed_blocks_and_in_the_tail(run: Run) -> None:
    write(run, [float(n) for n in range(200)], name="a/packed")
    write(run, [5.0, 6.0], name="b/tail", steps=[300, 301])
    assert metric_ends(run, ["a/packed", "b/tail", "c/none"]) == {
        "a/packed": Ends(first=0.0, last=199.0, step=199),
        "b/tail": Ends(first=5.0, last=6.0, step=301),
    }
    assert metric_names(run) == ["a/packed", "b/tail"]
