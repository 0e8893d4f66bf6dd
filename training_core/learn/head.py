"""Log-probs and entropies from hidden states, without the scores of all tokens over the vocabulary at once.

Shapes: M predicted tokens, C of them in a chunk, D features, V vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F


def head_logprobs(
    hidden_MD: torch.Tensor,
    weight_VD: torch.Tensor,
    bias_V: torch.Tensor | None,
    target_M: torch.Tensor,
    *,
    temperature: float,
    chunk: int,
    with_entropy: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """log softmax(W h / temperature)[target] and the entropy of the softmax, in float32 and nats.

    When there are more than ``chunk`` tokens, scores are made for one chunk at a time and again in the backward pass.
    """
    scale = 1.0 if temperature in {0.0, 1.0} else 1 / temperature
    if torch.is_autocast_enabled(hidden_MD.device.type):
        dtype = torch.get_autocast_dtype(hidden_MD.device.type)
        hidden_MD, weight_VD = hidden_MD.to(dtype), weight_VD.to(dtype)
        bias_V = None if bias_V is None else bias_V.to(dtype)
    with torch.autocast(hidden_MD.device.type, enabled=False):
        logp_M, entropy_M = _HeadLogprobs.apply(  # type: ignore[no-untyped-call]
            hidden_MD, weight_VD, bias_V, target_M, scale, chunk, with_entropy
        )
    return logp_M, entropy_M if with_entropy else None


class _HeadLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 (autograd takes no keywords)
        ctx: Any,
        hidden_MD: torch.Tensor,
        weight_VD: torch.Tensor,
        bias_V: torch.Tensor | None,
        target_M: torch.Tensor,
        scale: float,
        chunk: int,
        with_entropy: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logp_M = hidden_MD.new_empty(len(hidden_MD), dtype=torch.float32)
        entropy_M = logp_M.new_zeros(len(hidden_MD) if with_entropy else 0)
        kept_MV = None
        for start in range(0, len(hidden_MD), chunk):
            part = slice(start, start + chunk)
            kept_MV = _log_softmax(hidden_MD[part], weight_VD, bias_V, scale)
            logp_M[part] = kept_MV.gather(-1, target_M[part, None])[:, 0]
            if with_entropy:
                entropy_M[part] = -(kept_MV.exp() * kept_MV).sum(-1)
        is_whole = len(hidden_MD) <= chunk
        ctx.save_for_backward(hidden_MD, weight_VD, bias_V, target_M, entropy_M, kept_MV if is_whole else None)
        ctx.scale, ctx.chunk, ctx.with_entropy = scale, chunk, with_entropy
        return logp_M, entropy_M

    @staticmethod
    def backward(ctx: Any, grad_logp_M: torch.Tensor, grad_entropy_M: torch.Tensor) -> tuple[Any, ...]:
        """d logp / d score = onehot(target) - p; d entropy / d score = -p (ln p + entropy)."""
        hidden_MD, weight_VD, bias_V, target_M, entropy_M, kept_MV = ctx.saved_tensors
        of_hidden, of_weight, of_bias = ctx.needs_input_grad[:3]
        grad_hidden_MD = torch.empty_like(hidden_MD) if of_hidden else None
        grad_weight_VD = torch.zeros_like(weight_VD) if of_weight else None
        grad_bias_V = torch.zeros_like(bias_V) if of_bias else None
        for start in range(0, len(hidden_MD), ctx.chunk):
            part = slice(start, start + ctx.chunk)
            logp_CV = kept_MV if kept_MV is not None else _log_softmax(hidden_MD[part], weight_VD, bias_V, ctx.scale)
            grad_CV = logp_CV.exp()
            if ctx.with_entropy:
                slope_CV = (logp_CV + entropy_M[part, None]).mul_(grad_entropy_M[part, None])
                grad_CV.mul_(slope_CV.add_(grad_logp_M[part, None]).neg_())
            else:
                grad_CV.mul_(-grad_logp_M[part, None])
            grad_CV.scatter_add_(-1, target_M[part, None], grad_logp_M[part, None])
            grad_CV = grad_CV.mul_(ctx.scale).to(hidden_MD.dtype)
            if grad_hidden_MD is not None:
                torch.mm(grad_CV, weight_VD, out=grad_hidden_MD[part])
            if grad_weight_VD is not None:
                grad_weight_VD.addmm_(grad_CV.t(), hidden_MD[part])
            if grad_bias_V is not None:
                grad_bias_V += grad_CV.sum(0)
        return grad_hidden_MD, grad_weight_VD, grad_bias_V, None, None, None, None


def _log_softmax(
    hidden_CD: torch.Tensor, weight_VD: torch.Tensor, bias_V: torch.Tensor | None, scale: float
) -> torch.Tensor:
    scores_CV = F.linear(hidden_CD, weight_VD, bias_V).float()
    return (scores_CV if scale == 1 else scores_CV * scale).log_softmax(-1)
