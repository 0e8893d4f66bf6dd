"""The processes of a run under torchrun: gloo between CPUs, NCCL between GPUs.

Facts of the run (completions, numbers, commands) always travel through gloo as pickled objects of our own, also between processes
with GPUs. So the ports that torchrun opens are for the hosts of one run only: keep them on loopback or on a private network.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import timedelta
from typing import Self, TypeVar, cast

import torch
import torch.distributed as dist

from training_core.distributed.parallel import neighbours

T = TypeVar("T")

COLLECTIVE_TIMEOUT = timedelta(hours=2)
"""How long a rank waits for the others. A rank that dies is noticed at once; this bounds one that hangs, after the supervisor."""


class TorchParallel:
    """The ranks of one run, joined by what torchrun put into the environment. One of them per process."""

    def __init__(self, device: torch.device) -> None:
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            timeout=COLLECTIVE_TIMEOUT,
            device_id=device if device.type == "cuda" else None,
        )
        self._group: dist.ProcessGroup | None = None
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    def share(self, items: Sequence[T]) -> list[T]:
        return neighbours(items, rank=self.rank, size=self.size)

    def all_sum(self, values: Mapping[str, float]) -> dict[str, float]:
        sums: dict[str, float] = defaultdict(float)
        for part in self._all(dict(values)):
            for name, value in part.items():
                sums[name] += value
        return dict(sums)

    def gather_lists(self, part: Sequence[T]) -> list[T]:
        return [item for each in self._all(list(part)) for item in each]

    def broadcast(self, value: T) -> T:
        boxed = [value if self.rank == 0 else None]
        dist.broadcast_object_list(boxed, src=0, group=self._group)
        return cast(T, boxed[0])

    def barrier(self) -> None:
        self.gather_lists([])

    def twin(self) -> Self:
        twin = copy(self)
        twin._group = dist.new_group(backend="gloo", timeout=COLLECTIVE_TIMEOUT)
        return twin

    def close(self) -> None:
        """Leave the group. Not after a failure: there is nobody left to take leave of."""
        dist.destroy_process_group()

    def _all(self, value: T) -> list[T]:
        values: list[T | None] = [None] * self.size
        dist.all_gather_object(values, value, group=self._group)
        return cast(list[T], values)


def is_lost_peer(error: BaseException) -> bool:
    """Whether the error only says that another process of the run went away."""
    text = str(error)
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError)
        and any(part in text for part in ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL"))
    )
