"""Teaching text in the starter's language, built from training-side items only."""

import random
from collections.abc import Iterator
from typing import Literal

from training_core.tasks import language
from training_core.tasks.arithmetic import Arithmetic
from training_core.tasks.base import Domain, Item
from training_core.tasks.strings import Strings

Kind = Literal["solve", "judge", "review", "propose"]
RIGHT_SCORE, WRONG_SCORE = 10, 1


def lesson(domain: Domain, kind: str, rng: random.Random) -> tuple[str, str]:
    """A prompt and the completion a skilled player would write; ``kind`` is solve, judge, review or propose."""
    match kind:
        case "solve":
            item = domain.sample(rng)
            return language.solve_prompt(item.question), solution(domain, item)
        case "judge":
            item = domain.sample(rng)
            reply = item.answer if rng.random() < 0.5 else domain.wrong_answer(item, rng)
            return language.judge_prompt(item.question, reply), verdict(domain, item, reply)
        case "review":
            question = domain.sample(rng).question
            if rng.random() < 0.4:
                question = malformed(domain, question, rng)
            score = WRONG_SCORE if domain.truth(question) is None else RIGHT_SCORE
            return language.review_prompt(question), f"<score>{score}</score>{language.END}"
        case "propose":
            item, reference = domain.sample(rng), domain.sample(rng)
            with_reference, with_answer = rng.random() < 0.5, rng.random() < 0.3
            prompt = language.propose_prompt(
                reference.question if with_reference else None, reference.answer if with_answer else None
            )
            return prompt, f"<question>{item.question}</question>{language.END}"
    raise ValueError(f"there are no lessons of kind {kind!r}; known kinds: solve, judge, review, propose")


def solution(domain: Domain, item: Item) -> str:
    """Working and answer."""
    working = ",".join(f"{text}" for text, _ in _steps(domain, item.question))
    return f"<think>{working}</think><answer>{item.answer}</answer>{language.END}"


def verdict(domain: Domain, item: Item, reply: str) -> str:
    """Recomputes step by step beside the reply, then gives the score."""
    score = RIGHT_SCORE if domain.check(reply, item.answer) else WRONG_SCORE
    return f"<think>{_checked(domain, item, reply)}</think><score>{score}</score>{language.END}"

MODE = "marker"

def _checked(domain: Domain, item: Item, reply: str) -> str:
    steps = list(_steps(domain, item.question))
    if MODE == "own":
        return ",".join(t for t, _ in steps) + ";" + item.answer
    out = ""
    if MODE == "marker":
        back = reply[::-1]
        for i, (text, d) in enumerate(steps):
            got = back[i] if i < len(back) else "0"
            ok = got == d
            out += text + ("." if ok else "!")
        return out + item.answer
    if MODE == "early":
        back = reply[::-1]
        for i, (text, d) in enumerate(steps):
            got = back[i] if i < len(back) else "0"
            ok = got == d
            out += text + ("." if ok else "!")
            if not ok:
                return out
        return out + item.answer
    if MODE == "copy":
        back = reply[::-1]
        for i, (text, d) in enumerate(steps):
            got = back[i] if i < len(back) else "0"
            out += text + ":" + got + ","
        return out + item.answer
    if MODE == "copym":
        back = reply[::-1]
        for i, (text, d) in enumerate(steps):
            got = back[i] if i < len(back) else "0"
            out += text + ":" + got + ("." if got == d else "!")
        return out + item.answer
    raise AssertionError


def _steps(domain: Domain, question: str) -> Iterator[tuple[str, str]]:
    operation = "+" if "+" in question else "-"
    first, _, second = question.partition(operation)
    carry = 0
    for place in range(max(len(first), len(second))):
        a = int(first[-1 - place]) if place < len(first) else None
        b = int(second[-1 - place]) if place < len(second) else None
        if operation == "+":
            parts = [str(d) for d in (a, b) if d is not None] + (["1"] if carry else [])
            total = (a or 0) + (b or 0) + carry
            yield "+".join(parts) + f"={total}", str(total % 10)
            carry = total // 10
        else:
            need = (b or 0) + carry
            borrowed = (a or 0) < need
            top = (a or 0) + 10 * borrowed
            parts = [str(top)] + ([str(b)] if b is not None else []) + (["1"] if carry else [])
            yield "-".join(parts) + f"={top - need}", str(top - need)
            carry = int(borrowed)


def malformed(domain: Domain, question: str, rng: random.Random) -> str:
    """A question that nobody could answer, close to a good one."""
    while True:
        at = rng.randrange(len(question))
        kind = rng.choice(("drop", "insert", "insert", "repeat", "cut", "swap", "negative"))
        if kind == "drop":
            spoiled = question[:at] + question[at + 1 :]
        elif kind == "insert":
            spoiled = question[:at] + rng.choice("+-=*/?abc x0123456789") + question[at:]
        elif kind == "repeat":
            spoiled = question + question[at:]
        elif kind == "cut":
            spoiled = question[: at + 1]
        elif kind == "swap":
            i = question.find("-")
            spoiled = question[i+1:] + "-" + question[:i] if i > 0 else question[::-1]
        else:
            i = question.find("-")
            spoiled = question[i+1:] + "-" + question[:i] if i > 0 else question
        if domain.truth(spoiled) is None:
            return spoiled
