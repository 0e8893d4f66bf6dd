"""The Compare page: lines that are exact, settings that differ, verdicts in words."""

import csv
import io
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.factories import START_T, mae_events, make_experiment, make_run, tell
from webapp.accounts.models import User
from webapp.compare.configs import changed_words, differing_blocks
from webapp.compare.headlines import change, falls, value_words
from webapp.experiments.models import Experiment, Run
from webapp.telemetry.models import RunSummary
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(client: Client, ada: User, workspace: Workspace) -> Client:
    client.force_login(ada)
    return client


def _told(experiment: Experiment, values: list[float], name: str = "reward/solver") -> Run:
    run = make_run(experiment, "running")
    events = [
        {"seq": n, "kind": "metric", "step": n, "t": START_T + 3600 * n, "data": {"values": {name: value}}}
        for n, value in enumerate(values, start=1)
    ]
    tell(run, events)
    return run


def _finished(experiment: Experiment, last: float) -> Run:
    run = make_run(experiment, "succeeded", headline=[[0, 0.4], [60, last]], last_step=60)
    RunSummary.objects.create(run=run, metrics={"eval/accuracy_sampled": [0.4, last, 60, 0.4, last, 0.4 + last, 2]})
    return run


def _lines(body: bytes) -> dict[str, list[dict[str, Any]]]:
    """What the page's script unpacks."""
    (length,) = struct.unpack_from("<I", body)
    head = json.loads(body[4 : 4 + length])

    def numbers(at: int, n: int) -> list[float]:
        return list(struct.unpack_from(f"<{n}f", body, 4 + length + 4 * at))

    return {
        chart["metric"]: [
            {
                "key": line["key"],
                **{part: numbers(line[part], line["n"]) for part in ("x", "y", "low", "high") if part in line},
            }
            for line in chart["lines"]
        ]
        for chart in head["charts"]
    }


def test_seeds_are_one_line_with_their_exact_mean_and_deviation(client: Client, experiment: Experiment) -> None:
    runs = [_told(experiment, values) for values in ([1.0, 2.0], [3.0, 4.0], [5.0])]
    arm = ",".join(str(run.pk) for run in runs)
    answer = client.get("/compare/lines/", {"arm": arm, "metric": "reward/solver", "pixels": "600"})
    (line,) = _lines(answer.content)["reward/solver"]
    assert line["x"] == [1, 2]
    assert line["y"] == [3.0, 3.0]  # (1 + 3 + 5) / 3, then (2 + 4) / 2: the third seed has not come so far
    assert [high - y for high, y in zip(line["high"], line["y"], strict=True)] == pytest.approx([2.0, 2**0.5], rel=1e-6)
    assert [y - low for low, y in zip(line["low"], line["y"], strict=True)] == pytest.approx([2.0, 2**0.5], rel=1e-6)


def test_places_of_many_steps_are_means_of_all_points_with_their_extremes(
    client: Client, experiment: Experiment
) -> None:
    values = [float(n % 7) for n in range(1, 400)]
    run = _told(experiment, values)
    answer = client.get("/compare/lines/", {"run": str(run.pk), "metric": "reward/solver", "pixels": "20"})
    (line,) = _lines(answer.content)["reward/solver"]
    assert 10 <= len(line["x"]) <= 21
    begin = 0
    for x, y, low, high in zip(line["x"], line["y"], line["low"], line["high"], strict=True):
        points = values[begin : int(x)]
        assert (low, high) == (min(points), max(points))
        assert y == pytest.approx(sum(points) / len(points), rel=1e-6)
        begin = int(x)
    assert begin == len(values)


def test_other_axes_count_hours_and_tokens(client: Client, experiment: Experiment) -> None:
    run = make_run(experiment, "running")
    said = {"reward/solver": 1.0}
    events = [
        {
            "seq": n,
            "kind": "metric",
            "step": n,
            "t": START_T + 1800 * n,
            "data": {"values": {**said, "tokens/sampled_total": 200.0 * n}},
        }
        for n in (1, 2, 3)
    ]
    tell(run, events)
    asked = {"run": str(run.pk), "metric": "reward/solver"}
    (over_time,) = _lines(client.get("/compare/lines/", {**asked, "x": "time"}).content)["reward/solver"]
    (over_tokens,) = _lines(client.get("/compare/lines/", {**asked, "x": "tokens"}).content)["reward/solver"]
    assert over_time["x"] == [0, 0.5, 1]
    assert over_tokens["x"] == [200, 400, 600]


