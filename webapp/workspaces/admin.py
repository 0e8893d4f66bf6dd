"""Workspaces and the audit trail, for operators; members are managed on the workspace's page."""

from django.contrib import admin

from webapp.admin_base import ReadOnlyAdmin, ReadOnlyInline
from webapp.workspaces.models import AuditEvent, Membership, Workspace


class MembershipInline(ReadOnlyInline):
    model = Membership
    fields = ("user", "role", "created_at")


@admin.register(Workspace)
class WorkspaceAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "created_at")
    search_fields = ("name", "slug", "members__email")
    date_hierarchy = "created_at"
    inlines = (MembershipInline,)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "action", "object_type", "object_id", "workspace")
    list_filter = ("action", "object_type", "at")
    search_fields = ("object_id", "actor__email", "action")
    list_select_related = ("actor", "workspace")
    date_hierarchy = "at"
    show_full_result_count = False
