"""How a pupil of the starter works a question out on paper, step by step."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

MISSING = "_"
"""Stands where a reply has no further letter."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a sum: ``Column(text="7+8=15", digit="5")`` writes 5 and carries 1."""

    text: str
    digit: str


def columns(question: str, *, slip_rate: float = 0.0, rng: random.Random | None = None) -> list[Column]:
    """The columns of ``345-12`` or ``78+4``, least significant digit first, with now and then a slip.

    A slip forgets the carry or is off by one; later columns go on from what was written, as a careless pupil would.
    """
    operation = "+" if "+" in question else "-"
    first, _, second = question.partition(operation)
    written: list[Column] = []
    carry = 0
    for place in range(1, max(len(first), len(second)) + 1):
        top = int(first[-place]) if place <= len(first) else 0
        bottom = [int(second[-place])] if place <= len(second) else []
        slips = rng is not None and rng.random() < slip_rate
        if slips and carry:
            carry, slips = 0, False
        taken = bottom + [1] * carry
        if operation == "+":
            total = top + sum(taken)
            carry = int(total > 9)
        else:
            carry = int(top < sum(taken))
            top += 10 * carry
            total = top - sum(taken)
        if slips and rng is not None:
            total = total // 10 * 10 + (total + rng.choice((-1, 1))) % 10
        written.append(Column(text=_spelt(operation, top, taken, total), digit=str(total % 10)))
    if carry and operation == "+":
        written.append(Column(text="1", digit="1"))
    return written


def _spelt(operation: str, top: int, taken: Sequence[int], total: int) -> str:
    """``5+3=8``, with a carry ``5+3=8+1=9``: no step has more than two numbers, so few facts need to be learnt."""
    if len(taken) < 2:
        return f"{operation.join(map(str, [top, *taken]))}={total}"
    bottom, carry = taken
    between = top + bottom if operation == "+" else top - bottom
    return f"{top}{operation}{bottom}={between}{operation}{carry}={total}"


def number(written: Sequence[Column]) -> str:
    """The number the columns make."""
    return "".join(column.digit for column in reversed(written)).lstrip("0") or "0"


def checked_columns(question: str, reply: str) -> str:
    """The right columns, each beside the reply's digit and marked ``.`` where they agree and ``!`` where they do not.

    Example: ``5-2=3:3.4-1=3:4!3=3:3.`` for ``345-12`` answered by ``343``.
    """
    right = columns(question)
    right += [Column(text="0", digit="0")] * (len(reply) - len(right))
    text = ""
    for place, column in enumerate(right, start=1):
        theirs = reply[-place] if place <= len(reply) else "0"
        text += f"{column.text}:{theirs}{_mark(column.digit, theirs)}"
    return text


def string_working(question: str) -> str:
    """Running counts for count (``b0a1n1a2``), the running maximum for max (``3399``), nothing for what needs no working."""
    operation, *arguments = question.split(" ")
    text = arguments[-1]
    if operation == "count":
        return "".join(f"{letter}{text[: index + 1].count(arguments[0])}" for index, letter in enumerate(text))
    if operation == "max":
        return "".join(max(text[: index + 1]) for index in range(len(text)))
    return ""


def checked_letters(answer: str, reply: str) -> str:
    """Answer and reply side by side, letter by letter: ``d:d.a:b!b:b.``."""
    pairs = zip(answer.ljust(len(reply), MISSING), reply.ljust(len(answer), MISSING), strict=True)
    return "".join(f"{ours}:{theirs}{_mark(ours, theirs)}" for ours, theirs in pairs)


def _mark(ours: str, theirs: str) -> str:
    return "." if ours == theirs else "!"
