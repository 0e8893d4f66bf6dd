"""Advantage estimators: what a reward is compared with. Pure functions from rollouts to numbers."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import sqrt

from training_core.play.records import Rollout
from training_core.spec.learning import AdvantageSpec, GroupRelative, ReinforcePlusPlus

EPSILON = 1e-8


def estimate_advantages(spec: AdvantageSpec, rollouts: Sequence[Rollout]) -> list[float]:
    """One advantage per rollout, shared by all its tokens."""
    match spec:
        case ReinforcePlusPlus():
            return reinforce_plus_plus(rollouts)
        case GroupRelative():
            return group_relative(rollouts, divide_by_std=spec.scale == "std")


def reinforce_plus_plus(rollouts: Sequence[Rollout]) -> list[float]:
    """Task-relative REINFORCE++: A = (r - mu_role) / sqrt(sigma_role^2 + eps) (MAE, section 3.4).

    mu and sigma are taken over all completion tokens of the role, so long answers weigh more.
    """
    return _normalised(rollouts, key=lambda r: r.role, weight=lambda r: len(r.completion.token_ids), scale=True)


def group_relative(rollouts: Sequence[Rollout], *, divide_by_std: bool) -> list[float]:
    """A = r - mu_group, over sigma_group if asked (GRPO). A group of one is compared with its whole role."""
    sizes: dict[tuple[str, str], int] = defaultdict(int)
    for rollout in rollouts:
        sizes[rollout.role, rollout.group] += 1

    def key(rollout: Rollout) -> tuple[str, str]:
        return (rollout.role, rollout.group if sizes[rollout.role, rollout.group] > 1 else "")

    return _normalised(rollouts, key=key, weight=lambda _: 1, scale=divide_by_std)


def _normalised(
    rollouts: Sequence[Rollout],
    *,
    key: Callable[[Rollout], object],
    weight: Callable[[Rollout], int],
    scale: bool,
) -> list[float]:
    groups: dict[object, list[Rollout]] = defaultdict(list)
    for rollout in rollouts:
        groups[key(rollout)].append(rollout)
    moments = {name: _moments((r.reward, weight(r)) for r in members) for name, members in groups.items()}
    advantages = []
    for rollout in rollouts:
        mean, variance = moments[key(rollout)]
        advantages.append((rollout.reward - mean) / (sqrt(variance + EPSILON) if scale else 1.0))
    return advantages


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
