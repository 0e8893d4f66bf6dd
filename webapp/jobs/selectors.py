"""What a person may see of jobs; ``visible_to`` comes first, 404 for everything else."""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.http import Http404

from webapp.accounts.models import User
from webapp.fleet.models import Worker
from webapp.jobs.choices import JobKind, JobStatus
from webapp.jobs.folders import job_folder
from webapp.jobs.models import Job, JobQuerySet
from webapp.workspaces.models import Workspace


def jobs_visible_to(user: User | AnonymousUser) -> JobQuerySet:
    return Job.objects.visible_to(user).select_related("workspace", "created_by", "run").order_by("-created_at", "pk")


def job_for(user: User | AnonymousUser, job_id: UUID | str) -> Job:
    """The job, or 404 for those who may not see it."""
    job = jobs_visible_to(user).filter(pk=job_id).first()
    if job is None:
        raise Http404("There is no such job, or it belongs to a workspace you are not a member of.")
    return job


def own_jobs(user: User, workspace: Workspace, kind: JobKind) -> QuerySet[Job]:
    """What the person asked for in a workspace, newest first."""
    return jobs_visible_to(user).filter(created_by=user, workspace=workspace, kind=kind)


def job_state(job: Job) -> dict[str, Any]:
    """Where a job stands, for the page that waits for it."""
    return {
        "id": str(job.pk),
        "kind": job.kind,
        "status": job.status,
        "label": JobStatus(job.status).label,
        "is_ended": job.is_ended,
        "progress": job.progress,
        "text": job.progress_text or waiting_words(job),
        "error": job.error,
        "result": job.result,
    }


def waiting_words(job: Job) -> str:
    """Why a waiting job is not done yet; empty for any other."""
    if job.status != JobStatus.QUEUED:
        return ""
    if not Worker.objects.living().filter(draining=False).exists():
        return "Waits for a worker; none is running."
    ahead = Job.objects.filter(status=JobStatus.QUEUED, rank__lte=job.rank, created_at__lt=job.created_at).count()
    if not ahead:
        return "Waits for a worker's next free moment."
    return f"Waits for a worker; {ahead} {'job is' if ahead == 1 else 'jobs are'} before it."


def has_file(job: Job) -> bool:
    """Whether what an export made can be downloaded."""
    made = job.kind == JobKind.EXPORT and job.status == JobStatus.SUCCEEDED and job.result is not None
    return made and (job_folder(job.pk) / str((job.result or {})["file"])).is_file()
