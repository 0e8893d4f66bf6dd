"""Tensors that may be held in parts by the ranks of a run (``DTensor``), or whole."""

from typing import Any

import torch


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor. Where it is held in parts, every rank must ask for the same tensors in the same order."""
    if not is_split(tensor):
        return tensor
    gathered: torch.Tensor = tensor.full_tensor()  # type: ignore[attr-defined]
    return gathered


def part_like(tensor: torch.Tensor, target: Any) -> torch.Tensor:
    """What this rank holds of ``tensor`` if it is split as ``target`` is; all of it where that one is whole."""
    tensor = tensor.to(target.device)
    if not is_split(target) or is_split(tensor):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    # No broadcast: every rank has read the same file.
    return distribute_tensor(tensor, target.device_mesh, target.placements, src_data_rank=None)


def is_split(tensor: torch.Tensor) -> bool:
    """Whether the tensor is held in parts."""
    return hasattr(tensor, "full_tensor")
