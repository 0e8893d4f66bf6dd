"""What a task domain is: questions with answers, a held-out side, and, where a rule can solve them, the truth."""

import hashlib
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

HELD_OUT_SHARE = 0.1
MAX_TEXT = 20_000
"""Longest text a domain looks at; anything longer is nobody's question or answer."""


MAX_MISSES = 20_000
"""Draws in a row without a new held-out item after which a domain has no more."""


class DataError(ValueError):
    """A data set that cannot be used; the message is one sentence for the person who chose it."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question with its answer: ``Item(question="345-12", answer="333", difficulty=0.67)``."""

    question: str
    answer: str
    difficulty: float
    """0 is the easiest the domain can ask, 1 the hardest."""


class Domain(ABC):
    """Where questions come from and how their answers are checked.

    Every question belongs to exactly one side, training or held-out, by a hash of its canonical form. The split
    depends on nothing else, so it is the same in every run, on every machine and for every seed.
    """

    has_verifier: ClassVar[bool]
    """Whether ``truth`` can answer questions that nobody has seen before."""
    held_out_share: float = HELD_OUT_SHARE
    check_failures: int = 0
    """Answers the checker crashed on or ran out of time with; they were compared as plain text instead."""

    @abstractmethod
    def sample(self, rng: random.Random) -> Item:
        """A random item of the training side."""

    @abstractmethod
    def held_out(self, num_items: int) -> list[Item]:
        """The first ``num_items`` held-out items, always the same; fewer where the domain has no more."""

    @abstractmethod
    def canonical(self, question: str) -> str | None:
        """The one way to write this question, or None where it is no well-posed question of the domain."""

    @abstractmethod
    def truth(self, question: str) -> str | None:
        """The right answer, or None where it is unknown or the question is ill-posed."""

    @abstractmethod
    def check(self, answer: str, expected: str) -> bool:
        """Whether ``answer`` says the same as ``expected``."""

    @abstractmethod
    def wrong_answer(self, item: Item, rng: random.Random) -> str:
        """A mistake a learner might make; never equal to the right answer."""

    def right_answer(self, item: Item, rng: random.Random) -> str:
        """An answer that ``check`` accepts; made up where a question has many."""
        return item.answer

    def is_held_out(self, question: str) -> bool:
        """Whether the question belongs to the held-out side; False for what is no question of the domain."""
        canonical = self.canonical(question)
        return canonical is not None and hash_share(self.split_key(canonical)) < self.held_out_share

    def split_key(self, canonical: str) -> str:
        """What decides the side of a question; questions that give each other away share a key."""
        return canonical


class GeneratedDomain(Domain):
    """A domain that can make up questions: subclasses draw items, and the split sorts them to its two sides."""

    held_out_seed: ClassVar[int]

    @abstractmethod
    def draw(self, rng: random.Random) -> Item:
        """A random item of either side."""

    def sample(self, rng: random.Random) -> Item:
        while True:
            item = self.draw(rng)
            if not self.is_held_out(item.question):
                return item

    def item_key(self, canonical: str) -> str:
        """What makes two held-out items one."""
        return self.split_key(canonical)

    def held_out(self, num_items: int) -> list[Item]:
        rng = random.Random(self.held_out_seed)
        items: dict[str, Item] = {}
        misses = 0
        while len(items) < num_items and misses < MAX_MISSES:
            item = self.draw(rng)
            key = self.item_key(item.question)
            if key in items or not self.is_held_out(item.question):
                misses += 1
                continue
            misses = 0
            items[key] = item
        return list(items.values())


def hash_share(text: str) -> float:
    """A number in [0, 1) fixed by the text alone."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
