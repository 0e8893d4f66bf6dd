"""Teaching text in the starter's language, built from training-side items only.

Solving is taught by a careless pupil, judging by a careful teacher: the pupil's working contains slips, so a starter that
learnt from it is mediocre at sampling temperature, while the judge it learnt beside recomputes without slips and can tell.
Self-play then has something to improve and a judge worth listening to.
"""

import random
from typing import Literal, get_args

from training_core.tasks import language, working
from training_core.tasks.arithmetic import Arithmetic
from training_core.tasks.base import Domain, Item
from training_core.tasks.strings import Strings

Kind = Literal["solve", "judge", "judge_stray", "review", "propose"]
RIGHT_SCORE, WRONG_SCORE = 10, 1
COLUMN_SLIPS = 0.25
"""Chance of a slip in one column of a careless pupil's sum."""
ANSWER_SLIPS = 0.5
"""Chance that a careless pupil's answer to a string question is wrong."""
_MALFORMED = 0.5
_NOISE = "+-=*/?.ab x0123456789"


def lesson(domain: Domain, kind: str, rng: random.Random, *, careful: bool = False) -> tuple[str, str]:
    """A prompt and its completion; ``kind`` is solve, judge, review or propose. A careful pupil solves without slips."""
    match kind:
        case "solve":
            return _solve(domain, rng, careful=careful)
        case "judge":
            return _judge(domain, rng)
        case "judge_stray":
            return _judge(domain, rng, stray=True)
        case "review":
            return _review(domain, rng)
        case "propose":
            return _propose(domain, rng)
    raise ValueError(f"there are no lessons of kind {kind!r}; known kinds: {', '.join(get_args(Kind))}")


def has_lessons(domain: Domain) -> bool:
    """Whether the starter can be taught this domain."""
    return isinstance(domain, Arithmetic | Strings)


def _solve(domain: Domain, rng: random.Random, *, careful: bool) -> tuple[str, str]:
    item = domain.sample(rng)
    thoughts, answer = _pupil(domain, item, rng, slips=0.0 if careful else 1.0)
    return language.solve_prompt(item.question), _completion(thoughts, "answer", answer)


def _judge(domain: Domain, rng: random.Random, *, stray: bool = False) -> tuple[str, str]:
    """A stray reply belongs to another question: it teaches the judge to work things out instead of copying the reply."""
    item = domain.sample(rng)
    reply = item.answer if rng.random() < 0.5 else _wrong(domain, item, rng)
    if stray:
        reply = domain.sample(rng).answer
    if isinstance(domain, Arithmetic):
        thoughts = working.checked_columns(item.question, reply)
    else:
        thoughts = working.string_working(item.question) + working.checked_letters(item.answer, reply)
    score = RIGHT_SCORE if domain.check(reply, item.answer) else WRONG_SCORE
    return language.judge_prompt(item.question, reply), _completion(thoughts, "score", str(score))


def _review(domain: Domain, rng: random.Random) -> tuple[str, str]:
    question = domain.sample(rng).question
    if rng.random() < _MALFORMED:
        question = malformed(domain, question, rng)
    score = WRONG_SCORE if domain.canonical(question) is None else RIGHT_SCORE
    return language.review_prompt(question), f"<score>{score}</score>{language.END}"


def _propose(domain: Domain, rng: random.Random) -> tuple[str, str]:
    item, reference = domain.sample(rng), domain.sample(rng)
    show_reference, show_answer = rng.random() < 0.5, rng.random() < 0.3
    prompt = language.propose_prompt(
        reference.question if show_reference else None, reference.answer if show_answer else None
    )
    return prompt, f"<question>{item.question}</question>{language.END}"


def malformed(domain: Domain, question: str, rng: random.Random) -> str:
    """A text close to a good question that is no question of the domain."""
    while True:
        at = rng.randrange(len(question))
        spoiled = {
            "drop": question[:at] + question[at + 1 :],
            "insert": question[:at] + rng.choice(_NOISE) + question[at:],
            "replace": question[:at] + rng.choice(_NOISE) + question[at + 1 :],
            "repeat": question + question[at:],
            "cut": question[:at],
            "turn": _turned(question),
        }[rng.choice(("drop", "insert", "replace", "repeat", "cut", "turn", "turn"))]
        if spoiled and domain.canonical(spoiled) is None:
            return spoiled


def _pupil(domain: Domain, item: Item, rng: random.Random, *, slips: float) -> tuple[str, str]:
    """Working and answer of a pupil who slips now and then; ``slips`` scales how often."""
    if isinstance(domain, Arithmetic):
        written = working.columns(item.question, slip_rate=slips * COLUMN_SLIPS, rng=rng)
        return ",".join(column.text for column in written), working.number(written)
    answer = domain.wrong_answer(item, rng) if rng.random() < slips * ANSWER_SLIPS else item.answer
    return working.string_working(item.question), answer


def _wrong(domain: Domain, item: Item, rng: random.Random) -> str:
    """Mostly the careless pupil's own mistakes, then mistakes of any kind, and a few answers that are none."""
    kind = rng.choices(("pupil", "any", "noise"), (6, 5, 1))[0]
    for _ in range(8 if kind == "pupil" else 0):
        _, answer = _pupil(domain, item, rng, slips=1.0)
        if not domain.check(answer, item.answer):
            return answer
    if kind == "noise":
        at = rng.randint(0, len(item.answer))
        return item.answer[:at] + rng.choice("+-=x?") + item.answer[at:]
    return domain.wrong_answer(item, rng)


def _turned(question: str) -> str:
    first, minus, second = question.partition("-")
    return second + minus + first if minus else question[::-1]


def _completion(thoughts: str, tag: str, content: str) -> str:
    return f"<think>{thoughts}</think><{tag}>{content}</{tag}>{language.END}"
