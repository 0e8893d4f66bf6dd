"""Where a job is carried out: its folder, its progress, and the weights that are at hand."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training_core.engines.transformers import TransformersEngine
from training_core.jobs.shelf import Shelf
from training_core.play.prompts import Prompts, prompts_of
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.io import parse_spec
from training_core.spec.jobs import Weights

MAX_BATCH = 64
_TELL_EVERY_S = 0.2


@dataclass(kw_only=True)
class Desk:
    """Handed to every job."""

    folder: Path
    """The job's own."""
    root: Path
    """Below it lie the checkpoints that jobs name."""
    shelf: Shelf
    _told_at: float = field(default=0.0, init=False)

    def tell(self, fraction: float | None, text: str) -> None:
        """Progress for whoever waits; told a few times a second at most."""
        now = time.monotonic()
        if now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            write_json(self.folder / "progress.json", {"fraction": fraction, "text": text[:300]})

    def load(self, weights: Weights) -> LoadedPolicy:
        """The policy; raises ``ModelError`` with a sentence where it cannot be had."""
        return self.shelf.load(weights, root=self.root, progress=lambda _, text: self.tell(None, text))

    def prompts(self, weights: Weights, policy: LoadedPolicy, texts: Mapping[str, str] | None = None) -> Prompts:
        """The wording its run uses with a model of its style, and other ``texts`` by the name of the prompt."""
        return prompts_of(parse_spec(weights.spec), policy.style, texts)


def engine_of(policies: Mapping[str, LoadedPolicy]) -> TransformersEngine:
    """An engine that holds these policies under these names."""
    return TransformersEngine(policies, max_batch=MAX_BATCH)


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all."""
    aside = path.with_name(f".{path.name}")
    aside.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    aside.replace(path)
