"""What a step hands to the learner and to the reader."""

from collections.abc import Callable, Mapping, Sequence
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
    parts: Mapping[str, float] = field(default_factory=dict)
    """What each reward term added, weighted, so that they sum to the reward: ``{"judge": 0.5, "format": 0.25}``."""
    baseline: str = ""
    """What a running baseline is kept for beside the role, for example the game: "kuhn"."""
    scale: float = 1.0
    """Factor on the advantage, for example a discount by the turns left."""
    kl_coef: float | None = None
    """Weight of this rollout's KL penalty to the reference; None takes the loss's."""
    droppable: bool = False
    """Whether the batch goes on without it, its tokens uncounted, when its advantage is exactly 0."""
    advantage: float = 0.0
    """Filled in by the advantage estimator."""
    learner_logprobs: tuple[float, ...] = ()
    """Log-probs of the tokens under the learner's weights when an update last saw them; empty where nobody asked for them."""
    turn: Turn | None = None
    """Where a reader sees this rollout; it is told the advantage."""


@dataclass(kw_only=True)
class Pair:
    """Two completions of one prompt, one preferred: ``Pair(role="player", prompt="3+4=", chosen="7", rejected=...)``.

    A text stands for itself and the end token after it; a ``Completion`` for the very tokens that were sampled.
    """

    role: str
    prompt: str
    chosen: Completion | str
    rejected: Completion | str
    beta: float | None = None
    """Overrides the beta, or eta, of the loss."""
    win_rates: tuple[float, float] | None = None
    """How often chosen and rejected win, 0 to 1, for the SPPO losses; None says always and never."""
    turns: tuple[Turn, Turn] | None = None
    """Where a reader sees chosen and rejected; they are told their log-ratios."""
    correction: float | None = None
    """1 for a pair that a corrected verdict asks for, -1 for one that it takes back: the factor on its loss. None for a pair of the
    step itself; the others change neither the metrics nor the weight of the step's own."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which turn of a sample is preferred to which: ``Choice(chosen=2, rejected=0, win_rates=(0.8, 0.3))``."""

    chosen: int
    rejected: int
    win_rates: tuple[float, float] | None = None


@dataclass(kw_only=True)
class Alternatives:
    """The answers to one prompt that pairs are made of, by their place among the turns of a sample.

    They are kept beside the pairs, so that a corrected verdict can pair them anew.
    """

    role: str
    episode: str
    prompt: str
    answers: dict[int, Completion | str]

    def pair(self, choice: Choice, **more: Any) -> Pair:
        """The pair that a choice among the answers makes."""
        chosen, rejected = self.answers[choice.chosen], self.answers[choice.rejected]
        return Pair(
            role=self.role,
            prompt=self.prompt,
            chosen=chosen,
            rejected=rejected,
            win_rates=choice.win_rates,
            **more,
        )


@dataclass(kw_only=True)
class Demonstration:
    """A completion to imitate: ``Demonstration(role="player", prompt="3+4=", completion="7")``."""

    role: str
    prompt: str
    completion: Completion | str
    weight: float = 1.0
    """Factor on its negative log-likelihood."""
    turn: Turn | None = None
    """Where a reader sees it."""


@dataclass(kw_only=True)
class Blend:
    """Weight arithmetic: ``into`` becomes the weighted sum of policies.

    Example: ``Blend(into="average", parts={"average": 0.95, "main": 0.05})``. Snapshots and trained policies go by their names.
    """

    into: str
    parts: Mapping[str, float]
    longest: float | None = None
    """Shorten the sum to this L2 norm over all weights where it is longer; for differences of weights, such as a momentum."""
    measures: bool = False
    """Report ``blend/<into>_norm``, the L2 norm of the sum, and ``blend/<into>_cosine``, that of its angle to what ``into`` was,
    where neither is 0."""


