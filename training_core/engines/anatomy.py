"""Looks into a model to see whether the fused decoder understands it: by what its modules are, never by its name.

Shapes: O outputs and I inputs of a linear layer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
_HEAD_NORMS = {"q_norm", "k_norm"}
_MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}
_MOVING_ROPE = {"dynamic", "longrope"}
"""Rotary embeddings whose angles depend on how long the text is."""


class NotUnderstood(Exception):
    """The model has something the fused decoder does not know; the message names it."""


@dataclass(frozen=True, kw_only=True)
class LayerParts:
    """The modules of one decoder layer: grouped-query attention and a gated MLP, each behind an RMSNorm."""

    attention_norm: nn.Module
    q: nn.Module
    k: nn.Module
    v: nn.Module
    o: nn.Module
    q_norm: nn.Module | None
    k_norm: nn.Module | None
    mlp_norm: nn.Module
    gate: nn.Module
    up: nn.Module
    down: nn.Module
    act: nn.Module


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """A pre-norm decoder with rotary positions, taken apart."""

    embedding: nn.Embedding
    layers: tuple[LayerParts, ...]
    norm: nn.Module
    head: nn.Module
    rotary: nn.Module
    num_heads: int
    num_kv_heads: int
    head_dim: int
    scale: float
    """What attention scores are multiplied by."""
    dtype: torch.dtype
    device: torch.device

    def tensors(self) -> Iterator[torch.Tensor]:
        """Every parameter the decoder computes with, those of adapters included."""
        for layer in self.layers:
            for part in vars(layer).values():
                if part is not None:
                    yield from part.parameters()
        for module in (self.embedding, self.norm, self.head):
            yield from module.parameters()


def take_apart(model: Any, *, max_context: int) -> Anatomy:
    """The parts of a causal language model, perhaps with LoRA adapters. Raises ``NotUnderstood``."""
    bare = model.get_base_model() if hasattr(model, "peft_config") else model
    config = bare.config
    _check_config(config, max_context)
    body = bare.base_model
    if _names(bare) != {bare.base_model_prefix, "lm_head"}:
        raise NotUnderstood("it is more than a decoder with a language-model head")
    if _names(body) != {"embed_tokens", "layers", "norm", "rotary_emb"}:
        raise NotUnderstood("its decoder is not made of an embedding, layers, a norm and rotary positions")
    if any(module._forward_hooks or module._forward_pre_hooks for module in bare.modules()):
        raise NotUnderstood("hooks are attached to its modules")
    if type(body.embed_tokens) is not nn.Embedding:
        raise NotUnderstood(f"its embedding is a {type(body.embed_tokens).__name__}")
    layers = tuple(_layer_parts(layer) for layer in body.layers)
    attention = body.layers[0].self_attn
    head_dim = int(attention.head_dim)
    anatomy = Anatomy(
        embedding=body.embed_tokens,
        layers=layers,
        norm=body.norm,
        head=_linear(bare.lm_head),
        rotary=body.rotary_emb,
        num_heads=_num_outputs(layers[0].q) // head_dim,
        num_kv_heads=_num_outputs(layers[0].k) // head_dim,
        head_dim=head_dim,
        scale=float(attention.scaling),
        dtype=body.embed_tokens.weight.dtype,
        device=body.embed_tokens.weight.device,
    )
    _check_tensors(anatomy)
    return anatomy


def _check_config(config: Any, max_context: int) -> None:
    capped = [name for name, value in config.to_dict().items() if "softcap" in name and value is not None]
    if capped:
        raise NotUnderstood(f"it caps its scores ({capped[0]})")
    kinds = set(getattr(config, "layer_types", None) or ())
    if unknown := kinds - {"full_attention", "sliding_attention"}:
        raise NotUnderstood(f"it has layers of the kind {sorted(unknown)[0]}")
    window = getattr(config, "sliding_window", None)
    slides = "sliding_attention" in kinds if kinds else window is not None
    if slides and (window is None or window < max_context):
        raise NotUnderstood("its attention looks at a sliding window")


def _layer_parts(layer: nn.Module) -> LayerParts:
    if _names(layer) != _LAYER:
        raise NotUnderstood(f"its layers consist of {', '.join(sorted(_names(layer)))}")
    attention: Any = layer.self_attn
    mlp: Any = layer.mlp
    if _names(attention) not in (_ATTENTION, _ATTENTION | _HEAD_NORMS):
        raise NotUnderstood(f"its attention consists of {', '.join(sorted(_names(attention)))}")
    if _names(mlp) != _MLP:
        raise NotUnderstood(f"its MLP consists of {', '.join(sorted(_names(mlp)))}")
    for linears in ((attention.q_proj, attention.k_proj, attention.v_proj), (mlp.gate_proj, mlp.up_proj)):
        if len({bias_of(_linear(linear)) is None for linear in linears}) > 1:
            raise NotUnderstood("only some of the matrices it would join have a bias")
    return LayerParts(
        attention_norm=_norm(layer.input_layernorm),
        q=_linear(attention.q_proj),
        k=_linear(attention.k_proj),
        v=_linear(attention.v_proj),
        o=_linear(attention.o_proj),
        q_norm=_norm(attention.q_norm) if "q_norm" in _names(attention) else None,
        k_norm=_norm(attention.k_norm) if "k_norm" in _names(attention) else None,
        mlp_norm=_norm(layer.post_attention_layernorm),
        gate=_linear(mlp.gate_proj),
        up=_linear(mlp.up_proj),
        down=_linear(mlp.down_proj),
        act=mlp.act_fn,
    )


def _names(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_children()}


def _norm(module: Any) -> nn.Module:
    has_eps = hasattr(module, "variance_epsilon") or hasattr(module, "eps")
    if {name for name, _ in module.named_parameters()} != {"weight"} or not has_eps:
        raise NotUnderstood(f"{type(module).__name__} is no RMSNorm")
    return module  # type: ignore[no-any-return]


def norm_eps(norm: Any) -> float:
    """What an RMSNorm adds to the mean square."""
    return float(norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps)


def _linear(module: Any) -> nn.Module:
    base = module
    if hasattr(module, "get_delta_weight"):
        _check_lora(module)
        base = module.base_layer
    if type(base) is not nn.Linear:
        raise NotUnderstood(f"it has layers of the type {type(base).__name__}")
    return module  # type: ignore[no-any-return]


def _check_lora(module: Any) -> None:
    from peft.tuners.lora.layer import Linear

    if type(module) is not Linear or module.merged or module.lora_variant or any(module.lora_bias.values()):
        raise NotUnderstood("its adapters are not plain LoRA")


def _num_outputs(linear: Any) -> int:
    return int(linear.out_features)


def _check_tensors(anatomy: Anatomy) -> None:
    tensors = list(anatomy.tensors())
    linears = [part for layer in anatomy.layers for part in vars(layer).values() if hasattr(part, "in_features")]
    own = {getattr(linear, "base_layer", linear).weight.dtype for linear in (*linears, anatomy.head)}
    if any(type(tensor) is not nn.Parameter for tensor in tensors):
        raise NotUnderstood("its weights are spread over processes or packed")
    if {tensor.device for tensor in tensors} != {anatomy.device}:
        raise NotUnderstood("its weights are on several devices")
    if own != {anatomy.dtype} or not anatomy.dtype.is_floating_point:
        raise NotUnderstood("its weights have several number formats")
    if getattr(anatomy.rotary, "rope_type", "default") in _MOVING_ROPE:
        raise NotUnderstood("its rotary positions change with the length of the text")
    if anatomy.num_heads % anatomy.num_kv_heads or anatomy.head_dim % 2:
        raise NotUnderstood("its heads cannot be grouped")


def weight_of(linear: Any) -> torch.Tensor:
    """The O x I matrix a layer multiplies with now: its own tensor, or a new one with the active adapters merged in."""
    if not hasattr(linear, "get_delta_weight"):
        return linear.weight  # type: ignore[no-any-return]
    weight: torch.Tensor = linear.base_layer.weight
    if linear.disable_adapters:
        return weight
    for adapter in linear.active_adapters:
        if adapter in linear.lora_A:
            weight = weight + linear.get_delta_weight(adapter).to(weight.dtype)
    return weight


def bias_of(linear: Any) -> torch.Tensor | None:
    """The bias of a layer, below its adapters if it has any."""
    base = linear.base_layer if hasattr(linear, "get_delta_weight") else linear
    return base.bias  # type: ignore[no-any-return]
