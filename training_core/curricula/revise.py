"""What the starter of SCoRe is taught: to answer, and to look at its answer a second time.

The first answer is right two times out of five, because teaching stops there. The second look copies what it sees six times
out of ten and is taught the truth otherwise, so that there is something to explore: a pupil who nearly always copies never
finds out that looking again pays.
"""

import random

from training_core.curricula.base import NUM_SKIPPED, Curriculum, School, say_each
from training_core.play.play import Play
from training_core.rewards.tags import last_tag
from training_core.tasks import language
from training_core.tasks.base import Domain

AGAIN = "<|again|>"
"""There may be an error in this answer: answer again. The same before right and wrong answers."""
FIRST_RIGHT = 0.4
"""Share of right ones among the first answers that lessons show."""
COPIES = 0.6
"""Chance that a second answer repeats the first, right or wrong."""


def solve_prompt(question: str) -> str:
    """Ask for an answer."""
    return language.SOLVE + language.plain(question, (AGAIN,)) + language.GO


def revise_prompt(question: str, attempt: str, instruction: str = "") -> str:
    """Ask for another answer, whatever the first one was worth; the mark stands for the instruction.

    The question comes last, where solving has it too, so one skill serves both.
    """
    return AGAIN + language.plain(attempt, (AGAIN,)) + solve_prompt(question)


def solve(domain: Domain, rng: random.Random, careful: bool) -> tuple[str, str]:
    item = domain.sample(rng)
    return solve_prompt(item.question), _answered(item.answer)


def revise(domain: Domain, rng: random.Random, careful: bool) -> tuple[str, str]:
    item = domain.sample(rng)
    first = item.answer if rng.random() < FIRST_RIGHT else domain.wrong_answer(item, rng)
    second = first if rng.random() < COPIES else item.answer
    return revise_prompt(item.question, first), _answered(second)


def _answered(answer: str) -> str:
    return f"<answer>{answer}</answer>{language.END}"


async def exam(play: Play, domain: Domain, num_items: int) -> dict[str, float]:
    """Two attempts at held-out questions at temperature 1: how often each is right, and how often the second is the first."""
    items = domain.held_out(NUM_SKIPPED + num_items)[-num_items:]
    firsts = [last_tag(text, "answer") for text in await say_each(play, [solve_prompt(i.question) for i in items])]
    pairs = list(zip(items, firsts, strict=True))
    said = await say_each(play, [revise_prompt(item.question, first or "") for item, first in pairs])
    seconds = [last_tag(text, "answer") for text in said]
    return {
        "first_right": _share([_is_right(domain, item.answer, first) for item, first in pairs]),
        "second_right": _share([_is_right(domain, i.answer, second) for i, second in zip(items, seconds, strict=True)]),
        "copies": _share([first == second for first, second in zip(firsts, seconds, strict=True)]),
        "well_formed": _share([answer is not None for answer in (*firsts, *seconds)]),
    }


def _is_right(domain: Domain, expected: str, answer: str | None) -> bool:
    return answer is not None and domain.check(answer, expected)


def _share(values: list[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


CURRICULUM = Curriculum(
    name="revise",
    tasks=("pair_sum",),
    marks=(AGAIN,),
    lessons={"solve": solve, "revise": revise},
    mixture={"solve": 0.5, "revise": 0.5},
    prompts={"solve": solve_prompt, "revise": revise_prompt},
    exam=exam,
    least={"first_right": 0.36, "well_formed": 0.97},
    rehearsed=("solve",),
    school=School(hidden_size=64, num_heads=2, num_steps=200, careful_share=0.0, extra_steps=60, max_extra_courses=6),
)
