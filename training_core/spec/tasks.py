"""Where questions come from and how their answers are checked."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from training_core.spec.base import Block, Unit

GameName = Literal[
    "kuhn_poker",
    "tic_tac_toe",
    "negotiation",
    "textarena/TicTacToe-v0",
    "textarena/ConnectFour-v0",
    "textarena/Nim-v0",
    "textarena/KuhnPoker-v0",
    "textarena/PigDice-v0-short",
]


class ArithmeticTask(Block):
    """Whole-number addition and subtraction, graded by digits."""

    kind: Literal["arithmetic"] = "arithmetic"
    min_digits: Annotated[int, Field(ge=1, le=6), Unit("digits")] = 1
    """Digits of the smallest operand."""
    max_digits: Annotated[int, Field(ge=1, le=6), Unit("digits")] = 3
    """Digits of the largest operand; difficulty grows with it."""
    operations: Annotated[tuple[Literal["+", "-"], ...], Field(min_length=1)] = ("+", "-")
    """Operations a question may use."""

    @model_validator(mode="after")
    def _digits_in_order(self) -> "ArithmeticTask":
        if self.min_digits > self.max_digits:
            raise ValueError(f"min_digits ({self.min_digits}) is larger than max_digits ({self.max_digits})")
        return self


class StringsTask(Block):
    """Short words and digit lists to reverse, sort, count or take the largest of."""

    kind: Literal["strings"] = "strings"
    max_length: Annotated[int, Field(ge=2, le=12), Unit("letters")] = 6
    """Longest word or list; difficulty grows with it."""
    operations: Annotated[tuple[Literal["reverse", "sort", "count", "max", "last"], ...], Field(min_length=1)] = (
        "reverse",
        "sort",
        "count",
        "max",
        "last",
    )
    """Operations a question may use."""


class JsonlTask(Block):
    """A file with one question and answer per line: {"question": "...", "answer": "..."}."""

    kind: Literal["jsonl"] = "jsonl"
    path: Annotated[str, Field(min_length=1, max_length=1000)]
    """Path of the .jsonl file on the worker's machine."""
    question_field: Annotated[str, Field(min_length=1)] = "question"
    """Key of the question."""
    answer_field: Annotated[str, Field(min_length=1)] = "answer"
    """Key of the reference answer; it is used for checking and never shown to the model."""
    check: Literal["math", "exact"] = "math"
    """math compares values with math-verify; exact compares text, ignoring case and spaces."""
    held_out_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of lines kept aside for evaluation, chosen by a hash of the question."""


class PairSumTask(Block):
    """Distinct digits and a target: find the one pair of digits that adds up to it. Checking a guess is easier than making it."""

    kind: Literal["pair_sum"] = "pair_sum"
    num_digits: Annotated[int, Field(ge=3, le=9), Unit("digits")] = 5
    """Digits to choose from; more of them make more pairs to try."""


class ConstraintsTask(Block):
    """Write something that meets every constraint of an instruction; each constraint is checked by a rule."""

    kind: Literal["constraints"] = "constraints"
    family: Literal["strings", "texts"] = "strings"
    """strings asks for short strings of letters, texts for short texts with constraints of the kinds that IFEval checks."""
    wording: Literal["code", "sentences"] = "code"
    """code writes len=6 start=b, which the starter reads; sentences puts it in words for instruction-tuned models."""
    min_clauses: Annotated[int, Field(ge=1, le=6), Unit("constraints")] = 2
    """Fewest constraints of an instruction."""
    max_clauses: Annotated[int, Field(ge=1, le=6), Unit("constraints")] = 4
    """Most constraints of an instruction; difficulty grows with it."""
    max_length: Annotated[int, Field(ge=4, le=12), Unit("letters")] = 8
    """Longest string asked for; texts ignore it."""

    @model_validator(mode="after")
    def _clauses_in_order(self) -> "ConstraintsTask":
        if self.min_clauses > self.max_clauses:
            raise ValueError(f"min_clauses ({self.min_clauses}) is larger than max_clauses ({self.max_clauses})")
        return self


class ChoicesTask(Block):
    """One question with a handful of one-letter answers, three of them good. No answer is right: for games of pure preference."""

    kind: Literal["choices"] = "choices"
    answers: Annotated[int, Field(ge=4, le=26), Unit("answers")] = 9
    """Answers to choose from, a, b, c and so on; the first three are the good ones."""


class GamesTask(Block):
    """Two-player zero-sum games that are played with text. Nothing is held out: players meet, positions are not labelled."""

    kind: Literal["games"] = "games"
    games: Annotated[tuple[GameName, ...], Field(min_length=1)] = ("kuhn_poker",)
    """Games to play, in turn. Those of TextArena need the package textarena on the worker."""


TaskSpec = Annotated[
    ArithmeticTask | StringsTask | JsonlTask | PairSumTask | ConstraintsTask | ChoicesTask | GamesTask,
    Field(discriminator="kind"),
]
TASKS: dict[str, type[Any]] = {task.model_fields["kind"].default: task for task in get_args(get_args(TaskSpec)[0])}
"""The block of every kind of task."""
