"""Kumite's library: self-play for language models. ``from training_core import ExperimentSpec, Run``.

Names are loaded on first use, so that importing the specs alone never loads torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training_core.runner import Run
    from training_core.spec.experiment import ExperimentSpec
    from training_core.spec.presets import preset

__all__ = ["ExperimentSpec", "Run", "preset"]

_HOMES = {
    "ExperimentSpec": "training_core.spec.experiment",
    "Run": "training_core.runner",
    "preset": "training_core.spec.presets",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
