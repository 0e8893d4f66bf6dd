"""Reports: what a team says about its runs, with panels that read the runs anew. Only ``services.py`` writes the tables."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models

from webapp.workspaces.models import Workspace


class ReportQuerySet(models.QuerySet["Report"]):
    def visible_to(self, user: object) -> "ReportQuerySet":
        return self.filter(workspace__in=Workspace.objects.visible_to(user))


class Report(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="reports")
    title = models.CharField(max_length=120)
    blocks = models.JSONField(default=list)
    """What it is made of, in order; see ``webapp.reports.blocks``."""
    version = models.PositiveIntegerField(default=1)
    """Grows with every save, so that two people who edit at once notice."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = ReportQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "-updated_at"])]

    def __str__(self) -> str:
        return self.title


class ReportLink(models.Model):
    """A read-only link to one report for people without an account. Only the hash of its secret is stored."""

    report = models.ForeignKey(Report, on_delete=models.CASCADE, related_name="links")
    digest = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=8)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"link {self.prefix}… to {self.report}"
