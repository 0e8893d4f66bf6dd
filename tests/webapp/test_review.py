"""Reviewing: what is asked first, what an answer does, and how agreement is counted."""

from collections.abc import Callable
from math import log2, sqrt
from typing import Any

import pytest
from django.http import Http404
from django.test import Client
from django.urls import reverse

from tests.factories import START_T, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.orders.models import RunOrder
from webapp.review import services
from webapp.review.gain import Evidence, belief, entropy, gain
from webapp.review.judged import judged_turn, judged_turns
from webapp.review.models import Verdict
from webapp.review.selectors import agreement_in, item_for, judge_of, queue, verdicts_on
from webapp.review.statistics import cohens_kappa, meter, narrowing, wilson
from webapp.workspaces.models import Membership, Workspace
from webapp.workspaces.selectors import PermissionDenied

pytestmark = pytest.mark.django_db(transaction=True)


# Numbers by hand


def test_wilsons_interval() -> None:
    # 8 of 10 by the formula with z^2 = 3.84146: middle (0.8 + 0.192073) / 1.384146, half 1.959964 sqrt(0.016 + 0.0096036) / 1.384146.
    found = wilson(8, 10)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) is None
    assert wilson(0, 5).low == 0  # type: ignore[union-attr]


def test_cohens_kappa_of_the_textbook_table() -> None:
    # 20 both yes, 5 only the first, 10 only the second, 15 both no: p_o 0.7, p_e 0.5 * 0.6 + 0.5 * 0.4 = 0.5, kappa 0.4.
    first = [True] * 25 + [False] * 25
    second = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    found = cohens_kappa(first, second)
    assert found is not None
    error = sqrt(0.7 * 0.3 / 50) / 0.5
    assert (found.value, found.low) == pytest.approx((0.4, 0.4 - 1.959964 * error))
    assert cohens_kappa([True, True], [True, True]) is None


def test_the_meter_counts_false_accepts_and_rejects() -> None:
    found = meter([True, True, False, False], [True, False, True, False])
    assert (found.agreement.value, found.false_accept.value, found.false_reject.value) == (0.5, 0.5, 0.5)  # type: ignore[union-attr]
    assert meter([], []).agreement is None


def test_each_label_narrows_the_interval() -> None:
    widths = narrowing([True, True, True, False])
    assert widths[0] > widths[1] > widths[2]
    assert widths[0] == pytest.approx(1 - 0.2065, abs=1e-4)


def test_the_gain_of_an_answer_by_hand() -> None:
    assert gain(Evidence(scores=(1.0, 0.0))) == 1.0
    assert gain(Evidence(scores=(1.0, 1.0))) == 0.0
    # One accepting verdict, but only a quarter of the group says the same: p = (1 + 1/4) / 2.
    assert belief(Evidence(scores=(1.0,), share=0.25)) == 0.625
    assert gain(Evidence(scores=(1.0,), share=0.25)) == pytest.approx(-0.625 * log2(0.625) - 0.375 * log2(0.375))
    # People called 1 of 4 right that scored alike: share (1 + 1/2) / 5, weight 3.
    assert belief(Evidence(scores=(1.0,), right=1, labels=4)) == pytest.approx((1 + 3 * 0.3) / 4)
    # A sibling with the same answer, refused: weight 1/2.
    assert belief(Evidence(scores=(1.0,), siblings=(0.0,))) == pytest.approx(1 / 1.5)
    assert gain(Evidence(scores=(1.0, 0.0), others=1)) == 0.5
    assert gain(Evidence(scores=(1.0, 0.0), is_known=True)) == 0.0
    assert entropy(0.5) == 1.0


# Samples with judged turns


def answer(text: str, scores: list[int], *, correct: bool | None = None) -> list[dict[str, Any]]:
    """An answer to the question in turn 0, and the verdicts on it."""
    head = {"role": "solver", "text": f"<answer>{text}</answer>", "parsed": text, "parent": 0, "correct": correct}
    head |= {"rewards": {"judge": 0.5, "format": 1.0}, "reward": 0.5, "trained": True}
    return [head, *({"role": "judge", "text": f"<score>{s}</score>", "parsed": str(s)} for s in scores)]


def sample(seq: int, step: int, episode: str, *answers: list[dict[str, Any]]) -> dict[str, Any]:
    turns: list[dict[str, Any]] = [{"role": "proposer", "text": "3+4", "parsed": "3+4"}]
    for head, *verdicts in answers:
        place = len(turns)
        turns += [head, *({**verdict, "parent": place} for verdict in verdicts)]
    data = {"episode": episode, "title": "3+4", "turns": turns, "facts": {}}
    return {"seq": seq, "kind": "sample", "step": step, "t": START_T + seq, "data": data}


