"""Advantage estimators against hand-computed cases."""

import pytest

from training_core.learn.advantages import estimate_advantages
from training_core.play.records import Rollout
from training_core.play.requests import Completion
from training_core.spec.learning import GroupRelative, ReinforcePlusPlus


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


def test_reinforce_plus_plus_weighs_long_answers_more():
    # Tokens carry rewards 1, 0, 0, 0: mean 1/4, variance 3/16, deviation sqrt(3)/4.
    found = estimate_advantages(ReinforcePlusPlus(), [rollout("solver", "a", 1.0, 1), rollout("solver", "b", 0.0, 3)])
    assert found == pytest.approx([3**0.5, -1 / 3**0.5], abs=1e-6)


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
