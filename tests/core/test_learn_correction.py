"""Truncated importance sampling against hand-computed cases, and within an update."""

from math import log

import pytest
import torch

from training_core.learn.correction import truncated_importance
from training_core.learn.losses import clipped_policy_loss
from training_core.spec.learner import LearnerSpec
from training_core.spec.learning import ClippedPolicyLoss


def test_weights_are_ratios_up_to_the_cap():
    sampler = torch.tensor([log(0.5), log(0.2), log(0.1)])
    learner = torch.tensor([log(0.25), log(0.3), log(0.8)], requires_grad=True)
    found = truncated_importance(learner, sampler, cap=2.0)
    assert found.weight_N.tolist() == pytest.approx([0.5, 1.5, 2.0])
    assert not found.weight_N.requires_grad
    assert float(found.ratio_max) == pytest.approx(8.0)
    assert int(found.num_truncated) == 1
    # ratio - 1 - ln ratio of 0.5, 1.5 and 8
    assert float(found.kl) == pytest.approx((0.5 - 1 + log(2)) + (0.5 - log(1.5)) + (7 - log(8)), rel=1e-5)


def test_equal_distributions_need_no_correction():
    logp = torch.tensor([-1.0, -2.0])
    found = truncated_importance(logp, logp, cap=2.0)
    assert found.weight_N.tolist() == [1.0, 1.0]
    assert float(found.kl) == 0.0


def test_the_weight_multiplies_the_policy_loss_but_neither_bonus_nor_penalty():
    def loss_of(weight):
        return clipped_policy_loss(
            ClippedPolicyLoss(entropy_coef=0.1, kl_coef=0.1),
            logp_N=torch.tensor([-1.0]),
            old_logp_N=torch.tensor([-1.0]),
            advantage_N=torch.tensor([2.0]),
            entropy_N=torch.tensor([1.5]),
            reference_logp_N=torch.tensor([-0.5]),
            weight_N=weight,
        )

    plain, weighed = loss_of(None), loss_of(torch.tensor([0.25]))
    assert float(plain.sums["loss/policy"]) == pytest.approx(-2.0)
    assert float(weighed.sums["loss/policy"]) == pytest.approx(-0.5)
    assert float(weighed.loss_N - plain.loss_N) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("changes", "sampler_is_learner", "expected"),
    [
        ({}, True, False),
        ({}, False, True),
        ({"ahead": 1}, True, True),
        ({"correction": "none", "ahead": 1}, False, False),
        ({"correction": "truncated"}, True, True),
    ],
)
def test_auto_corrects_where_sampler_and_learner_may_differ(changes, sampler_is_learner, expected):
    assert LearnerSpec(**changes).corrects(sampler_is_learner=sampler_is_learner) is expected
