"""What a step's rewards and verdicts add up to, beside their means: pure functions of what was rewarded and judged."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean as mean
from statistics import median_low

from training_core.evaluate.agreement import ACCEPT_AT
from training_core.play.records import Rollout

QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
_SAME = 1e-9
"""Rewards this close are equal: a group of such rewards tells nobody what to do better."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An answer's value from the judge beside the truth: ``Judged(value=0.89, right=True, length=22)``."""

    value: float
    right: bool
    length: int | None = None
    """How long the answer is, in tokens or characters."""

    @property
    def accepted(self) -> bool:
        return self.value >= ACCEPT_AT


def reward_parts(rollouts: Iterable[Rollout]) -> dict[str, float]:
    """``reward_part/<role>_<term>``: how much of a role's mean reward each weighted term is. A role's parts add up to
    ``reward/<role>``: a term counts 0 where a rollout lacks it, and what the terms leave over is the part ``rest``."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    counts: dict[str, int] = defaultdict(int)
    for rollout in rollouts:
        counts[rollout.role] += 1
        for term, value in _parts_of(rollout).items():
            sums[rollout.role][term] += value
    return {
        f"reward_part/{role}_{term}": total / counts[role]
        for role, terms in sums.items()
        for term, total in terms.items()
    }


def _parts_of(rollout: Rollout) -> Mapping[str, float]:
    """The weighted terms; a rollout that names none has its only term, or all of its reward as one part."""
    if not rollout.parts:
        terms = list(rollout.turn.rewards) if rollout.turn is not None else []
        return {terms[0] if len(terms) == 1 else "reward": rollout.reward}
    rest = rollout.reward - math.fsum(rollout.parts.values())
    return rollout.parts if abs(rest) < _SAME else {**rollout.parts, "rest": rest}


def reward_spread(rollouts: Iterable[Rollout]) -> dict[str, float]:
    """``reward_p10/<role>``, ``reward_p50/<role>`` and ``reward_p90/<role>``: how the rewards of a step are spread."""
    by_role: dict[str, list[float]] = defaultdict(list)
    for rollout in rollouts:
        by_role[rollout.role].append(rollout.reward)
    return {
        f"reward_{name}/{role}": quantile(rewards, share)
        for role, rewards in by_role.items()
        for name, share in QUANTILES.items()
    }


def zero_signal(rollouts: Iterable[Rollout]) -> dict[str, float]:
    """``zero_signal/<role>``: share of groups of two or more in which all earn the same, so that none is better than another."""
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for rollout in rollouts:
        groups[rollout.role, rollout.group].append(rollout.reward)
    silent: dict[str, list[bool]] = defaultdict(list)
    for (role, _), rewards in groups.items():
        if len(rewards) > 1:
            silent[role].append(max(rewards) - min(rewards) < _SAME)
    return {f"zero_signal/{role}": mean(map(float, flags)) for role, flags in silent.items()}


def quantile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics: of 0, 1, 2, 3 the quantile 0.5 is 1.5."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def confusion(judged: Sequence[Judged]) -> dict[str, float]:
    """``confusion/right_accepted``, ``right_refused``, ``wrong_accepted``, ``wrong_refused``: numbers of answers, not shares, so
    that steps can be pooled; and the same under ``confusion_short/`` and ``confusion_long/`` for answers up to the step's median
    length and longer ones."""
    found = _four("confusion", judged)
    lengths = [each.length for each in judged if each.length is not None]
    if lengths:
        middle = median_low(lengths)
        measured = [each for each in judged if each.length is not None]
        found |= _four("confusion_short", [each for each in measured if each.length <= middle])  # type: ignore[operator]
        found |= _four("confusion_long", [each for each in measured if each.length > middle])  # type: ignore[operator]
    return found


def _four(area: str, judged: Sequence[Judged]) -> dict[str, float]:
    def number(*, right: bool, accepted: bool) -> float:
        return float(sum(each.right == right and each.accepted == accepted for each in judged))

    return {
        f"{area}/right_accepted": number(right=True, accepted=True),
        f"{area}/right_refused": number(right=True, accepted=False),
        f"{area}/wrong_accepted": number(right=False, accepted=True),
        f"{area}/wrong_refused": number(right=False, accepted=False),
    }


def length_pull(judged: Sequence[Judged]) -> dict[str, float]:
    """Whether the judge pays for length: ``judge/length_correlation`` is Pearson's r of value and length over all answers,
    ``judge/length_pull`` the same within right and within wrong answers, that is after both lost their class's mean. A judge
    that pays for long answers has a pull; right answers that happen to be longer have none."""
    pairs = [(each.value, float(each.length), each.right) for each in judged if each.length is not None]
    raw = correlation([value for value, _, _ in pairs], [length for _, length, _ in pairs])
    values, lengths = [], []
    for side in (True, False):
        mine = [(value, length) for value, length, right in pairs if right is side]
        if len(mine) > 1:
            mean_value, mean_length = mean(value for value, _ in mine), mean(length for _, length in mine)
            values += [value - mean_value for value, _ in mine]
            lengths += [length - mean_length for _, length in mine]
    pull = correlation(values, lengths)
    found = {"judge/length_correlation": raw, "judge/length_pull": pull}
    return {name: value for name, value in found.items() if value is not None}


def correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Pearson's r, or None where one side does not vary or there are fewer than 3 pairs."""
    if len(xs) < 3:
        return None
    mean_x, mean_y = mean(xs), mean(ys)
    xx = math.fsum((x - mean_x) ** 2 for x in xs)
    yy = math.fsum((y - mean_y) ** 2 for y in ys)
    if xx < _SAME or yy < _SAME:
        return None
    return math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / math.sqrt(xx * yy)


def spread_of(values: Sequence[float]) -> float:
    """Standard deviation with n - 1 in the denominator; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))
