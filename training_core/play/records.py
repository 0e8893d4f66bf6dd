"""What a step hands to the learner and to the reader."""

from dataclasses import dataclass, field

from training_core.play.requests import Completion
from training_core.spec.events import SampleData, Turn


@dataclass(kw_only=True)
class Rollout:
    """One completion to learn from: ``Rollout(role="solver", group="12:3+4", completion=..., reward=0.75)``."""

    role: str
    group: str
    """Rollouts with one group id answer one prompt and may share a baseline."""
    completion: Completion
    reward: float
    advantage: float = 0.0
    """Filled in by the advantage estimator."""
    turn: Turn | None = None
    """Where a reader sees this rollout; it is told the advantage."""


@dataclass(kw_only=True)
class StepBatch:
    """The outcome of one self-play step."""

    rollouts: list[Rollout] = field(default_factory=list)
    samples: list[SampleData] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
