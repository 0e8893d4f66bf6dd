"""How well a judge's scores agree with the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

ACCEPT_AT = 0.5
"""A score (0 to 1) from here on counts as acceptance."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Judge against truth over some labelled answers; rates are None where their class is empty."""

    auc: float | None
    """Chance that a right answer scores above a wrong one, ties counting half."""
    false_accept: float | None
    """Share of wrong answers that were accepted."""
    false_reject: float | None
    """Share of right answers that were refused."""
    num_right: int
    num_wrong: int


def agreement(scores: Sequence[float], right: Sequence[bool]) -> Agreement:
    """Compare scores in [0, 1] with the truth about the answers they grade."""
    good = [score for score, is_right in zip(scores, right, strict=True) if is_right]
    bad = [score for score, is_right in zip(scores, right, strict=True) if not is_right]
    return Agreement(
        auc=_auc(good, bad),
        false_accept=sum(score >= ACCEPT_AT for score in bad) / len(bad) if bad else None,
        false_reject=sum(score < ACCEPT_AT for score in good) / len(good) if good else None,
        num_right=len(good),
        num_wrong=len(bad),
    )


def _auc(good: Sequence[float], bad: Sequence[float]) -> float | None:
    """Mann-Whitney U over the number of pairs, by ranks: n log n."""
    if not good or not bad:
        return None
    ordered = sorted([(score, 1) for score in good] + [(score, 0) for score in bad])
    wins = 0.0
    bad_below = index = 0
    while index < len(ordered):
        end = index
        while end < len(ordered) and ordered[end][0] == ordered[index][0]:
            end += 1
        num_good = sum(label for _, label in ordered[index:end])
        num_bad = end - index - num_good
        wins += num_good * (bad_below + num_bad / 2)
        bad_below += num_bad
        index = end
    return wins / (len(good) * len(bad))
