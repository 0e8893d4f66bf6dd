"""Presets of all methods, as validated specs."""

from typing import Any

from training_core.methods.registry import find_method
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import parse_spec


def preset(method: str, slug: str, **changes: Any) -> ExperimentSpec:
    """A method's preset, with top-level fields changed: ``preset("mae", "starter", seed=3, steps=20)``."""
    presets = {found.slug: found for found in find_method(method).presets}
    if slug not in presets:
        raise ValueError(f"{method} has no preset {slug!r}; it has {', '.join(presets)}")
    return parse_spec({**presets[slug].spec, **changes})
