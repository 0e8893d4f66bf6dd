"""Shares with their intervals, agreement beyond chance, and when a gap opened. Formulas stand where they are computed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z95 = 1.959963984540054
"""The normal quantile of two-sided 95 %."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate between two limits: ``Interval(value=0.8, low=0.49, high=0.94)``."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Verdicts against the truth, as numbers of answers."""

    right_accepted: float = 0
    right_refused: float = 0
    wrong_accepted: float = 0
    wrong_refused: float = 0

    @property
    def total(self) -> float:
        return self.right_accepted + self.right_refused + self.wrong_accepted + self.wrong_refused

    def accuracy(self) -> Interval | None:
        """Share of verdicts that agree with the truth."""
        return wilson(self.right_accepted + self.wrong_refused, self.total)

    def false_accept(self) -> Interval | None:
        """Share of the wrong answers that were accepted."""
        return wilson(self.wrong_accepted, self.wrong_accepted + self.wrong_refused)

    def false_reject(self) -> Interval | None:
        """Share of the right answers that were refused."""
        return wilson(self.right_refused, self.right_accepted + self.right_refused)

    def kappa(self) -> Interval | None:
        """Cohen's kappa: (p_o - p_e) / (1 - p_e), where p_e is the agreement that chance alone would give.

        Its standard error is sqrt(p_o (1 - p_o) / n) / (1 - p_e) (Cohen, 1960). None where one of the two never varies both in
        truth and in verdict, so that there is nothing beyond chance to agree on.
        """
        n = self.total
        if not n:
            return None
        observed = (self.right_accepted + self.wrong_refused) / n
        right, accepted = (
            (self.right_accepted + self.right_refused) / n,
            (self.right_accepted + self.wrong_accepted) / n,
        )
        chance = right * accepted + (1 - right) * (1 - accepted)
        if chance >= 1:
            return None
        value = (observed - chance) / (1 - chance)
        reach = Z95 * math.sqrt(observed * (1 - observed) / n) / (1 - chance)
        return Interval(value=value, low=max(-1.0, value - reach), high=min(1.0, value + reach))


def wilson(hits: float, total: float, z: float = Z95) -> Interval | None:
    """A share with Wilson's interval, which stays inside 0 to 1 and is sound for few trials and for shares near the ends.

    centre = (p + z^2 / 2n) / (1 + z^2 / n), reach = z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n) (Wilson, 1927).
    """
    if total <= 0:
        return None
    share, scale = hits / total, 1 + z * z / total
    centre = (share + z * z / (2 * total)) / scale
    reach = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / scale
    return Interval(value=share, low=max(0.0, centre - reach), high=min(1.0, centre + reach))


@dataclass(frozen=True, kw_only=True)
class Onset:
    """Since when a gap is open: ``Onset(place=40, seen_at=46, before=0.02)``, as places in the sequence."""

    place: int
    """The first measurement of the climb that was noticed."""
    seen_at: int
    """The measurement at which it was certain."""
    before: float
    """The mean of the gap while it was still shut."""


def onset(
    gaps: Sequence[float], errors: Sequence[float], *, baseline: int = 8, slack: float = 0.5, limit: float = 5.0
) -> Onset | None:
    """When a gap began to open, by a one-sided CUSUM (Page, 1954); None while it has not.

    z_t = (gap_t - b) / e_t, where b is the mean of the first ``baseline`` gaps and e_t the standard error of measurement t,
    never below that of the baseline's own scatter. S_t = max(0, S_{t-1} + z_t - slack). Once S exceeds ``limit`` the gap is
    open, since the step after S was last 0. With these settings a gap that only scatters raises a false alarm about once in
    930 measurements, one that shifts by one error is found after about 10.
    """
    if len(gaps) <= baseline:
        return None
    first = list(gaps[:baseline])
    before = sum(first) / baseline
    scatter = math.sqrt(sum((gap - before) ** 2 for gap in first) / (baseline - 1))
    risen, since = 0.0, baseline
    for place in range(baseline, len(gaps)):
        error = max(errors[place], scatter, 1e-6)
        risen = max(0.0, risen + (gaps[place] - before) / error - slack)
        if risen == 0.0:
            since = place + 1
        elif risen > limit:
            return Onset(place=since, seen_at=place, before=before)
    return None
