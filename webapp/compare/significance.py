"""Whether two settings differ by more than their seeds do: Welch's t test, a permutation test, and how many seeds it takes.

With means m1 and m2, variances v1 and v2 (divided by n - 1) and n1 and n2 seeds:

    t   = (m1 - m2) / se,  se = sqrt(v1 / n1 + v2 / n2)
    dof = se^4 / ((v1 / n1)^2 / (n1 - 1) + (v2 / n2)^2 / (n2 - 1))                         (Welch 1947)
    interval of the difference: m1 - m2 +- t(0.975, dof) se
    Hedges' g = (m1 - m2) / sqrt(((n1 - 1) v1 + (n2 - 1) v2) / (n1 + n2 - 2)) * (1 - 3 / (4 (n1 + n2) - 9))
    seeds for 80 % power at 5 %: least n with n >= 2 v ((t(0.975, 2n - 2) + t(0.8, 2n - 2)) / (m1 - m2))^2,  v = (v1 + v2) / 2

Several comparisons at once are corrected by Holm's procedure. Nothing here knows of runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb, sqrt
from statistics import fmean, variance

from webapp.compare.student import quantile, two_sided_p

ALPHA, POWER = 0.05, 0.8
MAX_SEEDS, MAX_SPLITS = 100, 4_000
_EQUAL = 1e-12


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A comparison of ``theirs`` with a baseline's ``ours``; what needs more seeds than there are is None.

    ``Finding(difference=0.04, low=0.01, high=0.07, p=0.02, p_holm=0.04, p_permutation=0.1, g=2.1, dof=3.9, more_seeds=0, ...)``
    """

    num_theirs: int
    num_ours: int
    mean_theirs: float
    mean_ours: float
    difference: float
    low: float | None = None
    high: float | None = None
    t: float | None = None
    dof: float | None = None
    p: float | None = None
    p_holm: float | None = None
    """``p``, corrected for the number of comparisons made at once."""
    p_permutation: float | None = None
    g: float | None = None
    more_seeds: int | None = None
    """Further seeds each side would need to tell a difference of this size; None where that cannot be said, or is over 100."""

    @property
    def is_clear(self) -> bool:
        return self.p_holm is not None and self.p_holm < ALPHA

    @property
    def least_p_permutation(self) -> float:
        """The smallest p that a permutation test of so few seeds can give."""
        splits = comb(self.num_theirs + self.num_ours, self.num_ours)
        return (2 if self.num_theirs == self.num_ours else 1) / splits


def compare(theirs: Sequence[float], ours: Sequence[float]) -> Finding | None:
    """One comparison; None where a side has no value. A single seed has no spread, so nothing can be told from it."""
    if not theirs or not ours:
        return None
    difference = fmean(theirs) - fmean(ours)
    found = Finding(
        num_theirs=len(theirs),
        num_ours=len(ours),
        mean_theirs=fmean(theirs),
        mean_ours=fmean(ours),
        difference=difference,
    )
    least = min(len(theirs), len(ours))
    if least < 2:
        return replace(found, more_seeds=2 - least)
    v1, v2 = variance(theirs), variance(ours)
    a, b = v1 / len(theirs), v2 / len(ours)
    se = sqrt(a + b)
    if se <= _EQUAL * max(abs(found.mean_theirs), abs(found.mean_ours), _EQUAL):
        return found
    dof = (a + b) ** 2 / (a * a / (len(theirs) - 1) + b * b / (len(ours) - 1))
    t, reach = difference / se, quantile(1 - ALPHA / 2, dof) * se
    p = two_sided_p(t, dof)
    return replace(
        found,
        low=difference - reach,
        high=difference + reach,
        t=t,
        dof=dof,
        p=p,
        p_holm=p,
        p_permutation=permutation_p(theirs, ours),
        g=hedges_g(theirs, ours),
        more_seeds=_more(seeds_needed(difference, (v1 + v2) / 2), least),
    )


def together(findings: Sequence[Finding | None]) -> list[Finding | None]:
    """The same findings with p values corrected for making them all at once: Holm, step down, never beyond 1."""
    told = sorted((found.p, place) for place, found in enumerate(findings) if found and found.p is not None)
    corrected: dict[int, float] = {}
    highest = 0.0
    for rank, (p, place) in enumerate(told):
        highest = max(highest, min(1.0, (len(told) - rank) * p))
        corrected[place] = highest
    return [
        replace(found, p_holm=corrected[place]) if found and place in corrected else found
        for place, found in enumerate(findings)
    ]


def permutation_p(theirs: Sequence[float], ours: Sequence[float]) -> float | None:
    """Share of all ways to deal the values out that differ at least as much; None where there are too many ways."""
    values, size = [*theirs, *ours], len(theirs)
    splits = comb(len(values), size)
    if splits > MAX_SPLITS:
        return None
    total = sum(values)
    seen = abs(fmean(theirs) - fmean(ours))
    as_far = 0
    for chosen in combinations(values, size):
        inside = sum(chosen)
        difference = abs(inside / size - (total - inside) / (len(values) - size))
        as_far += difference >= seen - _EQUAL * max(seen, 1)
    return as_far / splits


def hedges_g(theirs: Sequence[float], ours: Sequence[float]) -> float | None:
    """The difference in units of the seeds' standard deviation, corrected for few seeds."""
    n1, n2 = len(theirs), len(ours)
    pooled = ((n1 - 1) * variance(theirs) + (n2 - 1) * variance(ours)) / (n1 + n2 - 2)
    if pooled <= 0:
        return None
    return (fmean(theirs) - fmean(ours)) / sqrt(pooled) * (1 - 3 / (4 * (n1 + n2) - 9))


def seeds_needed(difference: float, spread: float) -> int | None:
    """Seeds on each side that find a difference of this size four times in five; None for more than ``MAX_SEEDS``."""
    if difference == 0:
        return None
    for n in range(2, MAX_SEEDS + 1):
        reach = quantile(1 - ALPHA / 2, 2 * n - 2) + quantile(POWER, 2 * n - 2)
        if n >= 2 * spread * (reach / difference) ** 2:
            return n
    return None


def _more(needed: int | None, have: int) -> int | None:
    return None if needed is None else max(0, needed - have)
