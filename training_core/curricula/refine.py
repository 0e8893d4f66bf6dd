"""What the starter of SPaR is taught: to follow instructions, to check answers clause by clause, and to mend what failed.

    <|solve|>len=5 no=e<|go|>                                   <answer>bAdce</answer>
    <|judge|>bAdce<|reply|>len=5 no=e<|go|>                     <think>len=5:5.no=e:1!</think><verdict>No</verdict>
    <|refine|>len=5:5.no=e:1!No<|reply|>bAdce<|reply|>len=5 no=e<|go|>   <think>no=e</think><answer>bAdcf</answer>

All three are taught by careless pupils who know better: the answers fail now and then, single judgements overlook things, and
some edits miss. Several votes then say more than one, and edits can be searched for.
"""

import random
from collections.abc import Iterable, Sequence

from training_core.curricula.base import NUM_SKIPPED, Curriculum, say_each
from training_core.play.play import Play
from training_core.rewards.tags import last_tag
from training_core.rewards.verdicts import read_verdict
from training_core.tasks import language
from training_core.tasks.clauses import Clause
from training_core.tasks.constraints import Constraints
from training_core.tasks.string_constraints import LETTERS, StringFamily, checked

REFINE = "<|refine|>"
MARKS = (REFINE, "<verdict>", "</verdict>")
ANSWER_SLIPS = 0.6
"""Chance that a careless pupil's answer fails a clause."""
CHECK_SLIPS = 0.15
"""Chance that a careless judge misreads one clause."""
EDIT_SLIPS = 0.4
"""Chance that a careless edit fails a clause again."""
_STRAY = 0.15
"""Share of answers that were written for another instruction."""


def solve_prompt(question: str) -> str:
    return language.SOLVE + _plain(question) + language.GO


def judge_prompt(question: str, answer: str) -> str:
    return language.JUDGE + _plain(answer) + language.REPLY + _plain(question) + language.GO


def refine_prompt(question: str, answer: str, critique: str) -> str:
    """The judgement's marks are taken off; what it found clause by clause and its last word stay."""
    parts = (_plain(critique), _plain(answer), _plain(question))
    return REFINE + language.REPLY.join(parts) + language.GO


def _plain(text: str) -> str:
    return language.plain(text, MARKS)


def solve(domain: Constraints, rng: random.Random, careful: bool) -> tuple[str, str]:
    question, clauses, family = _instruction(domain, rng)
    answer = family.write(clauses, rng)
    if not careful and rng.random() < ANSWER_SLIPS:
        answer = family.spoil(clauses, answer, rng)
    return solve_prompt(question), _answered(answer)


def judge(domain: Constraints, rng: random.Random, careful: bool) -> tuple[str, str]:
    """A careless judge says Yes or No by what it misread."""
    question, clauses, family = _instruction(domain, rng)
    answer = family.write(clauses, rng) if rng.random() < 0.45 else _failed(domain, family, clauses, rng)
    return judge_prompt(question, answer), _judgement(clauses, answer, rng, slips=0.0 if careful else CHECK_SLIPS)


def refine(domain: Constraints, rng: random.Random, careful: bool) -> tuple[str, str]:
    """The critique is right; the reflection names the clauses that failed, and a careless edit may fail one again."""
    question, clauses, family = _instruction(domain, rng)
    failed = _failed(domain, family, clauses, rng)
    critique = _judgement(clauses, failed, rng, slips=0.0).removesuffix(language.END)
    mended = family.repair(clauses, failed, rng)
    if not careful and rng.random() < EDIT_SLIPS:
        mended = family.spoil(clauses, mended, rng)
    reflection = " ".join(clause.code for clause in clauses if not clause.holds(failed))
    return refine_prompt(question, failed, critique), f"<think>{reflection}</think>{_answered(mended)}"


def _instruction(domain: Constraints, rng: random.Random) -> tuple[str, list[Clause], StringFamily]:
    assert isinstance(domain.family, StringFamily)
    question = domain.sample(rng).question
    return question, domain.clauses(question) or [], domain.family