def test_lines_of_runs_that_one_may_not_see_are_not_there(cyn: User, run_in: Callable[..., Run]) -> None:
    stranger = Client()
    stranger.force_login(cyn)
    assert stranger.get("/compare/lines/", {"arm": str(run_in("running").pk), "metric": "a/b"}).status_code == 404


def test_only_differing_settings_are_listed_block_by_block() -> None:
    first = {"seed": 0, "steps": 60, "method": {"name": "mae", "optimizer": {"lr": 0.1, "beta": 1}}, "lora": None}
    second = {
        "seed": 1,
        "steps": 60,
        "method": {"name": "mae", "optimizer": {"lr": 0.3, "beta": 1.0}},
        "lora": {"rank": 8},
    }
    third = {**first, "seed": 0}
    blocks = differing_blocks([first, second, third])
    keys = {key.path: [setting.words for setting in key.settings] for block in blocks for key in block.keys}
    assert keys == {
        "seed": ["0", "1", "0"],
        "method.optimizer.lr": ["0.1", "0.3", "0.1"],
        "lora": ["none", "–", "none"],
        "lora.rank": ["–", "8", "–"],
    }
    assert blocks[0].title == "General"
    (seed,) = [key for block in blocks for key in block.keys if key.path == "seed"]
    assert [setting.is_common for setting in seed.settings] == [True, False, True]
    assert changed_words(first, second, 1) == "Seed 0 to 1, and 3 more"


def test_booleans_and_numbers_are_not_the_same() -> None:
    (block,) = differing_blocks([{"a": True}, {"a": 1}])
    assert [(setting.words, setting.kind) for setting in block.keys[0].settings] == [("on", "switch"), ("1", "number")]


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("eval/accuracy_greedy", 0.7912, "79.1%"),
        ("reward/solver", 0.12345, "0.123"),
        ("a/b", 12345.6, "12,346"),
        ("a/b", None, "–"),
    ],
)
def test_values_in_words(metric: str, value: float | None, words: str) -> None:
    assert value_words(metric, value) == words


def test_a_change_is_good_or_bad_by_what_the_metric_means() -> None:
    better, worse = change("eval/accuracy_greedy", 0.9, 0.6), change("loss/total", 3.0, 2.0)
    assert better and (better.words, better.percent, better.tone) == ("+30.0 points", "+50.0%", "good")
    assert worse and (worse.words, worse.percent, worse.tone) == ("+1", "+50.0%", "bad")
    assert change("a/b", None, 1.0) is None
    assert change("a/b", 1.0, 0.0) is not None
    assert falls("kl/policy")
    assert not falls("eval/accuracy_greedy")


def test_page_judges_settings_by_their_seeds(client: Client, workspace: Workspace, ada: User) -> None:
    old, new = make_experiment(workspace, ada, name="Old"), make_experiment(workspace, ada, name="New")
    runs = [_finished(old, last) for last in (0.60, 0.61, 0.62)] + [_finished(new, last) for last in (0.70, 0.71, 0.72)]
    query = "&".join(f"run={run.pk}" for run in runs)
    page = client.get(f"/compare/?{query}").content.decode()
    assert "likely better" in page
    assert f"/runs/{runs[2].pk}/twin/{runs[-1].pk}/" in page
    assert "+10.0 points, 95% interval +7.7 to +12.3" in page
    assert "71.0% over 3 seeds against 61.0% over 3." in page
    assert "so few seeds cannot give less than 0.1" in page
    turned = client.get(f"/compare/?{query}&base={runs[-1].pk}").content.decode()
    assert "likely worse" in turned


def test_page_asks_for_more_seeds_where_noise_is_as_large(client: Client, workspace: Workspace, ada: User) -> None:
    old, new = make_experiment(workspace, ada, name="Old"), make_experiment(workspace, ada, name="New")
    runs = [_finished(old, last) for last in (0.55, 0.65)] + [_finished(new, last) for last in (0.60, 0.72)]
    page = client.get("/compare/?" + "&".join(f"run={run.pk}" for run in runs)).content.decode()
    # difference 0.06, v = (0.005 + 0.0072) / 2 = 0.0061: n = 28 has t 2.0049 and 0.8483, 2 v (2.8532 / 0.06)^2 = 27.6
    assert "need about 26 more seeds" in page


