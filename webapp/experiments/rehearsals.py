"""Rehearsals: a form tried for a minute on the starter before it is launched. A run like any other, in no list, gone after a day."""

from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils import timezone

from training_core.curricula.taught import taught_tasks
from training_core.methods.registry import find_method
from training_core.spec.events import EventKind
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import dump_yaml
from training_core.spec.rehearsing import Rehearsal, rehearsal_of
from webapp.accounts.models import User
from webapp.experiments.choices import RunStatus
from webapp.experiments.failures import explain
from webapp.experiments.methods import card_of
from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for, waiting_reason
from webapp.telemetry.models import Event

PLAY_S = 60.0
TEACH_S = 300.0
"""Added where the starter of this method may have to be made first."""


_UPDATE = {
    "loss/policy": "policy loss",
    "preference/loss": "preference loss",
    "grad/norm": "gradient norm",
    "time/rollout_s": "seconds of play",
    "time/update_s": "seconds of the update",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is kept with the launch: ``Finding(outcome="passed", seconds=14.2, steps=2, same_spec=True, ...)``."""

    outcome: str
    """passed, failed or unfinished."""
    sentence: str
    seconds: float
    steps: int
    digest: str
    """Of the form that was rehearsed."""
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A rehearsal as the page shows it while it goes on."""

    run: Run
    is_over: bool
    sentence: str
    sample: dict[str, Any] | None
    """The first group that was played."""
    metrics: dict[str, float]
    """The first update."""
    scores: dict[str, float]
    fraction: float
    notes: list[str]
    digest: str
    outcome: str
    seconds: float

    @property
    def hues(self) -> dict[str, int]:
        """The hue of each role by name."""
        return card_of(find_method(self.run.experiment.method)).hues

    @property
    def update(self) -> list[tuple[str, float]]:
        """What the first update says of itself, in words."""
        named = [(words, self.metrics[name]) for name, words in _UPDATE.items() if name in self.metrics]
        rewards = [
            (f"reward of the {n.split('/')[1]}", v) for n, v in sorted(self.metrics.items()) if n.startswith("reward/")
        ]
        return [*rewards[:4], *named]


def form_digest(spec: ExperimentSpec) -> str:
    """Names a form; its name and seed do not count."""
    return sha256(dump_yaml(spec.model_copy(update={"name": "-", "seed": 0})).encode()).hexdigest()[:16]


def prepare(spec: ExperimentSpec) -> Rehearsal:
    """The rehearsal of a form. Raises ``ValueError`` where there cannot be one."""
    small = rehearsal_of(spec, taught=taught_tasks, max_seconds=PLAY_S)
    if _starter_is_known(small.spec):
        return small
    return rehearsal_of(spec, taught=taught_tasks, max_seconds=PLAY_S + TEACH_S)


def _starter_is_known(spec: ExperimentSpec) -> bool:
    """Whether a run of this installation has played on the same starter, so that a worker has it."""
    played = Run.objects.filter(
        experiment__method=spec.method.name, spec__model__source="starter", spec__task=spec.task.model_dump(mode="json")
    )
    return played.filter(last_step__gte=1).exists()


def rehearsal_for(user: User, run_id: UUID) -> Run:
    """A rehearsal of the person's workspaces, or 404."""
    run = run_for(user, run_id)
    if not run.experiment.is_rehearsal:
        raise Http404("That run is no rehearsal.")
    return run


def shown(run: Run) -> Shown:
    """Where a rehearsal stands: the first group, the first update, and what it comes to in a sentence."""
    events = Event.objects.filter(run=run).order_by("seq")
    sample = events.filter(kind=EventKind.SAMPLE).values_list("data", flat=True).first()
    metrics = events.filter(kind=EventKind.METRIC, step__gte=1, data__values__has_key="grad/norm").first()
    scores = events.filter(kind=EventKind.EVALUATION).values_list("data", flat=True).last()
    about = run.experiment.rehearsed or {}
    outcome = _outcome(run)
    return Shown(
        run=run,
        is_over=run.is_terminal,
        sentence=_sentence(run, outcome),
        sample=sample,
        metrics=metrics.data["values"] if metrics else {},
        scores=scores["scores"] if scores else {},
        fraction=run.last_step / run.total_steps if run.total_steps else 0.0,
        notes=list(about.get("notes", [])),
        digest=str(about.get("digest", "")),
        outcome=outcome,
        seconds=_seconds(run),
    )


def _outcome(run: Run) -> str:
    if not run.is_terminal:
        return "unfinished"
    if run.status == RunStatus.SUCCEEDED:
        return "passed"
    return "failed" if run.status == RunStatus.FAILED else "unfinished"


def _sentence(run: Run, outcome: str) -> str:
    match outcome:
        case "passed":
            return f"It played {run.last_step} steps and learnt from them in {_seconds(run):.0f} s."
        case "failed":
            return run.failure_text or explain(run)
        case _ if run.status == RunStatus.QUEUED:
            return f"It {waiting_reason(run)}."
        case _ if run.status in {RunStatus.TIMED_OUT, RunStatus.CANCELLED}:
            return f"It was ended after {_seconds(run):.0f} s, at step {run.last_step} of {run.total_steps}."
        case _:
            return run.phase_text or "It is starting."


def _seconds(run: Run) -> float:
    if run.started_at is None:
        return 0.0
    return ((run.finished_at or timezone.now()) - run.started_at).total_seconds()


def finding_for_launch(user: User, run_id: str, spec: ExperimentSpec) -> dict[str, Any] | None:
    """What a rehearsal found, to be kept with the launch; None where the form was changed afterwards or there was none."""
    try:
        found = shown(rehearsal_for(user, UUID(run_id)))
    except (ValueError, Http404):
        return None
    if found.digest != form_digest(spec):
        return None
    return asdict(
        Finding(
            outcome=found.outcome,
            sentence=found.sentence,
            seconds=round(found.seconds, 1),
            steps=found.run.last_step,
            digest=found.digest,
            notes=found.notes,
        )
    )
