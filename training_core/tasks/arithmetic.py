"""Addition and subtraction of whole numbers; results are never below zero."""

import random
import re
from typing import ClassVar, Literal

from training_core.spec.tasks import ArithmeticTask
from training_core.tasks.base import GeneratedDomain, Item

_MAX_QUESTION = 100
_QUESTION = re.compile(
    r"(?:what is|compute|calculate)?\s*([0-9]{1,6})\s*([+\-\u2212])\s*([0-9]{1,6})\s*(?:=\s*\??|\?|\.)?", re.IGNORECASE
)
_ANSWER = re.compile(r"\$?\s*([0-9]{1,12}|[0-9]{1,3}(?:,[0-9]{3}){1,3})\s*\$?\.?")


class Arithmetic(GeneratedDomain):
    """Questions such as ``345-12``; both operands have ``min_digits`` to ``max_digits`` digits."""

    has_verifier: ClassVar[bool] = True
    held_out_seed: ClassVar[int] = 20_230

    def __init__(self, spec: ArithmeticTask) -> None:
        self.spec = spec

    def canonical(self, question: str) -> str | None:
        parsed = self._parse(question)
        if parsed is None:
            return None
        first, operation, second = parsed
        return f"{first}{operation}{second}"

    def split_key(self, canonical: str) -> str:
        first, plus, second = canonical.partition("+")
        return "+".join(sorted((first, second))) if plus else canonical

    def truth(self, question: str) -> str | None:
        parsed = self._parse(question)
        if parsed is None:
            return None
        first, operation, second = parsed
        return str(first + second if operation == "+" else first - second)

    def check(self, answer: str, expected: str) -> bool:
        """Numbers are compared by value, so ``0333`` and ``333`` are the same answer."""
        value = _read_number(answer)
        return value is not None and value == _read_number(expected)

    def wrong_answer(self, item: Item, rng: random.Random) -> str:
        while True:
            answer = self._slip(item, rng)
            if answer and answer != item.answer:
                return answer

    def draw(self, rng: random.Random) -> Item:
        operation = rng.choice(self.spec.operations)
        first, second = self._operand(rng), self._operand(rng)
        if operation == "-" and first < second:
            first, second = second, first
        truth = first + second if operation == "+" else first - second
        return Item(
            question=f"{first}{operation}{second}",
            answer=str(truth),
            difficulty=(len(str(first)) + len(str(second)) - 1) / (2 * self.spec.max_digits - 1),
        )

    def _operand(self, rng: random.Random) -> int:
        digits = rng.randint(self.spec.min_digits, self.spec.max_digits)
        return rng.randrange(0 if digits == 1 else 10 ** (digits - 1), 10**digits)

    def _parse(self, question: str) -> tuple[int, Literal["+", "-"], int] | None:
        if len(question) > _MAX_QUESTION:
            return None
        match = _QUESTION.fullmatch(question.strip())
        if match is None:
            return None
        first, sign, second = match.groups()
        operation: Literal["+", "-"] = "+" if sign == "+" else "-"
        if operation not in self.spec.operations or not (self._is_operand(first) and self._is_operand(second)):
            return None
        if operation == "-" and int(first) < int(second):
            return None
        return int(first), operation, int(second)

    def _is_operand(self, digits: str) -> bool:
        has_leading_zero = len(digits) > 1 and digits[0] == "0"
        return self.spec.min_digits <= len(digits) <= self.spec.max_digits and not has_leading_zero

    def _slip(self, item: Item, rng: random.Random) -> str:
        kind = rng.choice(
            ("digit", "digit", "digit", "carry", "carry", "ten", "swap", "drop", "double", "operation", "any")
        )
        answer = item.answer
        at = rng.randrange(len(answer))
        if kind == "digit":
            answer = answer[:at] + str((int(answer[at]) + rng.choice((-2, -1, -1, 1, 1, 2))) % 10) + answer[at + 1 :]
        elif kind == "carry":
            return _without_carry(item.question)
        elif kind == "ten":
            return str(abs(int(answer) + rng.choice((-1, 1)) * 10 ** rng.randint(1, len(answer))))
        elif kind == "swap" and at > 0:
            answer = answer[: at - 1] + answer[at] + answer[at - 1] + answer[at + 1 :]
        elif kind == "drop":
            answer = answer[:at] + answer[at + 1 :]
        elif kind == "double":
            answer = answer[:at] + answer[at] + answer[at:]
        elif kind == "operation":
            first, operation, second = self._parse(item.question) or (0, "+", 0)
            return str(abs(first - second) if operation == "+" else first + second)
        elif kind == "any":
            answer = answer[:at] + "".join(rng.choice("0123456789") for _ in answer[at:])
        return answer.lstrip("0") or "0"


def _without_carry(question: str) -> str:
    """Every column on its own, with carries and borrows forgotten."""
    operation = "+" if "+" in question else "-"
    first, _, second = question.partition(operation)
    width = max(len(first), len(second))
    sign = 1 if operation == "+" else -1
    columns = zip(first.zfill(width), second.zfill(width), strict=True)
    digits = "".join(str((int(a) + sign * int(b)) % 10) for a, b in columns)
    return digits.lstrip("0") or "0"


def _read_number(text: str) -> int | None:
    if len(text) > _MAX_QUESTION:
        return None
    match = _ANSWER.fullmatch(text.strip())
    if match is None:
        return None
    return int(match.group(1).replace(",", ""))
