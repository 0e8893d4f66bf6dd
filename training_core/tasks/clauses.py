"""Constraints that a rule can check: kinds of clauses, and how an instruction made of them is written and read."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

_SLOTS = {"number": "([0-9]{1,4})", "word": "([a-z]{1,20})", "letter": "([a-z])"}


@dataclass(frozen=True)
class Clause:
    """One constraint of an instruction: ``Clause(kind, ("6",))`` is ``len=6``."""

    kind: "Kind"
    values: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """``len=6``; a kind without values is its bare name."""
        return f"{self.kind.name}={','.join(self.values)}" if self.values else self.kind.name

    @property
    def sentence(self) -> str:
        """The constraint in words."""
        text = self.kind.sentence
        for slot, value in zip(self.kind.slots, self.values, strict=True):
            text = text.replace("{" + slot + "}", value, 1)
        return text

    @property
    def number(self) -> int:
        """The clause's first value, which must be a number."""
        return int(self.values[0])

    def found(self, text: str) -> str:
        """What the text has where the clause asks for something: a number, a letter, a word."""
        return self.kind.found(text, *self.values)

    def holds(self, text: str) -> bool:
        """Whether the text meets the constraint."""
        return self.kind.meets(self.found(text), *self.values)


def same(found: str, wanted: str) -> bool:
    """The usual way to meet a clause."""
    return found == wanted


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of constraint.

    Example: ``Kind(name="len", sentence="It has exactly {number} letters.", found=lambda text, _: str(len(text)))``.
    """

    name: str
    """Its compact code, before the values."""
    sentence: str
    """Its wording; ``{number}``, ``{word}`` and ``{letter}`` stand for its values, each at most once."""
    found: Callable[..., str]
    """``found(text, *values)``: what the text has."""
    meets: Callable[..., bool] = same
    """``meets(found, *values)``: whether that is enough."""

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """Names of its values in order."""
        return tuple(re.findall(r"\{(\w+)\}", self.sentence))

    @cached_property
    def in_code(self) -> re.Pattern[str]:
        values = ",".join(_SLOTS[slot] for slot in self.slots)
        return re.compile(re.escape(self.name) + (f"={values}" if values else ""))

    @cached_property
    def in_words(self) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", self.sentence)
        return re.compile("".join(_SLOTS[part] if place % 2 else re.escape(part) for place, part in enumerate(parts)))


class Family(Protocol):
    """Kinds of constraints that go together, and texts that meet them."""

    kinds: Sequence[Kind]
    opening: str
    """What stands before the clauses when the instruction is put in words."""

    def well_formed(self, text: str) -> bool:
        """Whether the text is an answer at all."""

    def draw(self, size: int, rng: random.Random) -> list[Clause]:
        """``size`` clauses that do not contradict one another, in the order of the kinds."""

    def consistent(self, clauses: Sequence[Clause]) -> bool:
        """Whether one text can meet all of them."""

    def write(self, clauses: Sequence[Clause], rng: random.Random) -> str:
        """A text that meets them all."""

    def spoil(self, clauses: Sequence[Clause], text: str, rng: random.Random) -> str:
        """The text changed a little so that it fails at least one of them."""


def read_code(kinds: Sequence[Kind], text: str) -> list[Clause] | None:
    """The clauses of ``len=6 start=b``, or None where a part is none."""
    clauses = []
    for part in text.split():
        found = next(((kind, match) for kind in kinds if (match := kind.in_code.fullmatch(part))), None)
        if found is None:
            return None
        clauses.append(Clause(found[0], found[1].groups()))
    return clauses or None


def read_words(kinds: Sequence[Kind], opening: str, text: str) -> list[Clause] | None:
    """The clauses of an instruction in words, or None where a sentence is none."""
    text = " ".join(text.split())
    if not text.startswith(opening):
        return None
    clauses, rest = [], text[len(opening) :].lstrip()
    while rest:
        found = next(((kind, match) for kind in kinds if (match := kind.in_words.match(rest))), None)
        if found is None:
            return None
        clauses.append(Clause(found[0], found[1].groups()))
        rest = rest[found[1].end() :].lstrip()
    return clauses or None
