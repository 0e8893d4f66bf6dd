"""Many runs in one answer, and the statistics of seeds: hand-computed, and from all points however long the runs."""

import json
from math import sqrt
from statistics import fmean, stdev
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import START_T, make_experiment, make_run, metric_events, tell
from tests.wire import line_of
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.telemetry.many import many_series, student
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def seeds(workspace: Workspace, ada: User) -> list[Run]:
    experiment = make_experiment(workspace, ada)
    return [make_run(experiment) for _ in range(3)]


def write(run: Run, values: dict[int, float], name: str = "reward/solver") -> None:
    tell(
        run,
        [
            {
                "seq": run.last_seq + place,
                "kind": "metric",
                "step": step,
                "t": START_T + step,
                "data": {"values": {name: value}},
            }
            for place, (step, value) in enumerate(values.items(), start=1)
        ],
    )


def test_the_mean_and_the_bands_of_three_seeds_by_hand(seeds: list[Run]) -> None:
    """At step 1 the values are 1, 2 and 6: mean 3, deviation sqrt((4 + 1 + 9) / 2) = 2.6458, half width 4.303 * 2.6458 / sqrt(3)."""
    for run, value in zip(seeds, (1.0, 2.0, 6.0), strict=True):
        write(run, {1: value, 2: 4.0})
    group = many_series(seeds, ["reward/solver"]).group([run.pk for run in seeds], "reward/solver")
    assert group.step.tolist() == [1, 2]
    assert group.mean.tolist() == [3.0, 4.0]
    assert (group.low.tolist(), group.high.tolist()) == ([1.0, 4.0], [6.0, 4.0])
    assert group.deviation.tolist() == pytest.approx([2.6457513, 0.0])
    assert group.interval.tolist() == pytest.approx([6.5730, 0.0], abs=1e-3)
    assert group.count.tolist() == [3, 3]


def test_seeds_are_aligned_by_step_and_a_missing_one_is_left_out(seeds: list[Run]) -> None:
    write(seeds[0], {1: 1.0, 2: 2.0, 3: 3.0})
    write(seeds[1], {2: 4.0})
    group = many_series(seeds, ["reward/solver"]).group([run.pk for run in seeds], "reward/solver")
    assert group.step.tolist() == [1, 2, 3]
    assert group.mean.tolist() == [1.0, 3.0, 3.0]
    assert group.count.tolist() == [1, 2, 1]
    assert group.deviation[1] == pytest.approx(sqrt(2))
    assert [bool(nan) for nan in group.deviation != group.deviation] == [True, False, True]


def test_the_statistics_of_long_runs_are_made_of_every_point(seeds: list[Run]) -> None:
    """1,500, 1,400 and 900 points at 100 places: packed, at different levels, and partly in the tail."""
    lengths, values = (1500, 1400, 900), {}
    for place, (run, length) in enumerate(zip(seeds, lengths, strict=True)):
        values[run.pk] = [float(((7 + place) * n) % 97) for n in range(length)]
        write(run, dict(enumerate(values[run.pk])))
    lines = many_series(seeds, ["reward/solver"], pixels=100)
    group = lines.group(list(values), "reward/solver")
    assert lines.width == 16
    for place, step in enumerate(group.step.tolist()):
        begin = step // 16 * 16
        parts = [part for of in values.values() if (part := of[begin : begin + 16])]
        means = [fmean(part) for part in parts]
        assert group.mean[place] == pytest.approx(fmean(means))
        assert (group.low[place], group.high[place]) == (min(map(min, parts)), max(map(max, parts)))
        assert group.deviation[place] == pytest.approx(stdev(means) if len(means) > 1 else float("nan"), nan_ok=True)
        assert group.count[place] == len(parts)
    assert group.step[-1] == 1499


def test_the_quantiles_of_student_go_over_into_those_of_the_normal() -> None:
    assert [student(1), student(4), student(30)] == [12.706, 2.776, 2.042]
    assert [round(student(n), 3) for n in (40, 60, 120)] == [2.021, 2.000, 1.980]


def ask(client: Client, runs: list[Run], **parameters: Any) -> dict[str, Any]:
    response = client.get(reverse("compare_series"), {"run": [str(run.pk) for run in runs], **parameters})
    assert response.status_code == 200
    return dict(json.loads(response.content))


def test_a_page_gets_all_lines_and_those_of_groups_in_one_answer(
    seeds: list[Run], workspace: Workspace, ada: User, client: Client
) -> None:
    other = make_run(make_experiment(workspace, ada))
    for run in (*seeds, other):
        tell(run, metric_events(5))
    client.force_login(ada)
    answer = ask(client, [*seeds, other], metric=["reward/solver", "nothing"], groups="1")
    assert [(line["run"], line["name"]) for line in answer["lines"]] == [
        (str(run.pk), name) for run in (*seeds, other) for name in ("reward/solver", "nothing")
    ]
    assert line_of(answer, answer["lines"][0])["y"] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert len(answer["axes"]) == 2
    assert [(group["name"], len(group["runs"])) for group in answer["groups"]] == [("reward/solver", 3), ("nothing", 3)]
    assert line_of(answer, answer["groups"][0])["count"] == [3] * 5


def test_bands_of_single_runs_stay_behind_when_there_are_many(workspace: Workspace, ada: User, client: Client) -> None:
    experiment = make_experiment(workspace, ada)
    runs = [make_run(experiment) for _ in range(11)]
    tell(runs[0], metric_events(50))
    client.force_login(ada)
    assert "low" not in ask(client, runs, metric="reward/solver", pixels="10")["lines"][0]
    assert "low" in ask(client, runs, metric="reward/solver", pixels="10", bands="1")["lines"][0]
    assert "low" in ask(client, runs[:10], metric="reward/solver", pixels="10")["lines"][0]


def test_a_run_that_is_not_to_be_seen_hides_the_whole_answer(
    seeds: list[Run], cyn: User, ada: User, client: Client
) -> None:
    url, known = reverse("compare_series"), str(seeds[0].pk)
    client.force_login(ada)
    assert client.get(url, {"run": [known, "no-id"]}).status_code == 404
    assert client.get(url, {"run": [known, str(seeds[0].experiment_id)]}).status_code == 404
    client.force_login(cyn)
    assert client.get(url, {"run": known}).status_code == 404
