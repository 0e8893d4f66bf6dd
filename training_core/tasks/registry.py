"""From the task block of a spec to its domain."""

from training_core.spec.tasks import ArithmeticTask, JsonlTask, StringsTask
from training_core.tasks.arithmetic import Arithmetic
from training_core.tasks.base import Domain
from training_core.tasks.jsonl import Jsonl
from training_core.tasks.strings import Strings


def make_domain(task: ArithmeticTask | StringsTask | JsonlTask) -> Domain:
    """The domain of a task; raises ``DataError`` where its file cannot be used."""
    match task:
        case ArithmeticTask():
            return Arithmetic(task)
        case StringsTask():
            return Strings(task)
        case JsonlTask():
            return Jsonl(task)
