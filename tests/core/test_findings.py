"""What a step tells of its rewards, its questions and its judge, against numbers worked out by hand."""

import pytest

from training_core.play.findings import (
    Judged,
    confusion,
    correlation,
    length_pull,
    quantile,
    reward_parts,
    reward_spread,
    spread_of,
    zero_signal,
)
from training_core.play.frontier import Frontier
from training_core.play.records import Rollout
from training_core.play.requests import Completion
from training_core.play.step_log import StepLog

SAID = Completion(text="7", prompt_ids=(1,), token_ids=(2, 0), logprobs=(-0.1, -0.1), entropies=(), ended=True)


def rollout(reward, *, role="solver", group="g", **parts):
    return Rollout(role=role, group=group, completion=SAID, reward=reward, parts=parts)


def test_the_parts_of_a_reward_add_up_to_its_mean_exactly():
    found = reward_parts(
        [
            rollout(0.75, judge=0.5, format=0.25),
            rollout(0.25, format=0.25),
            rollout(1.0, judge=0.5, format=0.25),  # 0.25 is nobody's
        ]
    )
    assert found == {
        "reward_part/solver_judge": pytest.approx(1.0 / 3),
        "reward_part/solver_format": 0.25,
        "reward_part/solver_rest": pytest.approx(0.25 / 3),
    }
    assert sum(found.values()) == pytest.approx((0.75 + 0.25 + 1.0) / 3, abs=1e-15)


def test_a_reward_without_terms_is_one_part():
    assert reward_parts([rollout(0.5), rollout(1.0)]) == {"reward_part/solver_reward": 0.75}


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (0.1, 0.3), (0.5, 1.5), (0.9, 2.7), (1.0, 3.0)])
def test_quantiles_lie_between_the_ordered_values(share, expected):
    assert quantile([3, 0, 2, 1], share) == pytest.approx(expected)


def test_the_spread_of_rewards_is_told_by_role():
    found = reward_spread([rollout(n / 10) for n in range(11)] + [rollout(1.0, role="judge")])
    assert found["reward_p10/solver"] == pytest.approx(0.1)
    assert found["reward_p50/solver"] == pytest.approx(0.5)
    assert found["reward_p90/solver"] == pytest.approx(0.9)
    assert found["reward_p10/judge"] == found["reward_p90/judge"] == 1.0


def test_a_group_whose_members_earn_the_same_has_no_signal():
    found = zero_signal(
        [
            *(rollout(1.0, group="same") for _ in range(4)),
            rollout(1.0, group="mixed"),
            rollout(0.5, group="mixed"),
            rollout(0.0, group="alone"),
            rollout(0.3, role="judge", group="alone"),
        ]
    )
    assert found == {"zero_signal/solver": 0.5}


def test_questions_are_too_easy_at_the_edge_too_hard_or_none():
    frontier = Frontier()
    assert frontier.metrics() == {}
    for right in ([True, True], [True, False], [False, True, True], [False, False]):
        frontier.asked(right)
    frontier.asked([True, True], ill_posed=True)
    frontier.asked([True])  # one answer alone tells nothing
    assert frontier.metrics() == {
        "frontier/too_easy": 0.2,
        "frontier/edge": 0.4,
        "frontier/too_hard": 0.2,
        "frontier/ill_posed": 0.2,
    }


JUDGED = [
    Judged(value=0.9, right=True, length=10),
    Judged(value=0.2, right=True, length=10),
    Judged(value=0.5, right=False, length=30),
    Judged(value=0.1, right=False, length=20),
]


def test_verdicts_are_counted_against_the_truth_in_all_and_by_length():
    found = confusion(JUDGED)
    cells = ("right_accepted", "right_refused", "wrong_accepted", "wrong_refused")
    assert [found[f"confusion/{cell}"] for cell in cells] == [1, 1, 1, 1]
    assert [found[f"confusion_short/{cell}"] for cell in cells] == [1, 1, 0, 0]
    assert [found[f"confusion_long/{cell}"] for cell in cells] == [0, 0, 1, 1]


def test_a_correlation_is_pearsons():
    assert correlation([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert correlation([0, 1, 2], [1, 0, 2]) == pytest.approx(0.5)  # sums: xy 1, xx 2, yy 2
    assert correlation([1, 1, 1], [1, 2, 3]) is None
    assert correlation([1, 2], [1, 2]) is None


def test_right_answers_that_are_longer_are_no_pull_towards_length():
    honest = [
        Judged(value=float(right), right=right, length=10 + 10 * right + wobble)
        for right in (True, False)
        for wobble in (0, 1)
    ]
    assert length_pull(honest) == {"judge/length_correlation": pytest.approx(10 / 10.0499, abs=1e-3)}
    bribed = [
        Judged(value=length / 40, right=right, length=length) for right in (True, False) for length in (10, 20, 30)
    ]
    assert length_pull(bribed)["judge/length_pull"] == pytest.approx(1)


def test_the_spread_of_a_gap_has_n_minus_1_below():
    assert spread_of([1, 2, 3, 4]) == pytest.approx((5 / 3) ** 0.5)
    assert spread_of([7]) == 0.0


def test_a_step_tells_all_of_it():
    log = StepLog()
    for value, right in ((1.0, True), (0.0, False)):
        log.learn(rollout(0.5 * value + 0.25, judge=0.5 * value, format=0.25), train=True)
        log.judged(value, right, length=5)
    log.asked([(True, 1.0), (False, 0.0)])
    log.asked([(None, 0.9), (None, 0.8)])  # nobody knows the truth, so what the judge says
    metrics = log.batch().metrics
    assert metrics["reward/solver"] == metrics["reward_part/solver_judge"] + metrics["reward_part/solver_format"] == 0.5
    assert (metrics["frontier/edge"], metrics["frontier/too_easy"]) == (0.5, 0.5)
    assert metrics["zero_signal/solver"] == 0.0
    assert metrics["confusion/right_accepted"] == metrics["confusion/wrong_refused"] == 1.0
    assert metrics["judge/live_gap_sd"] == 0.0
