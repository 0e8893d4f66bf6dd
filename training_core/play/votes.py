"""One judgement out of several: the majority of their verdicts, and the critique that stands for it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Majority:
    """Verdicts Yes, No, Yes: ``Majority(accepts=True, value=0.67, first=0, is_unanimous=False)``."""

    accepts: bool
    value: float
    """Yes / (Yes + No)."""
    first: int
    """Place of the first vote that agrees; its words are the critique."""
    is_unanimous: bool


def majority(votes: Sequence[bool | None]) -> Majority | None:
    """What most votes say; None on a tie. A vote nobody can read (None) counts for neither side."""
    num_yes, num_no = sum(vote is True for vote in votes), sum(vote is False for vote in votes)
    if num_yes == num_no:
        return None
    accepts = num_yes > num_no
    return Majority(
        accepts=accepts,
        value=num_yes / (num_yes + num_no),
        first=votes.index(accepts),
        is_unanimous=0 in (num_yes, num_no),
    )
