"""A Bradley-Terry model of a few answers: the reward model that preference learning without one is compared with."""

from collections import defaultdict
from math import log
from typing import Any

PRIOR = 0.5
"""Wins that every answer starts with against, and gives to, an answer of strength 0; keeps an unbeaten answer finite."""
NUM_SWEEPS = 4


class Strengths:
    """P(a beats b) = sigmoid(s_a - s_b), fitted to all comparisons so far by maximum likelihood with a weak prior.

    Fitted by Hunter's MM algorithm (2004): pi_a = (wins_a + prior) / (sum over b of n_ab / (pi_a + pi_b) + 2 prior / (pi_a + 1)),
    with s = ln pi. A few sweeps from the last fit are enough where little was added.
    """

    def __init__(self) -> None:
        self._wins: dict[str, float] = defaultdict(float)
        self._met: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._values: dict[str, float] = {}

    def add(self, one: str, other: str, won: float) -> None:
        """``one`` met ``other`` and won with this chance, or 1 or 0. Meeting an equal tells nothing."""
        if one == other:
            return
        self._wins[one] += won
        self._wins[other] += 1 - won
        self._met[one][other] += 1
        self._met[other][one] += 1

    def fit(self) -> None:
        """Take in what was added."""
        answers = sorted(self._met)
        for answer in answers:
            self._values.setdefault(answer, 1.0)
        for _ in range(NUM_SWEEPS):
            for answer in answers:
                own, met = self._values[answer], self._met[answer]
                expected = sum(met[other] / (own + self._values[other]) for other in answers if other in met)
                self._values[answer] = (self._wins[answer] + PRIOR) / (expected + 2 * PRIOR / (own + 1))

    def of(self, answer: str) -> float:
        """The strength s of an answer; 0 for one never met."""
        return log(self._values.get(answer, 1.0))

    def state(self) -> dict[str, Any]:
        met = {answer: dict(others) for answer, others in self._met.items()}
        return {"wins": dict(self._wins), "met": met, "values": dict(self._values)}

    def restore(self, state: dict[str, Any]) -> None:
        self._wins.update(state["wins"])
        for answer, others in state["met"].items():
            self._met[answer].update(others)
        self._values.update(state["values"])
