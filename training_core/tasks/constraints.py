"""Instructions made of constraints that rules can check; whatever meets all of them is a right answer."""

import random
from collections.abc import Sequence
from typing import ClassVar

from training_core.spec.tasks import ConstraintsTask
from training_core.tasks.base import MAX_TEXT, GeneratedDomain, Item
from training_core.tasks.clauses import Clause, Family, read_code, read_words
from training_core.tasks.string_constraints import StringFamily
from training_core.tasks.text_constraints import TextFamily

_MAX_QUESTION = 2_000


class Constraints(GeneratedDomain):
    """Instructions such as ``len=6 start=b no=e upper=2``, in that code or in words.

    There is no one right answer, so the truth about an instruction is its code, and checking an answer carries the code out.
    """

    has_verifier: ClassVar[bool] = True
    held_out_seed: ClassVar[int] = 20_232

    def __init__(self, spec: ConstraintsTask) -> None:
        self.spec = spec
        self.family: Family = StringFamily(max_length=spec.max_length) if spec.family == "strings" else TextFamily()

    def canonical(self, question: str) -> str | None:
        clauses = self.clauses(question)
        return None if clauses is None else _worded(self.family, clauses, self.spec.wording)

    def truth(self, question: str) -> str | None:
        clauses = self.clauses(question)
        return None if clauses is None else _worded(self.family, clauses, "code")

    def split_key(self, canonical: str) -> str:
        """Both wordings of an instruction are on one side."""
        return self.truth(canonical) or canonical

    def check(self, answer: str, expected: str) -> bool:
        """Whether ``answer`` meets every constraint of the instruction ``expected``."""
        answer, clauses = answer.strip(), self.clauses(expected)
        if clauses is None or len(answer) > MAX_TEXT or not self.family.well_formed(answer):
            return False
        return all(clause.holds(answer) for clause in clauses)

    def share_met(self, answer: str, expected: str) -> float:
        """The share of the constraints that the answer meets."""
        answer, clauses = answer.strip()[:MAX_TEXT], self.clauses(expected) or []
        met = [self.family.well_formed(answer) and clause.holds(answer) for clause in clauses]
        return sum(met) / len(met) if met else 0.0

    def right_answer(self, item: Item, rng: random.Random) -> str:
        return self.family.write(self.clauses(item.question) or [], rng)

    def wrong_answer(self, item: Item, rng: random.Random) -> str:
        clauses = self.clauses(item.question) or []
        return self.family.spoil(clauses, self.family.write(clauses, rng), rng)

    def draw(self, rng: random.Random) -> Item:
        size = rng.randint(self.spec.min_clauses, self.spec.max_clauses)
        clauses = self.family.draw(size, rng)
        question = _worded(self.family, clauses, self.spec.wording)
        spread = self.spec.max_clauses - self.spec.min_clauses
        difficulty = (size - self.spec.min_clauses) / spread if spread else 1.0
        return Item(question=question, answer=_worded(self.family, clauses, "code"), difficulty=difficulty)

    def clauses(self, question: str) -> list[Clause] | None:
        """The constraints of an instruction in the order of their kinds, or None where it is none or contradicts itself."""
        if len(question) > _MAX_QUESTION:
            return None
        kinds = self.family.kinds
        clauses = read_code(kinds, question) or read_words(kinds, self.family.opening, question)
        if clauses is None or len({clause.kind.name for clause in clauses}) < len(clauses):
            return None
        if not self.family.consistent(clauses):
            return None
        return sorted(clauses, key=lambda clause: kinds.index(clause.kind))


def _worded(family: Family, clauses: Sequence[Clause], wording: str) -> str:
    if wording == "code":
        return " ".join(clause.code for clause in clauses)
    return " ".join(part for part in (family.opening, *(clause.sentence for clause in clauses)) if part)
