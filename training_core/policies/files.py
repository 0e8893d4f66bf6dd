"""Weights and optimisers in files: whole, as a folder any tool loads, or in parts, one file for each process.

Every process of a run calls these functions alike. Whole files are written by rank 0, which gathers tensor after tensor; either form
is read back by any number of processes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from training_core.distributed.parallel import Parallel
from training_core.distributed.shards import is_sharded, load_shards, save_shards
from training_core.distributed.tensors import is_split, part_like, whole
from training_core.learn.optimizers import OptimizerSet
from training_core.policies.loaded import LoadedPolicy

MODEL_FILE = "model.safetensors"
ADAPTER_FILE = "adapter_model.safetensors"
Target = Callable[[str, torch.Size, torch.dtype], torch.Tensor]


class ForeignWeights(ValueError):
    """The tensors of a file are not those of the model they are to be read into."""


def save_policy(policy: LoadedPolicy, folder: Path, *, parallel: Parallel, sharded: bool) -> None:
    """A folder with the policy's weights or adapter, its config and its tokenizer."""
    own = policy.tensors()
    if parallel.rank == 0:
        folder.mkdir(parents=True)
        _save_config(policy, folder)
        policy.tokenizer.save_pretrained(folder)
    if sharded:
        parallel.barrier()
        save_shards(folder, own, size=parallel.size)
        return
    tensors = _gathered(own, parallel)
    if parallel.rank == 0 and policy.adapter is None:
        policy.model.save_pretrained(folder, state_dict=tensors, max_shard_size="1000GB")
    elif parallel.rank == 0:
        save_file(tensors, folder / ADAPTER_FILE)


def load_policy_into(policy: LoadedPolicy, folder: Path, *, parallel: Parallel) -> None:
    """Put the weights of ``save_policy`` back in place; raises ``ForeignWeights`` where they do not fit."""
    own = policy.tensors()

    def target(name: str, shape: torch.Size, _dtype: torch.dtype) -> torch.Tensor:
        if name not in own or own[name].shape != shape:
            raise ForeignWeights(f"{name} is unknown or of another shape")
        return own[name]

    with torch.no_grad():
        if is_sharded(folder):
            found = load_shards(folder, target, size=parallel.size)
        else:
            found = load_file(folder / (MODEL_FILE if policy.adapter is None else ADAPTER_FILE))
            for name, tensor in found.items():
                place = target(name, tensor.shape, tensor.dtype)
                place.copy_(part_like(tensor, place))
    if own.keys() - found.keys():
        raise ForeignWeights("tensors are missing")


def save_optimizer(
    tensors: Mapping[str, torch.Tensor], folder: Path, name: str, *, parallel: Parallel, sharded: bool
) -> None:
    """``folder/<name>.safetensors``, or a folder of that name with parts; for the tensors of ``OptimizerSet.state_dict``."""
    if sharded:
        save_shards(folder / name, tensors, size=parallel.size)
        return
    gathered = _gathered(tensors, parallel)
    if parallel.rank == 0:
        save_file(gathered, folder / f"{name}.safetensors")


def load_optimizer(optimizer: OptimizerSet, folder: Path, name: str, *, parallel: Parallel) -> dict[str, torch.Tensor]:
    """What ``save_optimizer`` wrote, for ``OptimizerSet.load_state_dict``."""
    if is_sharded(folder / name):
        return load_shards(folder / name, optimizer.empty_state, size=parallel.size)
    tensors: dict[str, torch.Tensor] = load_file(folder / f"{name}.safetensors")
    return tensors


def _gathered(tensors: Mapping[str, torch.Tensor], parallel: Parallel) -> dict[str, torch.Tensor]:
    """Whole tensors on rank 0, one after the other, and none elsewhere."""
    found = {}
    for name, tensor in tensors.items():
        full = whole(tensor)
        if parallel.rank == 0:
            # A tensor may be a view of another; safetensors writes whole ones only.
            found[name] = (full.cpu() if is_split(tensor) else full).contiguous()
    return found


def _save_config(policy: LoadedPolicy, folder: Path) -> None:
    if policy.adapter is not None:
        policy.model.peft_config[policy.adapter].save_pretrained(str(folder))
        return
    policy.model.config.save_pretrained(folder)
    policy.model.generation_config.save_pretrained(folder)
