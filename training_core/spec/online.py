"""The knobs all online self-play methods share: sampling, advantage, loss, optimiser, rehearsal."""

from typing import Annotated

from pydantic import Field

from training_core.methods.base import MethodSpec
from training_core.spec.base import Block, Group, Unit
from training_core.spec.learning import (
    AdvantageSpec,
    ClippedPolicyLoss,
    OptimizerSpec,
    PolicyLossSpec,
    ReinforcePlusPlus,
    SamplingSpec,
)


class RehearsalSpec(Block):
    """Mix labelled teaching text of the starter into every update, so that skills nobody rewards are not forgotten."""

    rows: Annotated[int, Field(ge=1, le=4096), Unit("texts")] = 64
    """Teaching texts per update."""
    coef: Annotated[float, Field(gt=0, le=10)] = 0.3
    """Weight of their cross-entropy beside the policy loss."""
    judge_share: Annotated[float, Field(ge=0, le=1)] = 0.6
    """Share of the texts that show judging; the rest shows proposing. Answers are never rehearsed."""


class OnlineSpec(MethodSpec):
    """Roll out with the current weights, score, update on what was just rolled out."""

    sampling: Annotated[SamplingSpec, Group("Sampling")] = SamplingSpec()
    """How completions are drawn while training."""
    advantage: Annotated[AdvantageSpec, Group("Learning")] = ReinforcePlusPlus()
    """What a reward is compared with."""
    loss: Annotated[PolicyLossSpec, Group("Learning")] = ClippedPolicyLoss()
    """The policy loss."""
    optimizer: Annotated[OptimizerSpec, Group("Learning")] = OptimizerSpec()
    """The optimiser."""
    rehearsal: Annotated[RehearsalSpec | None, Group("Learning")] = None
    """Mix in teaching text; for starter models only. Empty switches it off, as in the papers."""
