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
    entropy_N: torch.Tensor | None = None,
    reference_logp_N: torch.Tensor | None = None,
    kl_coef_N: torch.Tensor | None = None,
    weight_N: torch.Tensor | None = None,
) -> TokenLoss:
    """PPO's clipped surrogate (Schulman et al. 2017) with asymmetric range and dual clip (Ye et al. 2020).

    ratio = exp(logp - old_logp)
    surrogate = max(-A ratio, -A clip(ratio, 1 - low, 1 + high))
    A < 0: surrogate = min(surrogate, -A dual)
    loss = weight surrogate - entropy_coef H + kl_coef k3(logp, reference_logp)

    ``weight_N`` corrects for completions that were sampled elsewhere and is 1 where it is left out; so is the entropy 0.
    ``kl_coef_N`` is the weight of each token's penalty, and the same for all where it is left out.
    """
    log_ratio_N = (logp_N - old_logp_N).clamp(-20, 20)
    ratio_N = log_ratio_N.exp()
    plain_N = -advantage_N * ratio_N
    clipped_N = -advantage_N * ratio_N.clamp(1 - spec.clip_low, 1 + spec.clip_high)
    surrogate_N = torch.maximum(plain_N, clipped_N)
    if spec.dual_clip is not None:
        bounded_N = torch.minimum(surrogate_N, -advantage_N * spec.dual_clip)
        surrogate_N = torch.where(advantage_N < 0, bounded_N, surrogate_N)
    if weight_N is not None:
        surrogate_N = weight_N * surrogate_N
    loss_N = surrogate_N if entropy_N is None else surrogate_N - spec.entropy_coef * entropy_N
    sums = {
        "loss/policy": surrogate_N.detach().sum(),
        "loss/clip_share": (clipped_N > plain_N).float().sum(),
    }
    if entropy_N is not None:
        sums["loss/entropy"] = entropy_N.detach().sum()
    if reference_logp_N is not None:
        k3_N = k3(logp_N, reference_logp_N)
        penalty_N = (spec.kl_coef if kl_coef_N is None else kl_coef_N) * k3_N
        loss_N = loss_N + penalty_N
        sums |= {"kl/policy_start": k3_N.detach().sum(), "loss/kl_penalty": penalty_N.detach().sum()}
    sums["loss/total"] = loss_N.detach().sum()
    return TokenLoss(loss_N=loss_N, sums=sums)


def k3(logp_N: torch.Tensor, other_logp_N: torch.Tensor) -> torch.Tensor:
    """Estimate of KL(p, other) from tokens drawn from p, never negative (Schulman 2020): exp(d) - d - 1, d = other - p."""
    gap_N = (other_logp_N - logp_N).clamp(-20, 20)
    return gap_N.exp() - gap_N - 1
