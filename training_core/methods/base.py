"""What a method file declares. Torch-free: a method is data flow, tensors live elsewhere."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from training_core.spec.base import Block

if TYPE_CHECKING:
    from training_core.evaluate.held_out import Evaluation
    from training_core.play.play import Play
    from training_core.play.prompts import Prompts
    from training_core.play.records import StepBatch
    from training_core.spec.experiment import ExperimentSpec
    from training_core.tasks.base import Domain


class MethodSpec(Block):
    """The knobs of one method. ``name`` is the method's slug and picks the subclass."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Role:
    """A part played by a policy: ``Role(name="solver", policy="main", trained=True)``."""

    name: str
    title: str
    policy: str
    """"main" is the policy being trained, "start" a frozen copy of the weights the run began with, "none" no model."""
    trained: bool
    reads: str
    writes: str


@dataclass(frozen=True, kw_only=True)
class FlowNode:
    """A box of the flow diagram on a small grid: ``FlowNode(id="pool", label="Question pool", kind="pool", x=1, y=0)``."""

    id: str
    label: str
    kind: Literal["role", "pool", "reward", "update", "data"]
    x: int
    y: int
    knobs: tuple[str, ...] = ()
    """Paths of spec fields that shape this box, for example ``method.quality_threshold``."""


@dataclass(frozen=True, kw_only=True)
class FlowEdge:
    """An arrow of the flow diagram."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart of the run page: ``series`` pairs a metric name with its label."""

    title: str
    series: tuple[tuple[str, str], ...]
    help: str
    group: str = "Learning"
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named, complete starting point: ``spec`` is the mapping an ExperimentSpec is made of."""

    slug: str
    title: str
    description: str
    spec: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Paper:
    title: str
    authors: str
    year: int
    arxiv: str
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class ResultTable:
    """Figures reported by the paper, shown on the method's page, never ours."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class RolloutCost:
    """Completions of one step, per kind of rollout: feeds the estimate of tokens, memory and time."""

    completions: dict[str, int]
    trained: int


class SelfPlay(ABC):
    """A self-play method: declarations for the form and pages, and the episodes of one step."""

    slug: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    """One or two sentences for the gallery."""
    group: ClassVar[str]
    """Heading in the gallery, such as "Online self-play with a judge"."""
    paper: ClassVar[Paper]
    results: ClassVar[tuple[ResultTable, ...]] = ()
    Spec: ClassVar[type[MethodSpec]]
    flow_nodes: ClassVar[tuple[FlowNode, ...]] = ()
    flow_edges: ClassVar[tuple[FlowEdge, ...]] = ()
    charts: ClassVar[tuple[Chart, ...]] = ()
    presets: ClassVar[tuple[Preset, ...]] = ()
    headline_metric: ClassVar[str] = "eval/accuracy_sampled"
    """The metric drawn as the sparkline of a run in lists."""

    def __init__(self, experiment: "ExperimentSpec", domain: "Domain", prompts: "Prompts") -> None:
        self.experiment = experiment
        self.domain = domain
        self.prompts = prompts

    @classmethod
    @abstractmethod
    def roles(cls, spec: Any) -> tuple[Role, ...]:
        """The roles of the method under these knobs, in the order they speak."""

    @classmethod
    def check(cls, experiment: "ExperimentSpec") -> None:
        """Refuse combinations of fields that cannot work, with a ``ValueError`` that says what to change."""

    @classmethod
    @abstractmethod
    def rollout_cost(cls, experiment: "ExperimentSpec") -> RolloutCost:
        """Completions of one step."""

    @abstractmethod
    async def step(self, play: "Play") -> "StepBatch":
        """One self-play step: talk, score, fill pools, hand over what is to be learnt."""

    @abstractmethod
    async def evaluate(self, play: "Play") -> "Evaluation":
        """Measure on held-out items; must leave the method's state as it was."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything the method remembers between steps, as JSON values."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
