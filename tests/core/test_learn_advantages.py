"""Advantage estimators against hand-computed cases."""

import pytest

from training_core.learn import advantages
from training_core.learn.advantages import Baselines
from training_core.play.records import Rollout
from training_core.play.requests import Completion
from training_core.spec.learning import (
    GroupRelative,
    LeaveOneOut,
    NoBaseline,
    ReinforcePlusPlus,
    RoleConditioned,
    RoleMean,
)


def rollout(role, group, reward, num_tokens=1):
    completion = Completion(
        text="",
        prompt_ids=(),
        token_ids=(0,) * num_tokens,
        logprobs=(0.0,) * num_tokens,
        entropies=(0.0,) * num_tokens,
        ended=True,
    )
    return Rollout(role=role, group=group, completion=completion, reward=reward)


def estimate_advantages(spec, rollouts, baselines=None):
    """The advantages alone; each must be what its baseline and divisor make of the reward."""
    found = advantages.estimate_advantages(spec, rollouts, baselines)
    for each, learnt in zip(found, rollouts, strict=True):
        assert each.advantage == pytest.approx((learnt.reward - each.baseline) / each.divisor)
    return [each.advantage for each in found]


def test_reinforce_plus_plus_weighs_long_answers_more():
    # Tokens carry rewards 1, 0, 0, 0: mean 1/4, variance 3/16, deviation sqrt(3)/4.
    found = estimate_advantages(ReinforcePlusPlus(), [rollout("solver", "a", 1.0, 1), rollout("solver", "b", 0.0, 3)])
    assert found == pytest.approx([3**0.5, -1 / 3**0.5], abs=1e-6)


def test_a_role_tells_the_means_its_advantages_come_from():
    # The advantages are sqrt(3) and -1 / sqrt(3); the second is halved by the method.
    learnt = [rollout("solver", "a", 1.0, 1), rollout("solver", "b", 0.0, 3), rollout("judge", "c", 0.3)]
    found = advantages.estimate_advantages(ReinforcePlusPlus(), learnt)
    for each, scale, made in zip(learnt, (1, 0.5, 1), found, strict=True):
        each.advantage = made.advantage * scale
    told = advantages.advantage_means(learnt, found)
    assert {name: value for name, value in told.items() if "solver" in name} == pytest.approx(
        {
            "advantage/solver": (3**0.5 - 0.5 / 3**0.5) / 2,
            "advantage/solver_size": (3**0.5 + 0.5 / 3**0.5) / 2,
            "advantage/solver_reward": 0.5,
            "advantage/solver_baseline": 0.25,
            "advantage/solver_divisor": 3**0.5 / 4,
        },
        abs=1e-6,
    )
    assert told["advantage/judge"] == 0
    unscaled = advantages.advantage_means(learnt, advantages.estimate_advantages(NoBaseline(), learnt))
    assert "advantage/solver_divisor" not in unscaled


def test_reinforce_plus_plus_keeps_roles_apart():
    rollouts = [
        rollout("solver", "a", 1.0),
        rollout("solver", "b", 0.0),
        rollout("judge", "c", 0.3),
        rollout("judge", "d", 0.3),
    ]
    assert estimate_advantages(ReinforcePlusPlus(), rollouts) == pytest.approx([1, -1, 0, 0], abs=1e-6)


def test_group_relative_compares_siblings_only():
    rollouts = [
        rollout("solver", "a", 1.0),
        rollout("solver", "a", 0.0),
        rollout("solver", "b", 0.9),
        rollout("solver", "b", 0.9),
    ]
    assert estimate_advantages(GroupRelative(), rollouts) == pytest.approx([1, -1, 0, 0], abs=1e-6)
    assert estimate_advantages(GroupRelative(scale="none"), rollouts) == pytest.approx([0.5, -0.5, 0, 0])


def test_a_group_of_one_is_compared_with_its_role():
    rollouts = [
        rollout("proposer", "a", 1.0),
        rollout("proposer", "b", 0.0),
        rollout("solver", "c", 1.0),
        rollout("solver", "c", 1.0),
    ]
    assert estimate_advantages(GroupRelative(), rollouts) == pytest.approx([1, -1, 0, 0], abs=1e-6)


def test_no_rollouts_give_no_advantages():
    assert estimate_advantages(ReinforcePlusPlus(), []) == []


def test_leave_one_out_compares_with_the_other_siblings():
    rewards = [("a", 1.0), ("a", 0.0), ("a", 0.5), ("b", 0.7), ("b", 0.7)]
    found = estimate_advantages(LeaveOneOut(), [rollout("solver", group, reward) for group, reward in rewards])
    assert found == pytest.approx([1 - 0.25, 0 - 0.75, 0.5 - 0.5, 0, 0])
    alone = [rollout("solver", group, reward) for group, reward in (("a", 1.0), ("b", 0.0), ("c", 0.0))]
    assert estimate_advantages(LeaveOneOut(), alone) == pytest.approx([1, -0.5, -0.5])
    assert estimate_advantages(LeaveOneOut(), alone[:1]) == [0.0]


def test_the_mean_of_a_role_counts_every_rollout_once_and_keeps_the_scale():
    rollouts = [rollout("first", "a", 10.0, 7), rollout("first", "b", 0.0), rollout("second", "a", 3.0)]
    assert estimate_advantages(RoleMean(), rollouts) == [5.0, -5.0, 0.0]
    assert estimate_advantages(NoBaseline(), rollouts) == [10.0, 0.0, 3.0]


def game(name, seat, result, *, kind="kuhn", turns=1):
    found = [rollout(seat, name, result) for _ in range(turns)]
    for each in found:
        each.baseline = kind
    return found


# Two games of one seat, won with 1 in two turns and lost with -1, after a baseline of 0 that keeps half.
@pytest.mark.parametrize(
    ("update", "expected"),
    [("after", [1.0, 1.0, -1.5]), ("before", [0.5, 0.5, -0.75]), ("per_batch", [1.0, 1.0, -1.0])],
)
def test_a_running_baseline_takes_in_every_game_once(update, expected):
    baselines = Baselines()
    spec = RoleConditioned(decay=0.5, update=update)
    rollouts = [*game("1", "x", 1.0, turns=2), *game("2", "x", -1.0)]
    assert estimate_advantages(spec, rollouts, baselines) == expected
    assert baselines.values == {("x", "kuhn"): -0.25}


def test_running_baselines_are_kept_per_role_and_game_and_carried_on():
    spec, baselines = RoleConditioned(decay=0.5), Baselines()
    estimate_advantages(
        spec, [*game("1", "x", 1.0), *game("1", "o", -1.0), *game("2", "x", 1.0, kind="dice")], baselines
    )
    again = Baselines()
    again.restore(baselines.state())
    assert again.metrics() == {"baseline/x_kuhn": 0.5, "baseline/o_kuhn": -0.5, "baseline/x_dice": 0.5}
    assert estimate_advantages(spec, game("3", "o", -1.0), again) == [-0.5]
