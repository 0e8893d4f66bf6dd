"""Small operations on short words and digit lists."""

import random
import re
import string
from collections.abc import Callable
from typing import ClassVar

from training_core.spec.tasks import StringsTask
from training_core.tasks.base import GeneratedDomain, Item

_MAX_QUESTION = 100
_QUESTION = re.compile(r"(reverse|sort|max|last) ([a-z0-9]{1,12})|(count) ([a-z]) ([a-z]{1,12})")
_LETTERS = "abcdefgh"
_SOLVE: dict[str, Callable[[str], str]] = {
    "reverse": lambda text: text[::-1],
    "sort": lambda text: "".join(sorted(text)),
    "max": max,
    "last": lambda text: text[-1],
}


class Strings(GeneratedDomain):
    """Questions such as ``reverse bad``, ``sort 4172``, ``count a banana``, ``max 3914``, ``last hedge``.

    Words are made of letters, lists of digits; ``max`` is asked of digits only. Sampled words keep to eight letters,
    while any lower-case word is a question of the domain.
    """

    has_verifier: ClassVar[bool] = True
    held_out_seed: ClassVar[int] = 20_231

    def __init__(self, spec: StringsTask) -> None:
        self.spec = spec

    def canonical(self, question: str) -> str | None:
        parsed = self._parse(question)
        return None if parsed is None else " ".join(part for part in parsed if part)

    def truth(self, question: str) -> str | None:
        parsed = self._parse(question)
        if parsed is None:
            return None
        operation, letter, text = parsed
        return str(text.count(letter)) if operation == "count" else _SOLVE[operation](text)

    def check(self, answer: str, expected: str) -> bool:
        return len(answer) <= _MAX_QUESTION and answer.strip().lower() == expected.strip().lower()

    def wrong_answer(self, item: Item, rng: random.Random) -> str:
        while True:
            answer = self._slip(item, rng)
            if answer and answer != item.answer:
                return answer

    def draw(self, rng: random.Random) -> Item:
        operation = rng.choice(self.spec.operations)
        alphabet = (
            string.digits
            if operation == "max" or (operation in {"reverse", "sort"} and rng.random() < 0.3)
            else _LETTERS
        )
        length = rng.randint(2, self.spec.max_length)
        text = "".join(rng.choice(alphabet) for _ in range(length))
        letter = ""
        if operation == "count":
            letter = rng.choice(text) if rng.random() < 0.8 else rng.choice(_LETTERS)
        question = " ".join(part for part in (operation, letter, text) if part)
        truth = self.truth(question)
        assert truth is not None
        return Item(question=question, answer=truth, difficulty=(length - 1) / (self.spec.max_length - 1))

    def _parse(self, question: str) -> tuple[str, str, str] | None:
        """Operation, letter to count (empty for the others) and text."""
        if len(question) > _MAX_QUESTION:
            return None
        match = _QUESTION.fullmatch(" ".join(question.lower().split()))
        if match is None:
            return None
        operation, text, count, letter, counted = match.groups()
        if count:
            operation, text = count, counted
        one_kind = text.isalpha() or text.isdigit()
        if operation not in self.spec.operations or not one_kind or not 2 <= len(text) <= self.spec.max_length:
            return None
        if operation == "max" and not text.isdigit():
            return None
        return operation, letter or "", text

    def _slip(self, item: Item, rng: random.Random) -> str:
        operation, _, text = self._parse(item.question) or ("", "", item.question)
        answer = item.answer
        at = rng.randrange(len(answer))
        alphabet = string.digits if text.isdigit() else _LETTERS
        if operation == "count":
            return str(max(0, int(answer) + rng.choice((-2, -1, -1, 1, 1, 2))))
        if operation in {"max", "last"}:
            return rng.choice(text if rng.random() < 0.7 else alphabet)
        slips = {
            "swap": answer[: max(0, at - 1)] + answer[at] + answer[max(0, at - 1) : at] + answer[at + 1 :],
            "letter": answer[:at] + rng.choice(alphabet) + answer[at + 1 :],
            "drop": answer[:at] + answer[at + 1 :],
            "double": answer[:at] + answer[at] + answer[at:],
            "copy": text,
        }
        return slips[rng.choice(("swap", "swap", "letter", "letter", "drop", "double", "copy"))]
