"""Losses of a pair of completions of which one is preferred. Pure: log-ratios in, a loss and a margin per pair out.

Shapes: P pairs.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from training_core.spec.learning import DpoLoss, HingeLoss, IpoLoss, PreferenceLossSpec, SppoLoss, SppoSingleLoss


@dataclass(frozen=True, kw_only=True)
class PairTensors:
    """A few pairs; log-ratios are ln(policy / reference), summed over the completion, in nats.

    Example of one pair: chosen gained ln 2, rejected lost ln 4, at beta 0.5; chosen wins 8 of 10, rejected 3.
    """

    chosen_logratio_P: torch.Tensor
    rejected_logratio_P: torch.Tensor
    strength_P: torch.Tensor
    """beta of each pair, or eta."""
    chosen_tokens_P: torch.Tensor
    rejected_tokens_P: torch.Tensor
    chosen_wins_P: torch.Tensor
    """Win rate, 0 to 1."""
    rejected_wins_P: torch.Tensor


def preference_loss(spec: PreferenceLossSpec, pairs: PairTensors) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and margin of each pair: ``(loss_P, margin_P)``. A positive margin prefers what was chosen.

    With the log-ratios c and r of chosen and rejected:

    - dpo (Rafailov et al. 2023, eq. 7): margin = beta (c - r), loss = -ln sigmoid(margin)
    - ipo (Azar et al. 2023, eq. 17): margin = beta (c - r), loss = (c - r - 1 / (2 beta))^2, of means or of sums over tokens
    - hinge (Zhao et al. 2023 on log-ratios): margin = beta (c - r), loss = max(0, 1 - margin)
    - sppo (Wu et al. 2024, eq. 4.7): margin = (c - r) / eta, loss = ((c - eta (w_c - 1/2))^2 + (r - eta (w_r - 1/2))^2) / 2
      with the win rates w of the two; sppo_single takes w_r = 1 - w_c
    """
    chosen_P, rejected_P, strength_P = pairs.chosen_logratio_P, pairs.rejected_logratio_P, pairs.strength_P
    match spec:
        case DpoLoss():
            margin_P = strength_P * (chosen_P - rejected_P)
            return -F.logsigmoid(margin_P), margin_P
        case IpoLoss():
            if spec.per_token:
                chosen_P, rejected_P = chosen_P / pairs.chosen_tokens_P, rejected_P / pairs.rejected_tokens_P
            gap_P = chosen_P - rejected_P
            return (gap_P - 1 / (2 * strength_P)) ** 2, strength_P * gap_P
        case HingeLoss():
            margin_P = strength_P * (chosen_P - rejected_P)
            return (1 - margin_P).relu(), margin_P
        case SppoLoss() | SppoSingleLoss():
            single = isinstance(spec, SppoSingleLoss)
            rejected_wins_P = 1 - pairs.chosen_wins_P if single else pairs.rejected_wins_P
            chosen_error_P = chosen_P - strength_P * (pairs.chosen_wins_P - 0.5)
            rejected_error_P = rejected_P - strength_P * (rejected_wins_P - 0.5)
            return (chosen_error_P**2 + rejected_error_P**2) / 2, (chosen_P - rejected_P) / strength_P


def strength(spec: PreferenceLossSpec) -> float:
    """The number of the loss that a pair may override: beta, or eta."""
    match spec:
        case SppoLoss() | SppoSingleLoss():
            return spec.eta
        case _:
            return spec.beta
