"""From the task block of a spec to its domain."""

from training_core.games.base import Games
from training_core.games.registry import make_games
from training_core.spec.tasks import (
    ArithmeticTask,
    ChoicesTask,
    ConstraintsTask,
    GamesTask,
    JsonlTask,
    PairSumTask,
    StringsTask,
    TaskSpec,
)
from training_core.tasks.arithmetic import Arithmetic
from training_core.tasks.base import Domain
from training_core.tasks.choices import Choices
from training_core.tasks.constraints import Constraints
from training_core.tasks.jsonl import Jsonl
from training_core.tasks.pair_sum import PairSum
from training_core.tasks.strings import Strings


def make_domain(task: TaskSpec) -> Domain | Games:
    """The domain of a task, or its games; raises ``DataError`` where its file or a package it needs cannot be used."""
    match task:
        case ArithmeticTask():
            return Arithmetic(task)
        case StringsTask():
            return Strings(task)
        case JsonlTask():
            return Jsonl(task)
        case PairSumTask():
            return PairSum(task)
        case ConstraintsTask():
            return Constraints(task)
        case ChoicesTask():
            return Choices(task)
        case GamesTask():
            return make_games(task.games)
