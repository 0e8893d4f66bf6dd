"""The run page at a step that is past: what was known then, the marks on its axis, and vital signs in words."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import START_T, mae_events, make_experiment, make_run, next_attempt, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.telemetry.marks import marks
from webapp.telemetry.moments import recent_values, seq_at
from webapp.telemetry.vitals import vitals
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada))


def step_of(step: int, seq: int | None = None, **values: float) -> dict[str, Any]:
    named = {name.replace("__", "/"): value for name, value in values.items()}
    return {"seq": seq or step, "kind": "metric", "step": step, "t": START_T + step, "data": {"values": named}}


def vital(run: Run, key: str, **at: int) -> dict[str, Any]:
    return next(found for found in vitals(run, **at) if found["key"] == key)


def test_the_last_event_of_a_step_is_found_wherever_it_is(run: Run) -> None:
    tell(run, mae_events(30))
    rows = list(run.events.order_by("seq").values_list("seq", "step"))
    for step in (0, 1, 9, 10, 29, 30):
        assert seq_at(run, step) == max(seq for seq, of in rows if of == step)
    assert seq_at(run, 99) == run.last_seq


def test_a_run_without_events_has_no_moment(run: Run) -> None:
    assert seq_at(run, 5) == 0
    assert vitals(run) == vitals(run, up_to=0) == []


def test_the_vital_signs_of_a_moment_know_nothing_of_what_came_later(run: Run, ada: User, client: Client) -> None:
    tell(run, mae_events(40))
    client.force_login(ada)
    then = client.get(reverse("run_moment", args=[run.pk]), {"at": "10"}).json()
    early = make_run(run.experiment)
    tell(early, [event for event in mae_events(40) if event["step"] <= 10])
    assert then["vitals"] == vitals(early)
    assert then["t"] == early.events.order_by("-seq")[0].t
    assert client.get(reverse("run_moment", args=[run.pk])).json()["vitals"] == vitals(run)


def test_the_page_can_be_opened_at_a_moment(run: Run, ada: User, client: Client) -> None:
    tell(run, mae_events(20))
    client.force_login(ada)
    now = client.get(reverse("run", args=[run.pk])).content.decode()
    then = client.get(reverse("run", args=[run.pk]) + "?at=10").content.decode()
    assert '"at": null' in now
    assert '"at": 10' in then
    assert '"at": 20' in client.get(reverse("run", args=[run.pk]) + "?at=999").content.decode()


def test_steps_are_read_newest_last_and_evaluations_left_out(run: Run) -> None:
    tell(run, [step_of(n, reward__solver=n / 10) for n in range(1, 4)])
    tell(run, [step_of(3, 4, eval__accuracy_sampled=0.5, time__evaluate_s=1.0), step_of(4, 5, reward__solver=0.4)])
    assert [step for step, _ in recent_values(run, count=3)] == [2, 3, 4]
    assert recent_values(run, count=2, up_to=3)[-1] == (3, {"reward/solver": 0.3})


def test_marks_are_checkpoints_changes_overrules_and_restarts(run: Run) -> None:
    change = {"order": 1, "command": "knob", "by": "Ada", "what": "method.optimizer.lr", "before": 0.1, "after": 0.05}
    told = [
        ("checkpoint", {"path": "checkpoints/step-000001", "num_bytes": 1, "digest": "d"}),
        ("change", {**change, "obeyed": True, "text": "step size halved"}),
        ("change", {**change, "obeyed": False, "text": "Too late."}),
        ("change", {**change, "command": "overrule", "obeyed": True, "text": "Ada overruled a verdict."}),
    ]
    tell(run, [{"seq": n, "kind": k, "step": n, "t": START_T, "data": d} for n, (k, d) in enumerate(told, start=1)])
    next_attempt(run)
    tell(run, [step_of(5, reward__solver=0.1)])
    assert [(mark["step"], mark["kind"]) for mark in marks(run)] == [
        (1, "checkpoint"),
        (2, "change"),
        (4, "override"),
        (5, "restart"),
    ]
    assert marks(run)[1]["text"] == "Ada: step size halved"


@pytest.mark.parametrize(
    ("edge", "easy", "hard", "tone", "words"),
    [
        (0.6, 0.3, 0.1, "good", "30% too easy; the rest teaches"),
        (0.2, 0.7, 0.1, "watch", "70% too easy: little to learn from"),
        (0.05, 0.05, 0.9, "bad", "90% too hard: hardly anything to learn from"),
    ],
)
def test_the_frontier_is_told_in_words(edge: float, easy: float, hard: float, tone: str, words: str, run: Run) -> None:
    shares = {"frontier__edge": edge, "frontier__too_easy": easy, "frontier__too_hard": hard}
    tell(run, [step_of(n, **shares, frontier__ill_posed=0.0) for n in (1, 2)])
    found = vital(run, "frontier/edge")
    assert (found["tone"], found["words"], found["now"]) == (tone, words, f"{100 * edge:.0f}%")
    assert [part["label"] for part in found["parts"]] == ["too easy", "at the edge", "too hard", "ill-posed"]
    assert sum(part["share"] for part in found["parts"]) == pytest.approx(1)


@pytest.mark.parametrize(("accepted", "tone"), [(1, "good"), (2, "watch"), (4, "bad")])
def test_the_judge_is_told_by_its_last_verdicts(accepted: int, tone: str, run: Run) -> None:
    cells = {"confusion__right_accepted": 10.0, "confusion__right_refused": 0.0}
    wrong = {"confusion__wrong_accepted": float(accepted), "confusion__wrong_refused": 10.0 - accepted}
    tell(run, [step_of(n, **cells, **wrong) for n in (1, 2, 3)])
    found = vital(run, "confusion")
    assert found["tone"] == tone
    assert found["now"] == f"{100 - 5 * accepted}%"
    assert f"kappa {1 - accepted / 10:.2f}" in found["words"]  # p_e is one half: right is half of all


def test_the_reward_says_which_term_made_it_rise(run: Run) -> None:
    def parts(judge: float, form: float) -> dict[str, float]:
        return {"reward__solver": judge + form, "reward_part__solver_judge": judge, "reward_part__solver_format": form}

    tell(run, [step_of(1, **parts(0.2, 0.2)), *(step_of(n, **parts(0.36, 0.24)) for n in range(2, 12))])
    found = vital(run, "reward/solver")
    assert found["words"] == "80% of the rise is the judge term"
    assert [(part["label"], part["share"]) for part in found["parts"]] == [
        ("judge", pytest.approx(0.6)),
        ("format", pytest.approx(0.4)),
    ]


def test_there_are_never_more_than_six(run: Run) -> None:
    tell(run, mae_events(20))
    assert len(vitals(run)) == 6
    assert vitals(run)[0]["label"] == "Held-out accuracy"
    assert vitals(run)[-1]["label"] == "Throughput"
