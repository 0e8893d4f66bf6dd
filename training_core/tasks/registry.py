"""From the task block of a spec to its domain."""

from collections.abc import Callable, Mapping
from typing import Any

from training_core.games.base import Games
from training_core.games.registry import make_games
from training_core.spec.tasks import TaskSpec
from training_core.tasks.arithmetic import Arithmetic
from training_core.tasks.base import Domain
from training_core.tasks.choices import Choices
from training_core.tasks.constraints import Constraints
from training_core.tasks.jsonl import Jsonl
from training_core.tasks.pair_sum import PairSum
from training_core.tasks.strings import Strings

_MAKERS: Mapping[str, Callable[[Any], Domain | Games]] = {
    "arithmetic": Arithmetic,
    "strings": Strings,
    "jsonl": Jsonl,
    "pair_sum": PairSum,
    "constraints": Constraints,
    "choices": Choices,
    "games": lambda task: make_games(task.games),
}


def make_domain(task: TaskSpec) -> Domain | Games:
    """The domain of a task, or its games; raises ``DataError`` where its file or a package it needs cannot be used."""
    return _MAKERS[task.kind](task)


def verifies(kind: str) -> bool:
    """Whether the domain of a kind of task can solve every well-posed question by rule."""
    return bool(getattr(_MAKERS[kind], "has_verifier", False))
