"""Workspaces, their members, and the audit trail."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, connection, transaction
from django.http import Http404
from django.test import RequestFactory

from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.workspaces import selectors, services
from webapp.workspaces.models import AuditEvent, Membership, Workspace
from webapp.workspaces.selectors import PermissionDenied

pytestmark = pytest.mark.django_db


def test_the_creator_owns_a_workspace_and_its_slug_is_free(ada: User, workspace: Workspace) -> None:
    second = services.create_workspace(name="Dojo", owner=ada)
    third = services.create_workspace(name="組手", owner=ada)
    assert (second.slug, third.slug) == ("dojo-2", "workspace")
    assert selectors.can_manage(ada, second)


@pytest.mark.parametrize("name", ["", "   ", "n" * 81])
def test_a_workspace_needs_a_name(name: str, ada: User) -> None:
    with pytest.raises(ValueError, match="1 to 80 characters"):
        services.create_workspace(name=name, owner=ada)


def test_roles_decide_who_edits_and_who_manages(ada: User, ben: User, cyn: User, workspace: Workspace) -> None:
    people = [ada, ben, cyn, AnonymousUser()]
    assert [selectors.can_edit(person, workspace) for person in people] == [True, False, False, False]
    assert [selectors.can_manage(person, workspace) for person in people] == [True, False, False, False]
    workspace.memberships.filter(user=ben).update(role="editor")
    assert selectors.can_edit(ben, workspace)
    assert not selectors.can_manage(ben, workspace)


def test_a_workspace_does_not_exist_for_outsiders(cyn: User, workspace: Workspace) -> None:
    assert not selectors.workspaces_for(cyn).exists()
    assert not selectors.audit_for(cyn, workspace).exists()
    with pytest.raises(Http404):
        selectors.workspace_for(cyn, "dojo")


def test_a_member_is_added_by_the_address_of_an_account(ada: User, cyn: User, workspace: Workspace) -> None:
    services.add_member(workspace=workspace, actor=ada, email=" CYN@example.org ", role="editor")
    services.add_member(workspace=workspace, actor=ada, email="cyn@example.org", role="editor")
    assert Membership.objects.get(workspace=workspace, user=cyn).role == "editor"
    assert AuditEvent.objects.filter(action="member.added").count() == 1


@pytest.mark.parametrize(
    ("email", "role", "sentence"),
    [
        ("nobody@example.org", "viewer", "No account uses"),
        ("cyn@example.org", "king", "Choose one of owner, editor, viewer"),
        ("ben@example.org", "editor", r"already a member \(viewer\)"),
    ],
)
def test_what_cannot_be_added_is_refused_in_words(
    email: str, role: str, sentence: str, ada: User, cyn: User, workspace: Workspace
) -> None:
    with pytest.raises(ValueError, match=sentence):
        services.add_member(workspace=workspace, actor=ada, email=email, role=role)


def test_only_owners_manage(ada: User, ben: User, cyn: User, workspace: Workspace) -> None:
    workspace.memberships.filter(user=ben).update(role="editor")
    with pytest.raises(PermissionDenied):
        services.add_member(workspace=workspace, actor=ben, email=cyn.email, role="viewer")
    with pytest.raises(PermissionDenied):
        services.change_role(workspace=workspace, actor=ben, user=ben, role="owner")
    with pytest.raises(PermissionDenied):
        services.remove_member(workspace=workspace, actor=ben, user=ada)
    assert workspace.memberships.count() == 2


def test_the_last_owner_neither_leaves_nor_steps_down(ada: User, ben: User, workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="last owner"):
        services.remove_member(workspace=workspace, actor=ada, user=ada)
    with pytest.raises(ValueError, match="last owner"):
        services.change_role(workspace=workspace, actor=ada, user=ada, role="viewer")
    services.change_role(workspace=workspace, actor=ada, user=ben, role="owner")
    services.remove_member(workspace=workspace, actor=ada, user=ada)
    assert not selectors.workspaces_for(ada).exists()


def test_a_viewer_may_leave(ben: User, workspace: Workspace) -> None:
    services.remove_member(workspace=workspace, actor=ben, user=ben)
    assert AuditEvent.objects.get().action == "member.left"


def test_the_current_workspace_is_the_chosen_one_while_it_is_visible(
    ada: User, cyn: User, workspace: Workspace, rf: RequestFactory
) -> None:
    services.create_workspace(name="Another", owner=ada)
    request = rf.get("/")
    request.user, request.session = ada, {}  # type: ignore[assignment]
    assert getattr(selectors.current_workspace(request), "slug", None) == "another"
    request.session["workspace"] = "dojo"
    assert selectors.current_workspace(request) == workspace
    request.user = cyn
    assert selectors.current_workspace(request) is None


@pytest.mark.parametrize(
    "change", ["UPDATE workspaces_auditevent SET action = 'x'", "DELETE FROM workspaces_auditevent"]
)
def test_the_database_refuses_to_change_the_audit_trail(change: str, ada: User) -> None:
    services.record(actor=ada, action="test.done", obj=ada)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)
    assert AuditEvent.objects.get().action == "test.done"


def test_the_trail_outlives_what_it_tells_of(ada: User, workspace: Workspace, run_in: Callable[..., Run]) -> None:
    run = run_in("queued")
    event = services.record(actor=ada, action="run.created", obj=run, workspace=workspace)
    workspace.delete()
    ada.delete()
    event.refresh_from_db()
    assert (event.object_id, event.action) == (str(run.pk), "run.created")
