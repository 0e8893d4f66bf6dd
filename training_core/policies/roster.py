"""Which weights each role speaks with: from the method's roles and the spec to policies in memory."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from training_core.methods.registry import find_method
from training_core.policies.load import ADAPTER, Progress, load_policy
from training_core.policies.loaded import LoadedPolicy, start_copy
from training_core.policies.snapshots import take_snapshot
from training_core.spec.casting import START, Cast, cast
from training_core.spec.experiment import ExperimentSpec


@dataclass(frozen=True, kw_only=True)
class Roster:
    """The policies of a run.

    Example: ``Roster(cast=..., policies={"main": ..., "iterate": ..., "start": ...})``.
    """

    cast: Cast
    policies: Mapping[str, LoadedPolicy]
    """Trained policies, snapshots, and "start" where a role or the loss needs it."""

    @property
    def policy_of(self) -> Mapping[str, str]:
        """Policy of each role."""
        return self.cast.policy_of

    @property
    def first(self) -> LoadedPolicy:
        """One of the policies, for what they have in common: tokenizer, style, context."""
        return self.policies[self.cast.trained[0]]

    @property
    def trained(self) -> dict[str, LoadedPolicy]:
        """The policies that are updated."""
        return {name: self.policies[name] for name in self.cast.trained}

    @property
    def snapshots(self) -> dict[str, LoadedPolicy]:
        """Frozen weights that blends change."""
        return {name: self.policies[name] for name in self.cast.snapshots}

    @property
    def moving(self) -> dict[str, LoadedPolicy]:
        """All policies whose weights change in the course of the run."""
        return self.trained | self.snapshots

    @property
    def references(self) -> dict[str, LoadedPolicy]:
        """What each trained policy is compared with."""
        return {name: self.policies[reference] for name, reference in self.cast.references.items()}

    @property
    def speakers(self) -> dict[str, LoadedPolicy]:
        """The policies that an engine is asked for."""
        return {name: self.policies[name] for name in self.cast.speakers}


def load_roster(
    spec: ExperimentSpec,
    *,
    models_dir: Path,
    device: torch.device | str,
    progress: Progress,
    begin: Callable[[Mapping[str, LoadedPolicy]], None] = lambda trained: None,
) -> Roster:
    """Load the model once and make every policy from it: an adapter each, or a whole copy each. Raises ``ModelError``.

    ``begin`` may give the trained policies other weights before snapshots and the start are copied from them.
    """
    parts = cast(spec)
    trained = parts.trained
    adapters = trained if len(trained) > 1 else (ADAPTER,)
    first = load_policy(
        spec.model,
        task=spec.task,
        models_dir=models_dir,
        device=device,
        progress=progress,
        adapters=adapters,
        curriculum=find_method(spec.method.name).curriculum_on(spec.task.kind),
    )
    if first.adapter is None:
        policies = {name: first if name == trained[0] else _whole_copy(first) for name in trained}
    else:
        policies = {name: replace(first, adapter=adapter) for name, adapter in zip(trained, adapters, strict=True)}
    begin(policies)
    policies |= {name: take_snapshot(policies[source], name) for name, source in parts.snapshots.items()}
    if parts.needs_start:
        # Fresh adapters change nothing, so the model below them is the start.
        policies[START] = start_copy(first) if first.adapter is None else first.without_adapter()
    return Roster(cast=parts, policies=policies)


def _whole_copy(policy: LoadedPolicy) -> LoadedPolicy:
    return replace(policy, model=copy.deepcopy(policy.model))
