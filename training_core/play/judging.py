"""A judge that grades answers and reviews questions: a policy with a score grammar, a verifier, or chance."""

from dataclasses import dataclass, field
from statistics import fmean as mean

from training_core.evaluate.agreement import ACCEPT_AT
from training_core.play.play import Play
from training_core.play.prompts import Prompts
from training_core.play.step_log import StepLog, turn_of
from training_core.rewards.scores import normalised_score, read_score
from training_core.rewards.tags import format_score
from training_core.spec.events import Turn
from training_core.spec.judges import JudgeSpec
from training_core.spec.learning import SamplingSpec
from training_core.tasks.base import Domain

UNREADABLE = 0.5
"""Value of a judgement none of whose verdicts could be read."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The value in [0, 1] and the verdicts it is the mean of, as turns without a parent."""

    value: float
    turns: list[Turn] = field(default_factory=list)


class Judge:
    """Grades by the means the spec names. Verdicts are drawn from the role ``judge``."""

    def __init__(
        self, spec: JudgeSpec, domain: Domain, prompts: Prompts, *, sampling: SamplingSpec, lenient: bool
    ) -> None:
        self._spec = spec
        self._domain = domain
        self._prompts = prompts
        self._sampling = sampling
        self._lenient = lenient

    async def grade(
        self, play: Play, log: StepLog | None, question: str, answer: str, *, right: bool | None, n: int
    ) -> Judgement:
        """V(a, q): the mean of ``n`` verdicts on an answer; ``right`` is the truth where it is known."""
        match self._spec.kind:
            case "verifier":
                return Judgement(value=float(bool(right)))
            case "random":
                return Judgement(value=play.rng.random())
        prompt = self._prompts.render("judge", question=question, answer=answer)
        return await self._ask(play, log, prompt, right=right, n=n)

    async def review(self, play: Play, log: StepLog | None, question: str, *, n: int) -> Judgement:
        """Q(q): the mean of ``n`` verdicts on a question."""
        match self._spec.kind:
            case "verifier":
                return Judgement(value=float(self._domain.truth(question) is not None))
            case "random":
                return Judgement(value=play.rng.random())
        well_posed = self._domain.truth(question) is not None if self._domain.has_verifier else None
        return await self._ask(play, log, self._prompts.render("review", question=question), right=well_posed, n=n)

    async def _ask(self, play: Play, log: StepLog | None, prompt: str, *, right: bool | None, n: int) -> Judgement:
        values, turns = [], []
        for verdict in await play.say("judge", prompt, n=n, sampling=self._sampling):
            score = read_score(verdict.text, lenient=self._lenient)
            turn = turn_of("judge", verdict, None if score is None else f"{score:g}")
            turns.append(turn)
            if score is not None:
                values.append(normalised_score(score))
                turn.correct = None if right is None else (values[-1] >= ACCEPT_AT) == right
            if log is not None:
                log.spoke("judge", verdict, format_score(verdict.text, "score"))
                log.count("judge/unreadable", score is None)
        return Judgement(value=mean(values) if values else UNREADABLE, turns=turns)
