"""The clipped policy loss against hand-computed cases."""

from math import exp, log

import pytest
import torch

from training_core.learn.losses import clipped_policy_loss
from training_core.spec.learning import ClippedPolicyLoss

PLAIN = ClippedPolicyLoss(entropy_coef=0.0)


def loss(spec, ratio, advantage, *, entropy=0.0, reference=None):
    logp = torch.tensor([log(ratio) - 1.0], requires_grad=True)
    found = clipped_policy_loss(
        spec,
        logp_N=logp,
        old_logp_N=torch.tensor([-1.0]),
        advantage_N=torch.tensor([advantage]),
        entropy_N=torch.tensor([entropy]),
        reference_logp_N=None if reference is None else logp.detach() + reference,
    )
    (gradient,) = torch.autograd.grad(found.loss_N.sum(), logp)
    return float(found.loss_N.detach()), float(gradient), found.sums


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "gradient"),
    [
        (1.0, 2.0, -2.0, -2.0),  # on policy: the policy gradient itself
        (1.5, 1.0, -1.28, 0.0),  # a good token is clipped at 1 + 0.28
        (0.5, 1.0, -0.5, -0.5),  # but may always be raised again
        (0.5, -1.0, 0.8, 0.0),  # a bad token is clipped at 1 - 0.2
        (2.0, -1.0, 2.0, 2.0),  # a bad token that grew is pushed down
        (5.0, -1.0, 3.0, 0.0),  # up to the dual clip
    ],
)
def test_clipping(ratio, advantage, expected, gradient):
    value, slope, _ = loss(PLAIN, ratio, advantage)
    assert value == pytest.approx(expected, rel=1e-5)
    assert slope == pytest.approx(gradient, rel=1e-5)


def test_without_dual_clip_bad_tokens_are_unbounded():
    spec = ClippedPolicyLoss(entropy_coef=0.0, dual_clip=None)
    assert loss(spec, 5.0, -1.0)[0] == pytest.approx(5.0, rel=1e-5)


def test_entropy_lowers_the_loss():
    assert loss(ClippedPolicyLoss(entropy_coef=0.1), 1.0, 0.0, entropy=2.0)[0] == pytest.approx(-0.2)


def test_kl_to_the_start_is_the_k3_estimate():
    gap = 0.5
    value, _, sums = loss(ClippedPolicyLoss(entropy_coef=0.0, kl_coef=0.1), 1.0, 0.0, reference=gap)
    assert value == pytest.approx(0.1 * (exp(gap) - gap - 1), rel=1e-5)
    assert float(sums["kl/policy_start"]) == pytest.approx(exp(gap) - gap - 1, rel=1e-5)


def test_clip_share_counts_clipped_tokens():
    assert float(loss(PLAIN, 1.5, 1.0)[2]["loss/clip_share"]) == 1.0
    assert float(loss(PLAIN, 1.1, 1.0)[2]["loss/clip_share"]) == 0.0


def test_the_loss_as_a_whole_is_told_with_its_parts():
    gap = 0.5
    spec = ClippedPolicyLoss(entropy_coef=0.1, kl_coef=0.2)
    value, _, sums = loss(spec, 1.0, 2.0, entropy=3.0, reference=gap)
    penalty = 0.2 * (exp(gap) - gap - 1)
    told = {name: float(total) for name, total in sums.items() if name.startswith("loss/")}
    assert told == pytest.approx(
        {
            "loss/policy": -2.0,
            "loss/clip_share": 0.0,
            "loss/entropy": 3.0,
            "loss/kl_penalty": penalty,
            "loss/total": -2.0 - 0.3 + penalty,
        }
    )
    assert value == pytest.approx(told["loss/total"])
