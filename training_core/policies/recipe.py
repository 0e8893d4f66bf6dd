"""What a starter is made of. Equal recipes make equal starters on one kind of machine."""

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from training_core.curricula.base import Curriculum, School
from training_core.curricula.registry import find_curriculum
from training_core.spec.tasks import TaskSpec
from training_core.tasks.registry import make_domain

LANGUAGE_VERSION = 3
"""Raised whenever the way of teaching changes, so that older starters are made anew."""
_EXAMPLES = 16
"""Lessons of each kind, careful and not, that stand for all of them."""
_TASK: TypeAdapter[Any] = TypeAdapter(TaskSpec)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Task, curriculum and schedule of a starter.

    Example: ``Recipe(task={"kind": "arithmetic", ...}, curriculum="evolve", seed=0)``.
    """

    task: Mapping[str, Any]
    curriculum: str
    seed: int
    school: School

    @property
    def digest(self) -> str:
        """A hash of everything that decides the weights, the wording of the lessons included.

        Lessons are code, of the curriculum and of what it shows (a game's board, a task's questions); examples of them tell when any
        of it has changed, so that no starter is kept that speaks of yesterday's boards.
        """
        found = find_curriculum(self.curriculum)
        content = {
            **asdict(self),
            "language": LANGUAGE_VERSION,
            "lessons": self._examples(found),
            "marks": found.marks,
            "mixtures": [dict(found.careful_mixture), dict(found.mixture)],
            "weights": dict(found.weights),
            "least": dict(found.least),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _examples(self, curriculum: Curriculum) -> list[tuple[str, str]]:
        domain, rng = make_domain(_TASK.validate_python(self.task)), random.Random(self.seed)
        return [
            lesson(domain, rng, careful)
            for _, lesson in sorted(curriculum.lessons.items())
            for careful in (True, False)
            for _ in range(_EXAMPLES)
        ]

    @property
    def name(self) -> str:
        """Name of the starter's folder."""
        return f"starter-{self.curriculum}-{self.task['kind']}-{self.digest[:16]}"


def starter_recipe(task: Any, *, curriculum: Curriculum, seed: int = 0) -> Recipe:
    """The recipe of a curriculum's starter for a task block."""
    return Recipe(task=task.model_dump(mode="json"), curriculum=curriculum.name, seed=seed, school=curriculum.school)
