"""Which policy plays which role under a spec, and which frozen weights stand beside: what is decided before any weights are loaded."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from training_core.methods.base import Role, Snapshot
from training_core.methods.registry import find_method
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.model import WeightsSpec
from training_core.spec.trained import TrainedSpec

START = "start"
"""The frozen weights the run began with."""
NONE = "none"
"""No model: the role is played by a rule."""
_RESERVED = frozenset({START, NONE, "default"})
"""Names no snapshot may have; "default" is that of the only adapter."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, kw_only=True)
class Cast:
    """The policies of a run by name.

    Example: ``Cast(policy_of={"player": "main"}, trained=("main",), snapshots={"iterate": "main"}, references={"main": "iterate"},
    speakers=("main", "iterate"))``.
    """

    policy_of: Mapping[str, str]
    """Policy of each role."""
    trained: tuple[str, ...]
    """Policies that are updated, in the order of the roles."""
    snapshots: Mapping[str, str]
    """The trained policy that each snapshot begins as a copy of."""
    references: Mapping[str, str]
    """What each trained policy is compared with, where the method compares."""
    speakers: tuple[str, ...]
    """Policies that somebody may ask, so that the engine must hold them."""

    @property
    def needs_start(self) -> bool:
        """Whether somebody asks the frozen start, or is compared with it."""
        return START in self.policy_of.values() or START in self.references.values()


def roles_of(spec: ExperimentSpec) -> tuple[Role, ...]:
    """The roles of the method under its knobs."""
    return find_method(spec.method.name).roles(spec.method)


def cast(spec: ExperimentSpec) -> Cast:
    """Who speaks with what under a spec. Raises ``ValueError`` for snapshots that cannot be."""
    snapshots = find_method(spec.method.name).snapshots(spec.method)
    roles, names = roles_of(spec), [snapshot.name for snapshot in snapshots]
    policy_of = _policy_of_roles(spec.weights, roles, names)
    _check_names(names, taken={policy_of[role.name] for role in roles if role.trained})
    frozen = {START, NONE, *names}
    trained = tuple(dict.fromkeys(name for name in policy_of.values() if name not in frozen))
    _check(snapshots, policy_of, trained)
    asked = [name for name in policy_of.values() if name != NONE]
    asked += [snapshot.name for snapshot in snapshots if snapshot.speaks]
    return Cast(
        policy_of=policy_of,
        trained=trained,
        snapshots={snapshot.name: policy_of[snapshot.of] for snapshot in snapshots},
        references=_references(spec, snapshots, policy_of, trained),
        speakers=tuple(dict.fromkeys(asked)),
    )


def _policy_of_roles(weights: WeightsSpec, roles: Sequence[Role], snapshots: Sequence[str]) -> dict[str, str]:
    """What the method says, or with weights of its own the role's name if it is trained."""
    if weights.kind == "shared":
        return {role.name: role.policy for role in roles}
    untrained = {NONE, *snapshots}
    return {
        role.name: role.name if role.trained else role.policy if role.policy in untrained else START for role in roles
    }


def _references(
    spec: ExperimentSpec, snapshots: Sequence[Snapshot], policy_of: Mapping[str, str], trained: Sequence[str]
) -> dict[str, str]:
    """The snapshot that says so, else the start where the update compares at all."""
    found = {policy_of[snapshot.of]: snapshot.name for snapshot in snapshots if snapshot.reference}
    if isinstance(spec.method, TrainedSpec) and spec.method.needs_reference:
        found = dict.fromkeys(trained, START) | found
    return found


def _check_names(names: Sequence[str], *, taken: Collection[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1 or name in _RESERVED or name in taken or not _NAME.fullmatch(name):
            raise ValueError(
                f"a snapshot cannot be called {name!r}: it needs a name of its own, of small letters, digits, - and _"
            )


def _check(snapshots: Sequence[Snapshot], policy_of: Mapping[str, str], trained: Sequence[str]) -> None:
    for snapshot in snapshots:
        if policy_of.get(snapshot.of) not in trained:
            raise ValueError(
                f"the snapshot {snapshot.name} is to be a copy of the role {snapshot.of!r}, which no trained policy plays"
            )
    references = Counter(policy_of[snapshot.of] for snapshot in snapshots if snapshot.reference)
    for policy, count in references.items():
        if count > 1:
            raise ValueError(f"{count} snapshots claim to be the reference of the policy {policy}; it can have one")
