"""Jobs: something short that is asked of weights that exist. Only ``services.py`` writes the table."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from webapp.experiments.models import Run
from webapp.jobs.choices import ENDED, JobKind, JobStatus, Rank
from webapp.workspaces.models import Workspace


class JobQuerySet(models.QuerySet["Job"]):
    def visible_to(self, user: object) -> "JobQuerySet":
        return self.filter(workspace__in=Workspace.objects.visible_to(user))


class Job(models.Model):
    """One job. Postgres is its only truth; the lease token fences every write of a worker."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=10, choices=JobKind.choices)
    payload = models.JSONField()
    """What is asked, as ``training_core.spec.jobs`` describes it; weights are resolved already."""
    note = models.JSONField(default=dict)
    """What the page that asked wants to remember, such as the form as it was filled in."""
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="jobs")
    run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.CASCADE, related_name="jobs")
    """The run it is about, where it is about one."""
    status = models.CharField(max_length=10, choices=JobStatus.choices, default=JobStatus.QUEUED)
    rank = models.PositiveSmallIntegerField(choices=Rank.choices, default=Rank.ASKED)

    progress = models.FloatField(null=True, blank=True)
    progress_text = models.CharField(max_length=300, blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True)
    """Why it failed, in a sentence."""
    is_kept = models.BooleanField(default=False)
    """Whether something is made of its result, so that it is never forgotten."""

    attempt = models.PositiveSmallIntegerField(default=0)
    lease_token = models.BigIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    worker = models.ForeignKey("fleet.Worker", null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs")
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    """None for matches that workers play when they have nothing else to do."""
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(status__in=JobStatus.values), name="job_status_known"),
            models.CheckConstraint(
                condition=~Q(status__in=sorted(ENDED)) | Q(finished_at__isnull=False), name="job_ended_has_end"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["rank", "created_at"], condition=Q(status="queued"), name="job_queue"),
            models.Index(fields=["lease_expires_at"], condition=Q(status="running"), name="job_leases"),
            models.Index(fields=["created_by", "kind", "-created_at"], name="job_history"),
            models.Index(fields=["finished_at"], name="job_age"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    @property
    def is_ended(self) -> bool:
        return JobStatus(self.status) in ENDED
