"""What the method pages claim, and how to measure it: one YAML file per claim in this folder.

    method: spin                      # the file's name, if left out
    preset: starter
    metric: eval/accuracy_sampled     # what the method is for
    direction: up                     # or down
    also: [eval/accuracy_greedy]      # further metrics of the table
    figure:                           # the panels of the method page's figure
      - {title: Held-out accuracy, metrics: {eval/accuracy_sampled: Sampled, eval/accuracy_greedy: Greedy}}
    arms:                             # the first is the method itself; the others are controls
      method: {seeds: [0, 1, 2]}
      no carried pairs:
        seeds: [0]
        changes: {method: {carry_previous: false}}
        expect: what the paper's ablation says, in words

``changes`` are merged into the preset, where a block of another ``kind`` takes the place of the old one; ``replace`` takes
the place of whole top-level fields. A panel with one metric shows every arm, a panel with several shows the first;
``arms: [...]`` in the panel chooses others, ``y_range: [low, high]`` fixes its axis.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One setting: ``Arm(name="method", seeds=(0, 1, 2), changes={})``."""

    name: str
    seeds: tuple[int, ...]
    changes: dict[str, Any]
    replace: dict[str, Any]
    expect: str = ""
    """What the paper's ablation lets one expect, in words."""


@dataclass(frozen=True, kw_only=True)
class PanelSpec:
    """One panel of the figure: metrics with their labels."""

    title: str
    metrics: dict[str, str]
    arms: tuple[str, ...]
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A metric that should move when a preset is run."""

    slug: str
    method: str
    preset: str
    metric: str
    direction: Literal["up", "down"]
    also: tuple[str, ...]
    figure: tuple[PanelSpec, ...]
    arms: tuple[Arm, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Everything that is recorded: the claim's metric first."""
        drawn = (metric for panel in self.figure for metric in panel.metrics)
        return tuple(dict.fromkeys([self.metric, *self.also, *drawn]))

    def spec_of(self, arm: Arm, seed: int) -> dict[str, Any]:
        """The experiment of one arm and seed, as a mapping."""
        from training_core.methods.registry import find_method

        preset = next(found for found in find_method(self.method).presets if found.slug == self.preset)
        spec = merged({**copy.deepcopy(preset.spec), **arm.replace}, arm.changes)
        return {**spec, "seed": seed, "name": f"{self.slug}: {arm.name}, seed {seed}"}


def all_claims() -> dict[str, Claim]:
    """Every claim by its slug."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.yaml"))}


def merged(old: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``old`` with ``changes`` put in, mapping by mapping."""
    found = dict(old)
    for key, value in changes.items():
        before = found.get(key)
        grows = isinstance(before, dict) and isinstance(value, dict) and not _is_another(before, value)
        found[key] = merged(before, value) if grows else value
    return found


def _is_another(before: dict[str, Any], value: dict[str, Any]) -> bool:
    return "kind" in value and value["kind"] != before.get("kind")


def _read(path: Path) -> Claim:
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    arms = tuple(
        Arm(
            name=name,
            seeds=tuple(arm.get("seeds", (0, 1, 2) if place == 0 else (0,))),
            changes=arm.get("changes", {}),
            replace=arm.get("replace", {}),
            expect=arm.get("expect", ""),
        )
        for place, (name, arm) in enumerate(raw.pop("arms").items())
    )
    panels = tuple(_panel(panel, arms) for panel in raw.pop("figure"))
    raw = {"method": path.stem, "direction": "up", "also": (), **raw}
    return Claim(**{**raw, "also": tuple(raw["also"])}, slug=path.stem, figure=panels, arms=arms)


def _panel(raw: dict[str, Any], arms: tuple[Arm, ...]) -> PanelSpec:
    everyone = tuple(arm.name for arm in arms)
    chosen = raw.get("arms", everyone if len(raw["metrics"]) == 1 else everyone[:1])
    y_range = raw.get("y_range")
    return PanelSpec(
        title=raw["title"],
        metrics=raw["metrics"],
        arms=tuple(chosen),
        y_range=None if y_range is None else (y_range[0], y_range[1]),
    )
