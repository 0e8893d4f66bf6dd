"""The forward pass of an understood model over a pack: no padding, every prompt once, nothing computed that nobody reads.

Shapes: N tokens of the pack, L of them live, M predicted tokens, D features, H heads, K features of a head, V vocabulary.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from training_core.engines.anatomy import Anatomy, LayerParts
from training_core.learn.attention import attend
from training_core.learn.kernels import linears, rms_norm, rotate, signed, swiglu
from training_core.learn.packing import Pack

_WORTH_A_TABLE = 0.5
"""The first layer projects the vocabulary instead of the pack where it has at most this share of the pack's tokens."""


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """What all layers share: the model's measures, who looks at whom, and the angles of the positions."""

    anatomy: Anatomy
    pack: Pack
    cos_N1K: torch.Tensor
    sin_N1K: torch.Tensor
    is_swiglu: bool


def hidden_states(anatomy: Anatomy, pack: Pack, *, checkpointed: bool) -> torch.Tensor:
    """M x D: what the language-model head reads to predict each completion token of the pack."""
    x_ND = anatomy.embedding(pack.ids_N)
    cos, sin = anatomy.rotary(x_ND, pack.position_N[None])
    frame = _Frame(
        anatomy=anatomy,
        pack=pack,
        cos_N1K=cos[0, :, None],
        sin_N1K=signed(sin[0, :, None]),
        is_swiglu=all(_is_silu(layer.act) for layer in anatomy.layers),
    )
    *layers, last = anatomy.layers
    run = partial(checkpoint, _layer, use_reentrant=False) if checkpointed and torch.is_grad_enabled() else _layer
    for layer in layers:
        x_ND = run(frame, layer, x_ND)
    # The last layer stays out of checkpoints: its activations would be needed again at once.
    x_LD = _layer(frame, last, x_ND, pack.live_L)
    return rms_norm(anatomy.norm, x_LD)[pack.read_M]


def _layer(frame: _Frame, layer: LayerParts, x_ND: torch.Tensor, live_L: torch.Tensor | None = None) -> torch.Tensor:
    """One decoder layer; with ``live_L``, only these tokens go on behind the attention."""
    head_dim = frame.anatomy.head_dim
    q_NHK, k_NHK, v_NHK = (_split(part_ND, head_dim) for part_ND in _projections(frame, layer, x_ND))
    if layer.q_norm is not None:
        q_NHK = rms_norm(layer.q_norm, q_NHK)
    if layer.k_norm is not None:
        k_NHK = rms_norm(layer.k_norm, k_NHK)
    cos_N1K, sin_N1K = frame.cos_N1K.to(q_NHK.dtype), frame.sin_N1K.to(q_NHK.dtype)
    q_NHK, k_NHK = rotate(q_NHK, cos_N1K, sin_N1K), rotate(k_NHK, cos_N1K, sin_N1K)
    mixed_ND = attend(q_NHK, k_NHK, v_NHK, frame.pack, scale=frame.anatomy.scale).flatten(1)
    if live_L is not None:
        x_ND, mixed_ND = x_ND[live_L], mixed_ND[live_L]
    x_ND = x_ND + layer.o(mixed_ND)
    input_ND = rms_norm(layer.mlp_norm, x_ND)
    gate_NF, up_NF = linears((layer.gate, layer.up), input_ND)
    inner_NF = swiglu(gate_NF, up_NF) if frame.is_swiglu else layer.act(gate_NF) * up_NF
    result_ND: torch.Tensor = x_ND + layer.down(inner_NF)
    return result_ND


def _projections(frame: _Frame, layer: LayerParts, x_ND: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Queries, keys and values before rotation. In the first layer they depend on nothing but the token."""
    modules = (layer.q, layer.k, layer.v)
    embedding, ids_N = frame.anatomy.embedding, frame.pack.ids_N
    is_first = layer is frame.anatomy.layers[0]
    is_plain = all(type(module) is nn.Linear for module in modules)  # adapters may drop out features of each token anew
    if not (is_first and is_plain and embedding.num_embeddings <= _WORTH_A_TABLE * len(ids_N)):
        return linears(modules, rms_norm(layer.attention_norm, x_ND))
    every_VD = embedding(torch.arange(embedding.num_embeddings))
    tables = linears(modules, rms_norm(layer.attention_norm, every_VD))
    return tuple(nn.functional.embedding(ids_N, table_VD) for table_VD in tables)


def _is_silu(activation: nn.Module) -> bool:
    """Libraries have several classes for one function."""
    some = torch.linspace(-3, 3, 7)
    return torch.equal(activation(some), nn.functional.silu(some))


def _split(x_ND: torch.Tensor, head_dim: int) -> torch.Tensor:
    return x_ND.view(len(x_ND), -1, head_dim)
