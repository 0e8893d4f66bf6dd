"""Every write to jobs: people ask and cancel, workers claim, keep and finish, the reaper takes back and forgets.

Only the database's clock is used, and whatever a worker writes carries the token of its lease.
"""

import json
import logging
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.http import Http404
from django.utils import timezone

from training_core.spec.jobs import AnyJob
from webapp.accounts.models import User
from webapp.experiments import doorbell
from webapp.experiments.models import Run
from webapp.fleet import timing
from webapp.fleet.models import Slot, Worker
from webapp.jobs import choices
from webapp.jobs.choices import ENDED, JobKind, JobStatus, Rank
from webapp.jobs.models import Job
from webapp.telemetry.lines import safe_text
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import require_edit
from webapp.workspaces.services import record

logger = logging.getLogger(__name__)


class JobLost(Exception):
    """The job was given to somebody else, stopped or ended while this worker thought it held it. Nothing was written."""


class TooManyJobs(ValueError):
    """The person has as many jobs under way as one person may have."""


@dataclass(frozen=True, kw_only=True)
class JobClaim:
    """A job that this worker, and nobody else, may carry out until its lease ends."""

    job_id: UUID
    token: int
    kind: str
    payload: dict[str, Any]
    attempt: int

    @property
    def time_limit_s(self) -> float:
        return choices.TIME_LIMIT_S[JobKind(self.kind)]


# People


def ask(
    *,
    actor: User | None,
    workspace: Workspace,
    job: AnyJob,
    run: Run | None = None,
    rank: Rank | None = None,
    keep: bool = False,
    note: dict[str, Any] | None = None,
) -> Job:
    """Queue a job for the next worker. Editors ask; ``actor`` None is a match played because workers are idle.

    Raises ``TooManyJobs`` when the person has enough under way already.
    """
    kind = JobKind(job.kind)
    payload = job.model_dump(mode="json", exclude={"kind"})
    if len(json.dumps(payload)) > choices.MAX_PAYLOAD_BYTES:
        raise ValueError(f"This asks for more than {choices.MAX_PAYLOAD_BYTES >> 20} MiB at once. Ask for less of it.")
    with transaction.atomic():
        if actor is not None:
            require_edit(actor, workspace)
            _check_quota(actor)
        default = Rank.AT_ONCE if kind == JobKind.SAY else Rank.ASKED
        asked = Job.objects.create(
            kind=kind,
            payload=_storable(payload),
            note=_storable(note or {}),
            workspace=workspace,
            run=run,
            rank=default if rank is None else rank,
            is_kept=keep,
            created_by=actor,
        )
        if actor is not None and kind != JobKind.SAY:  # talking leaves no trace but the talk itself
            record(actor=actor, action="job.asked", obj=asked, workspace=workspace, detail={"kind": kind.label.lower()})
        transaction.on_commit(doorbell.ring_for_jobs)
    return asked


def _check_quota(actor: User) -> None:
    """Of one person's jobs only so many are under way; the row of the person is the queue at the counter."""
    User.objects.select_for_update().get(pk=actor.pk)
    under_way = Job.objects.filter(created_by=actor).exclude(status__in=ENDED).count()
    if under_way >= choices.PER_PERSON:
        raise TooManyJobs(
            f"You have {under_way} jobs waiting or running, as many as one person may have. "
            "Wait for one of them to end, or stop one."
        )


@transaction.atomic(durable=True)
def request_cancel(*, actor: User, job_id: UUID) -> Job:
    """Stop a job: a waiting one ends at once, a running one within a second. Asking twice is not an error."""
    job = Job.objects.visible_to(actor).select_for_update(of=("self",)).filter(pk=job_id).first()
    if job is None:
        raise Http404("There is no such job, or it belongs to a workspace you are not a member of.")
    require_edit(actor, job.workspace)
    if job.is_ended:
        return job
    job.cancel_requested_at = timezone.now()
    if job.status == JobStatus.QUEUED:
        job.status, job.finished_at = JobStatus.CANCELLED, timezone.now()
    job.save(update_fields=["cancel_requested_at", "status", "finished_at"])
    record(actor=actor, action="job.cancelled", obj=job, workspace=job.workspace, detail={"kind": job.kind})
    return job


# Workers


