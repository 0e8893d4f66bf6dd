"""Dry runs: ten stored samples judged or paid anew, beside what was."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.http import Http404
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import START_T, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs.models import Job
from webapp.jobs.weights import Moment
from webapp.library.rubric_services import create_rubric
from webapp.review.dry_run_results import dry_run_for
from webapp.review.dry_run_services import start_dry_run
from webapp.review.dry_runs import (
    bench_for,
    informative,
    kinds_of,
    paid,
    stored_in,
    weighed_anew,
    weights_of,
)
from webapp.review.services import give_verdict
from webapp.telemetry.reckoning import reckonings
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import PermissionDenied

pytestmark = pytest.mark.django_db(transaction=True)


def event(seq: int, question: str, text: str, score: int, *, right: bool) -> dict[str, Any]:
    """An answer, worth 0.5 judge + 0.5 format, and the verdict on it: 10 is 1, 1 is 0."""
    value = (score - 1) / 9
    head = {"role": "solver", "text": f"<answer>{text}</answer>", "parsed": text, "correct": right, "trained": True}
    head |= {"rewards": {"judge": value, "format": 1.0}, "parts": {"judge": 0.5 * value, "format": 0.5}}
    head |= {"reward": 0.5 * value + 0.5}
    verdict = {"role": "judge", "text": f"<score>{score}</score>", "parsed": str(score), "parent": 0}
    data = {"episode": f"{seq}-s0", "title": question, "turns": [head, verdict], "facts": {}}
    return {"seq": seq, "kind": "sample", "step": seq, "t": START_T + seq, "data": data}


@pytest.fixture
def run(run_in: Callable[..., Run]) -> Run:
    """Twelve answers that the judge accepted: eight rightly, and "wrong 0" to "wrong 3"."""
    run = run_in("succeeded")
    right = [event(n + 1, f"{n}+0", str(n), 10, right=True) for n in range(8)]
    wrong = [event(n + 9, f"{n}+1", f"wrong {n}", 10, right=False) for n in range(4)]
    tell(run, [*right, *wrong])
    return run


def ended(job: Job, scores: dict[str, int | None]) -> None:
    """The judge says 10 of everything but the answers that are named."""
    items = []
    for item in job.payload["items"]:
        score = scores.get(item["answer"], 10)
        value = 0.5 if score is None else (score - 1) / 9
        items.append({"id": item["id"], "value": value, "scores": [score], "verdict": f"<score>{score}</score>"})
    result = {"items": items, "unreadable": 0.0, "agreement": None}
    Job.objects.filter(pk=job.pk).update(status="succeeded", finished_at=timezone.now(), result=result)


def test_half_of_the_ten_are_disputed_and_the_rest_reaches_to_where_the_judge_agreed(run: Run, ada: User) -> None:
    chosen = informative(stored_in(run, "answer"))
    assert [each.answer for each in chosen[:4]] == ["wrong 3", "wrong 2", "wrong 1", "wrong 0"]
    assert [each.answer for each in chosen[4:]] == ["7", "6", "4", "3", "2", "0"]  # six of the eight right ones
    assert (chosen[0].dispute, chosen[-1].dispute, len(chosen)) == (1.0, 0.0, 10)
    give_verdict(actor=ada, run_id=run.pk, episode="1-s0", turn=0, label="wrong", saw_judge=True)
    (first, *_) = [each for each in stored_in(run, "answer") if each.answer == "0"]
    assert (first.truth, first.by_people, first.dispute) == (False, True, 1.0)  # people before the verifier


def test_what_was_said_and_paid_stands_beside_what_would_be(run: Run, ada: User) -> None:
    words = "Grade {answer}. <score>"
    job = start_dry_run(
        actor=ada, run=run, judge=Moment(run=run, step=0), kind="answer", template=words, weights={"w_judge": 0.8}
    )
    assert (job.kind, job.payload["template"], len(job.payload["items"])) == ("rejudge", words, 10)
    assert dry_run_for(ada, job.pk).outcome is None
    ended(job, {"wrong 0": 1, "wrong 1": 1, "wrong 2": 1, "4": 1, "7": None})
    outcome = dry_run_for(ada, job.pk).outcome
    assert outcome is not None
    # Before: all ten accepted, four of them wrong. Now three wrong ones are refused, and a right one; one is not readable.
    assert (outcome.agreed, outcome.agree, outcome.num_known) == (6, 7, 10)
    assert (outcome.num_flips, outcome.num_unread) == (4, 1)
    lines = {line.stored.answer: line for line in outcome.lines}
    flipped, kept, unread = lines["wrong 0"], lines["0"], lines["7"]
    assert [(part.name, part.before, part.after) for part in flipped.parts] == [
        ("judge", 0.5, 0.0),
        ("format", 0.5, 0.5),
    ]
    assert (flipped.reward, kept.reward) == (pytest.approx(0.5), pytest.approx(0.8 + 0.5))
    assert (unread.is_read, unread.accepts, unread.reward) == (False, None, pytest.approx(0.8 * 0.5 + 0.5))
    assert outcome.mean_before == pytest.approx(1.0)
    # Four times 0.5, once 0.9, five times 1.3.
    assert outcome.mean_after == pytest.approx((4 * 0.5 + 0.9 + 5 * 1.3) / 10)


def test_rewards_are_weighed_anew_without_a_model(run: Run) -> None:
    assert weights_of(run.spec)["w_judge"] == 0.5
    outcome = weighed_anew(run, {"w_judge": 0.2, "w_solver_format": 0.5})
    assert (outcome.num_looked_at, len(outcome.lines)) == (12, 10)
    assert [line.reward for line in outcome.lines] == [pytest.approx(0.7)] * 10
    assert (outcome.mean_before, outcome.mean_after) == (pytest.approx(1.0), pytest.approx(0.7))
    bare = replace(
        stored_in(run, "weights")[0], sum=reckonings([{"role": "solver", "rewards": {"judge": 1.0}, "reward": 0.9}])[0]
    )
    parts, reward = paid(bare, run.spec, {"w_judge": 0.2})  # of an older run that did not tell the parts
    assert ([(part.before, part.after) for part in parts], reward) == ([(0.5, 0.2)], pytest.approx(0.6))
    unweighed = {**run.spec, "method": {**run.spec["method"], "w_judge": 0.0}}
    (stored, *_) = stored_in(run, "weights")
    parts, _ = paid(stored, unweighed, {"w_judge": 0.3})
    assert parts[0].after == pytest.approx(0.3)  # it counted for nothing, so its part is weight times value


def test_what_cannot_be_tried_is_refused_in_a_sentence(
    run: Run, ada: User, ben: User, cyn: User, workspace: Workspace
) -> None:
    judge = Moment(run=run, step=0)
    with pytest.raises(ValueError, match="never shows the answer"):
        start_dry_run(actor=ada, run=run, judge=judge, kind="answer", template="Hm")
    with pytest.raises(ValueError, match="has no words of its own"):  # the starter was not taught to compare
        start_dry_run(actor=ada, run=run, judge=judge, kind="pair")
    with pytest.raises(ValueError, match="has no stored pair"):
        start_dry_run(actor=ada, run=run, judge=judge, kind="pair", template="{first} or {second}?")
    with pytest.raises(ValueError, match="no stored sample that was judged so"):
        start_dry_run(actor=ada, run=run, judge=judge, kind="question")
    with pytest.raises(PermissionDenied):
        start_dry_run(actor=ben, run=run, judge=judge, kind="answer")
    job = start_dry_run(actor=ada, run=run, judge=judge, kind="answer")
    assert dry_run_for(ben, job.pk).run == run
    with pytest.raises(Http404):
        dry_run_for(cyn, job.pk)
    assert kinds_of("mae") == ["answer", "question", "weights"]
    assert bench_for(ada, workspace, ["answer"]).runs == [run]
    assert bench_for(ada, workspace, ["pair"]).runs == []


def test_a_rubric_and_a_form_are_tried_on_their_pages(
    client: Client, run: Run, ada: User, workspace: Workspace
) -> None:
    client.force_login(ada)
    rubric = create_rubric(actor=ada, workspace=workspace, name="R", kind="answer", text="Grade {answer}").rubric
    assert "Dry run on ten stored samples" in client.get(reverse("rubric", args=[rubric.pk])).text
    choice = {"dry.of": str(run.pk), "dry.judge": f"{run.pk}/0/main"}
    scripted: dict[str, Any] = {"headers": {"HX-Request": "true"}}
    refused = client.post(reverse("try_rubric", args=[rubric.pk]), {**choice, "text": "Hm"}, **scripted).text
    assert "never shows the answer" in refused
    plain = client.post(reverse("try_rubric", args=[rubric.pk]), {**choice, "text": "Be kind to {answer}"})
    job = Job.objects.get()
    assert (plain.url, job.payload["template"]) == (reverse("dry_run", args=[job.pk]), "Be kind to {answer}")
    assert 'hx-trigger="every 1s"' in client.get(plain.url).text
    client.post(reverse("stop_dry_run", args=[job.pk]), **scripted)
    assert "Nothing was judged anew" in client.get(plain.url).text

    form = {"method": "mae", "method.w_judge": "0.2", "model.source": "starter"}
    weighed = client.post(reverse("try_composition"), {**form, **choice, "dry.kind": "weights"}, **scripted).text
    assert "12 stored turns" in weighed
    asked = client.post(reverse("try_composition"), {**form, **choice, "dry.kind": "answer"}, **scripted).text
    newest = Job.objects.order_by("-created_at")[0]
    assert newest.payload["template"] == "<|judge|>{answer}<|reply|>{question}<|go|>"
    assert newest.note["dry_run"]["weights"]["w_judge"] == 0.2
    ended(newest, {"wrong 0": 1})
    assert "1 of 10" in client.get(reverse("dry_run", args=[newest.pk]), **scripted).text
    assert reverse("dry_run", args=[newest.pk]) in asked
    wrong = {**form, **choice, "dry.kind": "answer", "steps": "many"}
    assert "Correct the settings first" in client.post(reverse("try_composition"), wrong, **scripted).text
