"""What vLLM is given of a policy: config, tokenizer, weights by their names in a checkpoint, adapters.

Everything goes into a private folder in memory, which is removed with the engine; folders of processes that were killed are
removed when the next engine starts.
"""

import copy
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from training_core.policies.loaded import LoadedPolicy

NamedTensors = Iterable[tuple[str, torch.Tensor]]

_PREFIX = "kumite-vllm-"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_SHARD_BYTES = 2 << 30
_LONGEST_SOCKET_FOLDER = 60
"""A unix socket's path has room for some 100 characters."""


class PrivateFolder:
    """A folder of this process alone, ``path``. A lock that the system takes back tells whether its owner still lives."""

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or default_folder()
        _sweep(parent)
        self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
        self._lock = (self.path / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def default_folder() -> Path:
    """Shared memory, or where there is none the folder for temporary files."""
    if os.access(_SHARED_MEMORY, os.W_OK):
        return _SHARED_MEMORY
    folder = Path(tempfile.gettempdir())
    return folder if len(str(folder)) < _LONGEST_SOCKET_FOLDER else Path("/tmp")  # noqa: S108


def _sweep(parent: Path) -> None:
    """Remove the folders of processes that could not do so themselves."""
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            with (folder / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # in use, being made, or somebody else's
            continue


def write_model(policy: LoadedPolicy, folder: Path, *, untie: bool) -> None:
    """Config and tokenizer, into ``folder/model`` and ``folder/tokenizer``.

    ``untie`` gives the output layer weights of its own: vLLM's CPU build packs them into another layout when it loads them
    and does not notice when the embedding it is tied to changes.
    """
    base = base_model(policy.model)
    config = copy.deepcopy(base.config)
    # A sharded model's class has a name that vLLM does not know.
    config.architectures = config.architectures or [type(base).__name__.removeprefix("FSDP")]
    if untie:
        config.tie_word_embeddings = False
    config.save_pretrained(folder / "model")
    policy.tokenizer.save_pretrained(folder / "tokenizer")
    # vLLM loads tokenizers by the config beside them, and for a Qwen2 config transformers ignores the class that was saved:
    # spaces of a character vocabulary would vanish. This type has no class of its own, so the saved tokenizer is taken as it is.
    (folder / "tokenizer" / "config.json").write_text(json.dumps({"model_type": "stablelm"}), encoding="ascii")


def base_model(model: Any) -> Any:
    """The model below peft's wrapper."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


@torch.no_grad()
def checkpoint_tensors(model: Any, *, dtype: torch.dtype, untie: bool) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights below any adapter, whole and in ``dtype``, by the names they have in a checkpoint.

    Where a model is sharded over processes, all of them must walk to the end together.
    """
    base = base_model(model)
    seen = set()
    for name, parameter in base.named_parameters():
        if ".lora_" not in name:
            plain = name.replace(".base_layer.", ".")
            seen.add(plain)
            yield plain, _whole(parameter).to(dtype)
    head = base.get_output_embeddings()
    name = next((f"{name}.weight" for name, module in base.named_modules() if module is head), None)
    if untie and name is not None and name not in seen:
        yield (
            name,
            _whole(head.weight).to(dtype, copy=True),
        )  # a safetensors file may not hold one tensor under two names


def write_weights(tensors: NamedTensors, folder: Path) -> None:
    """Safetensors files of bounded size; ``folder`` holds nothing else."""
    folder.mkdir()
    shard: dict[str, torch.Tensor] = {}
    num_bytes, number = 0, 0
    for name, tensor in tensors:
        if shard and num_bytes + tensor.nbytes > _SHARD_BYTES:
            save_file(shard, folder / f"model-{number:05d}.safetensors")
            shard, num_bytes, number = {}, 0, number + 1
        shard[name] = tensor.cpu().contiguous()
        num_bytes += tensor.nbytes
    save_file(shard, folder / f"model-{number:05d}.safetensors")


@torch.no_grad()
def write_adapter(policy: LoadedPolicy, folder: Path) -> None:
    """The policy's adapter as peft saves it; for a policy without one an adapter that changes nothing."""
    from peft import get_peft_model_state_dict

    folder.mkdir()
    name = policy.adapter or next(iter(policy.model.peft_config))
    state = get_peft_model_state_dict(policy.model, adapter_name=name, save_embedding_layers=False)
    factor = 1 if policy.adapter else 0
    save_file(
        {key: (_whole(tensor) * factor).cpu() for key, tensor in state.items()}, folder / "adapter_model.safetensors"
    )
    policy.model.peft_config[name].save_pretrained(str(folder))


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    gather = getattr(tensor.detach(), "full_tensor", None)
    gathered: torch.Tensor = gather() if gather else tensor.detach()
    return gathered
