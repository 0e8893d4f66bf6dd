"""Policy losses. Pure: tensors in, loss per token and metrics out; masks explicit, reduction stated by the caller.

Shapes: N completion tokens, laid end to end.
"""

from dataclasses import dataclass

import torch

from training_core.spec.learning import ClippedPolicyLoss


@dataclass(frozen=True, kw_only=True)
class TokenLoss:
    """Loss of each token and what a reader wants to know about it (sums over tokens)."""

    loss_N: torch.Tensor
    sums: dict[str, torch.Tensor]


def clipped_policy_loss(
    spec: ClippedPolicyLoss,
    *,
    logp_N: torch.Tensor,
    old_logp_N: torch.Tensor,
    advantage_N: torch.Tensor,
    entropy_N: torch.Tensor,
    reference_logp_N: torch.Tensor | None = None,
) -> TokenLoss:
    """PPO's clipped surrogate (Schulman et al. 2017) with asymmetric range and dual clip (Ye et al. 2020).

    ratio = exp(logp - old_logp)
    surrogate = max(-A ratio, -A clip(ratio, 1 - low, 1 + high))
    A < 0: surrogate = min(surrogate, -A dual)
    loss = surrogate - entropy_coef H + kl_coef k3, with k3 = exp(d) - d - 1 and d = reference_logp - logp
    """
    log_ratio_N = (logp_N - old_logp_N).clamp(-20, 20)
    ratio_N = log_ratio_N.exp()
    plain_N = -advantage_N * ratio_N
    clipped_N = -advantage_N * ratio_N.clamp(1 - spec.clip_low, 1 + spec.clip_high)
    surrogate_N = torch.maximum(plain_N, clipped_N)
    if spec.dual_clip is not None:
        bounded_N = torch.minimum(surrogate_N, -advantage_N * spec.dual_clip)
        surrogate_N = torch.where(advantage_N < 0, bounded_N, surrogate_N)
    loss_N = surrogate_N - spec.entropy_coef * entropy_N
    sums = {
        "loss/policy": surrogate_N.detach().sum(),
        "loss/clip_share": (clipped_N > plain_N).float().sum(),
        "kl/sampler_learner": (ratio_N - 1 - log_ratio_N).detach().sum(),
    }
    if reference_logp_N is not None:
        gap_N = (reference_logp_N - logp_N).clamp(-20, 20)
        k3_N = gap_N.exp() - gap_N - 1
        loss_N = loss_N + spec.kl_coef * k3_N
        sums["kl/policy_start"] = k3_N.detach().sum()
    return TokenLoss(loss_N=loss_N, sums=sums)
