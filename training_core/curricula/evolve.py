"""What the starter of Multi-Agent Evolve is taught: to propose, solve, judge and review, on arithmetic or strings.

Solving is taught by a careless pupil, judging by a careful teacher: the pupil's working contains slips, so a starter that
learnt from it is mediocre at sampling temperature, while the judge it learnt beside recomputes without slips and can tell.
Self-play then has something to improve and a judge worth listening to.
"""

import random
import re
from collections.abc import Iterable, Sequence
from functools import partial

from training_core.curricula.base import NUM_SKIPPED, Curriculum, say_each
from training_core.evaluate.agreement import agreement
from training_core.play.play import Play
from training_core.rewards.scores import normalised_score, read_score
from training_core.rewards.tags import last_tag
from training_core.tasks import language, working
from training_core.tasks.arithmetic import Arithmetic
from training_core.tasks.base import Domain, Item

RIGHT_SCORE, WRONG_SCORE = 10, 1
COLUMN_SLIPS = 0.25
"""Chance of a slip in one column of a careless pupil's sum."""
ANSWER_SLIPS = 0.5
"""Chance that a careless pupil's answer to a string question is wrong."""
_MALFORMED = 0.5
_NOISE = "+-=*/?.ab x0123456789"
_EXAM_SEED = 31
_SUM = re.compile(r"[0-9]{1,9}[+-][0-9]{1,9}")
_WORKED = re.compile(r"count [a-z] [a-z]+|max [0-9]+")


def solve(domain: Domain, rng: random.Random, careful: bool) -> tuple[str, str]:
    item = domain.sample(rng)
    thoughts, answer = pupil(domain, item, rng, slips=0.0 if careful else 1.0)
    return language.solve_prompt(item.question), _completion(thoughts, "answer", answer)


def judge(domain: Domain, rng: random.Random, careful: bool, *, stray: bool = False) -> tuple[str, str]:
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


def review(domain: Domain, rng: random.Random, careful: bool) -> tuple[str, str]:
    question = domain.sample(rng).question
    if rng.random() < _MALFORMED:
        question = malformed(domain, question, rng)
    score = WRONG_SCORE if domain.canonical(question) is None else RIGHT_SCORE
    return language.review_prompt(question), f"<score>{score}</score>{language.END}"


def propose(domain: Domain, rng: random.Random, careful: bool) -> tuple[str, str]:
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


def pupil(domain: Domain, item: Item, rng: random.Random, *, slips: float) -> tuple[str, str]:
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
        _, answer = pupil(domain, item, rng, slips=1.0)
        if not domain.check(answer, item.answer):
            return answer
    if kind == "noise":
        at = rng.randint(0, len(item.answer))
        return item.answer[:at] + rng.choice("+-=x?") + item.answer[at:]
    return domain.wrong_answer(item, rng)


def _turned(question: str) -> str:
    first, minus, second = question.partition("-")
    return second + minus + first if minus else question[::-1]


def demonstration(question: str, answer: str) -> str:
    """How a pupil who makes no slips answers; questions that the tasks would not ask get no working. The learner adds the end mark."""
    thoughts = ""
    if _SUM.fullmatch(question):
        thoughts = ",".join(column.text for column in working.columns(question))
    elif _WORKED.fullmatch(question):
        thoughts = working.string_working(question)
    return _completion(thoughts, "answer", answer).removesuffix(language.END)


def _completion(thoughts: str, tag: str, content: str) -> str:
    return f"<think>{thoughts}</think><{tag}>{content}</{tag}>{language.END}"


async def exam(play: Play, domain: Domain, num_items: int) -> dict[str, float]:
    """Ask the pupil to solve, judge, propose and review held-out items; all but ``solver_greedy`` at temperature 1."""
    items = domain.held_out(NUM_SKIPPED + num_items)[-num_items:]
    prompts = [language.solve_prompt(item.question) for item in items]
    greedy = [last_tag(text, "answer") for text in await say_each(play, prompts, temperature=0.0)]
    sampled = [last_tag(text, "answer") for text in await say_each(play, prompts)]
    right = [_is_right(domain, item, answer) for item, answer in zip(items, sampled, strict=True)]

    # Every item once with its true answer and, where the solver slipped, once with the slip.
    shown = [(item, item.answer, True) for item in items]
    shown += [(i, answer, False) for i, answer, ok in zip(items, sampled, right, strict=True) if answer and not ok]
    verdicts = await say_each(play, [language.judge_prompt(item.question, reply) for item, reply, _ in shown])
    judged = agreement(_values(verdicts), [is_right for _, _, is_right in shown])

    references = [None if place % 2 else item.question for place, item in enumerate(items)]
    proposed = await say_each(play, [language.propose_prompt(reference) for reference in references])
    proposals = [last_tag(text, "question") for text in proposed]
    well_posed = [question is not None and domain.canonical(question) is not None for question in proposals]

    rng = random.Random(_EXAM_SEED)
    questions = [question for question in proposals if question]
    questions += [malformed(domain, item.question, rng) for item in items]
    good = [domain.canonical(question) is not None for question in questions]
    reviews = await say_each(play, [language.review_prompt(question) for question in questions])
    reviewed = agreement(_values(reviews), good)
    return {
        "solver_greedy": _share(_is_right(domain, i, answer) for i, answer in zip(items, greedy, strict=True)),
        "solver_sampled": _share(right),
        "judge_kept": 1 - (judged.false_reject or 0.0),
        "judge_caught": 1 - (judged.false_accept or 0.0),
        "judge_auc": judged.auc if judged.auc is not None else 0.5,
        "review_kept": 1 - (reviewed.false_reject or 0.0),
        "review_caught": 1 - (reviewed.false_accept or 0.0),
        "proposals_well_posed": _share(well_posed),
    }


def _values(verdicts: Sequence[str]) -> list[float]:
    """Scores from 0 to 1; a verdict nobody can read counts as undecided."""
    scores = [read_score(verdict) for verdict in verdicts]
    return [0.5 if score is None else normalised_score(score) for score in scores]


def _is_right(domain: Domain, item: Item, answer: str | None) -> bool:
    return answer is not None and domain.check(answer, item.answer)


def _share(values: Iterable[bool]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


CURRICULUM = Curriculum(
    name="evolve",
    tasks=("arithmetic", "strings"),
    lessons={
        "solve": solve,
        "judge": judge,
        "judge_stray": partial(judge, stray=True),
        "review": review,
        "propose": propose,
    },
    careful_mixture={"judge": 0.4, "solve": 0.4, "review": 0.05, "propose": 0.15},
    mixture={"judge": 0.58, "solve": 0.15, "review": 0.12, "propose": 0.15},
    # A judge without skill ruins the solver, and a review has few tokens.
    weights={"judge": 2.0, "solve": 1.0, "review": 4.0, "propose": 1.0},
    prompts={
        "propose": language.propose_prompt,
        "propose_from": language.propose_prompt,
        "propose_from_answered": language.propose_prompt,
        "solve": language.solve_prompt,
        "judge": language.judge_prompt,
        "review": language.review_prompt,
        "demonstration": demonstration,
    },
    exam=exam,
    # A mediocre solver, a judge worth listening to.
    least={
        "solver_greedy": 0.8,
        "solver_sampled": 0.3,
        "judge_kept": 0.95,
        "judge_caught": 0.92,
        "judge_auc": 0.95,
        "review_kept": 0.85,
        "review_caught": 0.8,
        "proposals_well_posed": 0.88,
    },
    judging=("judge", "judge_stray", "review"),
    # Never "solve": those lessons are a careless pupil's, and answers are for self-play to improve.
    rehearsed=("propose",),
)