@pytest.fixture
def run(run_in: Callable[..., Run]) -> Run:
    """A run whose judge is sure of one answer, torn over another, and wrong about a third that a verifier knows."""
    run = run_in("running")
    # A task without a verifier: what truth there is stands in the samples.
    Run.objects.filter(pk=run.pk).update(spec={**run.spec, "task": {"kind": "jsonl", "path": "data.jsonl"}})
    tell(
        run,
        [
            sample(1, 1, "1-s0", answer("7", [10, 10])),
            sample(2, 2, "2-s0", answer("8", [10, 1])),
            sample(3, 3, "3-s0", answer("9", [10], correct=False)),
        ],
    )
    return run


def give(actor: User, run: Run, episode: str, label: str, **more: Any) -> Verdict:
    given = {"turn": 1, "saw_judge": False, **more}
    return services.give_verdict(actor=actor, run_id=run.pk, episode=episode, label=label, **given)


def test_judged_turns_of_a_sample() -> None:
    data = sample(1, 1, "1-s0", answer("7", [10, 1]), answer("8", [1]))["data"]
    first, second = judged_turns(data)
    assert (first.turn, first.kind, first.scores, first.verdicts, first.value) == (1, "answer", (1.0, 0.0), (2, 3), 0.5)
    assert (second.turn, second.answer, second.value) == (4, "8", 0.0)
    assert judged_turn(data, 5) == second
    assert judged_turn(data, 0) is None


def test_the_queue_asks_the_most_instructive_first_and_what_a_verifier_knows_last(
    run: Run, ada: User, workspace: Workspace
) -> None:
    items = queue(ada, workspace)
    # Each is a third of its group: H((1 + 0 + 1/3) / 3) and H((1 + 1 + 1/3) / 3).
    assert [(item.episode, round(item.gain, 2)) for item in items] == [("2-s0", 0.99), ("1-s0", 0.76), ("3-s0", 0.0)]
    assert [item.is_known for item in items] == [False, False, True]
    give(ada, run, "2-s0", "unclear")
    assert [item.episode for item in queue(ada, workspace)] == ["1-s0", "3-s0"]
    assert "2-s0" in [item.episode for item in queue(ada, workspace, again=True)]


def test_a_verdict_that_differs_becomes_an_order_and_taking_it_back_another(
    run: Run, ada: User, workspace: Workspace
) -> None:
    agreed = give(ada, run, "1-s0", "right", turn=2)  # on a verdict: its answer is meant
    assert (agreed.turn, agreed.overrules, agreed.order, agreed.judge_value) == (1, False, None, 1.0)
    overruled = give(ada, run, "1-s0", "wrong")
    assert overruled.overrules
    assert "on its way" in overruled.fate
    assert Verdict.objects.get(pk=agreed.pk).withdrawn_at is not None
    assert overruled.order is not None
    assert overruled.order.payload == {"episode": "1-s0", "turn": 1, "value": 0.0}

    change = {"order": 1, "command": "overrule", "by": "Ada", "what": "turn 1", "before": 1.0, "after": 0.5}
    change |= {"obeyed": True, "update": 4, "text": "The reward went from 1 to 0.5 and reached the update of step 4."}
    tell(run, [{"seq": 4, "kind": "change", "step": 4, "t": START_T, "data": change}])
    overruled = Verdict.objects.get(pk=overruled.pk)
    assert "reached the update of step 4" in overruled.fate

    services.undo_verdict(actor=ada, workspace=workspace)
    assert RunOrder.objects.get(number=2).payload == {"episode": "1-s0", "turn": 1, "value": None}
    assert verdicts_on(run, "1-s0") == {}
    assert services.undo_verdict(actor=ada, workspace=workspace) is None


def test_a_run_that_has_ended_learns_nothing_but_the_calibration_set_does(run: Run, ada: User) -> None:
    Run.objects.filter(pk=run.pk).update(status="succeeded", finished_at=run.started_at)
    verdict = give(ada, run, "1-s0", "wrong")
    assert verdict.order is None
    assert "calibration set only" in verdict.fate


def test_viewers_read_outsiders_see_nothing_and_unknown_labels_are_refused(
    run: Run, ada: User, ben: User, cyn: User
) -> None:
    with pytest.raises(PermissionDenied):
        give(ben, run, "1-s0", "right")
    with pytest.raises(Http404):
        give(cyn, run, "1-s0", "right")
    with pytest.raises(Http404):
        give(ada, run, "1-s0", "right", turn=0)
    with pytest.raises(ValueError, match="no verdict"):
        give(ada, run, "1-s0", "perhaps")
    assert item_for(ben, run.pk, "1-s0", 1).judged.answer == "7"


