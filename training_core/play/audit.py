"""The hidden audit: a share of what the judge graded is graded again by somebody nobody learns from.

Nothing of the run waits for it and none of its random numbers are drawn for it, so a run with an audit learns exactly what
the same run without one does. The gap between the two tells learning from pleasing the judge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean as mean
from typing import Any

from training_core.evaluate.agreement import ACCEPT_AT
from training_core.play.findings import spread_of
from training_core.play.play import Play
from training_core.play.prompts import Prompts
from training_core.play.requests import derive_seed
from training_core.rewards.scores import normalised_score, read_score
from training_core.spec.judges import AUDITOR, AuditSpec, FrozenAudit, NoAudit
from training_core.spec.learning import SamplingSpec


@dataclass(frozen=True, kw_only=True)
class Graded:
    """An answer with the value the judge gave it: ``Graded(question="3+4", answer="8", value=0.9, right=False)``.

    With a ``rival`` the value is the chance that the answer is the better of the two.
    """

    question: str
    answer: str
    value: float
    right: float | None
    """The truth, where a verifier knows it; of two answers 1, 0, or one half where both are right or wrong."""
    rival: str | None = None


def read_grade(text: str, *, lenient: bool = False) -> float | None:
    """A verdict in the score grammar as a number from 0 to 1."""
    score = read_score(text, lenient=lenient)
    return None if score is None else normalised_score(score)


def audit_cost(spec: Any, num_verdicts: int) -> dict[str, int]:
    """What auditing its share of so many verdicts adds to the completions of a step."""
    verdicts = round(num_verdicts * spec.audit.share) if isinstance(spec.audit, FrozenAudit) else 0
    return {"audit verdicts": verdicts} if verdicts else {}


class Audit:
    """Collects what the judge graded in a step, and grades a share of it once the step is over."""

    def __init__(
        self,
        spec: AuditSpec,
        prompts: Prompts,
        *,
        sampling: SamplingSpec,
        read: Callable[[str], float | None] = read_grade,
    ) -> None:
        self._spec = spec
        self._prompts = prompts
        self._sampling = sampling.model_copy(update={"temperature": 0.0})
        self._read = read
        self._graded: list[Graded] = []

    def note(self, graded: Graded) -> None:
        """The judge graded an answer."""
        if not isinstance(self._spec, NoAudit):
            self._graded.append(graded)

    async def metrics(self, play: Play) -> dict[str, float]:
        """``audit/judge_score`` and ``audit/auditor_score`` over the audited answers, ``audit/gap`` between them with its standard
        deviation ``audit/gap_sd``, ``audit/disagree`` and ``audit/answers``; nothing where nothing was audited."""
        graded, self._graded = self._graded, []
        if isinstance(self._spec, NoAudit):
            return {}
        chosen = [each for place, each in enumerate(graded) if self._is_chosen(play.step, place)]
        scores = await self._scores(play, chosen)
        pairs = [(each.value, score) for each, score in zip(chosen, scores, strict=True) if score is not None]
        if not pairs:
            return {}
        gaps = [value - score for value, score in pairs]
        return {
            "audit/judge_score": mean(value for value, _ in pairs),
            "audit/auditor_score": mean(score for _, score in pairs),
            "audit/gap": mean(gaps),
            "audit/gap_sd": spread_of(gaps),
            "audit/disagree": mean(float((value >= ACCEPT_AT) != (score >= ACCEPT_AT)) for value, score in pairs),
            "audit/answers": float(len(pairs)),
        }

    def _is_chosen(self, step: int, place: int) -> bool:
        assert not isinstance(self._spec, NoAudit)
        return derive_seed("audit", step, place) % 10_000 < 10_000 * self._spec.share

    async def _scores(self, play: Play, chosen: list[Graded]) -> list[float | None]:
        if not isinstance(self._spec, FrozenAudit):
            return [None if each.right is None else float(each.right) for each in chosen]
        return await play.gather(self._value(play, place, each) for place, each in enumerate(chosen))

    async def _value(self, play: Play, place: int, graded: Graded) -> float | None:
        """The auditor's grade; of two answers 1/2 + (g - g') / 2."""
        if graded.rival is None:
            return await self._ask(play, f"audit {place}", graded.question, graded.answer)
        grades = [
            await self._ask(play, f"audit {place} {side}", graded.question, answer)
            for side, answer in enumerate((graded.answer, graded.rival))
        ]
        first, second = grades
        return None if first is None or second is None else 0.5 + (first - second) / 2

    async def _ask(self, play: Play, key: str, question: str, answer: str) -> float | None:
        prompt = self._prompts.render("judge", question=question, answer=answer)
        return self._read((await play.aside(AUDITOR, prompt, key=key, sampling=self._sampling)).text)
