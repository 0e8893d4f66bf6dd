"""What a starter can do: the marks that decide when its teaching ends."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training_core.engines.transformers import TransformersEngine
from training_core.evaluate.agreement import agreement
from training_core.play.requests import Request, derive_seed
from training_core.policies.loaded import LoadedPolicy
from training_core.rewards.scores import normalised_score, read_score
from training_core.rewards.tags import last_tag
from training_core.spec.learning import SamplingSpec
from training_core.tasks import language
from training_core.tasks.base import Domain, Item
from training_core.tasks.lessons import malformed

NUM_SKIPPED = 256
"""The first held-out items are left to the runs' own evaluation."""
BATCH = 256
MAX_TOKENS = 96
SEED = 31


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Shares from 0 to 1 on held-out items; everything but ``solver_greedy`` at temperature 1."""

    solver_greedy: float
    solver_sampled: float
    judge_kept: float
    """Right answers accepted."""
    judge_caught: float
    """The solver's own wrong answers refused."""
    judge_auc: float
    review_kept: float
    """Well-posed proposals found good."""
    review_caught: float
    """Ill-posed questions found bad."""
    proposals_well_posed: float

    def reaches(self, least: "Scores") -> bool:
        return all(value >= getattr(least, name) for name, value in vars(self).items())


LEAST = Scores(
    solver_greedy=0.8,
    solver_sampled=0.3,
    judge_kept=0.95,
    judge_caught=0.92,
    judge_auc=0.95,
    review_kept=0.85,
    review_caught=0.8,
    proposals_well_posed=0.88,
)
"""Where teaching may end: a mediocre solver, a judge worth listening to."""


def examine(policy: LoadedPolicy, domain: Domain, *, num_items: int, breathe: Callable[[], None]) -> Scores:
    """Ask the policy to solve, judge, propose and review; ``breathe`` is called between the parts."""
    say = _Speaker(policy, breathe)
    items = domain.held_out(NUM_SKIPPED + num_items)[-num_items:]
    prompts = [language.solve_prompt(item.question) for item in items]
    greedy = [last_tag(text, "answer") for text in say(prompts, temperature=0.0)]
    sampled = [last_tag(text, "answer") for text in say(prompts)]
    right = [_is_right(domain, item, answer) for item, answer in zip(items, sampled, strict=True)]

    # Every item once with its true answer and, where the solver slipped, once with the slip.
    shown = [(item, item.answer, True) for item in items]
    shown += [(i, answer, False) for i, answer, ok in zip(items, sampled, right, strict=True) if answer and not ok]
    verdicts = _values(say([language.judge_prompt(item.question, reply) for item, reply, _ in shown]))
    judged = agreement(verdicts, [is_right for _, _, is_right in shown])

    references = [None if place % 2 else item.question for place, item in enumerate(items)]
    proposals = [last_tag(text, "question") for text in say([language.propose_prompt(r) for r in references])]
    well_posed = [question is not None and domain.canonical(question) is not None for question in proposals]

    rng = random.Random(SEED)
    questions = [question for question in proposals if question]
    questions += [malformed(domain, item.question, rng) for item in items]
    good = [domain.canonical(question) is not None for question in questions]
    reviewed = agreement(_values(say([language.review_prompt(question) for question in questions])), good)
    return Scores(
        solver_greedy=_share([_is_right(domain, i, answer) for i, answer in zip(items, greedy, strict=True)]),
        solver_sampled=_share(right),
        judge_kept=1 - (judged.false_reject or 0.0),
        judge_caught=1 - (judged.false_accept or 0.0),
        judge_auc=judged.auc if judged.auc is not None else 0.5,
        review_kept=1 - (reviewed.false_reject or 0.0),
        review_caught=1 - (reviewed.false_accept or 0.0),
        proposals_well_posed=_share(well_posed),
    )


class _Speaker:
    """Completes prompts, with seeds of their own for every call."""

    def __init__(self, policy: LoadedPolicy, breathe: Callable[[], None]) -> None:
        self._engine = TransformersEngine({"main": policy}, max_batch=BATCH)
        self._breathe = breathe
        self._num_calls = 0

    def __call__(self, prompts: Sequence[str], *, temperature: float = 1.0) -> list[str]:
        self._num_calls += 1
        sampling = SamplingSpec(temperature=temperature, max_tokens=MAX_TOKENS)
        texts = []
        for start in range(0, len(prompts), BATCH):
            self._breathe()
            requests = [
                Request(
                    policy="main", prompt=prompt, n=1, sampling=sampling, seed=derive_seed(SEED, self._num_calls, at)
                )
                for at, prompt in enumerate(prompts[start : start + BATCH], start=start)
            ]
            texts += [completions[0].text for completions in self._engine.generate(requests)]
        return texts


def _values(verdicts: Sequence[str]) -> list[float]:
    """Scores from 0 to 1; a verdict nobody can read counts as undecided."""
    scores = [read_score(verdict) for verdict in verdicts]
    return [0.5 if score is None else normalised_score(score) for score in scores]


def _is_right(domain: Domain, item: Item, answer: str | None) -> bool:
    return answer is not None and domain.check(answer, item.answer)


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0
