"""The workspace page, its members, and the switch between workspaces."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.accounts.models import User
from webapp.pages.requests import signed_in
from webapp.workspaces import selectors, services, vault
from webapp.workspaces.choices import MemberRole
from webapp.workspaces.forms import MemberForm, WorkspaceForm
from webapp.workspaces.models import Workspace

AUDIT_SHOWN = 50


@require_GET
@login_required
def workspace(request: HttpRequest, slug: str) -> HttpResponse:
    """Who works here, and what happened last."""
    return _page(request, selectors.workspace_for(request.user, slug))


def _page(request: HttpRequest, found: Workspace, *, status: int = 200, **more: Any) -> HttpResponse:
    readable = vault.readable(found)
    context = {
        "workspace": found,
        "members": selectors.members_of(found),
        "may_manage": selectors.can_manage(request.user, found),
        "roles": MemberRole.choices,
        "form": MemberForm(),
        "secrets": [(secret, readable[secret.name]) for secret in selectors.secrets_of(found)],
        "audit": selectors.audit_for(request.user, found)[:AUDIT_SHOWN],
        **more,
    }
    return render(request, "workspaces/workspace.html", context, status=status)


@require_http_methods(["GET", "POST"])
@login_required
def new_workspace(request: HttpRequest) -> HttpResponse:
    """Create a workspace and go there."""
    form = WorkspaceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            created = services.create_workspace(name=form.cleaned_data["name"], owner=signed_in(request))
        except ValueError as error:
            form.add_error("name", str(error))
        else:
            request.session[selectors.SESSION_KEY] = created.slug
            return redirect("workspace", created.slug)
    return render(request, "workspaces/new.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@login_required
def switch_workspace(request: HttpRequest) -> HttpResponse:
    """Work in another workspace from now on."""
    found = selectors.workspace_for(request.user, request.POST.get("workspace", ""))
    request.session[selectors.SESSION_KEY] = found.slug
    return redirect("home")


@require_POST
@login_required
def add_member(request: HttpRequest, slug: str) -> HttpResponse:
    """Let a person in."""
    found = selectors.workspace_for(request.user, slug)
    form = MemberForm(request.POST)
    if not form.is_valid():
        return _page(request, found, status=422, form=form)
    email, role = form.cleaned_data["email"], form.cleaned_data["role"]
    try:
        membership = services.add_member(workspace=found, actor=signed_in(request), email=email, role=role)
    except ValueError as error:
        form.add_error("email", str(error))
        return _page(request, found, status=422, form=form)
    messages.success(request, f"{membership.user} is now a member.")
    return redirect("workspace", slug)


@require_POST
@login_required
def set_secret(request: HttpRequest, slug: str) -> HttpResponse:
    """Keep a secret for the workspace's runs. What was typed as its value is never sent back."""
    found, name = selectors.workspace_for(request.user, slug), request.POST.get("name", "")
    try:
        value = request.POST.get("value", "")
        secret = vault.set_secret(workspace=found, actor=signed_in(request), name=name, value=value)
    except ValueError as error:
        return _page(request, found, status=422, secret_error=str(error), secret_name=name[:60])
    messages.success(request, f"{secret.name} is kept. Runs that start from now on get it.")
    return redirect(f"{reverse('workspace', args=[slug])}#secrets")


@require_POST
@login_required
def remove_secret(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Forget a secret."""
    found = selectors.workspace_for(request.user, slug)
    vault.remove_secret(workspace=found, actor=signed_in(request), name=name)
    messages.success(request, f"{name} is forgotten. Runs at work still know it.")
    return redirect(f"{reverse('workspace', args=[slug])}#secrets")


@require_POST
@login_required
def change_role(request: HttpRequest, slug: str, user_id: int) -> HttpResponse:
    """Give a member another role."""
    found = selectors.workspace_for(request.user, slug)
    member, actor = _member(found, user_id), signed_in(request)
    try:
        services.change_role(workspace=found, actor=actor, user=member, role=request.POST.get("role", ""))
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"The role of {member} is changed.")
    return redirect("workspace", slug)


@require_POST
@login_required
def remove_member(request: HttpRequest, slug: str, user_id: int) -> HttpResponse:
    """Take a member out, or leave."""
    found = selectors.workspace_for(request.user, slug)
    member, actor = _member(found, user_id), signed_in(request)
    try:
        services.remove_member(workspace=found, actor=actor, user=member)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("workspace", slug)
    messages.success(request, f"You have left {found}." if member == actor else f"{member} is no longer a member.")
    return redirect("home") if member == actor else redirect("workspace", slug)


def _member(found: Workspace, user_id: int) -> User:
    membership = selectors.members_of(found).filter(user_id=user_id).first()
    if membership is None:
        raise Http404("This workspace has no such member.")
    return membership.user
