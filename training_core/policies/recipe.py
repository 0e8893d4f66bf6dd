"""What a starter is made of. Equal recipes make equal starters on one kind of machine."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from training_core.curricula.base import Curriculum, School
from training_core.curricula.registry import find_curriculum

LANGUAGE_VERSION = 3
"""Raised whenever the common language or the way of teaching changes, so that older starters are made anew."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Task, curriculum and schedule of a starter.

    Example: ``Recipe(task={"kind": "arithmetic", ...}, curriculum="evolve", seed=0)``. What the curriculum says about marks,
    mixtures and weights is part of the digest through ``version``, which a curriculum raises when it changes.
    """

    task: Mapping[str, Any]
    curriculum: str
    seed: int
    school: School

    @property
    def digest(self) -> str:
        """A hash of everything that decides the weights, as far as it is data."""
        found = find_curriculum(self.curriculum)
        content = {
            **asdict(self),
            "language": LANGUAGE_VERSION,
            "version": found.version,
            "marks": found.marks,
            "mixtures": [dict(found.careful_mixture), dict(found.mixture)],
            "weights": dict(found.weights),
            "least": dict(found.least),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Name of the starter's folder."""
        return f"starter-{self.curriculum}-{self.task['kind']}-{self.digest[:16]}"


def starter_recipe(task: Any, *, curriculum: Curriculum, seed: int = 0) -> Recipe:
    """The recipe of a curriculum's starter for a task block."""
    return Recipe(task=task.model_dump(mode="json"), curriculum=curriculum.name, seed=seed, school=curriculum.school)
