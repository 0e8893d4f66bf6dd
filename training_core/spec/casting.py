"""Which policy plays which role under a spec: what is decided before any weights are loaded."""

from collections.abc import Mapping, Sequence

from training_core.methods.base import Role
from training_core.methods.registry import find_method
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.model import WeightsSpec
from training_core.spec.trained import TrainedSpec

START = "start"
"""The frozen weights the run began with."""
NONE = "none"
"""No model: the role is played by a rule."""


def roles_of(spec: ExperimentSpec) -> tuple[Role, ...]:
    """The roles of the method under its knobs."""
    return find_method(spec.method.name).roles(spec.method)


def cast_roles(weights: WeightsSpec, roles: Sequence[Role]) -> dict[str, str]:
    """Policy of each role: what the method says, or with weights of its own the role's name if it is trained."""
    if weights.kind == "shared":
        return {role.name: role.policy for role in roles}
    return {role.name: role.name if role.trained else _untrained(role) for role in roles}


def trained_policies(policy_of: Mapping[str, str]) -> tuple[str, ...]:
    """Policies that are updated, in the order of the roles."""
    return tuple(dict.fromkeys(name for name in policy_of.values() if name not in {START, NONE}))


def needs_start(spec: ExperimentSpec, policy_of: Mapping[str, str]) -> bool:
    """Whether a role or the loss asks the frozen weights."""
    compared = isinstance(spec.method, TrainedSpec) and spec.method.needs_reference
    return compared or START in policy_of.values()


def _untrained(role: Role) -> str:
    return NONE if role.policy == NONE else START
