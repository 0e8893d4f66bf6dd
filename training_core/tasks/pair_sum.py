"""Guess and check: which two of these digits add up to the target?"""

import random
import re
from itertools import combinations
from typing import ClassVar

from training_core.spec.tasks import PairSumTask
from training_core.tasks.base import GeneratedDomain, Item

_QUESTION = re.compile(r"([0-9]{3,9})=([0-9]{1,2})")
_PAIR = re.compile(r"([0-9])\s*(?:[+,]|and)?\s*([0-9])")
_MAX_TEXT = 40


class PairSum(GeneratedDomain):
    """Questions such as ``73614=10``, answered by ``73``: distinct digits, of which exactly one pair has the target as its sum.

    The digits may stand in any order, and so may those of the answer. All orders of one question are on the same side.
    """

    has_verifier: ClassVar[bool] = True
    held_out_seed: ClassVar[int] = 20_232

    def __init__(self, spec: PairSumTask) -> None:
        self.spec = spec

    def canonical(self, question: str) -> str | None:
        return None if self._pair(question) is None else question.strip()

    def split_key(self, canonical: str) -> str:
        digits, _, target = canonical.partition("=")
        return f"{''.join(sorted(digits))}={target}"

    def item_key(self, canonical: str) -> str:
        # There are too few sets of digits for a long evaluation, and another order is another puzzle to a reader of text.
        return canonical

    def truth(self, question: str) -> str | None:
        return self._pair(question)

    def check(self, answer: str, expected: str) -> bool:
        """Both digits, in any order; ``3+7``, ``3, 7`` and ``3 and 7`` are read as ``37``."""
        found = _PAIR.fullmatch(answer.strip()) if len(answer) <= _MAX_TEXT else None
        return found is not None and sorted(found.groups()) == sorted(expected)

    def wrong_answer(self, item: Item, rng: random.Random) -> str:
        digits = item.question.partition("=")[0]
        while True:
            answer = "".join(rng.sample(digits, 2))
            if not self.check(answer, item.answer):
                return answer

    def draw(self, rng: random.Random) -> Item:
        while True:
            digits = "".join(rng.sample("0123456789", self.spec.num_digits))
            question = f"{digits}={sum(map(int, rng.sample(digits, 2)))}"
            answer = self._pair(question)
            if answer is not None:
                first, second = sorted(map(digits.index, answer))
                return Item(question=question, answer=answer, difficulty=(second - first) / (len(digits) - 1))

    def _pair(self, question: str) -> str | None:
        """The one right pair, in the order of the question; None for what is no question with exactly one."""
        found = _QUESTION.fullmatch(question.strip()) if len(question) <= _MAX_TEXT else None
        if found is None:
            return None
        digits, target = found.groups()
        if len(digits) != self.spec.num_digits or len(set(digits)) < len(digits) or target != str(int(target)):
            return None
        pairs = [a + b for a, b in combinations(digits, 2) if int(a) + int(b) == int(target)]
        return pairs[0] if len(pairs) == 1 else None
