"""Advantage estimators: what a reward is compared with. Functions from rollouts, and running baselines, to numbers."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from typing import Any, Literal

from training_core.play.records import Rollout
from training_core.spec.learning import (
    AdvantageSpec,
    GroupRelative,
    LeaveOneOut,
    NoBaseline,
    ReinforcePlusPlus,
    RoleConditioned,
    RoleMean,
)

EPSILON = 1e-8


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """How an advantage came about: ``Estimate(advantage=1.0, baseline=0.5, divisor=0.5)``."""

    advantage: float
    """``(reward - baseline) / divisor``, up to rounding."""
    baseline: float
    divisor: float = 1.0


class Baselines:
    """Running means of the returns, by role and by what the rollouts say their baseline is kept for. They begin at 0."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], float] = {}

    def metrics(self) -> dict[str, float]:
        """``baseline/role`` or ``baseline/role_game``."""
        return {f"baseline/{'_'.join(filter(None, key))}": value for key, value in self.values.items()}

    def state(self) -> list[list[str | float]]:
        return [[*key, value] for key, value in self.values.items()]

    def restore(self, state: Iterable[Any]) -> None:
        self.values = {(role, kept_for): value for role, kept_for, value in state}


def estimate_advantages(
    spec: AdvantageSpec, rollouts: Sequence[Rollout], baselines: Baselines | None = None
) -> list[Estimate]:
    """One advantage per rollout, shared by all its tokens; running ``baselines`` are brought up to date."""
    match spec:
        case ReinforcePlusPlus():
            return reinforce_plus_plus(rollouts)
        case GroupRelative():
            return group_relative(rollouts, divide_by_std=spec.scale == "std")
        case LeaveOneOut():
            return leave_one_out(rollouts)
        case RoleMean():
            return _normalised(rollouts, key=lambda r: r.role, weight=lambda _: 1, scale=False)
        case RoleConditioned():
            return role_conditioned(rollouts, baselines or Baselines(), decay=spec.decay, update=spec.update)
        case NoBaseline():
            return [Estimate(advantage=rollout.reward, baseline=0.0) for rollout in rollouts]


def advantage_means(rollouts: Sequence[Rollout], estimates: Sequence[Estimate]) -> dict[str, float]:
    """What a reader wants to know of each role's advantages, as means over what is learnt from: ``advantage/solver``, their
    absolute value ``advantage/solver_size``, and what they came from, ``_reward``, ``_baseline`` and, where rewards are scaled,
    ``_divisor``."""
    values: dict[str, list[float]] = defaultdict(list)
    scaled = {rollout.role for rollout, each in zip(rollouts, estimates, strict=True) if each.divisor != 1}
    for rollout, each in zip(rollouts, estimates, strict=True):
        name = f"advantage/{rollout.role}"
        values[name].append(rollout.advantage)
        values[f"{name}_size"].append(abs(rollout.advantage))
        values[f"{name}_reward"].append(rollout.reward)
        values[f"{name}_baseline"].append(each.baseline)
        if rollout.role in scaled:
            values[f"{name}_divisor"].append(each.divisor)
    return {name: fmean(each) for name, each in values.items()}


def reinforce_plus_plus(rollouts: Sequence[Rollout]) -> list[Estimate]:
    """Task-relative REINFORCE++: A = (r - mu_role) / sqrt(sigma_role^2 + eps) (MAE, section 3.4).

    mu and sigma are taken over all completion tokens of the role, so long answers weigh more.
    """
    return _normalised(rollouts, key=lambda r: r.role, weight=lambda r: len(r.completion.token_ids), scale=True)


def group_relative(rollouts: Sequence[Rollout], *, divide_by_std: bool) -> list[Estimate]:
    """A = r - mu_group, over sigma_group if asked (GRPO). A group of one is compared with its whole role."""
    return _normalised(rollouts, key=_siblings(rollouts), weight=lambda _: 1, scale=divide_by_std)


def leave_one_out(rollouts: Sequence[Rollout]) -> list[Estimate]:
    """A = r - mean of the other rewards of the group (RLOO, Ahmadian et al. 2024). A group of one is compared with its whole role.

    The same as n / (n - 1) (r - mu_group) with n siblings.
    """
    key = _siblings(rollouts)
    sizes = Counter(map(key, rollouts))
    centred = _normalised(rollouts, key=key, weight=lambda _: 1, scale=False)
    numbers = (sizes[key(rollout)] for rollout in rollouts)
    found = [each.advantage * n / max(n - 1, 1) for each, n in zip(centred, numbers, strict=True)]
    return [
        Estimate(advantage=advantage, baseline=rollout.reward - advantage)
        for advantage, rollout in zip(found, rollouts, strict=True)
    ]


def role_conditioned(
    rollouts: Sequence[Rollout],
    baselines: Baselines,
    *,
    decay: float,
    update: Literal["after", "before", "per_batch"],
) -> list[Estimate]:
    """A = R - b, b <- decay b + (1 - decay) R with one baseline b per role and game (SPIRAL, role-conditioned advantage).

    A group is one game and R its return for the role: one update each, in order. ``update`` says whether a return is taken into
    the baseline after it was compared, before (the paper's formula), or after the whole batch was compared.
    """
    groups: dict[tuple[str, str, str], list[Rollout]] = defaultdict(list)
    for rollout in rollouts:
        groups[rollout.group, rollout.role, rollout.baseline].append(rollout)
    values, before = baselines.values, dict(baselines.values)
    compared: dict[tuple[str, str, str], float] = {}
    for group, members in groups.items():
        key = group[1:]
        result, _ = _moments((member.reward, 1) for member in members)
        old = values.get(key, 0.0)
        values[key] = decay * old + (1 - decay) * result
        compared[group] = {"after": old, "before": values[key], "per_batch": before.get(key, 0.0)}[update]
    met = [compared[rollout.group, rollout.role, rollout.baseline] for rollout in rollouts]
    return [
        Estimate(advantage=rollout.reward - baseline, baseline=baseline)
        for rollout, baseline in zip(rollouts, met, strict=True)
    ]


def _siblings(rollouts: Sequence[Rollout]) -> Callable[[Rollout], tuple[str, str]]:
    """The role and group of a rollout, or its role alone where the group has no other member."""
    sizes = Counter((rollout.role, rollout.group) for rollout in rollouts)
    return lambda r: (r.role, r.group if sizes[r.role, r.group] > 1 else "")


def _normalised(
    rollouts: Sequence[Rollout],
    *,
    key: Callable[[Rollout], object],
    weight: Callable[[Rollout], int],
    scale: bool,
) -> list[Estimate]:
    groups: dict[object, list[Rollout]] = defaultdict(list)
    for rollout in rollouts:
        groups[key(rollout)].append(rollout)
    moments = {name: _moments((r.reward, weight(r)) for r in members) for name, members in groups.items()}
    found = []
    for rollout in rollouts:
        mean, variance = moments[key(rollout)]
        divisor = sqrt(variance + EPSILON) if scale else 1.0
        found.append(Estimate(advantage=(rollout.reward - mean) / divisor, baseline=mean, divisor=divisor))
    return found


def _moments(values: Iterable[tuple[float, int]]) -> tuple[float, float]:
    """Weighted mean and population variance; equal values have exactly their value and exactly 0."""
    pairs = list(values)
    if len({value for value, _ in pairs}) == 1:
        return pairs[0][0], 0.0
    total = sum(weight for _, weight in pairs)
    if total == 0:
        return 0.0, 0.0
    mean = sum(value * weight for value, weight in pairs) / total
    return mean, sum(weight * (value - mean) ** 2 for value, weight in pairs) / total
