"""Naming and removing checkpoints."""

import shutil
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from django.db import IntegrityError, transaction
from django.http import Http404

from webapp.accounts.models import User
from webapp.experiments.holds import hold_at_once
from webapp.experiments.models import Run
from webapp.fleet.folders import run_folder
from webapp.library.models import CheckpointName
from webapp.library.selectors import Kept, kept_checkpoints
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import require_edit
from webapp.workspaces.services import record

MAX_NAME = 60


@transaction.atomic(durable=True)
def name_checkpoint(*, actor: User, run_id: UUID, step: int, name: str) -> None:
    """Promote a checkpoint under a name, which the workspace has once; an empty name takes it back."""
    run = _run(actor, run_id)
    workspace, name = run.experiment.workspace, " ".join(name.split())
    if len(name) > MAX_NAME:
        raise ValueError(f"A name has at most {MAX_NAME} characters, this one has {len(name)}.")
    if not any(kept.step == step for kept in kept_checkpoints(workspace, run_id=run_id)):
        raise Http404("This run keeps no checkpoint of that step.")
    CheckpointName.objects.filter(run=run, step=step).delete()
    transaction.on_commit(partial(hold_at_once, run.pk))
    detail = {"name": name, "run": str(run.pk), "step": step}
    if not name:
        record(actor=actor, action="checkpoint.unnamed", obj=run, workspace=workspace, detail=detail)
        return
    try:
        with transaction.atomic():
            CheckpointName.objects.create(workspace=workspace, run=run, step=step, name=name, by=actor)
    except IntegrityError:
        raise ValueError(
            f"Another checkpoint is called {name!r}. Take that name back first, or choose another."
        ) from None
    record(actor=actor, action="checkpoint.named", obj=run, workspace=workspace, detail=detail)


def remove_checkpoints(*, actor: User, workspace: Workspace, keys: Sequence[str]) -> tuple[int, int]:
    """Delete checkpoints for good; gives how many went and the bytes they freed.

    Each is looked at again under the lock of its run: one that must stay by then is left. It is renamed before it is deleted, so that
    a process that dies half-way leaves nothing that could be taken for a checkpoint.
    """
    require_edit(actor, workspace)
    wanted: dict[UUID, set[int]] = {}
    for key in keys:
        named, _, step = key.partition("/")
        if not (step.isascii() and step.isdigit() and len(step) < 12):
            raise ValueError("Choose the checkpoints to remove from the list.")
        wanted.setdefault(UUID(named), set()).add(int(step))
    num_removed = num_bytes = 0
    for run_id, steps in wanted.items():
        with transaction.atomic(durable=True):
            run = Run.objects.select_for_update().filter(pk=run_id, experiment__workspace=workspace).first()
            if run is None:
                continue
            gone = [
                kept for kept in kept_checkpoints(workspace, run_id=run_id) if kept.step in steps and not kept.keeps
            ]
            for kept in gone:
                _remove(kept)
                detail = {"run": str(run.pk), "step": kept.step, "bytes": kept.num_bytes}
                record(actor=actor, action="checkpoint.removed", obj=run, workspace=workspace, detail=detail)
        num_removed += len(gone)
        num_bytes += sum(kept.num_bytes for kept in gone)
    return num_removed, num_bytes


def _remove(kept: Kept) -> None:
    folder = run_folder(kept.run.pk) / "checkpoints"
    aside = folder / f".tmp-removed-{kept.step:06d}"
    shutil.rmtree(aside, ignore_errors=True)
    (folder / f"step-{kept.step:06d}").rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _run(actor: User, run_id: UUID) -> Run:
    run = Run.objects.visible_to(actor).select_related("experiment__workspace").filter(pk=run_id).first()
    if run is None:
        raise Http404("There is no such run, or it belongs to a workspace you are not a member of.")
    require_edit(actor, run.experiment.workspace)
    return run