def _failed(domain: Constraints, family: StringFamily, clauses: Sequence[Clause], rng: random.Random) -> str:
    """An answer that fails one clause or two, or one written for another instruction."""
    answer = family.write(clauses, rng)
    if rng.random() < _STRAY:
        _, others, _ = _instruction(domain, rng)
        stray = family.write(others, rng)
        return stray if not all(clause.holds(stray) for clause in clauses) else family.spoil(clauses, stray, rng)
    for _ in range(rng.choice((1, 1, 2))):
        answer = family.spoil(clauses, answer, rng)
    return answer


def _judgement(clauses: Sequence[Clause], answer: str, rng: random.Random, *, slips: float) -> str:
    found = [_misread(clause, answer, rng) if rng.random() < slips else clause.found(answer) for clause in clauses]
    accepts = all(clause.kind.meets(each, *clause.values) for clause, each in zip(clauses, found, strict=True))
    check = checked(clauses, answer, found)
    return f"<think>{check}</think><verdict>{'Yes' if accepts else 'No'}</verdict>{language.END}"


def _misread(clause: Clause, answer: str, rng: random.Random) -> str:
    """What a careless judge finds: what is wanted where it is not there, and something else where it is."""
    found, wanted = clause.found(answer), clause.values[0]
    if clause.kind.name in {"start", "end"}:
        return rng.choice(LETTERS) if found == wanted else wanted
    if clause.kind.name in {"has", "no"}:
        return "1" if found == "0" else "0"
    return str(max(0, int(found) + rng.choice((-1, 1)))) if found == wanted else wanted


def _answered(answer: str) -> str:
    return f"<answer>{answer}</answer>{language.END}"


async def exam(play: Play, domain: Constraints, num_items: int) -> dict[str, float]:
    """Ask the pupil to follow held-out instructions, to judge what it wrote, and to mend what failed; sampled at temperature 1."""
    items = domain.held_out(NUM_SKIPPED + num_items)[-num_items:]
    questions = [item.question for item in items]
    greedy = await say_each(play, map(solve_prompt, questions), temperature=0.0)
    sampled = await say_each(play, map(solve_prompt, questions))
    answered = [(q, answer) for q, text in zip(questions, sampled, strict=True) if (answer := last_tag(text, "answer"))]
    right = [domain.check(answer, question) for question, answer in answered]

    judgements = await say_each(play, [judge_prompt(question, answer) for question, answer in answered])
    verdicts = [read_verdict(text) for text in judgements]
    failed = [(*pair, text) for pair, text, ok in zip(answered, judgements, right, strict=True) if not ok]
    edits = await say_each(play, [refine_prompt(*each) for each in failed])
    mended = [domain.check(last_tag(text, "answer") or "", each[0]) for text, each in zip(edits, failed, strict=True)]
    return {
        "actor_greedy": _share(
            domain.check(last_tag(t, "answer") or "", q) for t, q in zip(greedy, questions, strict=True)
        ),
        "actor_sampled": sum(right) / len(items),
        "judge_kept": _share(verdict is True for verdict, ok in zip(verdicts, right, strict=True) if ok),
        "judge_caught": _share(verdict is False for verdict, ok in zip(verdicts, right, strict=True) if not ok),
        "refiner_mended": _share(mended),
    }


def _share(values: Iterable[bool]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


CURRICULUM = Curriculum(
    name="refine",
    tasks=("constraints",),
    lessons={"solve": solve, "judge": judge, "refine": refine},
    mixture={"solve": 0.25, "judge": 0.4, "refine": 0.35},
    # Few tokens decide an answer and many a judgement.
    weights={"solve": 2.0, "judge": 1.0, "refine": 1.0},
    prompts={"solve": solve_prompt, "judge": judge_prompt, "refine": refine_prompt},
    exam=exam,
    # Mediocre at following, a judge whose majority is worth listening to, edits that are worth a search.
    least={"actor_sampled": 0.3, "judge_kept": 0.6, "judge_caught": 0.75, "refiner_mended": 0.3},
    marks=MARKS,
    judging=("judge",),
    rehearsed=("refine",),
)
