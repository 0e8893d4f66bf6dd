"""The oracle of a preference game: the chance that one answer is better than another.

Whatever it is made of, P(a, b) + P(b, a) = 1: only one of the two is ever found out, the other follows from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from statistics import fmean as mean
from typing import TYPE_CHECKING

from training_core.play.judging import Judge
from training_core.play.play import Play
from training_core.play.prompts import Prompts
from training_core.play.requests import Completion
from training_core.play.step_log import StepLog
from training_core.play.win_rates import sigmoid, table_of
from training_core.rewards.closeness import share_in_place
from training_core.rewards.tags import last_tag
from training_core.rewards.verdicts import read_better
from training_core.spec.judges import CurrentJudge, FrozenJudge
from training_core.spec.learning import SamplingSpec
from training_core.spec.preference_oracle import (
    CyclicOracle,
    JudgeOracle,
    LengthOracle,
    OracleSpec,
    VerifierOracle,
)
from training_core.tasks.base import Domain
from training_core.tasks.choices import Choices, circle_chance

if TYPE_CHECKING:
    from training_core.spec.experiment import ExperimentSpec

UNDECIDED = 0.5
NUM_CACHED = 1024
"""Comparisons remembered where they are a rule's; answers are the model's own texts, so there is no end of them."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An answer as the oracle sees it: ``Candidate(text="<answer>7</answer>", answer="7", num_tokens=4)``."""

    text: str
    answer: str | None
    """What was read out of the text; None where there is no answer in it."""
    num_tokens: int


def candidate_of(completion: Completion, *, tagged: bool = True) -> Candidate:
    """A completion with the answer between its tags, or with ``tagged`` off the whole text as the answer."""
    answer = last_tag(completion.text, "answer") if tagged else completion.text
    return Candidate(text=completion.text, answer=answer, num_tokens=len(completion.token_ids))


def check_oracle(oracle: OracleSpec, experiment: "ExperimentSpec") -> None:
    """Refuse, with a ``ValueError``, an oracle that cannot compare the answers of this experiment."""
    on_choices = experiment.task.kind == "choices"
    if oracle.kind == "cyclic" and not on_choices:
        raise ValueError(
            "method.oracle is cyclic, which compares the answers of the task choices only; set task.kind to choices, or "
            "choose another oracle"
        )
    if on_choices and oracle.kind in {"verifier", "judge"}:
        raise ValueError(
            f"method.oracle is {oracle.kind}, but no answer of the task choices is right or better by itself; choose the "
            "cyclic oracle"
        )
    if isinstance(oracle, JudgeOracle) and oracle.reads == "pair" and experiment.model.is_starter:
        raise ValueError(
            "method.oracle shows the judge two answers at once, which the starter was not taught to compare; set "
            "method.oracle.reads to answer, or use an instruction-tuned model"
        )


