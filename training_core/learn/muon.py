"""Muon with small matrices of one shape orthogonalised together: the same numbers from fewer, larger operations.

Shapes: S matrices of O x I.
"""

from collections import defaultdict
from math import sqrt
from typing import Any

import torch

from training_core.distributed.tensors import is_split

_STACKED_BELOW = 1 << 16
"""Entries of a matrix up to which the work of single operations is smaller than what starting them costs."""


class StackedMuon(torch.optim.Muon):
    """``torch.optim.Muon`` to the rounding of bfloat16, with its state and options."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # nobody here passes a closure
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            stacks: dict[tuple[int, ...], list[torch.Tensor]] = defaultdict(list)
            for place, parameter in enumerate(group["params"]):
                if parameter.grad is not None:
                    is_small = parameter.numel() <= _STACKED_BELOW and not is_split(parameter)
                    stacks[(*parameter.shape, -1 if is_small else place)].append(parameter)
            for parameters in stacks.values():
                self._update(parameters, group)

    def _update(self, parameters: list[torch.Tensor], group: dict[str, Any]) -> None:
        """B <- mu B + (1 - mu) G; G + mu (B - G) is orthogonalised and subtracted (Jordan et al. 2024)."""
        blends = []
        for parameter in parameters:
            gradient, state = parameter.grad, self.state[parameter]
            assert gradient is not None
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(gradient)
            momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
            blends.append(gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum)
        is_stack = len(blends) > 1
        updates = orthogonalised(torch.stack(blends), group) if is_stack else [orthogonalised(blends[0], group)]
        # 0.2 sqrt(max(O, I)) gives the update the root mean square of AdamW's (Liu et al. 2025).
        lr = group["lr"] * (0.2 * sqrt(max(parameters[0].shape)))
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-lr)


def orthogonalised(matrix: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
    """The nearest matrix, about, whose singular values are all 1: a quintic Newton-Schulz iteration in bfloat16.

    X <- a X + (b A + c A A) X with A = X X^T; O x I, or S x O x I.
    """
    a, b, c = group["ns_coefficients"]
    is_tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.bfloat16().mT if is_tall else matrix.bfloat16()
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=group["eps"])
    add_product = torch.baddbmm if x.ndim == 3 else torch.addmm
    for _ in range(group["ns_steps"]):
        gram = x @ x.mT
        gram = add_product(gram, gram, gram, beta=b, alpha=c)
        x = add_product(x, gram, x, beta=a)
    return x.mT if is_tall else x
