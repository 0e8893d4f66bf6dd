"""The knobs of every method that trains a policy: sampling, optimiser, rehearsal."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from training_core.methods.base import MethodSpec
from training_core.spec.base import Block, Group, Unit
from training_core.spec.learning import OptimizerSpec, SamplingSpec


class RehearsalSpec(Block):
    """Mix labelled teaching text of the starter into every update, so that skills nobody rewards are not forgotten."""

    rows: Annotated[int, Field(ge=1, le=4096), Unit("texts")] = 64
    """Teaching texts per update."""
    coef: Annotated[float, Field(gt=0, le=10)] = 0.3
    """Weight of their cross-entropy beside the policy loss."""
    judge_share: Annotated[float, Field(ge=0, le=1)] = 0.6
    """Share of the texts that show judging; the rest shows proposing. Answers are never rehearsed."""


def _optimizer_last(schema: dict[str, Any]) -> None:
    """Show what is learnt from before how: a form lists fields in the order of the schema."""
    properties = schema["properties"]
    for name in ("optimizer", "rehearsal"):
        properties[name] = properties.pop(name)


class TrainedSpec(MethodSpec):
    """What every method that trains has; its families add what they learn from.

    A spec without the field ``loss`` cannot hand over rollouts, one without ``preference`` no pairs.
    """

    model_config = ConfigDict(json_schema_extra=_optimizer_last)

    sampling: Annotated[SamplingSpec, Group("Sampling")] = SamplingSpec()
    """How completions are drawn while training."""
    optimizer: Annotated[OptimizerSpec, Group("Learning")] = OptimizerSpec()
    """The optimiser."""
    rehearsal: Annotated[RehearsalSpec | None, Group("Learning")] = None
    """Mix in teaching text; for starter models only. Empty switches it off, as in the papers."""

    @property
    def needs_reference(self) -> bool:
        """Whether the update compares a trained policy with frozen weights. Methods that penalise single rollouts override it."""
        return False