class Oracle:
    """Compares answers by the means the spec names. A judge speaks as the role ``judge``."""

    def __init__(self, spec: OracleSpec, domain: Domain, prompts: Prompts, *, sampling: SamplingSpec) -> None:
        self._spec = spec
        self._domain = domain
        self._prompts = prompts
        if isinstance(spec, CyclicOracle):
            assert isinstance(domain, Choices)
            chance = partial(circle_chance, domain, cycle=spec.cycle, over_rest=spec.over_rest)
            self._circle = lru_cache(maxsize=NUM_CACHED)(chance)
        if isinstance(spec, JudgeOracle):
            self._verdict_sampling = sampling.model_copy(update={"temperature": spec.verdict_temperature})
            self._judge = Judge(
                CurrentJudge() if spec.judge == "current" else FrozenJudge(),
                domain,
                prompts,
                sampling=self._verdict_sampling,
                lenient=False,
            )

    async def table(
        self, play: Play, log: StepLog | None, question: str, candidates: Sequence[Candidate]
    ) -> list[list[float]]:
        """Every answer against every other: ``table[i][j]`` is the chance that i beats j."""
        pairs = [(one, other) for place, one in enumerate(candidates) for other in candidates[place + 1 :]]
        return table_of(await self.compare(play, log, question, pairs), len(candidates))

    async def compare(
        self, play: Play, log: StepLog | None, question: str, pairs: Sequence[tuple[Candidate, Candidate]]
    ) -> list[float]:
        """The chance of the first to beat the second, for each pair of answers to one question.

        With ``noise`` a comparison is turned around with that chance; with ``outcomes`` a fresh coin falls for every pair.
        """
        chances = await self._chances(play, log, question, pairs)
        spec = self._spec
        chances = [chance + spec.noise * (1 - 2 * chance) for chance in chances]
        return [float(play.rng.random() < chance) for chance in chances] if spec.outcomes else chances

    async def _chances(
        self, play: Play, log: StepLog | None, question: str, pairs: Sequence[tuple[Candidate, Candidate]]
    ) -> list[float]:
        match self._spec:
            case VerifierOracle() as spec:
                return self._by_score(pairs, [self._closeness(question, each) for each in _flat(pairs)], spec)
            case LengthOracle() as spec:
                sign = 1 if spec.prefers == "longer" else -1
                return self._by_score(pairs, [float(sign * each.num_tokens) for each in _flat(pairs)], spec)
            case CyclicOracle():
                return [self._circle(one.answer, other.answer) for one, other in pairs]
            case JudgeOracle(reads="answer") as spec:
                return self._by_score(pairs, await self._grades(play, log, question, _flat(pairs)), spec)
            case JudgeOracle():
                return await play.gather(self._verdict(play, log, question, pair) for pair in pairs)

    @staticmethod
    def _by_score(
        pairs: Sequence[tuple[Candidate, Candidate]],
        scores: Sequence[float],
        spec: VerifierOracle | LengthOracle | JudgeOracle,
    ) -> list[float]:
        """P(a, b) = sigmoid((s_a - s_b) / temperature); ``scores`` are those of first and second answers in turn."""
        return [sigmoid((scores[2 * place] - scores[2 * place + 1]) / spec.temperature) for place in range(len(pairs))]

    def _closeness(self, question: str, candidate: Candidate) -> float:
        """Score of an answer against the truth, 0 to 1; without an answer or without a truth it is 0."""
        truth = self._domain.truth(question)
        if candidate.answer is None or truth is None:
            return 0.0
        if self._domain.check(candidate.answer, truth):
            return 1.0
        assert isinstance(self._spec, VerifierOracle)
        return share_in_place(candidate.answer, truth) if self._spec.score == "share" else 0.0

    async def _grades(
        self, play: Play, log: StepLog | None, question: str, candidates: Sequence[Candidate]
    ) -> list[float]:
        """The judge's score of every answer, each of which is graded once however often it is compared."""
        assert isinstance(self._spec, JudgeOracle)
        n, different = self._spec.verdicts, list(dict.fromkeys(candidates))
        judgements = await play.gather(
            self._judge.grade(play, log, question, each.answer or each.text, right=None, n=n) for each in different
        )
        grades = {each: judgement.value for each, judgement in zip(different, judgements, strict=True)}
        return [grades[each] for each in candidates]

    async def _verdict(
        self, play: Play, log: StepLog | None, question: str, pair: tuple[Candidate, Candidate]
    ) -> float:
        """Ask which of two answers is better: shown in both orders, or once in a random one."""
        assert isinstance(self._spec, JudgeOracle)
        turned = (pair[1], pair[0])
        if not self._spec.swap_order:
            if play.rng.random() < UNDECIDED:
                return 1 - await self._first_wins(play, log, question, turned)
            return await self._first_wins(play, log, question, pair)
        forward, backward = await play.gather(self._first_wins(play, log, question, shown) for shown in (pair, turned))
        if log is not None:
            log.count("judge/order_agreement", (forward - UNDECIDED) * (backward - UNDECIDED) <= 0)
        chance: float = (forward + 1 - backward) / 2
        return chance

    async def _first_wins(
        self, play: Play, log: StepLog | None, question: str, shown: tuple[Candidate, Candidate]
    ) -> float:
        """Share of verdicts for the answer shown first; an unreadable verdict counts half."""
        assert isinstance(self._spec, JudgeOracle)
        prompt = self._prompts.render("compare", question=question, first=shown[0].text, second=shown[1].text)
        verdicts = await play.say("judge", prompt, n=self._spec.verdicts, sampling=self._verdict_sampling)
        read = [read_better(verdict.text) for verdict in verdicts]
        if log is not None:
            for prefers_first in read:
                log.count("judge/unreadable", prefers_first is None)
        return mean(UNDECIDED if prefers_first is None else float(prefers_first) for prefers_first in read)


def _flat(pairs: Sequence[tuple[Candidate, Candidate]]) -> list[Candidate]:
    return [each for pair in pairs for each in pair]
