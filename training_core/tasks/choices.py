"""One question with a handful of one-letter answers, for games of pure preference: no answer is right, some beat others."""

import random
import string
from typing import ClassVar

from training_core.spec.tasks import ChoicesTask
from training_core.tasks.base import Domain, Item

QUESTION = "choose"
NUM_GOOD = 3


class Choices(Domain):
    """The question ``choose`` and the answers ``a``, ``b``, ``c`` and so on, of which the first three are good.

    There is nothing to hold out: what is learnt is a mixture over the answers, and it is measured exactly.
    """

    has_verifier: ClassVar[bool] = False

    def __init__(self, spec: ChoicesTask) -> None:
        self.spec = spec
        self.answers = tuple(string.ascii_lowercase[: spec.answers])
        self.good = self.answers[:NUM_GOOD]

    def sample(self, rng: random.Random) -> Item:
        return Item(question=QUESTION, answer=rng.choice(self.good), difficulty=0.0)

    def held_out(self, num_items: int) -> list[Item]:
        return []

    def canonical(self, question: str) -> str | None:
        return QUESTION if question.strip() == QUESTION else None

    def truth(self, question: str) -> str | None:
        return None

    def check(self, answer: str, expected: str) -> bool:
        return answer == expected

    def wrong_answer(self, item: Item, rng: random.Random) -> str:
        return rng.choice(self.answers[NUM_GOOD:])

    def is_held_out(self, question: str) -> bool:
        return False


def circle_chance(domain: Choices, first: str | None, second: str | None, *, cycle: float, over_rest: float) -> float:
    """The chance that ``first`` beats ``second``: good answers beat the next one in the circle, and all that are not good.

    What is none of the answers loses to all of them; equals, and two answers that are not good, draw.
    """
    ranks = [_rank(domain, answer) for answer in (first, second)]
    if ranks[0] != ranks[1]:
        return over_rest if ranks[0] > ranks[1] else 1 - over_rest
    if first not in domain.good or second not in domain.good:
        return 0.5
    lead = (domain.good.index(second) - domain.good.index(first)) % NUM_GOOD
    return (0.5, cycle, 1 - cycle)[lead]


def _rank(domain: Choices, answer: str | None) -> int:
    if answer in domain.good:
        return 2
    return 1 if answer in domain.answers else 0


def payoffs(domain: Choices, *, cycle: float, over_rest: float) -> list[list[float]]:
    """``payoffs[i][j]``: the chance that answer i beats answer j, over all answers and, last, an unreadable one."""
    players: list[str | None] = [*domain.answers, None]
    return [
        [circle_chance(domain, one, other, cycle=cycle, over_rest=over_rest) for other in players] for one in players
    ]
