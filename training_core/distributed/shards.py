"""Tensors in files of parts: every process writes what it holds, and any number of processes reads what it needs.

torch.distributed.checkpoint keeps the layout in the headers of safetensors files, so nothing here is ever unpickled.
"""

import errno
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

SHARDS = "shard-*.safetensors"


def save_shards(folder: Path, tensors: Mapping[str, torch.Tensor], *, size: int) -> None:
    """Write this process's parts of the tensors; of whole ones, one of the processes writes each. All ``size`` processes call it."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    with _quietly(), _disk_full_as_itself():
        save(
            dict(tensors),
            storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
            no_dist=size == 1,
        )


def load_shards(
    folder: Path, target_of: Callable[[str, torch.Size, torch.dtype], torch.Tensor], *, size: int
) -> dict[str, torch.Tensor]:
    """Read every tensor of the folder into the target that ``target_of`` gives for its name, shape and type, whole or split in
    another way than it was written. All ``size`` processes call it."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = HuggingFaceStorageReader(str(folder))
    found = reader.read_metadata().state_dict_metadata
    targets = {
        name: target_of(name, entry.size, entry.properties.dtype)
        for name, entry in sorted(found.items())
        if isinstance(entry, TensorStorageMetadata)
    }
    with _quietly():
        load(targets, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=size == 1)
    return targets


def is_sharded(folder: Path) -> bool:
    """Whether the folder holds tensors in parts."""
    return any(folder.glob(SHARDS))


@contextmanager
def _disk_full_as_itself() -> Iterator[None]:
    """What one process failed of is raised on all of them, as text inside another exception."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        yield
    except CheckpointException as error:
        if os.strerror(errno.ENOSPC) in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "assuming a single process", which is what is meant
        yield
