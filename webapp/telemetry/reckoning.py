"""How a completion came to its reward and its advantage, written out: terms times weights, minus baseline, over divisor."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SAME = 1e-6


@dataclass(frozen=True, kw_only=True)
class Term:
    """One line of the sum: ``Term(name="judge", value=0.9, weight=0.5, part=0.45)``; the weight is None where nothing tells it."""

    name: str
    value: float
    weight: float | None
    part: float | None


@dataclass(frozen=True, kw_only=True)
class Reckoning:
    """``Reckoning(terms=(...), reward=0.95, adds_up=True, baseline=0.7, divisor=0.2, scale=1.0, advantage=1.25)``"""

    terms: tuple[Term, ...]
    reward: float
    adds_up: bool
    """Whether the parts are the reward; a method may combine its terms otherwise."""
    baseline: float | None
    divisor: float
    scale: float
    advantage: float | None

    @property
    def above(self) -> float | None:
        """Reward over baseline."""
        return None if self.baseline is None else self.reward - self.baseline

    @property
    def is_divided(self) -> bool:
        return abs(self.divisor - 1) > _SAME

    @property
    def is_scaled(self) -> bool:
        return abs(self.scale - 1) > _SAME


def reckonings(turns: Sequence[Mapping[str, Any]]) -> list[Reckoning | None]:
    """Of each turn, None where it has no reward. The weight of a term that is 0 is found at a turn of the same role."""
    weights: dict[tuple[str, str], float] = {}
    for turn in turns:
        for name, part in (turn.get("parts") or {}).items():
            value = (turn.get("rewards") or {}).get(name)
            if value and part is not None:
                weights[str(turn["role"]), name] = part / value
    return [_reckoning(turn, weights) if turn.get("reward") is not None else None for turn in turns]


def _reckoning(turn: Mapping[str, Any], weights: Mapping[tuple[str, str], float]) -> Reckoning:
    rewards: Mapping[str, Any] = turn.get("rewards") or {}
    parts: Mapping[str, Any] = turn.get("parts") or {}
    terms = tuple(
        Term(
            name=name,
            value=value,
            weight=weights.get((str(turn["role"]), name)),
            part=parts.get(name) if parts else value,
        )
        for name, value in rewards.items()
        if value is not None
    )
    known = [part for part in (parts.values() if parts else (term.part for term in terms)) if part is not None]
    reward = float(turn["reward"])
    return Reckoning(
        terms=terms,
        reward=reward,
        adds_up=bool(known) and math.isclose(math.fsum(known), reward, abs_tol=_SAME),
        baseline=turn.get("baseline"),
        divisor=_number(turn.get("divisor"), 1.0),
        scale=_number(turn.get("scale"), 1.0),
        advantage=turn.get("advantage"),
    )


def _number(value: Any, otherwise: float) -> float:
    return otherwise if value is None else float(value)
