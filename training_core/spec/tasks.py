"""Where questions come from and how their answers are checked."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from training_core.spec.base import Block, Unit


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


TaskSpec = Annotated[ArithmeticTask | StringsTask | JsonlTask, Field(discriminator="kind")]
