"""Events: what a run says while it runs, one JSON line each.

A line is ``{"seq": 7, "kind": "metric", "step": 3, "t": 1769000000.25, "data": {...}}``. ``seq`` counts from 1 without gaps
and goes on where the checkpoint stood after a resume, so a line with a known ``seq`` replaces what was there.
``t`` is Unix time in seconds. ``data`` is one of the classes below, by ``kind``.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_SIDE = 40
"""Rows and columns of the largest board that is drawn."""


class EventKind(StrEnum):
    STATE = "state"
    METRIC = "metric"
    SAMPLE = "sample"
    EVALUATION = "evaluation"
    CHECKPOINT = "checkpoint"
    LOG = "log"
    CHANGE = "change"


class RunPhase(StrEnum):
    """Where a run's process is; its last event is always a state event with an ending phase."""

    PREPARING = "preparing"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    STOPPED = "stopped"
    PAUSED = "paused"
    FAILED = "failed"


ENDING_PHASES = frozenset({RunPhase.SUCCEEDED, RunPhase.STOPPED, RunPhase.PAUSED, RunPhase.FAILED})


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StateData(_Data):
    """Example: ``{"phase": "preparing", "text": "Teaching the starter model", "fraction": 0.4}``."""

    phase: RunPhase
    text: str
    fraction: float | None = None
    """Share of the phase that is done, 0 to 1; None where it is unknown."""
    failure: str | None = None
    """Kind of failure: spec, model, data, out_of_memory, diverged, crash."""
    traceback: str | None = None


class MetricData(_Data):
    """Example: ``{"values": {"reward/solver": 0.61}}``. Names are ``area/name_unit``."""

    values: dict[str, float]


class Scene(_Data):
    """What a reader sees after a move: a board, or cards, pot and holdings as facts, or both.

    Example: ``{"grid": [["X", "", "O"], ["", "X", ""], ["", "", ""]], "marked": [1, 1], "facts": {"to move": "O"}}``.
    """

    grid: Annotated[list[Annotated[list[str], Field(max_length=MAX_SIDE)]], Field(max_length=MAX_SIDE)] | None = None
    """Rows of cells from the top; an empty cell is the empty string."""
    marked: tuple[int, int] | None = None
    """Row and column of the cell that the move changed, counted from 0."""
    facts: dict[str, str] = Field(default_factory=dict)
    """Further parts of the position by name: cards, pot, holdings."""


class Turn(_Data):
    """One completion inside an episode; turns form a tree through ``parent``: answers below questions, verdicts below answers."""

    role: str
    text: str
    parsed: str | None = None
    """What was read out of the text: the question, the answer, the score."""
    parent: int | None = None
    rewards: dict[str, float] = Field(default_factory=dict)
    """Reward terms before weighting."""
    parts: dict[str, float] = Field(default_factory=dict)
    """What each term, times its weight, adds to the reward."""
    reward: float | None = None
    """The weighted sum that is learnt from."""
    advantage: float | None = None
    """``(reward - baseline) / divisor * scale``"""
    baseline: float | None = None
    """What the estimator compared the reward with."""
    divisor: float = 1.0
    """What it divided the difference by."""
    scale: float = 1.0
    """The method's own factor, for example a discount by the turns left."""
    trained: bool = False
    discarded: str | None = None
    """Why this completion does not count, although it was made to be learnt from."""
    num_tokens: int = 0
    correct: bool | None = None
    """Truth where a verifier knows it: is the answer right, is the verdict in line with the truth, is the question well-posed."""
    verdict: float | None = None
    """What a judge, an oracle or votes made of it, 0 to 1, where their words are no turns below it; from one half on it passes."""
    note: str | None = None
    scene: Scene | None = None
    """The position after this turn, in a game."""
    value: float | None = None
    """What a search thinks this node of its tree is worth."""
    logratio: float | None = None
    """ln(policy / reference) of the whole text before the update, nats; of a chosen or rejected text."""


class PairView(_Data):
    """Two turns of a sample to be read side by side: ``{"chosen": 1, "rejected": 3}``, by their place among the turns."""

    chosen: Annotated[int, Field(ge=0)]
    rejected: Annotated[int, Field(ge=0)]


class SampleData(_Data):
    """One episode worth reading. Example title: the question that was asked."""

    episode: str
    """Unique inside the run: ``step-index``."""
    title: str
    turns: list[Turn]
    parent: str | None = None
    """The question that this one was made from."""
    discarded: str | None = None
    """Why nothing of this sample counts: a rejected question, a text that cannot be read, a tie."""
    practice: bool = False
    """A role rehearsed by itself on something old; nothing was asked of the others."""
    layout: Literal["thread", "game", "pairs", "tree"] = "thread"
    """How a reader wants it: replies below what they answer, moves with their scenes, pairs side by side, or a search tree."""
    pairs: list[PairView] = Field(default_factory=list)
    table: list[list[float]] | None = None
    """Where an oracle compared the turns with one another: ``table[i][j]`` is the chance that turn i beats turn j."""
    facts: dict[str, str | float | bool | None] = Field(default_factory=dict)
    """Further findings by name: truth, difficulty, quality, kept."""


