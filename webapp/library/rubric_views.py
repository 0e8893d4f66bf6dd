"""Rubrics in the library: the list, a new one, one with its versions."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from training_core.spec.rubrics import RUBRICS
from webapp.library import rubric_services as services
from webapp.library.rubrics import (
    MAX_USES,
    comparison_of,
    kind_words,
    num_uses_in,
    openings,
    retired_in,
    rubric_for,
    rubrics_in,
    shown_versions,
    uses_of,
)
from webapp.pages.requests import signed_in
from webapp.review.dry_runs import bench_for
from webapp.workspaces.selectors import can_edit, current_workspace, require_edit


@require_GET
@login_required
def rubric_list(request: HttpRequest) -> HttpResponse:
    """The workspace's rubrics, the retired ones last."""
    workspace = current_workspace(request)
    if workspace is None:
        return redirect("new_workspace")
    counts = num_uses_in(workspace)
    context = {
        "rubrics": [(rubric, kind_words(rubric.kind), counts.get(rubric.pk, 0)) for rubric in rubrics_in(workspace)],
        "retired": retired_in(workspace),
        "may_edit": can_edit(request.user, workspace),
    }
    return render(request, "library/rubrics.html", context)


@require_http_methods(["GET", "POST"])
@login_required
def new_rubric(request: HttpRequest) -> HttpResponse:
    """Write a rubric from nothing, or from how a method asks its judge."""
    workspace = current_workspace(request)
    if workspace is None:
        return redirect("new_workspace")
    require_edit(request.user, workspace)
    data = request.POST if request.method == "POST" else request.GET
    begun = next((each for each in openings() if each.key == data.get("begin")), None)
    form = {key: data.get(key, "") for key in ("name", "kind", "text", "note")}
    error = ""
    if request.method == "POST":
        try:
            version = services.create_rubric(actor=signed_in(request), workspace=workspace, **form)
        except ValueError as refused:
            error = str(refused)
        else:
            messages.success(request, f"{version} is kept.")
            return redirect("rubric", version.rubric_id)
    elif begun is not None:
        form |= {"kind": begun.kind, "text": begun.text}
    context = {
        "kinds": [kind_words(kind) for kind in RUBRICS],
        "openings": openings(),
        "begun": begun,
        "form": form,
        "kind": form["kind"],
        "error": error,
    }
    return render(request, "library/new_rubric.html", context, status=422 if error else 200)


@require_GET
@login_required
def rubric(request: HttpRequest, rubric_id: UUID) -> HttpResponse:
    """One rubric: its newest text to edit, every version with what it changed, and where it is used."""
    return _page(request, rubric_id)


def _page(request: HttpRequest, rubric_id: UUID, *, error: str = "", text: str = "", note: str = "") -> HttpResponse:
    found = rubric_for(request.user, rubric_id)
    uses = uses_of(found)
    versions = shown_versions(found, uses)
    context = {
        "rubric": found,
        "kind": kind_words(found.kind),
        "versions": versions,
        "newest": versions[0].version,
        "comparison": comparison_of(versions, request.GET.get("before", ""), request.GET.get("after", "")),
        "text": text or versions[0].version.text,
        "note": note,
        "error": error,
        "uses": uses[:MAX_USES],
        "num_uses": len(uses),
        "may_edit": can_edit(request.user, found.workspace),
        "trial": bench_for(request.user, found.workspace, [found.kind]),
    }
    return render(request, "library/rubric.html", context, status=422 if error else 200)


@require_POST
@login_required
def save_rubric_version(request: HttpRequest, rubric_id: UUID) -> HttpResponse:
    """Keep an edited text as the next version."""
    text, note = request.POST.get("text", ""), request.POST.get("note", "")
    try:
        version = services.save_version(actor=signed_in(request), rubric_id=rubric_id, text=text, note=note)
    except ValueError as error:
        return _page(request, rubric_id, error=str(error), text=text, note=note)
    messages.success(request, f"{version} is kept.")
    return redirect("rubric", rubric_id)


@require_POST
@login_required
def retire_rubric(request: HttpRequest, rubric_id: UUID) -> HttpResponse:
    """Offer a rubric no more, or again."""
    retired = request.POST.get("retired", "yes") == "yes"
    try:
        services.retire_rubric(actor=signed_in(request), rubric_id=rubric_id, retired=retired)
    except ValueError as error:
        messages.error(request, str(error))
    return redirect("rubric", rubric_id)
