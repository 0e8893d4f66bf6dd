"""Checkpoints: written aside, fsynced, valid from one rename on. A folder without a manifest that holds does not exist."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from training_core.learn.optimizers import OptimizerSet
from training_core.policies.loaded import LoadedPolicy

PREFIX = "step-"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A verified checkpoint: ``Checkpoint(step=50, path=Path(".../step-000050"), digest="ab12...", num_bytes=1843200)``."""

    step: int
    path: Path
    digest: str
    """sha256 of the manifest, which holds the sha256 of every file."""
    num_bytes: int

    def state(self) -> dict[str, Any]:
        """What is not weights: step, event position, pools, counters."""
        loaded: dict[str, Any] = json.loads((self.path / "state.json").read_text(encoding="utf-8"))
        return loaded


def save(
    folder: Path, step: int, *, policy: LoadedPolicy, optimizer: OptimizerSet, state: dict[str, Any]
) -> Checkpoint:
    """Write ``folder/step-<step>``; kill the process at any moment and either the whole checkpoint is there or none."""
    folder.mkdir(parents=True, exist_ok=True)
    final, aside = folder / f"{PREFIX}{step:06d}", folder / f".tmp-{step:06d}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    policy.model.save_pretrained(aside / "policy", max_shard_size="1000GB")
    policy.tokenizer.save_pretrained(aside / "policy")
    tensors, numbers = optimizer.state_dict()
    save_file(tensors, aside / "optimizer.safetensors")
    (aside / "state.json").write_text(json.dumps({**state, "optimizer": numbers}), encoding="utf-8")
    files = {
        str(path.relative_to(aside)): {"sha256": _sha256(path), "num_bytes": path.stat().st_size}
        for path in sorted(aside.rglob("*"))
        if path.is_file()
    }
    for name in files:
        _fsync(aside / name)
    manifest = aside / "manifest.json"
    manifest.write_text(json.dumps({"version": 1, "step": step, "files": files}, indent=1), encoding="utf-8")
    _fsync(manifest)
    shutil.rmtree(final, ignore_errors=True)
    aside.rename(final)
    _fsync(folder)
    found = verify(final)
    if found is None:
        raise OSError(f"the checkpoint {final} does not read back as written; the disk may be failing or full")
    return found


def verify(path: Path) -> Checkpoint | None:
    """The checkpoint at ``path`` if its manifest and every file agree, else None."""
    try:
        text = (path / "manifest.json").read_bytes()
        manifest = json.loads(text)
        for name, expected in manifest["files"].items():
            file = path / name
            if file.stat().st_size != expected["num_bytes"] or _sha256(file) != expected["sha256"]:
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Checkpoint(
        step=int(manifest["step"]),
        path=path,
        digest=hashlib.sha256(text).hexdigest(),
        num_bytes=sum(int(file["num_bytes"]) for file in manifest["files"].values()),
    )


def newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that verifies."""
    for path in sorted(folder.glob(f"{PREFIX}*"), reverse=True):
        if found := verify(path):
            return found
    return None


def tidy(folder: Path, *, keep: int) -> None:
    """Delete half-written checkpoints and all but the ``keep`` newest."""
    for path in folder.glob(".tmp-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in sorted(folder.glob(f"{PREFIX}*"), reverse=True)[keep:]:
        (path / "manifest.json").unlink(missing_ok=True)  # invalid first, so that no half-deleted folder is resumed
        shutil.rmtree(path, ignore_errors=True)


def restore(checkpoint: Checkpoint, *, policy: LoadedPolicy, optimizer: OptimizerSet) -> dict[str, Any]:
    """Put weights and optimiser back; returns the state."""
    weights = checkpoint.path / "policy"
    if (adapter := weights / "adapter_model.safetensors").exists():
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(policy.model, load_file(adapter))
    else:
        missing, unexpected = policy.model.load_state_dict(load_file(weights / "model.safetensors"), strict=False)
        tied = set(getattr(policy.model, "_tied_weights_keys", None) or ())
        if unexpected or set(missing) - tied:
            raise ValueError(f"the checkpoint {checkpoint.path.name} holds the weights of another model")
        policy.model.tie_weights()
    state = checkpoint.state()
    optimizer.load_state_dict(load_file(checkpoint.path / "optimizer.safetensors"), state["optimizer"])
    return state


def weights_digest(policy: LoadedPolicy) -> str:
    """sha256 over all weights in memory, to compare two runs."""
    digest = hashlib.sha256()
    for name, tensor in sorted(policy.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
