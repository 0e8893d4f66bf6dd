"""How new weights get into a vLLM that is running. Imported only where vLLM is: in its workers and in a run that uses it.

Both ways go through vLLM's weight-transfer interface, which loads layer by layer and repeats whatever packing it did when the
model was first loaded. Importing this module registers them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

IN_PROCESS = "kumite_in_process"
FILES = "kumite_files"

handed_over: dict[str, Iterator[tuple[str, torch.Tensor]]] = {}
"""Weights on their way to a vLLM in this process, by a key of the one who hands them over."""


@dataclass
class _Start(WeightTransferInitInfo):  # type: ignore[misc]
    """Nothing has to be agreed on first."""


@dataclass
class _Key(WeightTransferUpdateInfo):  # type: ignore[misc]
    key: str


@dataclass
class _Folder(WeightTransferUpdateInfo):  # type: ignore[misc]
    folder: str


class _LayerwiseTransfer(WeightTransferEngine[_Start, Any]):  # type: ignore[misc]
    init_info_cls = _Start

    def init_transfer_engine(self, init_info: _Start) -> None:
        pass

    def start_weight_update(self) -> None:
        initialize_layerwise_reload(self.model)

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        pass


class InProcessTransfer(_LayerwiseTransfer):
    """Tensors of this very process, one at a time."""

    update_info_cls = _Key

    def receive_weights(self, update_info: _Key) -> None:
        self.model.load_weights(handed_over.pop(update_info.key))


class FileTransfer(_LayerwiseTransfer):
    """Safetensors files in a folder, which may be in shared memory; every worker reads what it needs."""

    update_info_cls = _Folder

    def receive_weights(self, update_info: _Folder) -> None:
        self.model.load_weights(_read(Path(update_info.folder)))


def _read(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield name, file.get_tensor(name)


class Worker:
    """Named as vLLM's worker extension, so that its workers import this module and thereby know ``FILES``."""


def _register() -> None:
    WeightTransferEngineFactory.register_engine(IN_PROCESS, InProcessTransfer)
    WeightTransferEngineFactory.register_engine(FILES, FileTransfer)


_register()
