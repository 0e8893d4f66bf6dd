"""Drawing tokens: one random number per row and token from the row's own seed, settings per row, memory bounded for any vocabulary.

Shapes: B rows, V vocabulary, N rows whose distribution is truncated, K tokens considered for them, C chunks of the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from training_core.spec.learning import SamplingSpec

LOGITS_AT_ONCE = 1 << 24
"""Logits in memory at a time; larger batches are drawn in several parts."""
_CHUNK = 512
"""Vocabularies of several chunks are searched for a chunk first and then within it."""
_BELOW_1 = 1 - 2**-23
"""Keeps a threshold below the total in float32, so that no token of probability 0 is ever drawn."""


class Drawn(NamedTuple):
    """Tokens, their log-probs and the entropies of the distributions they were drawn from, in nats."""

    token_B: torch.Tensor
    logp_B: torch.Tensor
    entropy_B: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class RowSettings:
    """Sampling settings of every row, as tensors; None where no row needs the step."""

    inverse_temperature_B: torch.Tensor | None
    greedy_B: torch.Tensor | None
    truncated_N: torch.Tensor | None
    """Rows drawn from part of their distribution."""
    top_k_N: torch.Tensor
    top_p_N: torch.Tensor
    min_p_N: torch.Tensor
    most: int
    """Tokens at most kept in any truncated row; 0 where top-k bounds not all of them."""

    @classmethod
    def of(cls, specs: Sequence[SamplingSpec], which_B: NDArray[np.int64], device: torch.device) -> "RowSettings":
        """Settings of rows that use ``specs[which_B[row]]``."""

        def table(values: Sequence[float], dtype: type = np.float32) -> NDArray[Any]:
            found: NDArray[Any] = np.array(values, dtype=dtype)[which_B]
            return found

        def tensor(values: NDArray[Any]) -> torch.Tensor:
            return torch.from_numpy(values).to(device)

        greedy = table([spec.temperature == 0 for spec in specs], bool)
        inverse = table([1.0 if spec.temperature == 0 else 1 / spec.temperature for spec in specs])
        truncated = np.flatnonzero(table([is_truncated(spec) for spec in specs], bool))
        top_k = table([spec.top_k for spec in specs], np.int64)[truncated]
        return cls(
            inverse_temperature_B=tensor(inverse) if (inverse != 1).any() else None,
            greedy_B=tensor(greedy) if greedy.any() else None,
            truncated_N=tensor(truncated) if len(truncated) else None,
            top_k_N=tensor(top_k),
            top_p_N=tensor(table([spec.top_p for spec in specs])[truncated]),
            min_p_N=tensor(table([spec.min_p for spec in specs])[truncated]),
            most=int(top_k.max()) if len(truncated) and (top_k > 0).all() else 0,
        )


def is_truncated(spec: SamplingSpec) -> bool:
    """Whether only part of the distribution is drawn from."""
    return spec.temperature > 0 and (spec.top_k > 0 or spec.top_p < 1 or spec.min_p > 0)


def draw(logits_BV: torch.Tensor, uniform_B: torch.Tensor, settings: RowSettings) -> Drawn:
    """One token per row from the distribution with temperature, min-p, top-k and top-p applied; greedy rows take the likeliest.

    ``uniform_B`` are numbers in [0, 1); the token is where they fall in the cumulative distribution. A greedy token's log-prob
    is that at temperature 1. Overwrites ``logits_BV``.
    """
    logits_BV = logits_BV.float()
    if settings.inverse_temperature_B is not None:
        logits_BV *= settings.inverse_temperature_B[:, None]
    logits_BV -= logits_BV.amax(-1, keepdim=True)
    weight_BV = logits_BV.exp()
    token_B, total_B = _inverse(weight_BV, uniform_B)
    if settings.greedy_B is not None:
        token_B = torch.where(settings.greedy_B, logits_BV.argmax(-1), token_B)
    log_total_B = total_B.log()
    logp_B = logits_BV.gather(-1, token_B[:, None])[:, 0] - log_total_B
    entropy_B = log_total_B - torch.linalg.vecdot(weight_BV, logits_BV) / total_B
    if settings.truncated_N is not None:
        part = _draw_truncated(logits_BV[settings.truncated_N], uniform_B[settings.truncated_N], settings)
        for whole, some in zip((token_B, logp_B, entropy_B), part, strict=True):
            whole[settings.truncated_N] = some
    return Drawn(token_B, logp_B, entropy_B)


def _inverse(weight_BV: torch.Tensor, uniform_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each number falls in its row's cumulative weights, and the total weight."""
    num_tokens = weight_BV.shape[-1]
    if num_tokens <= 2 * _CHUNK:
        cumulative_BV = weight_BV.cumsum(-1)
        threshold_B = uniform_B * _BELOW_1 * cumulative_BV[:, -1]
        return _first_above(cumulative_BV, threshold_B), cumulative_BV[:, -1]
    num_whole = num_tokens // _CHUNK
    whole, rest = weight_BV[:, : num_whole * _CHUNK], weight_BV[:, num_whole * _CHUNK :]
    sums_BC = torch.cat([whole.view(-1, num_whole, _CHUNK).sum(-1), rest.sum(-1, keepdim=True)], dim=-1)
    cumulative_BC = sums_BC.cumsum(-1)
    total_B = cumulative_BC[:, -1]
    threshold_B = uniform_B * _BELOW_1 * total_B
    chunk_B = _first_above(cumulative_BC, threshold_B)
    before_B = (cumulative_BC - sums_BC).gather(-1, chunk_B[:, None])[:, 0]
    place_BV = chunk_B[:, None] * _CHUNK + torch.arange(_CHUNK, device=weight_BV.device)
    inside_BV = weight_BV.gather(-1, place_BV.clamp(max=num_tokens - 1)) * (place_BV < num_tokens)
    cumulative_BV = inside_BV.cumsum(-1)
    within_B = torch.minimum(threshold_B - before_B, cumulative_BV[:, -1] * _BELOW_1).clamp(min=0)
    return chunk_B * _CHUNK + _first_above(cumulative_BV, within_B), total_B


