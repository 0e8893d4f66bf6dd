"""Weights split over the ranks of a run with FSDP2: each holds a part of every tensor and gathers a layer while it computes.

Shapes are those of the whole tensors; what a rank holds is the first dimension cut into even parts (``DTensor``).
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

T = TypeVar("T")

FORWARD = "compute_gathered"
"""Method that a sharded model gains: calls a function between gathering and scattering, as ``forward`` does."""


def shard_models(models: Iterable[Any], *, device: torch.device, size: int, in_bfloat16: bool) -> None:
    """Split every model over ``size`` ranks, layer by layer; each model once.

    Gradients are summed over the ranks in float32. With ``in_bfloat16`` layers are gathered and computed in bfloat16, while the
    parts that are kept and updated stay as they are.
    """
    mesh = init_device_mesh(device.type, (size,))
    precision = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if in_bfloat16 else None,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    for model in {id(model): model for model in models}.values():
        for module in [*_decoder_layers(model), model]:
            # The root too is scattered after its forward pass: whoever asks for parameters in between finds the parts.
            fully_shard(module, mesh=mesh, mp_policy=precision, reshard_after_forward=True)
        _sum_gradients(model)
        setattr(model, FORWARD, _Within())
        register_fsdp_forward_method(model, FORWARD)


def compute_gathered(model: Any, function: Callable[[], T]) -> T:
    """``function()``, which may use any part of the model, with the weights gathered; the model may be in one piece as well."""
    if not is_sharded(model):
        return function()
    result: T = getattr(model, FORWARD)(function)
    return result


def is_sharded(model: Any) -> bool:
    """Whether ``shard_models`` has split the model."""
    return hasattr(model, FORWARD)


class _Within:
    """The body of ``compute_gathered``; FSDP puts its hooks around it."""

    def __call__(self, function: Callable[[], T]) -> T:
        return function()


def _sum_gradients(model: nn.Module) -> None:
    """Sum instead of averaging: the loss is divided by the tokens of all ranks already."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no scaled sums


def _decoder_layers(model: nn.Module) -> list[nn.Module]:
    """The layers of a transformer: the longest list of modules in it."""
    lists = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=[])
