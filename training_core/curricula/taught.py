"""Which tasks the starter of a method is taught."""

from training_core.curricula.registry import find_curriculum
from training_core.methods.base import SelfPlay


def taught_tasks(method: type[SelfPlay], task: str) -> tuple[str, ...]:
    """Kinds of task in the curriculum that the method's starter has on ``task``."""
    return tuple(find_curriculum(method.curriculum_on(task)).tasks)