def _first_above(cumulative: torch.Tensor, threshold_B: torch.Tensor) -> torch.Tensor:
    return torch.searchsorted(cumulative, threshold_B[:, None], right=True)[:, 0].clamp_(max=cumulative.shape[-1] - 1)


def _draw_truncated(logits_NV: torch.Tensor, uniform_N: torch.Tensor, settings: RowSettings) -> Drawn:
    """As ``draw``, from the likeliest tokens only; ``logits_NV`` are those below the row's largest, with temperature applied.

    Min-p counts against the likeliest token, top-p within what min-p and top-k keep.
    """
    num_tokens = logits_NV.shape[-1]
    num_kept = min(settings.most or num_tokens, num_tokens)
    sorted_NK, id_NK = logits_NV.topk(num_kept, dim=-1)
    weight_NK = sorted_NK.exp()
    rank_K = torch.arange(num_kept, device=logits_NV.device)
    top_k_N1 = torch.where(settings.top_k_N > 0, settings.top_k_N, num_tokens)[:, None]
    weight_NK = weight_NK * ((rank_K < top_k_N1) & (weight_NK >= settings.min_p_N[:, None]))
    before_NK = weight_NK.cumsum(-1) - weight_NK
    within_NK = before_NK < settings.top_p_N[:, None] * weight_NK.sum(-1, keepdim=True)
    weight_NK = weight_NK * (within_NK | (rank_K == 0))
    rank_N, total_N = _inverse(weight_NK, uniform_N)
    log_total_N = total_N.log()
    logp_N = sorted_NK.gather(-1, rank_N[:, None])[:, 0] - log_total_N
    kept_NK = torch.where(weight_NK > 0, sorted_NK, 0.0)
    entropy_N = log_total_N - torch.linalg.vecdot(weight_NK, kept_NK) / total_N
    return Drawn(id_NK.gather(-1, rank_N[:, None])[:, 0], logp_N, entropy_N)


def uniforms(seed_B: NDArray[np.uint64], first_B: NDArray[np.int64], num: int) -> NDArray[np.float32]:
    """Numbers in [0, 1), B x ``num``, for tokens ``first_B``, ``first_B + 1``, ...: SplitMix64 of seed and token alone."""
    with np.errstate(over="ignore"):
        start_B1 = _mix(seed_B * np.uint64(0xD1342543DE82EF95))[:, None]
        count = (first_B[:, None] + np.arange(1, num + 1)).astype(np.uint64)
        bits = _mix(start_B1 + count * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
        return bits.astype(np.float32) / np.float32(1 << 24)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
