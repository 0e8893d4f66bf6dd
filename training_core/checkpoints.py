"""Checkpoints: written aside, fsynced, valid from one rename on. A folder without a manifest that holds does not exist."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_core.distributed.parallel import Alone, Parallel
from training_core.learn.optimizers import OptimizerSet
from training_core.policies.files import ForeignWeights, load_optimizer, load_policy_into, save_optimizer, save_policy
from training_core.policies.load import ModelError
from training_core.policies.loaded import LoadedPolicy

PREFIX = "step-"
_ALONE = Alone()


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


def policy_folder(name: str) -> str:
    """Where a checkpoint keeps a policy, as a folder that can be loaded as a model: ``policy`` or ``policy-solver``."""
    return _named("policy", name)


def save(
    folder: Path,
    step: int,
    *,
    policies: Mapping[str, LoadedPolicy],
    optimizers: Mapping[str, OptimizerSet],
    snapshots: Mapping[str, LoadedPolicy],
    state: dict[str, Any],
    parallel: Parallel = _ALONE,
    sharded: bool = False,
) -> Checkpoint:
    """Write ``folder/step-<step>``; kill any process at any moment and either the whole checkpoint is there or none.

    ``policies`` are the trained ones, each with its optimiser, ``snapshots`` the frozen ones beside them. All processes of a run call
    this; ``sharded`` lets each of them write what it holds, otherwise rank 0 gathers and writes everything. ``state`` is rank 0's.
    """
    aside = folder / f".tmp-{step:06d}"
    if parallel.rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
    parallel.barrier()
    numbers = {}
    for name, policy in policies.items():
        save_policy(policy, aside / policy_folder(name), parallel=parallel, sharded=sharded)
        tensors, numbers[name] = optimizers[name].state_dict()
        save_optimizer(tensors, aside, _named("optimizer", name), parallel=parallel, sharded=sharded)
    for name, snapshot in snapshots.items():
        save_policy(snapshot, aside / policy_folder(name), parallel=parallel, sharded=sharded)
    parallel.barrier()
    state = {**state, "optimizers": numbers, "snapshots": list(snapshots)}
    sealed = _seal(aside, folder, step, state=state) if parallel.rank == 0 else None
    saved = parallel.broadcast(sealed)
    assert saved is not None
    return saved


def _seal(aside: Path, folder: Path, step: int, *, state: dict[str, Any]) -> Checkpoint:
    """Put the state beside the tensors, the manifest beside everything, and all of it in its place."""
    final = folder / f"{PREFIX}{step:06d}"
    (aside / "state.json").write_text(json.dumps(state), encoding="utf-8")
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


def verify(path: Path, *, only: str = "") -> Checkpoint | None:
    """The checkpoint at ``path`` if its manifest and every file agree, else None; ``only`` looks at the files of one folder."""
    try:
        text = (path / "manifest.json").read_bytes()
        manifest = json.loads(text)
        for name, expected in manifest["files"].items():
            if only and not name.startswith(f"{only}/"):
                continue
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


def of_run(folder: Path, step: int) -> Checkpoint | None:
    """The checkpoint of a step in a run's folder, if it is there and verifies."""
    return verify(folder / "checkpoints" / f"{PREFIX}{step:06d}")


def tidy(folder: Path, *, keep: int, held: Set[int] = frozenset()) -> None:
    """Delete half-written checkpoints and all but the ``keep`` newest and those of the steps that are held for others."""
    for path in folder.glob(".tmp-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in sorted(folder.glob(f"{PREFIX}*"), reverse=True)[keep:]:
        if int(path.name.removeprefix(PREFIX)) in held:
            continue
        (path / "manifest.json").unlink(missing_ok=True)  # invalid first, so that no half-deleted folder is resumed
        shutil.rmtree(path, ignore_errors=True)


def load_weights(checkpoint: Checkpoint, policies: Mapping[str, LoadedPolicy]) -> None:
    """Put the checkpoint's weights into whole policies, and nothing else. The only policy of a checkpoint serves all.

    Raises ``ModelError`` for weights of another model or of other policies.
    """
    held = list(checkpoint.state()["optimizers"])
    for name, policy in policies.items():
        if name not in held and len(held) > 1:
            raise ModelError(
                f"The checkpoint {checkpoint.path.name} holds the policies {', '.join(held)}, but the spec trains "
                f"{', '.join(policies)}; choose a run with the same weights."
            )
        source = name if name in held else held[0]
        try:
            load_policy_into(policy, checkpoint.path / policy_folder(source), parallel=_ALONE)
        except (ForeignWeights, FileNotFoundError) as error:
            raise ModelError(
                f"The checkpoint {checkpoint.path.name} holds the weights of another model than model.source with model.adapter."
            ) from error


def restore(
    checkpoint: Checkpoint,
    *,
    policies: Mapping[str, LoadedPolicy],
    optimizers: Mapping[str, OptimizerSet],
    snapshots: Mapping[str, LoadedPolicy],
    parallel: Parallel = _ALONE,
) -> dict[str, Any]:
    """Put weights, snapshots and optimisers back, written by however many processes; returns the state.

    Raises ``ModelError`` for a checkpoint of other policies.
    """
    state = checkpoint.state()
    if state["optimizers"].keys() != policies.keys():
        held, wanted = ", ".join(state["optimizers"]), ", ".join(policies)
        raise ModelError(
            f"The checkpoint {checkpoint.path.name} holds the policies {held}, but the spec trains {wanted}; start a new run instead."
        )
    if set(state["snapshots"]) != snapshots.keys():
        held, wanted = (", ".join(names) or "none" for names in (state["snapshots"], snapshots))
        raise ModelError(
            f"The checkpoint {checkpoint.path.name} holds the snapshots {held}, but the spec keeps {wanted}; start a new run instead."
        )
    for name, policy in {**policies, **snapshots}.items():
        try:
            load_policy_into(policy, checkpoint.path / policy_folder(name), parallel=parallel)
        except (ForeignWeights, FileNotFoundError) as error:
            raise ModelError(
                f"The checkpoint {checkpoint.path.name} holds the weights of another model; start a new run instead."
            ) from error
    for name, optimizer in optimizers.items():
        tensors = load_optimizer(optimizer, checkpoint.path, _named("optimizer", name), parallel=parallel)
        optimizer.load_state_dict(tensors, state["optimizers"][name])
    return state


def _named(what: str, policy: str) -> str:
    return what if policy == "main" else f"{what}-{policy}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
