"""The judge's tab: lines with intervals, the tables of a moment, and the gap of a hidden audit."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import START_T, mae_events, make_experiment, make_run, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.telemetry.judgements import judge_lines, judge_tables
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada))


def judged(step: int, cells: tuple[int, int, int, int], **more: float) -> dict[str, Any]:
    names = ("right_accepted", "right_refused", "wrong_accepted", "wrong_refused")
    values = {f"confusion/{name}": float(n) for name, n in zip(names, cells, strict=True)}
    values |= {name.replace("__", "/"): value for name, value in more.items()}
    return {"seq": step, "kind": "metric", "step": step, "t": START_T + step, "data": {"values": values}}


def test_steps_are_pooled_until_a_place_says_something(run: Run) -> None:
    tell(run, [judged(step, (8, 2, 4, 6)) for step in range(1, 11)])  # 20 answers a step: three steps make 60
    lines = judge_lines(run)
    assert lines["steps"] == [3, 6, 9, 10]
    assert lines["accuracy"]["y"] == [0.7] * 4
    assert lines["false_accept"]["y"] == [0.4] * 4
    assert lines["kappa"]["y"] == pytest.approx([0.4] * 4)  # right and accepted: 0.5 and 0.6, so p_e is 0.5
    assert lines["accuracy"]["high"][0] < lines["accuracy"]["high"][3]  # 60 answers against 20
    assert lines["audit"] is None


def test_the_table_is_that_of_the_steps_before_the_moment(run: Run) -> None:
    tell(
        run,
        [
            *(judged(step, (1, 0, 0, 1)) for step in range(1, 21)),
            *(judged(step, (0, 1, 1, 0)) for step in range(21, 41)),
        ],
    )
    now, then = judge_tables(run), judge_tables(run, at=20)
    assert (now["first"], now["last"]) == (21, 40)
    assert (now["matrix"].wrong_accepted, now["matrix"].right_accepted) == (20, 0)
    assert (then["matrix"].wrong_accepted, then["matrix"].right_accepted) == (0, 20)
    assert now["rows"][0]["rates"][1].value == -1.0


def test_lengths_are_told_apart_where_they_are_known(run: Run) -> None:
    short = {"confusion_short__right_accepted": 5.0, "confusion_short__right_refused": 0.0}
    short |= {"confusion_short__wrong_accepted": 0.0, "confusion_short__wrong_refused": 5.0}
    tell(run, [judged(1, (10, 0, 5, 5), **short, judge__length_pull=0.4)])
    tables = judge_tables(run)
    assert [row["title"] for row in tables["rows"]] == ["All answers", "Shorter half"]
    assert tables["pull"] == pytest.approx(0.4)


def test_a_gap_to_the_hidden_audit_has_limits_and_an_onset(run: Run) -> None:
    gaps = [0.01, -0.01] * 10 + [0.2] * 10
    audits = [{"audit__gap": gap, "audit__gap_sd": 0.1, "audit__answers": 25.0} for gap in gaps]
    tell(run, [judged(step, (5, 0, 0, 5), **audit) for step, audit in enumerate(audits, start=1)])
    audit = judge_lines(run)["audit"]
    assert audit["onset"] == {"step": 21, "seen_at": 21, "before": pytest.approx(0.0)}
    assert audit["high"][0] == pytest.approx(0.01 + 1.96 * 0.1 / 5, abs=1e-4)


def test_the_tab_teaches_while_there_is_nothing_and_shows_what_there_is(run: Run, ada: User, client: Client) -> None:
    client.force_login(ada)
    part = reverse("run_part", args=[run.pk, "judge"])
    assert "No verdict yet" in client.get(part).content.decode()
    events = mae_events(6)
    for event in events:
        if "judge/live_score" in event["data"].get("values", {}):
            event["data"]["values"] |= judged(event["step"], (30, 1, 2, 17))["data"]["values"]
    tell(run, events)
    html = client.get(part).content.decode()
    assert ">180<" in html
    assert "0.94" in html  # 47 of 50 verdicts
    assert f"/runs/{run.pk}/samples/" in html
    assert ">60<" in client.get(reverse("run_part", args=[run.pk, "judge-tables"]), {"at": "2"}).content.decode()


def test_a_method_without_a_judge_has_no_such_tab(workspace: Workspace, ada: User, client: Client) -> None:
    experiment = make_experiment(workspace, ada, method={"name": "spiral"})
    experiment.method = "spiral"
    experiment.save()
    run = make_run(experiment)
    client.force_login(ada)
    assert client.get(reverse("run_part", args=[run.pk, "judge"])).status_code == 404