@dataclass(kw_only=True)
class StepBatch:
    """The outcome of one self-play step."""

    rollouts: list[Rollout] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    demonstrations: list[Demonstration] = field(default_factory=list)
    alternatives: list[Alternatives] = field(default_factory=list)
    """What the pairs could have been made of otherwise."""
    samples: list[SampleData] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    blends: list[Blend] = field(default_factory=list)
    """Carried out in order after the step's update."""
    restart_optimizer: tuple[str, ...] = ()
    """Policies whose optimiser forgets its moments and warms up again before the step's update."""
    lr_scale: float = 1.0
    """Factor on the step size of the step's update."""
    lr_scale_of: dict[str, float] = field(default_factory=dict)
    """Further factors by policy; one that is not named has none."""

    def to_json(self) -> dict[str, Any]:
        """The batch as JSON values, from which ``from_json`` makes an equal one, before or after learning from it."""
        places = {id(turn): place for place, turn in enumerate(_turns(self.samples))}
        return {
            "rollouts": [_to_json(rollout, places) for rollout in self.rollouts],
            "pairs": [_to_json(pair, places) for pair in self.pairs],
            "demonstrations": [_to_json(demonstration, places) for demonstration in self.demonstrations],
            "alternatives": [asdict(each) for each in self.alternatives],
            "samples": [sample.model_dump(mode="json") for sample in self.samples],
            "metrics": self.metrics,
            "blends": [{**asdict(blend), "parts": dict(blend.parts)} for blend in self.blends],
            "restart_optimizer": list(self.restart_optimizer),
            "lr_scale": self.lr_scale,
            "lr_scale_of": self.lr_scale_of,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The batch that ``to_json`` wrote; what is learnt from and samples share their turns again."""
        samples = [SampleData.model_validate(sample) for sample in values["samples"]]
        turns = _turns(samples)
        return cls(
            rollouts=[Rollout(**_from_json(each, turns)) for each in values["rollouts"]],
            pairs=[Pair(**_from_json(each, turns)) for each in values["pairs"]],
            demonstrations=[Demonstration(**_from_json(each, turns)) for each in values["demonstrations"]],
            alternatives=[
                Alternatives(
                    **{**each, "answers": {int(at): _completion(said) for at, said in each["answers"].items()}}
                )
                for each in values["alternatives"]
            ],
            samples=samples,
            metrics=values["metrics"],
            blends=[Blend(**blend) for blend in values["blends"]],
            restart_optimizer=tuple(values["restart_optimizer"]),
            lr_scale=values["lr_scale"],
            lr_scale_of=values["lr_scale_of"],
        )


def _turns(samples: Sequence[SampleData]) -> list[Turn]:
    return [turn for sample in samples for turn in sample.turns]


def _to_json(record: Rollout | Pair | Demonstration, places: Mapping[int, int]) -> dict[str, Any]:
    def value(found: Any) -> Any:
        match found:
            case Completion():
                return asdict(found)
            case Turn():
                return places[id(found)] if id(found) in places else found.model_dump(mode="json")
            case tuple():
                return [value(each) for each in found]
            case _:
                return found

    return {each.name: value(getattr(record, each.name)) for each in fields(record)}


def _from_json(record: Mapping[str, Any], turns: Sequence[Turn]) -> dict[str, Any]:
    read: dict[str, Callable[[Any], Any]] = {
        "completion": _completion,
        "chosen": _completion,
        "rejected": _completion,
        "turn": lambda value: _turn(value, turns),
        "turns": lambda value: tuple(_turn(each, turns) for each in value),
        "win_rates": tuple,
        "learner_logprobs": tuple,
    }
    return {name: value if value is None or name not in read else read[name](value) for name, value in record.items()}


def _completion(value: dict[str, Any] | str) -> Completion | str:
    return value if isinstance(value, str) else Completion.from_json(value)


def _turn(value: int | dict[str, Any], turns: Sequence[Turn]) -> Turn:
    return turns[value] if isinstance(value, int) else Turn.model_validate(value)
