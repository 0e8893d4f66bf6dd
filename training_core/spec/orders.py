"""Orders: what people ask of a run at work beside pausing and stopping, as lines of ``control.jsonl``.

An order is obeyed once, between two steps, and answered by a ``change`` event that names its ``id``. Sending an order
again does no harm: the run remembers which ones it obeyed.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from training_core.spec.base import Probability

MAX_QUESTION = 20_000


class OrderRefused(ValueError):
    """The run cannot do what the order asks; the message says why in one sentence."""


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    id: Annotated[int, Field(ge=1)]
    """Counts the orders of one run."""
    by: Annotated[str, Field(max_length=120)] = ""
    """Who asked, as readers know them."""


class Overrule(_Order):
    """What a person says a judged turn is worth: ``{"id": 3, "command": "overrule", "episode": "12-s3", "turn": 0, "value": 1.0}``."""

    command: Literal["overrule"] = "overrule"
    episode: Annotated[str, Field(min_length=1, max_length=120)]
    turn: Annotated[int, Field(ge=0, le=100_000)]
    """The turn that was judged, or one of the verdicts on it, by its place in the sample."""
    value: Probability | None
    """1 is right, 0 is wrong; None takes the correction back and lets the judge's own word stand."""


class TurnKnob(_Order):
    """A live field of the spec: ``{"id": 4, "command": "knob", "path": "method.optimizer.lr", "value": 0.0005}``."""

    command: Literal["knob"] = "knob"
    path: Annotated[str, Field(min_length=1, max_length=120)]
    value: float | int | bool | str | None


class ChangePool(_Order):
    """A question in or out of the pool: ``{"id": 5, "command": "question", "action": "remove", "question": "3+4"}``."""

    command: Literal["question"] = "question"
    action: Literal["add", "remove"]
    question: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION)]
    answer: Annotated[str, Field(max_length=MAX_QUESTION)] | None = None
    """A reference answer to an added question, where somebody knows one."""


Order = Annotated[Overrule | TurnKnob | ChangePool, Field(discriminator="command")]
ORDER: TypeAdapter[Order] = TypeAdapter(Order)
