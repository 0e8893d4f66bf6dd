"""Attention over a pack: completions look at themselves and at a prompt that is computed once for all of them.

Shapes: N tokens of the pack, H heads, K features of a head; R rows and T columns of a rectangle.
"""

from typing import Any

import torch

from training_core.learn.packing import Crossing, Pack, Rectangle

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def attend(q_NHK: torch.Tensor, k_NHK: torch.Tensor, v_NHK: torch.Tensor, pack: Pack, *, scale: float) -> torch.Tensor:
    """softmax(scale q k^T) v over all tokens each token may look at. On the CPU; exact, and nothing of size T x T is kept."""
    groups = q_NHK.shape[1] // k_NHK.shape[1]
    if groups > 1:
        k_NHK, v_NHK = k_NHK.repeat_interleave(groups, dim=1), v_NHK.repeat_interleave(groups, dim=1)
    result: torch.Tensor = _Attention.apply(q_NHK, k_NHK, v_NHK, pack, scale)  # type: ignore[no-untyped-call]
    return result


class _Attention(torch.autograd.Function):
    """Parts of the keys are attended to one after the other and joined by their log-sums (Milakov and Gimelshein 2018).

    With Z1, Z2 the sums of exp(score) over two parts and Z = Z1 + Z2: out = Z1/Z out1 + Z2/Z out2. The gradient of a part is that
    of attention to this part alone, if only its weights are taken as exp(score) / Z and ``out`` is the joint one; the flash
    kernel's backward takes both as arguments (as ring attention does, Liu et al. 2023).
    """

    @staticmethod
    def forward(  # noqa: PLR0917 (autograd takes no keywords)
        ctx: Any, q_NHK: torch.Tensor, k_NHK: torch.Tensor, v_NHK: torch.Tensor, pack: Pack, scale: float
    ) -> torch.Tensor:
        out_NHK = torch.empty_like(q_NHK)
        logsum_NH = q_NHK.new_empty(q_NHK.shape[:2], dtype=torch.float32)
        for own in pack.own:
            out, logsum = _flash(_heads(own, q_NHK), _heads(own, k_NHK), _heads(own, v_NHK), 0.0, True, scale=scale)
            own.put(out_NHK, out.transpose(1, 2))
            own.put(logsum_NH, logsum.transpose(1, 2))
        for crossing in pack.across:
            queries, keys = crossing.queries, crossing.keys
            q, k, v = _heads(queries, q_NHK), _heads(keys, k_NHK), _heads(keys, v_NHK)
            out, logsum = _flash(q, k, v, attn_mask=_mask(crossing, q), scale=scale)
            own_logsum, logsum = queries.take(logsum_NH), logsum.transpose(1, 2)
            joint = torch.logaddexp(own_logsum, logsum)
            own_out, out = queries.take(out_NHK), out.transpose(1, 2)
            own_share = (own_logsum - joint).exp_()[..., None]
            queries.put(out_NHK, torch.lerp(out, own_out, own_share.to(out.dtype)))
            queries.put(logsum_NH, joint)
        ctx.save_for_backward(q_NHK, k_NHK, v_NHK, out_NHK, logsum_NH)
        ctx.pack, ctx.scale = pack, scale
        return out_NHK

    @staticmethod
    def backward(ctx: Any, grad_NHK: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q_NHK, k_NHK, v_NHK, out_NHK, logsum_NH = ctx.saved_tensors
        grad_NHK = grad_NHK.contiguous()
        grad_q, grad_k, grad_v = torch.empty_like(q_NHK), torch.empty_like(k_NHK), torch.empty_like(v_NHK)

        def part(queries: Rectangle, keys: Rectangle, crossing: Crossing | None = None) -> list[torch.Tensor]:
            q = _heads(queries, q_NHK)
            found = _flash_backward(
                queries.take_filled(grad_NHK, 0.0).transpose(1, 2),
                q,
                _heads(keys, k_NHK),
                _heads(keys, v_NHK),
                _heads(queries, out_NHK),
                queries.take_filled(logsum_NH, torch.inf).transpose(1, 2).contiguous(),
                0.0,
                crossing is None,
                attn_mask=None if crossing is None else _mask(crossing, q),
                scale=ctx.scale,
            )
            return [gradient.transpose(1, 2) for gradient in found]

        for own in ctx.pack.own:
            for total, gradient in zip((grad_q, grad_k, grad_v), part(own, own), strict=True):
                own.put(total, gradient)
        for crossing in ctx.pack.across:
            of_q, of_k, of_v = part(crossing.queries, crossing.keys, crossing)
            crossing.queries.add(grad_q, of_q)
            crossing.keys.add(grad_k, of_k)
            crossing.keys.add(grad_v, of_v)
        return grad_q, grad_k, grad_v, None, None


def _mask(crossing: Crossing, q_RHTK: torch.Tensor) -> torch.Tensor | None:
    """What hides the empty cells of a crossing's keys, in the shape of its scores."""
    mask = crossing.mask_R11T
    return None if mask is None else mask.to(q_RHTK.dtype).expand(*q_RHTK.shape[:3], -1)


def _heads(rectangle: Rectangle, values_NHK: torch.Tensor) -> torch.Tensor:
    """R x H x T x K"""
    return rectangle.take(values_NHK).transpose(1, 2)
