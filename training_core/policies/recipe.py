"""What a starter is made of. Equal recipes make equal starters on one kind of machine."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from training_core.spec.tasks import ArithmeticTask, StringsTask

LESSONS_VERSION = 2
"""Raised whenever language, lessons or teaching change, so that older starters are made anew."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Shape, lessons and schedule of a starter. Example: ``Recipe(task={"kind": "arithmetic", ...}, seed=0)``."""

    task: dict[str, Any]
    seed: int
    version: int = LESSONS_VERSION
    hidden_size: int = 96
    num_layers: int = 2
    num_heads: int = 3
    """Each head is 32 wide, the least that vLLM's kernels for CPUs take."""
    intermediate_size: int = 128
    max_context: int = 512
    batch_size: int = 64
    num_steps: int = 1100
    """Steps of the first course; its step size falls to 0 over the second half."""
    careful_share: float = 0.5
    """Share of the first course whose pupil never slips: skills are learnt faster from clean text, slips at once."""
    extra_steps: int = 150
    """Steps of each further course, taken while the scores are not reached."""
    max_extra_courses: int = 4
    muon_lr: float = 0.006
    adamw_lr: float = 0.015
    weights: dict[str, float] = field(
        default_factory=lambda: {"judge": 2.0, "solve": 1.0, "review": 4.0, "propose": 1.0}
    )
    """Weight of a token in the loss: a judge without skill ruins the solver, and a review has few tokens."""
    exam_items: int = 256
    careful_mixture: dict[str, float] = field(
        default_factory=lambda: {"judge": 0.4, "solve": 0.4, "review": 0.05, "propose": 0.15}
    )
    """Shares of the kinds of lessons while the pupil is careful."""
    mixture: dict[str, float] = field(
        default_factory=lambda: {"judge": 0.58, "solve": 0.15, "review": 0.12, "propose": 0.15}
    )
    """Shares of the kinds of lessons afterwards."""

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Name of the starter's folder."""
        return f"starter-{self.task['kind']}-{self.digest[:16]}"


def starter_recipe(task: ArithmeticTask | StringsTask, *, seed: int = 0) -> Recipe:
    """The recipe of the starter for a task."""
    return Recipe(task=task.model_dump(mode="json"), seed=seed)
