"""What a method file declares. Torch-free: a method is data flow, tensors live elsewhere."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from training_core.methods.card import Chart, FlowEdge, FlowNode, Paper, Preset, ResultTable, read_card
from training_core.methods.equations import Equation
from training_core.spec.base import Block
from training_core.spec.judges import AUDITOR, FrozenAudit
from training_core.spec.orders import OrderRefused

if TYPE_CHECKING:
    from training_core.evaluate.held_out import Evaluation
    from training_core.play.play import Play
    from training_core.play.prompts import Prompts
    from training_core.play.records import Choice, StepBatch
    from training_core.spec.events import SampleData
    from training_core.spec.experiment import ExperimentSpec


class MethodSpec(Block):
    """The knobs of one method. ``name`` is the method's slug and picks the subclass."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Role:
    """A part played by a policy: ``Role(name="solver", policy="main", trained=True)``."""

    name: str
    title: str
    policy: str
    """The weights it speaks with. Every name is a policy that is trained, such as "main", and roles with one name share it; but
    "start" is the frozen weights the run began with, "none" no model, and a snapshot goes by its name. ``weights.kind`` may give
    each trained role weights of its own."""
    trained: bool
    reads: str
    writes: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Frozen weights that begin as a copy of a role's policy: ``Snapshot(name="iterate", of="player", reference=True)``.

    They change only by the blends a step hands over, are part of every checkpoint, and speak where ``play`` is told their name.
    """

    name: str
    of: str
    """The role whose policy they are a copy of when the run begins."""
    reference: bool = False
    """Whether the KL penalty and the preference losses of that policy compare with these weights instead of the start's."""
    speaks: bool = True
    """Whether ``play`` may be told their name; if not, no engine has to hold them."""


def auditor_roles(spec: Any) -> tuple[Role, ...]:
    """The hidden auditor of a method's spec, where it is a model."""
    if not isinstance(spec.audit, FrozenAudit):
        return ()
    role = Role(
        name=AUDITOR,
        title="Hidden auditor",
        policy="start",
        trained=False,
        reads="an answer that was judged",
        writes="a verdict that nobody learns from",
    )
    return (role,)


@dataclass(frozen=True, kw_only=True)
class RolloutCost:
    """Completions of one step, per kind of rollout: feeds the estimate of tokens, memory and time."""

    completions: dict[str, int]
    trained: int


class SelfPlay(ABC):
    """A self-play method: declarations for the form and pages, and the episodes of one step."""

    slug: ClassVar[str]
    Spec: ClassVar[type[MethodSpec]]
    tasks: ClassVar[tuple[str, ...]] = ("arithmetic", "strings", "jsonl")
    """Kinds of task the method plays on; a spec that names no task gets the first."""
    curriculum: ClassVar[str] = "evolve"
    """What the starter is taught for this method: a module of ``training_core.curricula``."""
    reward_weights: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """By role and reward term, the knob that weighs the term: ``{"solver": {"judge": "w_judge"}}``; so that rewards that were given can
    be reckoned anew with other weights."""
    # The rest is read from the card ``<slug>.yaml`` beside the method's file.
    title: ClassVar[str]
    summary: ClassVar[str]
    group: ClassVar[str]
    paper: ClassVar[Paper | None]
    results: ClassVar[tuple[ResultTable, ...]]
    flow_nodes: ClassVar[tuple[FlowNode, ...]]
    flow_edges: ClassVar[tuple[FlowEdge, ...]]
    charts: ClassVar[tuple[Chart, ...]]
    equations: ClassVar[tuple[Equation, ...]]
    presets: ClassVar[tuple[Preset, ...]]
    headline_metric: ClassVar[str]
    """The metric drawn as the sparkline of a run in lists."""
    headline_goal: ClassVar[Literal["up", "down"]]
    """Which way the headline metric gets better."""

    def __init_subclass__(cls) -> None:
        if "slug" in vars(cls):
            read_card(cls.slug).put_on(cls)

    domain: Any
    """What ``make_domain`` gives for the spec's task: a ``Domain`` of questions, or the games of a ``GamesTask``. A method says
    which by declaring it again."""

    def __init__(self, experiment: "ExperimentSpec", domain: Any, prompts: "Prompts") -> None:
        self.experiment = experiment
        self.domain = domain
        self.prompts = prompts

    @classmethod
    def curriculum_on(cls, task: str) -> str:
        """What the starter of a kind of task is taught: ``curriculum``, unless the method says otherwise."""
        return cls.curriculum

    @classmethod
    @abstractmethod
    def roles(cls, spec: Any) -> tuple[Role, ...]:
        """The roles of the method under these knobs, in the order they speak."""

    @classmethod
    def snapshots(cls, spec: Any) -> tuple[Snapshot, ...]:
        """Frozen weights the method keeps beside the trained ones: earlier iterates, averages, opponents."""
        return ()

    @classmethod
    def check(cls, experiment: "ExperimentSpec") -> None:
        """Refuse combinations of fields that cannot work, with a ``ValueError`` that says what to change."""
        return

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

    # What people ask of it between steps

    @classmethod
    def why_uncorrectable(cls, experiment: "ExperimentSpec") -> str:
        """Why overruling a verdict changes nothing that is learnt, in one sentence; empty where it does."""
        if cls.correct is not SelfPlay.correct:
            return ""
        return f"{cls.title} learns nothing from single verdicts, so overruling one changes no reward of it."

    def retune(self, experiment: "ExperimentSpec") -> None:
        """Go on with a spec in which live fields were changed; a method that derived things from them derives them again."""
        self.experiment = experiment
        vars(self)["spec"] = experiment.method  # which every method declares with the type of its own

    def correct(self, sample: "SampleData", turn: int, value: float) -> None:
        """Reward the turns of a sample as if the judge had said ``value``, 0 to 1, of a judged turn, or of the one a verdict is on.

        Raises ``OrderRefused`` where no reward depends on it.
        """
        raise OrderRefused(self.why_uncorrectable(self.experiment))

    def choices(self, sample: "SampleData") -> "list[Choice]":
        """The pairs that a sample makes by the verdicts on its turns; what a step hands over, and what a corrected verdict makes of it.

        A method that learns from pairs of answers names them here and hands them over with ``StepLog.choose``.
        """
        return []

    def add_question(self, question: str, answer: str | None, *, step: int) -> None:
        """Take a person's question into the pool; raises ``OrderRefused``."""
        raise OrderRefused(f"{self.title} keeps no pool of questions.")

    def remove_question(self, question: str) -> int:
        """Take a bad question out of the pool for good, in every way it can be written; how often it stood there."""
        raise OrderRefused(f"{self.title} keeps no pool of questions.")

    def state_dict(self) -> dict[str, Any]:
        """Everything the method remembers between steps, as JSON values; a method without a memory leaves this as it is."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        return
