"""What a step hands to the learner and to the reader."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

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

    def to_json(self) -> dict[str, Any]:
        """The batch as JSON values, from which ``from_json`` makes an equal one, before or after learning from it."""
        turns = [turn for sample in self.samples for turn in sample.turns]
        place = {id(turn): index for index, turn in enumerate(turns)}
        return {
            "rollouts": [
                {
                    **_shallow(rollout),
                    "completion": asdict(rollout.completion),
                    "turn": None
                    if rollout.turn is None
                    else place.get(id(rollout.turn), rollout.turn.model_dump(mode="json")),
                }
                for rollout in self.rollouts
            ],
            "samples": [sample.model_dump(mode="json") for sample in self.samples],
            "metrics": self.metrics,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The batch that ``to_json`` wrote; rollouts and samples share their turns again."""
        samples = [SampleData.model_validate(sample) for sample in values["samples"]]
        turns = [turn for sample in samples for turn in sample.turns]
        rollouts = [
            Rollout(
                **{**rollout, "completion": _completion(rollout["completion"]), "turn": _turn(rollout["turn"], turns)}
            )
            for rollout in values["rollouts"]
        ]
        return cls(rollouts=rollouts, samples=samples, metrics=values["metrics"])


def _shallow(rollout: Rollout) -> dict[str, Any]:
    return {each.name: getattr(rollout, each.name) for each in fields(rollout)}


def _completion(values: dict[str, Any]) -> Completion:
    found: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Completion(**found)


def _turn(value: int | dict[str, Any] | None, turns: list[Turn]) -> Turn | None:
    if isinstance(value, int):
        return turns[value]
    return None if value is None else Turn.model_validate(value)
