"""A decoder with nothing between it and the matrix products, for models that ``anatomy`` understands.

Shapes: B rows, P prompts, T prompt tokens, H hidden size, Q query heads, K key-value heads, G = Q / K, D head size,
I size of the MLP, L layers, N positions.

Queries, keys and values come from one matrix, gate and up from another. Rows of the query and key matrices are reordered so that
the two coordinates a rotary embedding turns stand side by side: turning them is then one complex multiplication, and scores do
not change. Tensors that need no reordering are the model's own, so only the fused copies can grow stale; ``refresh`` renews
them when a weight has changed.

Where the CPU time of sampling goes, in about these shares (one thread of an EPYC with AVX-512, prompts of 12 to 24 tokens):

===================================  ==============  =============  =============
model, rows                          0.2 M, 32 x 8   1 M, 32 x 8    107 M, 8 x 4
===================================  ==============  =============  =============
matrix products with weights         32 %            52 %           90 %
scores and mixing of values          17 %            11 %           2 %
rest of attention (softmax, cache)   15 %            12 %           2 %
norms, activation, rotary turns      14 %            14 %           4 %
drawing a token, log-prob, entropy   8 %             4 %            under 1 %
host side (ends, ledger, Python)     14 %            7 %            2 %
===================================  ==============  =============  =============

So large models are bound by matrix products (with 32 rows these wait for weights from memory), the smallest ones by some
forty small kernels per layer and by memory latency of the cache, which is why its segments lie without gaps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from training_core.engines.anatomy import Anatomy, LayerParts, NotUnderstood, bias_of, norm_eps, take_apart, weight_of
from training_core.engines.cohorts import Cohort, Heads
from training_core.policies.loaded import LoadedPolicy

PREFILL_TOKENS = 16_384
"""Prompt tokens read in one forward pass."""
SHORTEST_SHARE = 0.8
"""Prompts are read together while the shortest has at least this share of the longest one's tokens."""
_SLACK = 8
"""So are prompts that differ by no more tokens than this: padding costs less than attention in one more part."""
_PROBE_LENGTHS = (11, 7)
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}
"""Largest error of the probe's logits, as a share of the largest logit; 5 % in shorter number formats."""


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """What one layer computes with."""

    attention_norm: torch.Tensor
    attention_eps: float
    qkv: torch.Tensor
    qkv_bias: torch.Tensor | None
    o: torch.Tensor
    o_bias: torch.Tensor | None
    qk_norm: torch.Tensor | None
    """Weights of the heads' own norms, (Q + K) x D."""
    head_eps: float
    mlp_norm: torch.Tensor
    mlp_eps: float
    gate_up: torch.Tensor
    gate_up_bias: torch.Tensor | None
    down: torch.Tensor
    down_bias: torch.Tensor | None
    act: Any


