"""Parts of a decoder layer with hand-written gradients: fewer passes over memory than autograd makes of them.

Shapes: N tokens end to end, D features, F features of the MLP, H heads, K features of a head.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

# mypy: disable-error-code="no-untyped-call"


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: torch.Tensor, weight_D: torch.Tensor, eps: float) -> torch.Tensor:
        scale_N1 = (x_ND.square().mean(-1, keepdim=True) + eps).rsqrt_()
        ctx.save_for_backward(x_ND, weight_D, scale_N1)
        return (x_ND * scale_N1).mul_(weight_D)

    @staticmethod
    def backward(ctx: Any, grad_ND: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        x_ND, weight_D, scale_N1 = ctx.saved_tensors
        unit_ND = x_ND * scale_N1
        grad_weight_D = (grad_ND * unit_ND).sum(0) if ctx.needs_input_grad[1] else None
        grad_unit_ND = grad_ND * weight_D
        mean_N1 = (grad_unit_ND * unit_ND).mean(-1, keepdim=True)
        # d unit / d x = scale (I - unit unit^T / D)
        return grad_unit_ND.sub_(unit_ND.mul_(mean_N1)).mul_(scale_N1), grad_weight_D, None


class _SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_NF: torch.Tensor, up_NF: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate_NF, up_NF)
        return F.silu(gate_NF).mul_(up_NF)

    @staticmethod
    def backward(ctx: Any, grad_NF: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gate_NF, up_NF = ctx.saved_tensors
        grad_gate_NF = torch.ops.aten.silu_backward(grad_NF * up_NF, gate_NF)
        return grad_gate_NF, F.silu(gate_NF).mul_(grad_NF)


class _Linears(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: torch.Tensor, *parts: Any) -> tuple[torch.Tensor, ...]:
        weights, biases = parts[::2], parts[1::2]
        ctx.save_for_backward(x_ND, *weights)
        return tuple(F.linear(x_ND, weight, bias) for weight, bias in zip(weights, biases, strict=True))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x_ND, *weights = ctx.saved_tensors
        of_x, *of_parts = ctx.needs_input_grad
        grad_x_ND = grads[0] @ weights[0] if of_x else None
        found: list[torch.Tensor | None] = []
        for index, (grad, weight) in enumerate(zip(grads, weights, strict=True)):
            if grad_x_ND is not None and index > 0:
                grad_x_ND.addmm_(grad, weight)
            found.append(grad.t() @ x_ND if of_parts[2 * index] else None)
            found.append(grad.sum(0) if of_parts[2 * index + 1] else None)
        return grad_x_ND, *found


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NHK: torch.Tensor, cos_N1K: torch.Tensor, sin_N1K: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos_N1K, sin_N1K)
        return (x_NHK * cos_N1K).addcmul_(_swap_halves(x_NHK), sin_N1K)

    @staticmethod
    def backward(ctx: Any, grad_NHK: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        cos_N1K, sin_N1K = ctx.saved_tensors
        return (grad_NHK * cos_N1K).addcmul_(_swap_halves(grad_NHK), sin_N1K, value=-1), None, None


def rms_norm(norm: Any, x_ND: torch.Tensor) -> torch.Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang and Sennrich 2019)."""
    if x_ND.dtype != torch.float32 or x_ND.device.type != "cpu":
        result: torch.Tensor = norm(x_ND)
        return result
    return _RmsNorm.apply(x_ND, norm.weight, norm.variance_epsilon)  # type: ignore[no-any-return]


def linears(modules: Sequence[Any], x_ND: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What each linear module makes of the same input; gradients of the input are added up inside the matrix products."""
    if torch.is_autocast_enabled(x_ND.device.type) or any(type(module) is not nn.Linear for module in modules):
        return tuple(module(x_ND) for module in modules)
    parts = [part for module in modules for part in (module.weight, module.bias)]
    return _Linears.apply(x_ND, *parts)  # type: ignore[no-any-return]


def swiglu(gate_NF: torch.Tensor, up_NF: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up (Shazeer 2020)."""
    return _SwiGlu.apply(gate_NF, up_NF)  # type: ignore[no-any-return]


def rotate(x_NHK: torch.Tensor, cos_N1K: torch.Tensor, sin_N1K: torch.Tensor) -> torch.Tensor:
    """Rotary positions (Su et al. 2021) on halves: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin).

    ``sin_N1K`` comes with its first half negated (``signed``).
    """
    return _Rotate.apply(x_NHK, cos_N1K, sin_N1K)  # type: ignore[no-any-return]


def signed(sin_N1K: torch.Tensor) -> torch.Tensor:
    """The sine with its first half negated."""
    half = sin_N1K.shape[-1] // 2
    return torch.cat((-sin_N1K[..., :half], sin_N1K[..., half:]), -1)


def _swap_halves(x_NHK: torch.Tensor) -> torch.Tensor:
    half = x_NHK.shape[-1] // 2
    return torch.cat((x_NHK[..., half:], x_NHK[..., :half]), -1)
