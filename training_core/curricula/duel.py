"""What the starter of PasoDoble is taught: to turn a fact into a question with an answer of its own, and to solve.

Both roles are taught by a careless pupil, so at sampling temperature more than half of the answers are wrong, the
proposer's own included. What self-play has to find out is which of them can be agreed on.
"""

import random
from collections.abc import Sequence

from training_core.curricula import evolve
from training_core.curricula.base import NUM_SKIPPED, Curriculum, School, say_each
from training_core.play.knowledge import fact_of
from training_core.play.play import Play
from training_core.rewards.tags import last_tag
from training_core.tasks import language
from training_core.tasks.base import Domain, Item

KNOWLEDGE = "<|knowledge|>"
"""What follows is to be used in the question."""
_EXAM_SEED = 41
_FREE = 0.1
"""Share of the proposals that are made without knowledge."""


def solve_prompt(question: str) -> str:
    """Ask for an answer."""
    return language.SOLVE + language.plain(question, (KNOWLEDGE,)) + language.GO


def propose_prompt(knowledge: str | None = None) -> str:
    """Ask for a new question with its answer, about a fact or about anything."""
    about = "" if knowledge is None else KNOWLEDGE + language.plain(knowledge, (KNOWLEDGE,))
    return language.PROPOSE + about + language.GO


def solve(domain: Domain, rng: random.Random, careful: bool) -> tuple[str, str]:
    item = domain.sample(rng)
    return solve_prompt(item.question), _worked(domain, item, rng, careful=careful)


def propose(domain: Domain, rng: random.Random, careful: bool) -> tuple[str, str]:
    """The question first, so that working it out reads what solving reads."""
    item = domain.sample(rng)
    fact = None if rng.random() < _FREE else fact_of(item.question)
    worked = _worked(domain, item, rng, careful=careful)
    return propose_prompt(fact), f"<question>{item.question}</question>{worked}"


def _worked(domain: Domain, item: Item, rng: random.Random, *, careful: bool) -> str:
    thoughts, answer = evolve.pupil(domain, item, rng, slips=0.0 if careful else 1.0)
    return f"<think>{thoughts}</think><answer>{answer}</answer>{language.END}"


async def exam(play: Play, domain: Domain, num_items: int) -> dict[str, float]:
    """Solve held-out items; propose from facts of the training side. All but ``solver_greedy`` at temperature 1."""
    items = domain.held_out(NUM_SKIPPED + num_items)[-num_items:]
    prompts = [solve_prompt(item.question) for item in items]
    greedy = await say_each(play, prompts, temperature=0.0)
    sampled = await say_each(play, prompts)
    rng = random.Random(_EXAM_SEED)
    facts = [domain.sample(rng) for _ in range(num_items)]
    proposed = await say_each(play, [propose_prompt(fact_of(item.question)) for item in facts])
    questions = [last_tag(text, "question") for text in proposed]
    return {
        "solver_greedy": _share([_is_right(domain, i.answer, text) for i, text in zip(items, greedy, strict=True)]),
        "solver_sampled": _share([_is_right(domain, i.answer, text) for i, text in zip(items, sampled, strict=True)]),
        "proposals_well_posed": _share([q is not None and domain.canonical(q) is not None for q in questions]),
        "proposals_use_fact": _share([q == item.question for item, q in zip(facts, questions, strict=True)]),
        "proposals_right": _share(
            [_is_right(domain, domain.truth(q or ""), text) for q, text in zip(questions, proposed, strict=True)]
        ),
    }


def _is_right(domain: Domain, truth: str | None, text: str) -> bool:
    answer = last_tag(text, "answer")
    return truth is not None and answer is not None and domain.check(answer, truth)


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


CURRICULUM = Curriculum(
    name="duel",
    tasks=("arithmetic", "strings"),
    marks=(KNOWLEDGE,),
    lessons={"solve": solve, "propose": propose},
    mixture={"solve": 0.5, "propose": 0.5},
    prompts={"propose": propose_prompt, "propose_free": propose_prompt, "solve": solve_prompt},
    exam=exam,
    least={
        "solver_greedy": 0.75,
        "solver_sampled": 0.3,
        "proposals_well_posed": 0.9,
        "proposals_use_fact": 0.8,
        "proposals_right": 0.25,
    },
    rehearsed=("solve", "propose"),
    school=School(num_steps=800),
)
