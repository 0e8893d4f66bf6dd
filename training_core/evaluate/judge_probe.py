"""The judge against the truth: on a labelled probe that never changes, and on the solver's own held-out answers."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from training_core.evaluate.agreement import agreement
from training_core.evaluate.held_out import Answered
from training_core.play.judging import Judge
from training_core.play.play import Play
from training_core.play.requests import derive_seed
from training_core.tasks.base import Domain, Item


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """An answer whose truth is known: ``Labelled(question="3+4", answer="8", right=False)``."""

    question: str
    answer: str
    right: bool


def fixed_probe(domain: Domain, items: Sequence[Item]) -> list[Labelled]:
    """Half of the items with a right answer, half with a plausible mistake; the same in every run and at every step."""
    rng = random.Random(derive_seed("judge probe"))
    probe = []
    for place, item in enumerate(items):
        right = place % 2 == 1
        answer = domain.right_answer(item, rng) if right else domain.wrong_answer(item, rng)
        probe.append(Labelled(question=item.question, answer=answer, right=right))
    return probe


def own_answers(domain: Domain, answered: Sequence[Answered]) -> list[Labelled]:
    """What the solver itself answered, right or wrong; answers nobody could read are left out."""
    return [
        Labelled(question=each.item.question, answer=answer, right=domain.check(answer, each.item.answer))
        for each in answered
        for answer in each.sampled
        if answer is not None
    ]


async def judge_agreement(
    play: Play, judge: Judge, *, probe: Sequence[Labelled], own: Sequence[Labelled]
) -> dict[str, float]:
    """Metrics ``judge/auc``, ``judge/false_accept``, ``judge/false_reject``, and the same with ``own_`` for own answers."""
    judgements = await play.gather(
        judge.grade(play, None, each.question, each.answer, right=each.right, n=1) for each in (*probe, *own)
    )
    values = [judgement.value for judgement in judgements]
    metrics: dict[str, float] = {}
    for prefix, labelled, scores in (("", probe, values[: len(probe)]), ("own_", own, values[len(probe) :])):
        found = agreement(scores, [each.right for each in labelled])
        rates = {"auc": found.auc, "false_accept": found.false_accept, "false_reject": found.false_reject}
        metrics |= {f"judge/{prefix}{name}": rate for name, rate in rates.items() if rate is not None}
    return metrics
