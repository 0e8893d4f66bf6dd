"""Laying the example out in a workspace, and taking it away. Its runs are rows like any other; no worker and no weights are needed."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

from django.db import transaction
from django.utils import timezone

from training_core.spec.io import dump_dict
from webapp.accounts.models import User
from webapp.examples.recorded_runs import Recorded, recorded_runs
from webapp.experiments.choices import RunStatus, TransitionActor
from webapp.experiments.models import Experiment, Run
from webapp.experiments.services import transition
from webapp.telemetry import blocks
from webapp.telemetry.services import store_events
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import require_edit
from webapp.workspaces.services import record

TOKEN = 1
"""The lease of a run that no worker holds; it never ends."""
TAG = "example"
_BATCH = 500


def add_example(*, actor: User, workspace: Workspace) -> list[Run]:
    """Bring the recorded runs in, each as one that has ended; gives them.

    1. their rows, once for a workspace, 2. what they said, 3. their end. Asking twice is not an error, and
    goes on with what was broken off.
    """
    require_edit(actor, workspace)
    return [_finish(run, actor=actor) for run in _begin(actor, workspace)]


@transaction.atomic(durable=True)
def remove_example(*, actor: User, workspace: Workspace) -> int:
    """Delete the example with all that was said of it; gives how many runs went. What was cloned from it stays."""
    require_edit(actor, workspace)
    mine = Experiment.objects.select_for_update().filter(workspace=workspace, is_example=True)
    num_runs = Run.objects.filter(experiment__in=mine).count()
    if num_runs:
        record(actor=actor, action="example.removed", obj=workspace, workspace=workspace, detail={"runs": num_runs})
    for experiment in mine:
        experiment.delete()
    return num_runs


@transaction.atomic(durable=True)
def _begin(actor: User, workspace: Workspace) -> list[tuple[Recorded, Run]]:
    Workspace.objects.select_for_update().get(pk=workspace.pk)
    found = []
    for told in recorded_runs():
        spec = dump_dict(told.spec)
        method = told.spec.method.name
        experiment, is_new = Experiment.objects.get_or_create(
            workspace=workspace,
            name=told.experiment,
            is_example=True,
            defaults={"method": method, "spec": spec, "created_by": actor},
        )
        if is_new:
            detail = {"name": experiment.name}
            record(actor=actor, action="example.added", obj=experiment, workspace=workspace, detail=detail)
        run = experiment.runs.filter(spec__seed=told.spec.seed).first()
        found.append((told, run or _make_run(experiment, told, spec, actor)))
    return found


def _make_run(experiment: Experiment, told: Recorded, spec: dict[str, Any], actor: User) -> Run:
    return Run.objects.create(
        experiment=experiment,
        number=experiment.runs.count() + 1,
        spec=spec,
        status=RunStatus.RUNNING,
        lease_token=TOKEN,
        attempt=1,
        total_steps=told.spec.steps,
        started_at=timezone.now() - timedelta(seconds=told.seconds),
        tags=[TAG],
        created_by=actor,
    )


def _finish(begun: tuple[Recorded, Run], *, actor: User) -> Run:
    told, run = begun
    if run.is_terminal:
        return run
    for batch in _batches(told.events()):
        store_events(run_id=run.pk, token=TOKEN, attempt=1, events=batch)
    with transaction.atomic(durable=True):
        run = Run.objects.select_for_update(of=("self",)).select_related("experiment__workspace").get(pk=run.pk)
        if run.is_terminal:  # somebody else was at it at the same time
            return run
        blocks.pack(run.pk, last_seq=run.last_seq, everything=True)
        reason = "recorded on another machine, and added as an example"
        return transition(run, RunStatus.SUCCEEDED, actor_kind=TransitionActor.USER, actor=actor, reason=reason)


def _batches(events: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(events, _BATCH)):
        yield batch