def test_newest_ten_are_drawn_and_the_rest_are_one_click_away(client: Client, experiment: Experiment) -> None:
    runs = [_finished(experiment, 0.5) for _ in range(12)]
    query = "&".join(f"run={run.pk}" for run in runs)
    page = client.get(f"/compare/?{query}").content.decode()
    assert "Draw all 12" in page
    assert page.count('"shown": true') == 10
    assert client.get(f"/compare/?{query}&all=1").content.decode().count('"shown": true') == 12


def test_runs_that_are_not_there_are_told_and_the_rest_is_shown(client: Client, run_in: Callable[..., Run]) -> None:
    run = run_in("running")
    page = client.get(f"/compare/?run={run.pk}&run=00000000-0000-4000-8000-000000000000").content.decode()
    assert "1 of the runs in this address is not there" in page
    assert "First light #1" in page


def test_fifty_runs_cost_as_many_queries_as_two(client: Client, workspace: Workspace, ada: User) -> None:
    def queries(runs: list[Run]) -> int:
        query = "&".join(f"run={run.pk}" for run in runs)
        with CaptureQueriesContext(connection) as seen:
            assert client.get(f"/compare/?{query}&all=1").status_code == 200
        return len(seen)

    runs = [_finished(make_experiment(workspace, ada), 0.5) for _ in range(50)]
    assert queries(runs) == queries(runs[:2]) < 30


def test_held_out_scores_stand_before_and_after(client: Client, run_in: Callable[..., Run]) -> None:
    run = run_in("running")
    tell(run, mae_events(20))
    page = client.get(f"/compare/?run={run.pk}").content.decode()
    assert "Before and after: Held out items" in page
    assert '<span class="faint">41.0% →</span> 77.1%' in page


def test_experiment_is_measured_against_what_it_was_made_from(client: Client, workspace: Workspace, ada: User) -> None:
    old, new = make_experiment(workspace, ada, name="Old"), make_experiment(workspace, ada, name="New", steps=90)
    first, *_ = [_finished(old, last) for last in (0.70, 0.71, 0.72)]
    for last in (0.60, 0.61, 0.62):
        _finished(new, last)
    Experiment.objects.filter(pk=new.pk).update(parent=first)
    part = client.get(f"/experiments/{new.pk}/seeds/").content.decode()
    assert "likely worse" in part
    assert "Old #1" in part
    assert '<code class="faint">steps</code>' in part
    assert "New (3 seeds)" in part


def test_what_is_drawn_is_written_as_it_is_drawn(client: Client, workspace: Workspace, ada: User) -> None:
    experiment = make_experiment(workspace, ada)
    runs = [_told(experiment, [0.25, 0.5]), _told(experiment, [0.75, 1.0])]
    key = ",".join(str(run.pk) for run in runs)
    query = {"arm": key, "run": str(runs[0].pk), "metric": "reward/solver", "pixels": "600"}
    answer = client.get("/compare/export/", query)
    rows = list(csv.reader(io.StringIO(b"".join(answer).decode())))
    assert rows[0] == ["metric", "line", "runs", "step", "value", "low", "high"]
    single, first, last = rows[1], rows[3], rows[4]
    assert single == ["reward/solver", str(runs[0]), str(runs[0].pk), "1.0", "0.25", "0.25", "0.25"]
    # Means of 1/4 and 3/4, and of 1/2 and 1; one standard deviation of two values is their distance over the root of 2.
    assert [float(cell) for cell in first[3:]] == pytest.approx([1, 0.5, 0.5 - 0.5 / 2**0.5, 0.5 + 0.5 / 2**0.5])
    assert [float(cell) for cell in last[3:]] == pytest.approx([2, 0.75, 0.75 - 0.5 / 2**0.5, 0.75 + 0.5 / 2**0.5])
    (drawn,) = _lines(client.get("/compare/lines/", query).content)["reward/solver"][1:]
    assert drawn["y"] == pytest.approx([0.5, 0.75])
    parquet = client.get("/compare/export/", {**query, "form": "parquet"})
    assert b"".join(parquet)[:4] == b"PAR1"
    assert client.get("/compare/export/", {**query, "form": "odt"}).status_code == 404
