"""How well judge and people, and people among each other, agree. Pure functions with intervals of 95 %."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Z = 1.959964
"""Half of the normal distribution's middle 95 %, in standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share with its interval: ``Rate(hits=9, number=10, value=0.9, low=0.6, high=0.98)``."""

    hits: int
    number: int
    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


def wilson(hits: int, number: int) -> Rate | None:
    """Wilson's interval (1927) of a share; None without a single observation."""
    if not number:
        return None
    share, z2 = hits / number, Z * Z
    middle = (share + z2 / (2 * number)) / (1 + z2 / number)
    half = Z * sqrt(share * (1 - share) / number + z2 / (4 * number * number)) / (1 + z2 / number)
    return Rate(hits=hits, number=number, value=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


@dataclass(frozen=True, kw_only=True)
class Kappa:
    """Agreement beyond chance: ``Kappa(value=0.4, low=0.05, high=0.75)``."""

    value: float
    low: float
    high: float


def cohens_kappa(first: Sequence[bool], second: Sequence[bool]) -> Kappa | None:
    """kappa = (p_o - p_e) / (1 - p_e) (Cohen, 1960), with se = sqrt(p_o (1 - p_o) / n) / (1 - p_e).

    p_o is the share of items two raters agree on, p_e what their own shares of "right" would give by chance. None where
    it is not defined: no items, or both raters say the same of everything.
    """
    n = len(first)
    if not n:
        return None
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    one, other = sum(first) / n, sum(second) / n
    expected = one * other + (1 - one) * (1 - other)
    if expected == 1:
        return None
    value = (observed - expected) / (1 - expected)
    error = sqrt(observed * (1 - observed) / n) / (1 - expected)
    return Kappa(value=value, low=max(-1.0, value - Z * error), high=min(1.0, value + Z * error))


@dataclass(frozen=True, kw_only=True)
class Meter:
    """The judge against people over some items that were called right or wrong."""

    agreement: Rate | None
    kappa: Kappa | None
    false_accept: Rate | None
    """Share of what people call wrong that the judge accepted."""
    false_reject: Rate | None
    """Share of what people call right that the judge refused."""


def meter(judge: Sequence[bool], people: Sequence[bool]) -> Meter:
    """Compare what the judge accepted with what people call right, item by item."""
    pairs = list(zip(judge, people, strict=True))
    wrong, right = [a for a, b in pairs if not b], [a for a, b in pairs if b]
    return Meter(
        agreement=wilson(sum(a == b for a, b in pairs), len(pairs)),
        kappa=cohens_kappa(judge, people),
        false_accept=wilson(sum(wrong), len(wrong)),
        false_reject=wilson(len(right) - sum(right), len(right)),
    )


def narrowing(agrees: Sequence[bool]) -> list[float]:
    """Width of the agreement's interval after 1, 2, 3 … labels in the order they were given; it was 1 before the first."""
    widths, hits = [], 0
    for number, hit in enumerate(agrees, start=1):
        hits += hit
        found = wilson(hits, number)
        assert found is not None
        widths.append(found.width)
    return widths
