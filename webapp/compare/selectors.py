"""What a person may see of saved views, and which runs a filter finds."""

from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.http import Http404

from webapp.accounts.models import User
from webapp.compare.models import SavedView, SavedViewQuerySet
from webapp.workspaces.models import Workspace


def views_visible_to(user: User | AnonymousUser) -> SavedViewQuerySet:
    return SavedView.objects.visible_to(user).select_related("workspace", "created_by").order_by("name", "pk")


def views_of(user: User | AnonymousUser, workspace: Workspace | None, page: str) -> SavedViewQuerySet:
    """The views of one page in one workspace."""
    return views_visible_to(user).filter(workspace=workspace, page=page)


def view_for(user: User | AnonymousUser, view_id: UUID) -> SavedView:
    """The view, or 404 for those who may not see it."""
    view = views_visible_to(user).filter(pk=view_id).first()
    if view is None:
        raise Http404("There is no such view, or it belongs to a workspace you are not a member of.")
    return view


def default_view(user: User | AnonymousUser, workspace: Workspace | None, page: str) -> SavedView | None:
    """The view with which a page opens, if the team has chosen one."""
    return views_of(user, workspace, page).filter(is_default=True).first()
