"""Jobs: something short that is asked of weights that exist. Torch-free, so that pages and API make and check them too.

A job is a folder with ``job.json``; ``python -m training_core job FOLDER`` carries it out and leaves ``outcome.json`` beside it.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from training_core.spec.base import Block
from training_core.spec.events import Scene
from training_core.spec.learning import SamplingSpec
from training_core.spec.rubrics import MAX_TEXT, RUBRICS, problems_of
from training_core.spec.tasks import TaskSpec

MAX_RESULT_BYTES = 5 * 2**20
"""Longest result as JSON; what is larger is refused, and matches leave texts out before it comes to that."""
MAX_PROMPT = 40_000
Text = Annotated[str, Field(max_length=MAX_PROMPT)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
_PLACE = re.compile(r"runs/[0-9a-f-]{36}/checkpoints/step-\d{6,}")


class Weights(Block):
    """A policy at one moment of a run: ``Weights(name="step 20", spec={...}, checkpoint="runs/.../checkpoints/step-000020")``."""

    name: Name
    """What a reader calls it."""
    spec: dict[str, Any]
    """The resolved spec of its run: model, task and method, by which it is loaded and asked."""
    checkpoint: str = ""
    """Folder of the checkpoint, below the job's root; empty is what the run began with."""
    policy: Annotated[str, Field(max_length=80, pattern=r"^[a-z0-9][a-z0-9_-]*$")] = "main"
    """Which of the policies of the checkpoint."""

    @model_validator(mode="after")
    def _place_is_a_checkpoint(self) -> "Weights":
        if self.checkpoint and not _PLACE.fullmatch(self.checkpoint):
            raise ValueError(
                f"{self.checkpoint!r} is not the place of a checkpoint: runs/<run>/checkpoints/step-000020"
            )
        return self


class PromptSpec(Block):
    """What is said to the weights: a text as it is, or a prompt of the method by name with what goes into it."""

    text: Text = ""
    """A free prompt; used where ``name`` is empty."""
    name: Annotated[str, Field(max_length=80)] = ""
    """A prompt of the method, such as solve; worded for the kind of model that is asked."""
    values: dict[str, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> "PromptSpec":
        if not self.name and not self.text:
            raise ValueError("the prompt is empty; write something the model can answer")
        return self


class SayJob(Block):
    """Each of the speakers answers one prompt, with the same seed."""

    kind: Literal["say"] = "say"
    speakers: Annotated[tuple[Weights, ...], Field(min_length=1, max_length=4)]
    prompt: PromptSpec
    sampling: SamplingSpec = SamplingSpec(max_tokens=256)
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    n: Annotated[int, Field(ge=1, le=8)] = 1
    """Answers of each speaker."""
    logprobs: bool = False
    """Whether every token comes with its log-probability."""


class WeightsPlayer(Block):
    """A policy plays."""

    kind: Literal["weights"] = "weights"
    weights: Weights


class RulePlayer(Block):
    """Nobody's weights: legal moves by chance, or perfect play where it is known."""

    kind: Literal["random", "perfect"]

    @property
    def name(self) -> str:
        return {"random": "random player", "perfect": "perfect player"}[self.kind]


Player = Annotated[WeightsPlayer | RulePlayer, Field(discriminator="kind")]


class Made(Block):
    """A move that was made: the action and the position it led to, as a sample recorded them."""

    action: Annotated[str, Field(max_length=2000)]
    scene: Scene


class GameContest(Block):
    """Two players at a game, each as often in one seat as in the other."""

    kind: Literal["game"] = "game"
    game: Annotated[str, Field(min_length=1, max_length=120)]
    max_turns: Annotated[int, Field(ge=1, le=10_000)] = 50
    opening: Annotated[tuple[Made, ...], Field(max_length=500)] = ()
    """Moves already made: every game goes on from there, and the first player keeps seat 0."""


class QuestionContest(Block):
    """Two solvers at held-out questions of a task: who alone is right takes the point, or whose answer the judge scores higher."""

    kind: Literal["questions"] = "questions"
    task: TaskSpec
    judge: Weights | None = None
    """Who grades; empty is the task's own verifier."""


Contest = Annotated[GameContest | QuestionContest, Field(discriminator="kind")]


class MatchJob(Block):
    """Two players meet a number of times."""

    kind: Literal["match"] = "match"
    first: Player
    second: Player
    contest: Contest
    num_games: Annotated[int, Field(ge=1, le=512)] = 16
    """Games, or questions."""
    sampling: SamplingSpec = SamplingSpec(max_tokens=256)
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _solvers_are_models(self) -> "MatchJob":
        if self.contest.kind == "questions" and not (self.first.kind == self.second.kind == "weights"):
            raise ValueError("only weights can answer questions; random and perfect players belong to games")
        return self


class Graded(Block):
    """An answer to be graded again: ``Graded(id="812/3", question="3+4", answer="8", right=False)``."""

    id: Annotated[str, Field(max_length=80)]
    question: Text
    answer: Text = ""
    """Empty where the question itself is judged."""
    other: Text = ""
    """The answer that it is compared with; empty where it is judged by itself."""
    right: bool | None = None
    """The truth where it is known, of a pair whether ``answer`` is the better one; never shown to the judge."""


class RejudgeJob(Block):
    """A judge grades given answers or questions, or compares pairs, with the method's own prompt or an edited one."""

    kind: Literal["rejudge"] = "rejudge"
    judge: Weights
    items: Annotated[tuple[Graded, ...], Field(min_length=1, max_length=2000)]
    asks: Literal["answer", "question", "pair", "vote"] = "answer"
    """The kind of rubric it is: which of the method's prompts it stands for, and how verdicts are read."""
    template: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    """The judge's prompt with {question} and {answer}; empty takes the method's."""
    n: Annotated[int, Field(ge=1, le=16)] = 1
    """Verdicts on each answer, or on each order of a pair; their mean counts."""
    sampling: SamplingSpec = SamplingSpec(temperature=0.0, max_tokens=256)
    lenient: bool = False
    """Take the last number of a verdict without a score tag."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _template_shows_what_is_judged(self) -> "RejudgeJob":
        problems = problems_of(RUBRICS[self.asks], self.template) if self.template else []
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _pairs_are_two(self) -> "RejudgeJob":
        alone = next((item.id for item in self.items if bool(item.other) != (self.asks == "pair")), None)
        if alone is not None:
            wants = (
                "needs another answer to compare with"
                if self.asks == "pair"
                else "has another answer, but asks is not pair"
            )
            raise ValueError(f"item {alone} {wants}")
        return self


class ExportJob(Block):
    """A checkpoint as a folder that other tools load, packed into one file."""

    kind: Literal["export"] = "export"
    weights: Weights
    form: Literal["merged", "adapter"] = "merged"
    """merged folds a LoRA adapter into its base; adapter leaves it a file of its own. Without LoRA they are the same."""
    file_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,120}$")] = "model"
    """Name of the folder inside, and of the file without its ending."""
    card: Annotated[str, Field(max_length=200_000)] = ""
    """README.md of the folder."""


AnyJob = Annotated[SayJob | MatchJob | RejudgeJob | ExportJob, Field(discriminator="kind")]
