"""Dry runs of rubrics that compare two answers: stored pairs in both orders, beside how they were compared."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import START_T, tell
from tests.webapp.test_api import Script
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs.models import Job
from webapp.library.rubric_services import create_rubric
from webapp.review.dry_run_results import dry_run_for
from webapp.review.dry_runs import bench_for, kinds_of
from webapp.review.pair_dry_runs import informative_pairs, stored_pairs_in
from webapp.review.services import give_verdict
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db(transaction=True)
WORDS = "{question}: {first} or {second}? <better>"


def turn(role: str, answer: str, *, right: bool | None = None) -> dict[str, Any]:
    return {"role": role, "text": f"<answer>{answer}</answer>", "parsed": answer, "correct": right}


def sample(seq: int, *turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    data = {"episode": f"{seq}-0", "title": f"question {seq}", "turns": list(turns), "facts": {}, **more}
    return {"seq": seq, "kind": "sample", "step": seq, "t": START_T + seq, "data": data}


@pytest.fixture
def run(run_in: Callable[..., Run]) -> Run:
    """One sample of every kind that holds pairs, and one that holds none."""
    run = run_in("succeeded")
    a, b, c = turn("player", "7", right=True), turn("player", "8", right=False), turn("player", "9", right=False)
    table = [[0.5, 0.9, 0.2], [0.1, 0.5, 0.5], [0.8, 0.5, 0.5]]
    lines, more = turn("player", "a poem"), turn("player", "a better poem")
    proposer, judge = turn("proposer", "3+4"), {**turn("judge", "4"), "parent": 1}
    given = {**turn("demonstration", "7", right=True)}
    tell(
        run,
        [
            sample(1, a, b, c, table=table),
            sample(2, lines, more, layout="pairs", pairs=[{"chosen": 1, "rejected": 0}]),
            sample(3, proposer, b, judge, a),
            sample(4, given, c, layout="pairs", pairs=[{"chosen": 0, "rejected": 1}]),
            sample(5, a, a, layout="pairs", pairs=[{"chosen": 0, "rejected": 1}]),
        ],
    )
    return run


def test_pairs_are_taken_from_what_compared_them(run: Run, ada: User) -> None:
    found = {pair.id: (pair.value, pair.truth, pair.dispute) for pair in stored_pairs_in(run)}
    assert found == {
        # Of an oracle's table: the two of which the better one is known, the one it got wrong first.
        "1/0-2": (0.2, True, pytest.approx(0.8)),
        "1/0-1": (0.9, True, pytest.approx(0.1)),
        "2/0-1": (0.0, None, 0.0),  # preferred, nobody knows whether rightly
        "3/1-3": (None, False, 0.5),  # siblings that nobody compared
        "4/0-1": (None, True, 0.5),  # a demonstration is data, nobody preferred it
    }
    assert [pair.id for pair in informative_pairs(stored_pairs_in(run))][:2] == ["1/0-2", "4/0-1"]
    give_verdict(actor=ada, run_id=run.pk, episode="3-0", turn=1, label="right", saw_judge=True)
    (pair,) = [pair for pair in stored_pairs_in(run) if pair.seq == 3] or [None]
    assert pair is None  # now both are right


def answered(job: Job, orders: dict[str, tuple[float | None, float | None]]) -> None:
    """By pair, whether the first is preferred where it is shown first and where it is shown second."""
    items = []
    for item in job.payload["items"]:
        scores = list(orders[item["id"]])
        told = [0.5 if score is None else score for score in scores]
        items.append({"id": item["id"], "value": sum(told) / 2, "scores": scores, "orders": told})
        items[-1] |= {"verdict": "<better>1</better>", "turned": "Hm."}
    result = {"items": items, "unreadable": 0.0, "agreement": None}
    Job.objects.filter(pk=job.pk).update(status="succeeded", finished_at=timezone.now(), result=result)


def test_both_orders_and_what_they_come_to_are_told(run: Run, ada: User, workspace: Workspace, client: Client) -> None:
    client.force_login(ada)
    rubric = create_rubric(actor=ada, workspace=workspace, name="Duel", kind="pair", text=WORDS).rubric
    assert bench_for(ada, workspace, ["pair"]).runs == [run]
    assert "pair" in kinds_of("sppo")
    page = client.get(reverse("rubric", args=[rubric.pk])).text
    assert "Dry run on ten stored pairs" in page
    asked = client.post(
        reverse("try_rubric", args=[rubric.pk]),
        {"dry.of": str(run.pk), "dry.judge": f"{run.pk}/0/main", "text": WORDS},
    )
    job = Job.objects.get()
    assert (job.payload["asks"], {item["id"] for item in job.payload["items"]}) == (
        "pair",
        {"1/0-2", "1/0-1", "2/0-1", "3/1-3", "4/0-1"},
    )
    answered(
        job,
        {
            "1/0-2": (1.0, 1.0),  # was wrong, is right now: flips
            "1/0-1": (1.0, 0.0),  # whatever is shown first
            "2/0-1": (0.0, 0.0),
            "3/1-3": (None, 0.0),
            "4/0-1": (None, None),
        },
    )
    found = dry_run_for(ada, job.pk)
    pairs = found.pairs
    assert (found.outcome, pairs is None) == (None, False)
    assert pairs is not None
    # Known: 1/0-2 and 1/0-1 were compared, one of them rightly; now 1/0-2 and 3/1-3 are in line, 1/0-1 is undecided.
    assert (pairs.num_known, pairs.num_compared, pairs.agreed, pairs.agree) == (4, 2, 1, 2)
    assert (pairs.num_flips, pairs.num_contradict, pairs.num_unread) == (1, 1, 1)
    # Seven verdicts can be read; for the answer shown first are 1/0-2 in its first order, and 1/0-1, 2/0-1 and 3/1-3:
    # 1 + 0, 1 + 1, 0 + 1, 1 of seven.
    assert pairs.first_shown == pytest.approx(5 / 7)
    shown = client.get(asked.url).text
    assert "1 of 2 before" in shown
    assert "not compared" in shown
    assert "71" in shown
    told = Script(ada)("get", f"dry-runs/{job.pk}/").json()
    assert (told["outcome"], told["pairs"]["num_contradict"], told["pairs"]["agree"]) == (None, 1, 2)
    line = next(each for each in told["pairs"]["lines"] if each["flips"])
    assert (line["first"], line["second"], line["value_before"], line["value"], line["orders"]) == (
        "<answer>7</answer>",
        "<answer>9</answer>",
        0.2,
        1.0,
        [1.0, 1.0],
    )
