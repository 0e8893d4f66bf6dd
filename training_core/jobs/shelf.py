"""Policies by what names them, kept in memory for the next job as long as there is room."""

import os
from collections import OrderedDict
from pathlib import Path

import torch

from training_core.checkpoints import policy_folder, verify
from training_core.distributed.parallel import Alone
from training_core.methods.registry import find_method
from training_core.policies.files import MODEL_FILE, ForeignWeights, load_policy_into
from training_core.policies.load import ModelError, Progress, load_policy
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import parse_spec
from training_core.spec.jobs import Weights

DEFAULT_LIMIT_MIB = 2048


class Shelf:
    """The policies used last; older ones give way when all of them together need more than ``limit_mib``."""

    def __init__(self, *, models_dir: Path, limit_mib: int | None = None) -> None:
        self._models_dir = models_dir
        self._limit = (limit_mib or int(os.environ.get("KUMITE_JOBS_MEMORY_MIB") or DEFAULT_LIMIT_MIB)) << 20
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._held: OrderedDict[str, LoadedPolicy] = OrderedDict()

    def load(self, weights: Weights, *, root: Path, progress: Progress) -> LoadedPolicy:
        """The policy that ``weights`` names; raises ``ModelError``."""
        spec = parse_spec(weights.spec)
        folder, key = None, f"{spec.model.model_dump_json()}/{spec.task.model_dump_json()}/{spec.method.name}"
        if weights.checkpoint:
            folder, digest = _found(root / weights.checkpoint, weights)
            key = f"{folder}/{digest}"
        if key not in self._held:
            self._held[key] = self._load(spec, folder, weights, progress)
        self._held.move_to_end(key)
        while len(self._held) > 1 and sum(map(_num_bytes, self._held.values())) > self._limit:
            self._held.popitem(last=False)
        return self._held[key]

    def _load(self, spec: ExperimentSpec, folder: Path | None, weights: Weights, progress: Progress) -> LoadedPolicy:
        model = spec.model
        if folder is None:
            model = model.model_copy(update={"adapter": None})  # fresh adapters change nothing
        elif (folder / MODEL_FILE).is_file():
            model = model.model_copy(update={"source": str(folder), "revision": None, "adapter": None})
        policy = load_policy(
            model,
            task=spec.task,
            models_dir=self._models_dir,
            device=self._device,
            progress=progress,
            curriculum=find_method(spec.method.name).curriculum_on(spec.task.kind),
        )
        if folder is not None and not (folder / MODEL_FILE).is_file():
            try:
                load_policy_into(policy, folder, parallel=Alone())
            except (ForeignWeights, FileNotFoundError) as error:
                raise ModelError(f"The checkpoint of {weights.name} holds the weights of another model.") from error
        return policy


def _found(checkpoint: Path, weights: Weights) -> tuple[Path, str]:
    """The folder of the policy and the digest of a checkpoint whose files agree with its manifest."""
    name = policy_folder(weights.policy)
    found = verify(checkpoint, only=name)
    if found is None:
        raise ModelError(
            f"The checkpoint of {weights.name} is not on this worker any more, or is damaged; runs keep as many as "
            "checkpoint.keep says. Choose another one."
        )
    if not (checkpoint / name).is_dir():
        raise ModelError(f"The checkpoint of {weights.name} holds no policy called {weights.policy}.")
    return checkpoint / name, found.digest


def _num_bytes(policy: LoadedPolicy) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in policy.model.parameters())