class EvaluationItem(_Data):
    question: str
    expected: str
    answer: str | None
    correct: bool


class LeagueRow(_Data):
    """One player: ``{"name": "step 50", "rating": 1540, "low": 1490, "high": 1590, "games": 200, "won": 110, "drawn": 40, "lost": 50}``."""

    name: str
    rating: float
    """Elo points."""
    low: float
    high: float
    """Ends of the rating's confidence interval."""
    games: Annotated[int, Field(ge=0)]
    won: Annotated[int, Field(ge=0)]
    drawn: Annotated[int, Field(ge=0)]
    lost: Annotated[int, Field(ge=0)]


class League(_Data):
    """Who played whom and how strong everybody is."""

    players: list[LeagueRow]
    matrix: list[list[float | None]]
    """``matrix[i][j]``: share of the points, 0 to 1, that player i took from player j; None where they did not meet."""

    @model_validator(mode="after")
    def _square(self) -> Self:
        if [len(row) for row in self.matrix] != [len(self.players)] * len(self.players):
            raise ValueError(f"the matrix needs a row and a column for each of the {len(self.players)} players")
        return self


class EvaluationData(_Data):
    """Example: ``{"suite": "held_out", "num_items": 256, "scores": {"accuracy_sampled": 0.41, "accuracy_greedy": 0.83}}``.

    The same scores appear as metrics ``eval/<name>``.
    """

    suite: str
    num_items: int
    scores: dict[str, float]
    items: list[EvaluationItem] = Field(default_factory=list)
    """A few items for reading, the same ones every time."""
    league: League | None = None


class CheckpointData(_Data):
    """Example: ``{"path": "checkpoints/step-000050", "num_bytes": 1843200, "digest": "ab12..."}``; path is relative to the run's folder."""

    path: str
    num_bytes: int
    digest: str


class LogData(_Data):
    level: Literal["debug", "info", "warning", "error"]
    text: str
    facts: dict[str, str] = Field(default_factory=dict)
    """What the line tells, by name, for programs: versions and machine in the first line of a process."""


class ChangeData(_Data):
    """What became of a person's order.

    Example: ``{"order": 4, "command": "knob", "by": "Ada", "what": "method.optimizer.lr", "before": 0.001, "after": 0.0005,
    "obeyed": true, "update": 13, "text": "..."}``.
    """

    order: Annotated[int, Field(ge=1)]
    """The id of the order this answers."""
    command: Literal["overrule", "knob", "question"]
    by: str
    what: str
    """What was changed: the path of a knob, a turn of an episode, a question."""
    before: float | int | bool | str | None
    after: float | int | bool | str | None
    obeyed: bool
    """False: nothing was changed, and ``text`` says why."""
    update: int | None = None
    """The step whose update is the first that the change reached."""
    text: str
    """One sentence."""
    episode: str | None = None
    turn: int | None = None


class _Event(_Data):
    seq: Annotated[int, Field(ge=1)]
    step: Annotated[int, Field(ge=0)]
    t: float


class StateEvent(_Event):
    kind: Literal[EventKind.STATE] = EventKind.STATE
    data: StateData


class MetricEvent(_Event):
    kind: Literal[EventKind.METRIC] = EventKind.METRIC
    data: MetricData


class SampleEvent(_Event):
    kind: Literal[EventKind.SAMPLE] = EventKind.SAMPLE
    data: SampleData


class EvaluationEvent(_Event):
    kind: Literal[EventKind.EVALUATION] = EventKind.EVALUATION
    data: EvaluationData


class CheckpointEvent(_Event):
    kind: Literal[EventKind.CHECKPOINT] = EventKind.CHECKPOINT
    data: CheckpointData


class LogEvent(_Event):
    kind: Literal[EventKind.LOG] = EventKind.LOG
    data: LogData


class ChangeEvent(_Event):
    kind: Literal[EventKind.CHANGE] = EventKind.CHANGE
    data: ChangeData


Event = Annotated[
    StateEvent | MetricEvent | SampleEvent | EvaluationEvent | CheckpointEvent | LogEvent | ChangeEvent,
    Field(discriminator="kind"),
]

WALL_CLOCK_AREAS = ("time/", "tokens/", "machine/", "engine/")
"""Metrics under these areas measure the machine and what runs on it, and differ from run to run even with one seed."""


class Command(_Data):
    """One line of ``control.jsonl``, written by whoever supervises the run and acted on between steps.

    Example: ``{"id": 3, "command": "pause", "reason": "asked by ada"}``.
    """

    id: int
    command: Literal["pause", "stop", "checkpoint"]
    reason: str = ""


def deterministic(event: dict[str, Any]) -> dict[str, Any] | None:
    """The part of an event that a seed fixes, or None for events about the process (state, log)."""
    if event["kind"] in {EventKind.STATE, EventKind.LOG}:
        return None
    data = event["data"]
    if event["kind"] == EventKind.METRIC:
        data = {"values": {k: v for k, v in data["values"].items() if not k.startswith(WALL_CLOCK_AREAS)}}
    return {"kind": event["kind"], "step": event["step"], "data": data}
