"""What a program outside may do: begin a run, add values to it, end it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from training_core.spec.events import EventKind
from webapp.accounts.models import User
from webapp.experiments.choices import RunStatus, TransitionActor
from webapp.experiments.contact import lost_since
from webapp.experiments.models import EXTERNAL, Experiment, Run
from webapp.experiments.selectors import run_for
from webapp.experiments.services import TransitionRefused, transition
from webapp.sources.services import keep_sent
from webapp.telemetry import blocks
from webapp.telemetry.services import store_events
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import require_edit
from webapp.workspaces.services import record

TOKEN = 1
"""The lease of a run that no worker holds; it never ends."""
MAX_CONFIG = 100


def begin_external_run(
    *,
    actor: User,
    workspace: Workspace,
    project: str,
    name: str = "",
    config: Mapping[str, Any] | None = None,
    code: Mapping[str, str] | None = None,
    key: str,
) -> Run:
    """Begin a run of the experiment ``project/name``, or give back the one that the same key began before.

    ``code`` are files to keep with it: ``{"train.py": "import ..."}``. A ``ValueError`` where they are too many.
    """
    require_edit(actor, workspace)
    title = f"{project}/{name}" if name else project
    place = {"kind": EXTERNAL}
    spec = {
        "name": title,
        "method": {"name": EXTERNAL},
        "task": place,
        "model": {"source": EXTERNAL},
        "seed": 0,
        "steps": 0,
        "config": dict(list((config or {}).items())[:MAX_CONFIG]),
    }
    try:
        with transaction.atomic(durable=True):
            experiment, is_new = Experiment.objects.select_for_update(of=("self",)).get_or_create(
                workspace=workspace, name=title, method=EXTERNAL, defaults={"spec": spec, "created_by": actor}
            )
            run = Run.objects.create(
                experiment=experiment,
                number=experiment.runs.count() + 1,
                spec=spec,
                status=RunStatus.RUNNING,
                lease_token=TOKEN,
                attempt=1,
                total_steps=0,
                started_at=timezone.now(),
                heard_at=timezone.now(),
                created_by=actor,
                idempotency_key=key,
                code={"version": keep_sent(code)} if code else {},
            )
            record(actor=actor, action="run.begun_outside", obj=run, workspace=workspace, detail={"new": is_new})
            return run
    except IntegrityError:
        earlier = Run.objects.filter(created_by=actor, idempotency_key=key, experiment__method=EXTERNAL).first()
        if earlier is None:
            raise
        return earlier


def add_values(*, actor: User, run_id: UUID, seq: int, rows: Sequence[Mapping[str, Any]]) -> int:
    """Store rows ``{"step", "t", "values"}`` as the events ``seq``, ``seq + 1``, ...; gives the number of the last stored.

    Rows that are stored already change nothing, so whoever is unsure sends them again. Steps never go back. No rows at all are
    a sign of life.
    """
    run = _run_of(actor, run_id)
    if run.is_terminal:
        return run.last_seq
    Run.objects.filter(pk=run.pk).update(heard_at=timezone.now())
    if not rows:
        return run.last_seq
    step, events = run.last_step, []
    for place, row in enumerate(rows, start=seq):
        if place > run.last_seq:
            step = max(step, int(row["step"]))
        data = {"values": row["values"]}
        events.append(
            {"seq": place, "kind": EventKind.METRIC, "step": step, "t": row.get("t") or time.time(), "data": data}
        )
    store_events(run_id=run.pk, token=TOKEN, attempt=1, events=events)
    run.refresh_from_db(fields=["last_seq"])
    return run.last_seq


@transaction.atomic(durable=True)
def finish_external_run(*, actor: User, run_id: UUID, failed: bool = False) -> Run:
    """End it; asking twice is not an error."""
    _run_of(actor, run_id)
    to = RunStatus.FAILED if failed else RunStatus.SUCCEEDED
    return _end(actor, _locked(run_id), to, reason="ended by the program that ran it")


@transaction.atomic(durable=True)
def end_silent_run(*, actor: User, run_id: UUID) -> Run:
    """A person ends a run whose program is not heard of any more; what it told is kept."""
    _run_of(actor, run_id)
    run = _locked(run_id)
    if not run.is_terminal and lost_since(run) is None:
        raise TransitionRefused("The program of this run was heard of a moment ago, so it ends the run itself.")
    return _end(actor, run, RunStatus.CANCELLED, reason="ended by hand, as its program fell silent")


def _locked(run_id: UUID) -> Run:
    return Run.objects.select_for_update(of=("self",)).select_related("experiment__workspace").get(pk=run_id)


def _end(actor: User, run: Run, to: RunStatus, *, reason: str) -> Run:
    if run.is_terminal:
        return run
    blocks.pack(run.pk, last_seq=run.last_seq, everything=True)
    run.total_steps = run.last_step
    run.save(update_fields=["total_steps"])
    return transition(run, to, actor_kind=TransitionActor.USER, actor=actor, reason=reason)


def _run_of(actor: User, run_id: UUID) -> Run:
    """The run, if the person may write about it: 404 for outsiders, 403 for viewers, a refusal for runs of workers."""
    run = run_for(actor, run_id)
    require_edit(actor, run.experiment.workspace)
    if run.experiment.method != EXTERNAL:
        raise TransitionRefused(
            "Only runs that happen outside can be told values; this one is carried out by a worker."
        )
    return run
