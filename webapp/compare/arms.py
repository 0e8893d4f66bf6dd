"""Runs side by side: who is compared, in which colour, and which of them differ by their seed alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from webapp.compare.listing import settings_of
from webapp.experiments.models import Run

MAX_RUNS, SHOWN_AT_FIRST = 50, 10
NUM_TINTS = 8
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A run on the page: ``Compared(run=..., label="First light #2", arm=0, tint=1, dash="dash", ...)``."""

    run: Run
    label: str
    arm: int
    """Its place among the arms."""
    tint: int
    dash: str
    arm_tint: int
    """How its arm is drawn where runs of the same settings are one line."""
    arm_dash: str
    is_shown: bool


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Runs of the same settings: ``Arm(title="First light", settings="lr 0.001", tint=1, runs=(...))``."""

    place: int
    experiment_id: UUID
    title: str
    settings: str
    tint: int
    dash: str
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        return f"{self.title}, {self.settings}" if self.settings else self.title

    @property
    def num_seeds(self) -> int:
        return len(self.runs)


def arms_of(runs: Sequence[Run]) -> list[Arm]:
    """Runs of the same experiment and the same settings of a sweep, in the order of their first run."""
    found: dict[tuple[UUID, str], list[Run]] = {}
    for run in runs:
        found.setdefault((run.experiment_id, settings_of(run)), []).append(run)
    return [
        Arm(
            place=place,
            experiment_id=experiment_id,
            title=same[0].experiment.name,
            settings=settings,
            tint=place % NUM_TINTS + 1,
            dash=_dash(place),
            runs=tuple(same),
        )
        for place, ((experiment_id, settings), same) in enumerate(found.items())
    ]


def compared(runs: Sequence[Run], aside: set[UUID]) -> list[Compared]:
    """Each run with a colour and a dash of its own; the colours come first."""
    arms = {run.pk: arm for arm in arms_of(runs) for run in arm.runs}
    return [
        Compared(
            run=run,
            label=f"{run.experiment.name} #{run.number}",
            arm=arms[run.pk].place,
            tint=place % NUM_TINTS + 1,
            dash=_dash(place),
            arm_tint=arms[run.pk].tint,
            arm_dash=arms[run.pk].dash,
            is_shown=run.pk not in aside,
        )
        for place, run in enumerate(runs)
    ]


def _dash(place: int) -> str:
    return DASHES[place // NUM_TINTS % len(DASHES)]