class FusedDecoder:
    """Completes prompts of one policy; rows join in cohorts, and leave by ``keep``.

    Raises ``NotUnderstood`` where the model is not one it computes correctly.
    """

    joins = True
    """New rows may join while others are being completed."""
    keep_below = 0.97
    """Dropping rows costs next to nothing, so it pays as soon as this share of them is still open."""

    def __init__(self, policy: LoadedPolicy) -> None:
        self._policy = policy
        self._fingerprint: tuple[Any, ...] = ()
        self._cohorts: list[Cohort] = []
        with policy.active():
            self._anatomy = take_apart(policy.model, max_context=policy.max_context)
        self._heads = Heads(
            num_heads=self._anatomy.num_heads,
            num_kv_heads=self._anatomy.num_kv_heads,
            head_dim=self._anatomy.head_dim,
            scale=self._anatomy.scale,
        )
        self._turns_ND = torch.empty(0)
        self.refresh()
        self._verify()

    @property
    def bytes_per_token(self) -> int:
        """Memory of one token's keys and values."""
        anatomy = self._anatomy
        return len(anatomy.layers) * 2 * anatomy.num_kv_heads * anatomy.head_dim * anatomy.dtype.itemsize

    def refresh(self) -> None:
        """Renew the fused copies if a weight, or the active adapter, has changed since they were made."""
        with self._policy.active(), torch.no_grad():
            found = (self._policy.adapter, *((t.data_ptr(), t._version) for t in self._anatomy.tensors()))
            if found != self._fingerprint:
                self._layers = [self._fuse(layer) for layer in self._anatomy.layers]
                self._embedding_VH = self._anatomy.embedding.weight.detach()
                self._head_VH = weight_of(self._anatomy.head).detach()
                self._head_bias = bias_of(self._anatomy.head)
                self._norm_H = _weight(self._anatomy.norm)
                self._norm_eps = norm_eps(self._anatomy.norm)
                self._fingerprint = found

    def release(self) -> None:
        """Give back the fused copies until the next ``refresh``; that they are right need not be proved again."""
        self._layers, self._fingerprint = [], ()

    @torch.inference_mode()
    def admit(self, prompts: Sequence[tuple[int, ...]], counts: Sequence[int]) -> torch.Tensor:
        """Read prompts, shortest first, for ``counts`` rows each, which stand behind those there are already.

        Gives the states after the prompts' last tokens, one for each new row.
        """
        states = []
        for start, end in _buckets([len(prompt) for prompt in prompts]):
            state_PH, keys, values = self._prefill(prompts[start:end])
            lengths = [len(prompt) for prompt in prompts[start:end]]
            self._cohorts.append(Cohort(self._heads, keys, values, lengths=lengths, counts=counts[start:end]))
            states.append(state_PH.repeat_interleave(torch.tensor(counts[start:end], device=state_PH.device), dim=0))
        return torch.cat(states)

    @torch.inference_mode()
    def step(self, token_B: torch.Tensor, position_B: torch.Tensor) -> torch.Tensor:
        """Append one token to every row, at its position; gives the states after it."""
        heads = self._heads
        for cohort in self._cohorts:
            cohort.advance()
        x_BH = F.embedding(token_B, self._embedding_VH)
        turn_B1D = self._turns(self._policy.max_context)[position_B][:, None]
        for index, layer in enumerate(self._layers):
            q_BQD, k_BKD, v_BKD = self._qkv(layer, x_BH, turn_B1D)
            parts, start = [], 0
            for cohort in self._cohorts:
                rows = slice(start, start + cohort.num_rows)
                parts.append(cohort.attend(index, q_BQD[rows], k_BKD[rows], v_BKD[rows]))
                start = rows.stop
            mixed = parts[0] if len(parts) == 1 else torch.cat(parts)
            x_BH = _add_product(x_BH, mixed.view(-1, heads.num_heads * heads.head_dim), layer.o, layer.o_bias)
            x_BH = self._mlp(layer, x_BH)
        return _rms_norm(x_BH, self._norm_H, self._norm_eps)

    def keep(self, open_B: Sequence[bool]) -> None:
        """Drop the rows that are not open; the others close ranks in their order."""
        start = 0
        for cohort in self._cohorts:
            end = start + cohort.num_rows
            cohort.keep(list(open_B[start:end]))
            start = end
        self._cohorts = [cohort for cohort in self._cohorts if cohort.num_rows]

    def clear(self) -> None:
        """Forget all rows."""
        self._cohorts = []

    @property
    def num_bytes(self) -> int:
        """Memory held by keys and values."""
        return sum(cohort.num_bytes for cohort in self._cohorts)

    @torch.inference_mode()
    def logits(self, state_BH: torch.Tensor) -> torch.Tensor:
        """Logits of the next token."""
        return F.linear(state_BH, self._head_VH, self._head_bias)

    @property
    def num_tokens(self) -> int:
        """Size of the vocabulary."""
        return self._head_VH.shape[0]

    # One layer

    def _qkv(
        self, layer: _Layer, x_BH: torch.Tensor, turn_B1D: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        heads = self._heads
        normed = _rms_norm(x_BH, layer.attention_norm, layer.attention_eps)
        flat = F.linear(normed, layer.qkv, layer.qkv_bias)
        qkv = flat.view(*flat.shape[:-1], -1, heads.head_dim)
        num_turned = heads.num_heads + heads.num_kv_heads
        qk, v = qkv[..., :num_turned, :], qkv[..., num_turned:, :]
        if layer.qk_norm is not None:
            qk = F.rms_norm(qk, (heads.head_dim,), None, layer.head_eps) * layer.qk_norm
        qk = _turn(qk, turn_B1D)
        return qk[..., : heads.num_heads, :], qk[..., heads.num_heads :, :], v

    def _mlp(self, layer: _Layer, x_BH: torch.Tensor) -> torch.Tensor:
        normed = _rms_norm(x_BH, layer.mlp_norm, layer.mlp_eps)
        gate, up = F.linear(normed, layer.gate_up, layer.gate_up_bias).chunk(2, dim=-1)
        inner = layer.act(gate).mul_(up)
        return _add_product(x_BH, inner, layer.down, layer.down_bias)

    # Prompts

    def _prefill(
        self, prompts: Sequence[tuple[int, ...]]
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Last states, and per layer the keys and values (P x K x T x D). Padding stands behind, where nothing sees it."""
        heads, device = self._heads, self._embedding_VH.device
        longest = max(map(len, prompts))
        ids_PT = torch.tensor([[*prompt, *([0] * (longest - len(prompt)))] for prompt in prompts], device=device)
        last_P = torch.tensor([len(prompt) - 1 for prompt in prompts], device=device)
        x_PTH = F.embedding(ids_PT, self._embedding_VH)
        turn_T1D = self._turns(longest)[:longest, None]
        keys, values = [], []
        for layer in self._layers:
            q, k, v = (part.transpose(1, 2) for part in self._qkv(layer, x_PTH, turn_T1D))
            mixed = F.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=heads.scale, enable_gqa=heads.num_heads != heads.num_kv_heads
            )
            x_PTH = _add_product(x_PTH, mixed.transpose(1, 2).flatten(2), layer.o, layer.o_bias)
            x_PTH = self._mlp(layer, x_PTH)
            keys.append(k.contiguous())
            values.append(v.contiguous())
        state_PH = x_PTH[torch.arange(len(prompts), device=device), last_P]
        return _rms_norm(state_PH, self._norm_H, self._norm_eps), keys, values

    def _turns(self, num_positions: int) -> torch.Tensor:
        """Complex factors cos + i sin of the rotary embedding, N x D/2, for at least so many positions."""
        if len(self._turns_ND) < num_positions:
            size = min(self._policy.max_context, max(256, 1 << (num_positions - 1).bit_length()))
            self._turns_ND = _turns_of(self._anatomy, size)
        return self._turns_ND

    # Weights

    def _fuse(self, parts: LayerParts) -> _Layer:
        heads = self._heads
        pairs = _side_by_side(heads.head_dim)

        def reorder(tensor: torch.Tensor) -> torch.Tensor:
            """The rows of every head in the order of pairs."""
            by_head = tensor.detach().view(-1, heads.head_dim, *tensor.shape[1:])
            return by_head[:, pairs].view(tensor.shape)

        qk_norm = None
        if parts.q_norm is not None and parts.k_norm is not None:
            counts = (heads.num_heads, heads.num_kv_heads)
            norms = (_weight(parts.q_norm), _weight(parts.k_norm))
            qk_norm = torch.cat([reorder(n).expand(count, -1) for n, count in zip(norms, counts, strict=True)])
        q_bias, k_bias, v_bias = (_bias(linear) for linear in (parts.q, parts.k, parts.v))
        return _Layer(
            attention_norm=_weight(parts.attention_norm),
            attention_eps=norm_eps(parts.attention_norm),
            qkv=torch.cat([reorder(weight_of(parts.q)), reorder(weight_of(parts.k)), weight_of(parts.v).detach()]),
            qkv_bias=_joined(
                None if q_bias is None else reorder(q_bias), None if k_bias is None else reorder(k_bias), v_bias
            ),
            o=weight_of(parts.o).detach(),
            o_bias=_bias(parts.o),
            qk_norm=qk_norm,
            head_eps=0.0 if parts.q_norm is None else norm_eps(parts.q_norm),
            mlp_norm=_weight(parts.mlp_norm),
            mlp_eps=norm_eps(parts.mlp_norm),
            gate_up=torch.cat([weight_of(parts.gate).detach(), weight_of(parts.up).detach()]),
            gate_up_bias=_joined(_bias(parts.gate), _bias(parts.up)),
            down=weight_of(parts.down).detach(),
            down_bias=_bias(parts.down),
            act=parts.act,
        )

    def _verify(self) -> None:
        """Compare prompts read at once, and tokens appended to one, with the model's own forward pass."""
        num_tokens = self._embedding_VH.shape[0]
        longest = min(max(_PROBE_LENGTHS), self._policy.max_context)
        texts = [[(7 * place * place + 3 * row + 1) % num_tokens for place in range(longest)] for row in (0, 1)]
        starts = [max(1, longest * share // max(_PROBE_LENGTHS)) for share in _PROBE_LENGTHS]
        prompts = [tuple(text[:start]) for text, start in zip(texts, starts, strict=True)]
        ids_BT = torch.tensor(texts, device=self._embedding_VH.device)
        with self._policy.active(), torch.no_grad():
            was_training = self._policy.model.training
            self._policy.model.eval()
            wanted = self._policy.model(input_ids=ids_BT, use_cache=False).logits.float()
            self._policy.model.train(was_training)
        found = []
        for row, prompt in enumerate(prompts):
            found.append((row, len(prompt) - 1, self.logits(self.admit([prompt], [1]))[0]))
            for position in range(len(prompt), longest):
                at = torch.tensor([position], device=ids_BT.device)
                state_BH = self.step(ids_BT[row, position : position + 1], at)
                found.append((row, position, self.logits(state_BH)[0]))
            self.clear()
        limit = _TOLERANCE.get(self._anatomy.dtype, 0.05) * float(wanted.abs().max())
        worst = max(float((logits.float() - wanted[row, place]).abs().max()) for row, place, logits in found)
        if not worst <= limit:
            raise NotUnderstood(f"its own forward pass gives other logits (by {worst:.2g})")


def _buckets(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of prompts, sorted by length, that are read together."""
    found, start = [], 0
    for end, length in enumerate(lengths):
        differs = lengths[start] < min(SHORTEST_SHARE * length, length - _SLACK)
        if end > start and (differs or (end + 1 - start) * length > PREFILL_TOKENS):
            found.append((start, end))
            start = end
    return [*found, (start, len(lengths))]


def _weight(norm: nn.Module) -> torch.Tensor:
    return next(norm.parameters()).detach()


def _bias(linear: nn.Module) -> torch.Tensor | None:
    found = bias_of(linear)
    return None if found is None else found.detach()


def _joined(*biases: torch.Tensor | None) -> torch.Tensor | None:
    """The biases end to end; layers have all of them or none."""
    found = [bias for bias in biases if bias is not None]
    return torch.cat(found) if found else None


def _side_by_side(head_dim: int) -> torch.Tensor:
    """Order 0, D/2, 1, D/2 + 1, ...: the partners of a turn next to each other."""
    return torch.arange(head_dim).view(2, -1).t().flatten()


def _turn(heads: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Rotate the pairs of each head; complex arithmetic is done in float32."""
    pairs = torch.view_as_complex(heads.float().view(*heads.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turn).flatten(-2).to(heads.dtype)


def _turns_of(anatomy: Anatomy, num_positions: int) -> torch.Tensor:
    positions_1N = torch.arange(num_positions, device=anatomy.device)[None]
    with torch.no_grad():
        like = torch.zeros(1, dtype=torch.float32, device=anatomy.device)
        cos, sin = (table[0].float() for table in anatomy.rotary(like, positions_1N))
    half = anatomy.head_dim // 2
    if cos.shape != (num_positions, 2 * half) or not torch.equal(cos[:, :half], cos[:, half:]):
        raise NotUnderstood("its rotary positions turn other pairs of coordinates")
    return torch.complex(cos[:, :half], sin[:, :half])


def _rms_norm(x: torch.Tensor, weight_H: torch.Tensor, eps: float) -> torch.Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension; on a CPU in fewer passes over x than torch's own makes."""
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return F.rms_norm(x, weight_H.shape, weight_H, eps)
    length: torch.Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return (x * length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()).mul_(weight_H)


def _add_product(x: torch.Tensor, inner: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """``x + inner weight^T + bias``, added up inside the matrix product; overwrites ``x``."""
    flat = x.view(-1, x.shape[-1]).addmm_(inner.reshape(-1, inner.shape[-1]), weight.t())
    if bias is not None:
        flat += bias
    return flat.view(x.shape)
