"""Which weights each role speaks with: from the method's roles and the spec to policies in memory."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from training_core.policies.load import ADAPTER, Progress, load_policy
from training_core.policies.loaded import LoadedPolicy, start_copy
from training_core.spec.casting import START, cast_roles, needs_start, roles_of, trained_policies
from training_core.spec.experiment import ExperimentSpec


@dataclass(frozen=True, kw_only=True)
class Roster:
    """The policies of a run.

    Example: ``Roster(policies={"main": ..., "start": ...}, trained=("main",), policy_of={"solver": "main", "judge": "start"})``.
    """

    policies: Mapping[str, LoadedPolicy]
    """Trained policies, and "start" where a role or the loss needs it."""
    trained: tuple[str, ...]
    """Names of the policies that are updated, in the order of the roles."""
    policy_of: Mapping[str, str]
    """Policy of each role."""

    @property
    def first(self) -> LoadedPolicy:
        """One of the policies, for what they have in common: tokenizer, style, context."""
        return self.policies[self.trained[0]]

    @property
    def start(self) -> LoadedPolicy | None:
        return self.policies.get(START)


def load_roster(
    spec: ExperimentSpec,
    *,
    models_dir: Path,
    device: torch.device | str,
    progress: Progress,
) -> Roster:
    """Load the model once and make every policy from it: an adapter each, or a whole copy each. Raises ``ModelError``."""
    policy_of = cast_roles(spec.weights, roles_of(spec))
    trained = trained_policies(policy_of)
    adapters = trained if len(trained) > 1 else (ADAPTER,)
    first = load_policy(
        spec.model, task=spec.task, models_dir=models_dir, device=device, progress=progress, adapters=adapters
    )
    if first.adapter is None:
        policies = {name: first if name == trained[0] else _whole_copy(first) for name in trained}
    else:
        policies = {name: replace(first, adapter=adapter) for name, adapter in zip(trained, adapters, strict=True)}
    if needs_start(spec, policy_of):
        # Fresh adapters change nothing, so the model below them is the start.
        policies[START] = start_copy(first) if first.adapter is None else first.without_adapter()
    return Roster(policies=policies, trained=trained, policy_of=policy_of)


def _whole_copy(policy: LoadedPolicy) -> LoadedPolicy:
    return replace(policy, model=copy.deepcopy(policy.model))
