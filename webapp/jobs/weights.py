"""From a run and a step to the weights that a job asks."""

import re
from dataclasses import dataclass
from uuid import UUID

from training_core.spec.casting import cast
from training_core.spec.events import EventKind
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import parse_spec
from training_core.spec.jobs import Weights
from webapp.experiments.models import Run
from webapp.fleet.folders import run_folder
from webapp.telemetry.models import Event

START = 0
"""The step of the weights a run began with."""
_STEP = re.compile(r"step-(\d+)")


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A policy of a run at one of its checkpoints: ``Moment(run=..., step=20, policy="main")``."""

    run: Run
    step: int
    policy: str = "main"

    @property
    def key(self) -> str:
        """How forms name it."""
        return f"{self.run.pk}/{self.step}/{self.policy}"

    @property
    def short(self) -> str:
        """Its name beside the run's."""
        step = "start" if self.step == START else f"step {self.step:,}"
        return step if self.policy == "main" else f"{step}, {self.policy}"

    @property
    def name(self) -> str:
        return f"{self.run.experiment.name} run {self.run.number}, {self.short}"[:200]

    def weights(self) -> Weights:
        """What the worker loads."""
        place = f"runs/{self.run.pk}/checkpoints/step-{self.step:06d}" if self.step != START else ""
        policy = self.policy if self.step != START else "main"
        return Weights(name=self.name, spec=self.run.spec, checkpoint=place, policy=policy)


def saved_steps(run: Run) -> list[int]:
    """Steps whose checkpoints can be loaded, newest first.

    By the run's folder where it is seen from here; else by what the run announced, of which it keeps the newest.
    """
    folder = run_folder(run.pk) / "checkpoints"
    if folder.is_dir():
        found = [_STEP.fullmatch(path.parent.name) for path in folder.glob("step-*/manifest.json")]
        return sorted((int(match.group(1)) for match in found if match), reverse=True)
    if run_folder(run.pk).is_dir():
        return []
    keep = int(run.spec.get("checkpoint", {}).get("keep", 3))
    told = Event.objects.filter(run=run, kind=EventKind.CHECKPOINT).order_by("-step").values_list("step", flat=True)
    return list(dict.fromkeys(told))[:keep]


def policies_of(spec: ExperimentSpec) -> list[str]:
    """Policies a checkpoint of the spec holds: the trained ones, then the frozen ones beside them."""
    parts = cast(spec)
    return [*parts.trained, *parts.snapshots]


def moments_of(run: Run) -> list[Moment]:
    """Every policy of every checkpoint of the run, newest first, and the start."""
    policies = policies_of(parse_spec(run.spec))
    saved = [Moment(run=run, step=step, policy=policy) for step in saved_steps(run) for policy in policies]
    return [*saved, Moment(run=run, step=START)]


def moment_of(run: Run, step: int | None, policy: str = "") -> Moment:
    """The moment asked for; without a step the newest. Raises ``ValueError`` for what the run does not have."""
    policies = policies_of(parse_spec(run.spec))
    if step is None:
        step = next(iter(saved_steps(run)), START)
    policy = policy or (policies[0] if policies else "main")
    if step == START:
        return Moment(run=run, step=START)
    if policy not in policies:
        raise ValueError(f"{run} trains no policy called {policy!r}; it has {', '.join(policies)}.")
    if step not in (saved := saved_steps(run)):
        listed = ", ".join(f"{each:,}" for each in saved[:12]) or "none yet"
        raise ValueError(f"{run} has no checkpoint of step {step:,} to load. It has: {listed}.")
    return Moment(run=run, step=step, policy=policy)


def read_key(key: str) -> tuple[UUID, int, str]:
    """Run, step and policy of a form's key; raises ``ValueError``."""
    run, _, rest = key.partition("/")
    step, _, policy = rest.partition("/")
    if not (step.isascii() and step.isdigit() and len(step) < 12):
        raise ValueError("Choose whose weights are to speak.")
    return UUID(run), int(step), policy
