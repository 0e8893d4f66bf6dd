"""Who says which of two answers is better."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from training_core.spec.base import Block, Unit
from training_core.spec.rubrics import AnswerRubric, PairRubric


class _Oracle(Block):
    """What all oracles have in common: how sure they are of themselves."""

    noise: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Chance that a comparison is turned around; at 0.5 the oracle knows nothing."""
    outcomes: bool = False
    """Tell who won one comparison, drawn anew each time, instead of the chance of winning it."""


class VerifierOracle(_Oracle):
    """Prefers the answer that is closer to the task's own. Needs a task whose questions can be solved by rule or have answers."""

    kind: Literal["verifier"] = "verifier"
    score: Literal["share", "exact"] = "share"
    """share counts the characters that stand in their right place (digits from the right), exact only whole right answers."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 0.1
    """Difference of two scores, from 0 to 1, at which the better answer wins with 73 %; larger makes the oracle less sure."""


class JudgeOracle(_Oracle):
    """A language model compares the answers, or grades each of them alone."""

    kind: Literal["judge"] = "judge"
    judge: Literal["frozen", "current"] = "frozen"
    """frozen is a copy of the weights the run began with, which cannot drift; current are the weights being trained."""
    reads: Literal["pair", "answer"] = "pair"
    """pair shows both answers and asks which is better; answer asks for a score of each. The starter has learnt the latter only."""
    pair_rubric: PairRubric | None = None
    """How the judge is asked which of two answers is better; off keeps the method's own words."""
    answer_rubric: AnswerRubric | None = None
    """How the judge is asked to grade one answer; off keeps the method's own words."""
    swap_order: bool = True
    """Show every pair in both orders and average, so that a liking for the first place cancels; off shows it once, in random order."""
    verdicts: Annotated[int, Field(ge=1, le=64), Unit("verdicts")] = 1
    """Verdicts on each pair and order, or on each answer; they are averaged."""
    verdict_temperature: Annotated[float, Field(ge=0, le=5)] = 0.0
    """Temperature the verdicts are sampled at; 0 is greedy."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 0.1
    """For scores: difference, from 0 to 1, at which the better answer wins with 73 %."""

    @model_validator(mode="after")
    def _rubric_is_read(self) -> "JudgeOracle":
        if self.reads == "answer" and self.pair_rubric is not None:
            raise ValueError(
                "pair_rubric compares two answers, but reads is answer; use answer_rubric, or set reads to pair"
            )
        if self.reads == "pair" and self.answer_rubric is not None:
            raise ValueError(
                "answer_rubric grades one answer, but reads is pair; use pair_rubric, or set reads to answer"
            )
        return self


class CyclicOracle(_Oracle):
    """Rock, paper, scissors: the good answers of a choice beat one another in a circle, and all of them beat the rest."""

    kind: Literal["cyclic"] = "cyclic"
    cycle: Annotated[float, Field(ge=0.5, le=1)] = 0.9
    """Chance that a good answer beats the next one in the circle."""
    over_rest: Annotated[float, Field(ge=0.5, le=1)] = 0.95
    """Chance that a good answer beats one that is not."""


class LengthOracle(_Oracle):
    """Prefers longer or shorter completions, whatever they say. A control: nothing useful should be learnt."""

    kind: Literal["length"] = "length"
    prefers: Literal["longer", "shorter"] = "longer"
    """Which of two completions wins."""
    temperature: Annotated[float, Field(gt=0, le=10_000), Unit("tokens")] = 5.0
    """Difference of two lengths at which the preferred one wins with 73 %."""


OracleSpec = Annotated[VerifierOracle | JudgeOracle | CyclicOracle | LengthOracle, Field(discriminator="kind")]