@transaction.atomic(durable=True)
def claim_job(*, worker: Worker) -> JobClaim | None:
    """Take the next job: what somebody waits for comes first, what nobody asked for only while no run is at work here."""
    if not Worker.objects.filter(pk=worker.pk, draining=False, stopped_at=None).exists():
        return None
    queue = Job.objects.filter(status=JobStatus.QUEUED)
    if Slot.objects.filter(worker=worker, run__isnull=False).exists():
        queue = queue.exclude(rank=Rank.IDLE)
    job = queue.select_for_update(skip_locked=True, of=("self",)).order_by("rank", "created_at", "pk").first()
    if job is None:
        return None
    job.status, job.worker = JobStatus.RUNNING, worker
    job.lease_token, job.attempt = job.lease_token + 1, job.attempt + 1
    job.progress, job.progress_text = None, "Loading"
    job.started_at = job.started_at or timezone.now()
    job.save(update_fields=["status", "worker", "lease_token", "attempt", "progress", "progress_text", "started_at"])
    Job.objects.filter(pk=job.pk).update(lease_expires_at=Now() + timedelta(seconds=timing.LEASE_S))
    return JobClaim(job_id=job.pk, token=job.lease_token, kind=job.kind, payload=job.payload, attempt=job.attempt)


def keep_job(*, claim: JobClaim, progress: float | None, text: str) -> bool:
    """Keep the job for another lease and say how far it is; False when somebody asked to stop it. Raises ``JobLost``."""
    held = Job.objects.filter(pk=claim.job_id, lease_token=claim.token, status=JobStatus.RUNNING)
    values = {"progress": progress, "progress_text": safe_text(text)[:300]}
    if not held.update(lease_expires_at=Now() + timedelta(seconds=timing.LEASE_S), **values):
        raise JobLost
    return held.filter(cancel_requested_at=None).exists()


def finish_job(*, claim: JobClaim, result: dict[str, Any] | None = None, error: str = "") -> None:
    """The job has an outcome: the result, or a sentence that says why there is none. Raises ``JobLost``."""
    status = JobStatus.SUCCEEDED if result is not None else JobStatus.FAILED
    values = {"result": None if result is None else _storable(result), "error": safe_text(error)[:2000]}
    _end(claim, status, progress=1.0 if result is not None else None, **values)


def drop_job(*, claim: JobClaim) -> None:
    """Its process was ended because somebody asked to stop the job. Raises ``JobLost``."""
    _end(claim, JobStatus.CANCELLED)


@transaction.atomic(durable=True)
def hand_back(*, claim: JobClaim, why: str, counts: bool = True) -> None:
    """Its process ended without an outcome: somebody else tries, a few times. Raises ``JobLost``.

    ``counts`` False is for a worker that leaves in good order, which is nobody's fault.
    """
    job = Job.objects.select_for_update().filter(pk=claim.job_id, lease_token=claim.token).first()
    if job is None or job.status != JobStatus.RUNNING:
        raise JobLost
    _queue_again(job, why, counts=counts)


def _end(claim: JobClaim, status: JobStatus, **values: Any) -> None:
    held = Job.objects.filter(pk=claim.job_id, lease_token=claim.token, status=JobStatus.RUNNING)
    if not held.update(status=status, finished_at=Now(), lease_expires_at=None, progress_text="", **values):
        raise JobLost


def _queue_again(job: Job, why: str, *, counts: bool) -> None:
    """Write what becomes of a job without an outcome. The caller holds its lock."""
    job.lease_expires_at = job.worker = job.progress = None
    job.progress_text = safe_text(why)[:300]
    job.status = JobStatus.QUEUED
    if not counts:
        job.attempt -= 1
    if job.cancel_requested_at is not None:
        job.status = JobStatus.CANCELLED
    elif job.attempt >= choices.MAX_ATTEMPTS:
        job.status = JobStatus.FAILED
        job.error = f"{why} It was tried {job.attempt} times."
    if job.status != JobStatus.QUEUED:
        job.finished_at, job.progress_text = timezone.now(), ""
    job.save()
    if job.status == JobStatus.QUEUED:
        transaction.on_commit(doorbell.ring_for_jobs)


# Reaper


def reap_jobs() -> int:
    """Take jobs back from workers that are gone, and forget what is old; returns the jobs it moved."""
    lost = Q(lease_expires_at__lte=Now()) | Q(worker__stopped_at__isnull=False)
    lost_ids = Job.objects.filter(lost, status=JobStatus.RUNNING).values_list("pk", flat=True)
    moved = sum(_take_back(job_id) for job_id in list(lost_ids))
    too_old = Now() - timedelta(days=choices.KEPT_DAYS)
    Job.objects.filter(finished_at__lt=too_old, is_kept=False).delete()
    return moved


@transaction.atomic(durable=True)
def _take_back(job_id: UUID) -> bool:
    lost = Q(lease_expires_at__lte=Now()) | Q(worker__stopped_at__isnull=False)
    running = Job.objects.filter(lost, pk=job_id, status=JobStatus.RUNNING)
    job = running.select_for_update(skip_locked=True, of=("self",)).first()
    if job is None:
        return False
    _queue_again(job, "The worker stopped answering.", counts=True)
    return True


def _storable(value: Any) -> Any:
    """JSON as the database takes it: no NUL characters, no halves of characters, which models do write, no infinities."""
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {safe_text(str(key)): _storable(each) for key, each in value.items()}
    return value
