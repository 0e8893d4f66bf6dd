"""Views of many runs that a team keeps. Only ``services.py`` writes the table; only ``selectors.py`` reads for a person."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from webapp.workspaces.models import Workspace


class ViewPage(models.TextChoices):
    RUNS = "runs", "Runs"
    COMPARE = "compare", "Compare"


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def visible_to(self, user: object) -> "SavedViewQuerySet":
        return self.filter(workspace__in=Workspace.objects.visible_to(user))


class SavedView(models.Model):
    """What the address of a page says, under a name: ``SavedView(page="runs", name="Failed", query="status=failed")``."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="saved_views")
    page = models.CharField(max_length=10, choices=ViewPage.choices)
    name = models.CharField(max_length=80)
    query = models.TextField(blank=True)
    """The query string of the page, without a leading question mark."""
    is_default = models.BooleanField(default=False)
    """Whether the page opens with it."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "page", "name"], name="saved_view_name_once"),
            models.UniqueConstraint(
                fields=["workspace", "page"], condition=Q(is_default=True), name="saved_view_one_default"
            ),
            models.CheckConstraint(condition=Q(page__in=ViewPage.values), name="saved_view_page_known"),
        ]

    def __str__(self) -> str:
        return self.name
