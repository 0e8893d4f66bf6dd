"""The checkpoints of a workspace: what they scored when they were saved, what they weigh, and what may go."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from training_core.spec.events import EventKind
from webapp.experiments.choices import TERMINAL
from webapp.experiments.models import Experiment, Run
from webapp.jobs.weights import saved_steps
from webapp.library.models import CheckpointName
from webapp.telemetry.lens import lens_of
from webapp.telemetry.models import Event
from webapp.telemetry.scores import score_words
from webapp.workspaces.models import Workspace

MAX_RUNS = 60


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One checkpoint that can be loaded: ``Kept(run=..., step=40, num_bytes=1843200, score=0.84, ...)``."""

    run: Run
    step: int
    num_bytes: int
    digest: str
    metric: str
    score: float | None
    """The run's headline score when it was saved: that of the last evaluation up to then."""
    is_best: bool
    name: str
    """The name it was promoted under, or empty."""
    forks: tuple[Experiment, ...]
    """Experiments that began from it."""
    keeps: str
    """Why it may not be removed, or empty."""

    @property
    def key(self) -> str:
        return f"{self.run.pk}/{self.step}"

    @property
    def words(self) -> str:
        return score_words(self.metric, self.score)


def kept_checkpoints(workspace: Workspace, *, run_id: UUID | None = None) -> list[Kept]:
    """Checkpoints of the workspace's newest runs, or of one of them, newest first."""
    runs = Run.objects.filter(experiment__workspace=workspace, experiment__is_rehearsal=False, last_step__gt=0)
    if run_id is not None:
        runs = runs.filter(pk=run_id)
    newest = list(runs.select_related("experiment").order_by("-created_at", "pk")[:MAX_RUNS])
    names = {(n.run_id, n.step): n.name for n in CheckpointName.objects.filter(run__in=newest)}
    forks: dict[tuple[UUID, int], list[Experiment]] = {}
    for experiment in Experiment.objects.filter(parent__in=newest, fork_step__isnull=False).order_by("created_at"):
        assert experiment.parent_id is not None
        assert experiment.fork_step is not None
        forks.setdefault((experiment.parent_id, experiment.fork_step), []).append(experiment)
    return [kept for run in newest for kept in _of_run(run, names, forks)]


def _of_run(
    run: Run, names: dict[tuple[UUID, int], str], forks: dict[tuple[UUID, int], list[Experiment]]
) -> list[Kept]:
    steps = saved_steps(run)
    if not steps:
        return []
    told = Event.objects.filter(run=run, kind=EventKind.CHECKPOINT, step__in=steps).order_by("seq")
    facts = dict(told.values_list("step", "data"))
    lens = lens_of(run)
    metric, sign = lens.headline.removeprefix("eval/"), -1 if lens.headline_falls else 1
    scores = _scores(run, metric)
    at = {step: next((score for when, score in reversed(scores) if when <= step), None) for step in steps}
    known = [score for score in at.values() if score is not None]
    best = max(known, key=lambda score: sign * score) if known else None
    found = []
    for place, step in enumerate(steps):
        own = tuple(forks.get((run.pk, step), ()))
        found.append(
            Kept(
                run=run,
                step=step,
                num_bytes=int(facts.get(step, {}).get("num_bytes", 0)),
                digest=str(facts.get(step, {}).get("digest", "")),
                metric=metric,
                score=at[step],
                is_best=best is not None and at[step] == best,
                name=names.get((run.pk, step), ""),
                forks=own,
                keeps=_why_kept(run, is_newest=place == 0, name=names.get((run.pk, step), ""), forks=own),
            )
        )
    return found


def _scores(run: Run, metric: str) -> list[tuple[int, float]]:
    rows = Event.objects.filter(run=run, kind=EventKind.EVALUATION).order_by("seq")
    listed = rows.values_list("step", "data__scores")
    return [(step, float(scores[metric])) for step, scores in listed if metric in scores]


def _why_kept(run: Run, *, is_newest: bool, name: str, forks: Sequence[Experiment]) -> str:
    if run.status not in TERMINAL:
        return "its run has not ended and goes on from its checkpoints"
    if name:
        return f"promoted as {name}"
    if any(fork.runs.exclude(status__in=TERMINAL).exists() for fork in forks):
        return "a fork that has not ended begins from it"
    return "the last of its run" if is_newest else ""