def test_agreement_is_counted_by_judge_and_among_people(run: Run, ada: User, ben: User, workspace: Workspace) -> None:
    Membership.objects.filter(user=ben).update(role="editor")
    give(ada, run, "1-s0", "right")
    give(ada, run, "2-s0", "wrong")  # the judge's 1/2 counts as acceptance
    give(ben, run, "1-s0", "wrong")
    give(ben, run, "3-s0", "unclear")
    found = agreement_in(ada, workspace)
    assert (found.mine, found.total, found.unclear, found.num_shared) == (2, 4, 1, 1)
    assert found.meter.agreement is not None and found.reviewers is not None
    assert (found.meter.agreement.hits, found.meter.agreement.number) == (1, 3)
    assert (found.reviewers.hits, found.reviewers.number) == (0, 1)
    (row,) = found.by_judge
    assert (row.judge, row.subject) == (judge_of(run, 1), "mae/answer")
    assert judge_of(run, 51) == "current, starter, steps 51–100"


def test_the_page_hides_the_judge_until_the_person_has_answered(run: Run, ada: User, ben: User, client: Client) -> None:
    client.force_login(ada)
    page = client.get(reverse("review")).text
    assert "Is this answer right?" in page
    assert "hidden, so that it does not sway you" in page
    form = {"run": run.pk, "episode": "2-s0", "turn": 1, "label": "wrong", "part": "1"}
    answered = client.post(reverse("review_answer"), form).text
    assert "You said wrong and overruled the judge" in answered
    assert "100 %, 0 %" in answered.replace("&nbsp;", " ")
    sample_page = client.get(reverse("run_sample", args=[run.pk, 2])).text
    assert "Ada: wrong, overrules the judge" in sample_page
    assert "overruled" in client.get(reverse("review_side")).text
    assert client.post(reverse("review_undo"), {"part": "1"}).status_code == 200
    assert client.post(reverse("review_undo"), {"part": "1"}).status_code == 204
    client.force_login(ben)
    assert "Editors answer" in client.get(reverse("review")).text


def test_what_a_verifier_settles_is_asked_last_with_the_judges_worst_mistakes_first(
    run_in: Callable[..., Run], ada: User, workspace: Workspace
) -> None:
    run = run_in("running")
    tell(
        run,
        [
            sample(1, 1, "1-s0", answer("7", [10], correct=True)),
            sample(2, 2, "2-s0", answer("8", [4], correct=False)),
            sample(3, 3, "3-s0", answer("9", [10])),  # no truth although sums are solved by rule: an ill-posed question
        ],
    )
    items = queue(ada, workspace)
    assert [(item.episode, item.is_known, item.gain) for item in items] == [
        ("3-s0", True, 0.0),
        ("2-s0", True, 0.0),
        ("1-s0", True, 0.0),
    ]


# Verdicts that are no turns of a judge


def test_what_an_oracle_says_is_reviewed_like_a_judges_word(
    run_in: Callable[..., Run], ada: User, client: Client
) -> None:
    run = run_in("running")
    Run.objects.filter(pk=run.pk).update(
        spec={**run.spec, "method": {"name": "sppo", "oracle": {"kind": "judge", "judge": "frozen", "reads": "answer"}}}
    )
    run.refresh_from_db()
    turns = [
        {"role": "opponent", "text": f"<answer>{n}</answer>", "parsed": n, "verdict": v}
        for n, v in (("7", 0.2), ("8", 0.8))
    ]
    data = {"episode": "1-0", "title": "3+4", "layout": "pairs", "turns": turns, "facts": {}}
    tell(run, [{"seq": 1, "kind": "sample", "step": 1, "t": START_T, "data": data}])
    found = {item.judged.answer: item for item in queue(ada, run.experiment.workspace, run=run)}
    assert (found["7"].judged.value, found["8"].judged.value, found["7"].judged.verdicts) == (0.2, 0.8, ())
    verdict = services.give_verdict(actor=ada, run_id=run.pk, episode="1-0", turn=0, label="right", saw_judge=False)
    assert (verdict.subject, verdict.judge) == ("sppo/answer", "frozen, starter")
    assert verdict.order is not None
    client.force_login(ada)
    assert "learnt from in the next update" in client.get(reverse("run_part", args=[run.pk, "steer"])).text


def test_a_game_says_why_nothing_can_be_overruled(run_in: Callable[..., Run], ada: User, client: Client) -> None:
    run = run_in("running")
    Run.objects.filter(pk=run.pk).update(spec={"method": {"name": "spiral"}, "steps": 5, "seed": 0})
    client.force_login(ada)
    for page in (reverse("run_part", args=[run.pk, "steer"]), f"{reverse('review')}?of={run.pk}"):
        assert "The rules of the game say exactly who won" in client.get(page).text
