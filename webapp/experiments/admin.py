"""Experiments and runs, for operators: a place to look. Acting happens on the pages, where roles and audit apply."""

from django.contrib import admin

from webapp.admin_base import ReadOnlyAdmin, ReadOnlyInline
from webapp.experiments.models import Experiment, Run, RunTransition, ShareLink


@admin.register(Experiment)
class ExperimentAdmin(ReadOnlyAdmin):
    list_display = ("name", "method", "workspace", "created_by", "created_at", "archived_at")
    list_filter = ("method", "created_at", ("archived_at", admin.EmptyFieldListFilter))
    search_fields = ("id", "name", "workspace__name", "created_by__email")
    list_select_related = ("workspace", "created_by")
    date_hierarchy = "created_at"


class TransitionInline(ReadOnlyInline):
    model = RunTransition
    ordering = ("version",)
    fields = ("version", "from_status", "to_status", "actor_kind", "actor", "reason", "at")


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("id", "experiment", "number", "status", "priority", "attempt", "last_step", "worker", "created_at")
    list_filter = ("status", "failure_kind", "worker", "created_at")
    search_fields = ("id", "experiment__name", "experiment__workspace__name", "created_by__email")
    list_select_related = ("experiment", "worker")
    date_hierarchy = "created_at"
    inlines = (TransitionInline,)


@admin.register(RunTransition)
class RunTransitionAdmin(ReadOnlyAdmin):
    list_display = ("at", "run", "version", "from_status", "to_status", "actor_kind", "actor", "reason")
    list_filter = ("to_status", "actor_kind", "at")
    search_fields = ("run__id", "reason", "actor__email")
    list_select_related = ("run__experiment", "actor")
    date_hierarchy = "at"
    show_full_result_count = False


@admin.register(ShareLink)
class ShareLinkAdmin(ReadOnlyAdmin):
    list_display = ("prefix", "run", "created_by", "created_at", "expires_at", "revoked_at")
    search_fields = ("prefix", "run__id", "run__experiment__name", "created_by__email")
    list_select_related = ("run__experiment", "created_by")
    exclude = ("digest",)
