"""Who sees which workspace, and who may do what in it."""

from django.contrib.auth.models import AnonymousUser
from django.core import exceptions
from django.db.models import QuerySet
from django.http import Http404, HttpRequest

from webapp.accounts.models import User
from webapp.workspaces.choices import CAN_EDIT, MemberRole
from webapp.workspaces.models import AuditEvent, Membership, Secret, Workspace, WorkspaceQuerySet

SESSION_KEY = "workspace"
"""The slug of the workspace a person works in is kept in the session under this key."""


class PermissionDenied(exceptions.PermissionDenied):
    """A member lacks the role for what was asked. Outsiders never see this: for them the object does not exist."""


def workspaces_for(user: User | AnonymousUser) -> WorkspaceQuerySet:
    return Workspace.objects.visible_to(user).order_by("name", "created_at")


def workspace_for(user: User | AnonymousUser, slug: str) -> Workspace:
    """The workspace called ``slug``, or 404 for those who do not belong to it."""
    workspace = workspaces_for(user).filter(slug=slug).first()
    if workspace is None:
        raise Http404("There is no such workspace, or you are not a member of it.")
    return workspace


def membership_of(user: User | AnonymousUser, workspace: Workspace) -> Membership | None:
    if not isinstance(user, User):
        return None
    return Membership.objects.filter(workspace=workspace, user=user).first()


def can_edit(user: User | AnonymousUser, workspace: Workspace) -> bool:
    """May launch and control runs."""
    membership = membership_of(user, workspace)
    return membership is not None and membership.role in CAN_EDIT


def can_manage(user: User | AnonymousUser, workspace: Workspace) -> bool:
    """May add, change and remove members and secrets."""
    membership = membership_of(user, workspace)
    return membership is not None and membership.role == MemberRole.OWNER


def require_edit(user: User | AnonymousUser, workspace: Workspace) -> None:
    if not can_edit(user, workspace):
        raise PermissionDenied(
            f"You can read {workspace} but not change it. Ask one of its owners to make you an editor."
        )


def require_manage(user: User | AnonymousUser, workspace: Workspace) -> None:
    if not can_manage(user, workspace):
        raise PermissionDenied(f"Only owners of {workspace} manage its members and secrets. Ask one of them.")


def members_of(workspace: Workspace) -> QuerySet[Membership]:
    return workspace.memberships.select_related("user").order_by("created_at", "pk")


def secrets_of(workspace: Workspace) -> QuerySet[Secret]:
    """Their names and who set them; ``sealed`` is left in the database."""
    return workspace.secrets.select_related("set_by").defer("sealed").order_by("name")


def audit_for(user: User | AnonymousUser, workspace: Workspace) -> QuerySet[AuditEvent]:
    """What happened in the workspace, newest first; empty for those who do not belong to it."""
    visible = Workspace.objects.visible_to(user).filter(pk=workspace.pk)
    return AuditEvent.objects.filter(workspace__in=visible).select_related("actor").order_by("-at", "-pk")


def current_workspace(request: HttpRequest) -> Workspace | None:
    """The workspace of this session: the one chosen last if it is still visible, else the first; None without any."""
    mine = workspaces_for(request.user)
    chosen = request.session.get(SESSION_KEY)
    return mine.filter(slug=chosen).first() or mine.first()
