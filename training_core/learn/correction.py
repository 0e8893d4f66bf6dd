"""Correction for completions that were sampled by something other than the learner's own forward pass.

Shapes: N completion tokens, laid end to end.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """What separates learner and sampler on the tokens of a batch, summed up, and the weights that correct for it."""

    weight_N: torch.Tensor
    """Factor on each token's policy loss; carries no gradient."""
    kl: torch.Tensor
    """Sum of the k3 estimate of KL(sampler, learner) over the tokens, in nats."""
    ratio_max: torch.Tensor
    """Largest ratio of a single token, before the cap."""
    num_truncated: torch.Tensor
    """Tokens whose ratio exceeded the cap."""


def truncated_importance(learner_logp_N: torch.Tensor, sampler_logp_N: torch.Tensor, *, cap: float) -> Mismatch:
    """Truncated importance sampling per token (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training").

    ratio = pi_learner(a | s; theta_old) / pi_sampler(a | s; theta_old)
    weight = min(ratio, cap), detached
    k3 = ratio - 1 - ln ratio, an unbiased estimate of KL(sampler, learner) that is never negative (Schulman 2020)
    """
    log_ratio_N = (learner_logp_N.detach() - sampler_logp_N).clamp(-20, 20)
    ratio_N = log_ratio_N.exp()
    return Mismatch(
        weight_N=ratio_N.clamp(max=cap),
        kl=(ratio_N - 1 - log_ratio_N).sum(),
        ratio_max=ratio_N.max(),
        num_truncated=(ratio_N > cap).sum(),
    )
