"""Starting and removing rehearsals."""

import shutil
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import dump_dict
from webapp.accounts.models import User
from webapp.experiments.choices import TERMINAL
from webapp.experiments.models import Experiment, Run
from webapp.experiments.rehearsals import form_digest, prepare
from webapp.experiments.services import queue_run, request_cancel
from webapp.fleet.folders import run_folder
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import require_edit
from webapp.workspaces.services import record

PRIORITY = 90
"""A minute goes before hours."""
KEPT = timedelta(days=1)
MAX_AT_ONCE = 2
"""Rehearsals of one person that may wait or run; the earliest gives way."""


def start_rehearsal(*, actor: User, workspace: Workspace, spec: ExperimentSpec) -> Run:
    """Queue a rehearsal of a form before everything else, and end earlier ones of the same person."""
    require_edit(actor, workspace)
    small = prepare(spec)
    _make_room(actor)
    with transaction.atomic(durable=True):
        experiment = Experiment.objects.create(
            workspace=workspace,
            name=spec.name,
            method=spec.method.name,
            spec=dump_dict(small.spec),
            is_rehearsal=True,
            rehearsed={"digest": form_digest(spec), "notes": list(small.notes)},
            created_by=actor,
        )
        record(
            actor=actor, action="experiment.rehearsed", obj=experiment, workspace=workspace, detail={"name": spec.name}
        )
        return queue_run(actor, experiment, seed=small.spec.seed, idempotency_key="", priority=PRIORITY)


def _make_room(actor: User) -> None:
    open_runs = Run.objects.filter(experiment__is_rehearsal=True, created_by=actor).exclude(status__in=TERMINAL)
    for run in open_runs.order_by("-created_at")[MAX_AT_ONCE - 1 :]:
        request_cancel(actor=actor, run_id=run.pk)


def remove_old_rehearsals() -> int:
    """Delete rehearsals that are over for a day, with their folders on this machine; returns how many."""
    old = Experiment.objects.filter(is_rehearsal=True, created_at__lt=timezone.now() - KEPT)
    over = old.exclude(runs__in=Run.objects.exclude(status__in=TERMINAL))
    folders = [run_folder(run_id) for run_id in Run.objects.filter(experiment__in=over).values_list("pk", flat=True)]
    count = over.count()
    over.delete()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return count
