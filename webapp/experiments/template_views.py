"""Team templates in the library: the list, one with its versions, and its name."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from webapp.experiments import template_services as services
from webapp.experiments.team_templates import shown_versions, template_for, templates_visible_to
from webapp.pages.requests import signed_in
from webapp.workspaces.selectors import can_edit, current_workspace


@require_GET
@login_required
def templates(request: HttpRequest) -> HttpResponse:
    """The workspace's templates, the retired ones last."""
    found = list(templates_visible_to(request.user).filter(workspace=current_workspace(request)))
    context = {
        "offered": [template for template in found if not template.retired_at],
        "retired": [template for template in found if template.retired_at],
    }
    return render(request, "library/templates.html", context)


@require_GET
@login_required
def template(request: HttpRequest, template_id: UUID) -> HttpResponse:
    """One template: every version with what it changed."""
    found = template_for(request.user, template_id)
    context = {
        "template": found,
        "versions": shown_versions(found),
        "may_edit": can_edit(request.user, found.workspace),
    }
    return render(request, "library/template.html", context)


@require_POST
@login_required
def rename(request: HttpRequest, template_id: UUID) -> HttpResponse:
    """Give a template another name."""
    try:
        services.rename_template(actor=signed_in(request), template_id=template_id, name=request.POST.get("name", ""))
    except ValueError as error:
        messages.error(request, str(error))
    return redirect("template", template_id)


@require_POST
@login_required
def retire(request: HttpRequest, template_id: UUID) -> HttpResponse:
    """Offer a template no longer, or again."""
    retired = request.POST.get("retired", "yes") == "yes"
    try:
        services.retire_template(actor=signed_in(request), template_id=template_id, retired=retired)
    except ValueError as error:
        messages.error(request, str(error))
    return redirect("template", template_id)
