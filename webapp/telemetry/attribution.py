"""What a change is made of: how much each part of a sum explains of the change of the whole."""

from collections.abc import Mapping
from dataclasses import dataclass

LEAST_CHANGE = 0.005
"""Below it nothing is explained: shares of next to nothing are noise."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """``Part(term="judge", was=0.2, now=0.36, share=0.8)``: four fifths of the whole's change are this part's."""

    term: str
    was: float
    now: float
    share: float | None
    """Of the change of the whole; below 0 where the part went the other way, None where the whole hardly moved."""

    @property
    def change(self) -> float:
        return self.now - self.was


def attribute(was: Mapping[str, float], now: Mapping[str, float]) -> list[Part]:
    """The parts of two sums; their changes add up to that of the whole, and their shares to 1. A part that is missing is 0."""
    terms = list(dict.fromkeys([*now, *was]))
    total = sum(now.values()) - sum(was.values())
    moved = abs(total) >= LEAST_CHANGE
    return [
        Part(
            term=term,
            was=was.get(term, 0.0),
            now=now.get(term, 0.0),
            share=(now.get(term, 0.0) - was.get(term, 0.0)) / total if moved else None,
        )
        for term in terms
    ]
