"""Comments and marks, from wherever a page shows them."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for
from webapp.pages.requests import local_target, signed_in
from webapp.review import services
from webapp.review.models import Comment, Place
from webapp.review.notes import marks_by_name, remarks_on_curves, threads_of
from webapp.workspaces.selectors import can_edit


@require_POST
@login_required
def add_comment(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Say something at a place of a run, or answer."""
    data, error = request.POST, ""
    thread = data.get("thread", "")
    kind, place = data.get("place_kind", ""), data.get("place", "")
    if kind == "metric" and "step" in data:
        place = f"{place}@{data['step'].strip()}"
    try:
        services.add_comment(
            actor=signed_in(request),
            run_id=run_id,
            place_kind=kind,
            place=place,
            text=data.get("text", ""),
            thread_id=int(thread) if thread.isascii() and thread.isdigit() and len(thread) < 16 else None,
        )
    except ValueError as refusal:
        error = str(refusal)
    return _answer(request, run_for(request.user, run_id), error)


@require_GET
@login_required
def remarks(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Where curves of the run have comments; with ``at=reward/solver@40`` what is said there, and the form to say more."""
    run = run_for(request.user, run_id)
    if (place := request.GET.get("at", "")) == "":
        return JsonResponse({"remarks": remarks_on_curves(run)})
    context = {"run": run, "place_kind": Place.METRIC, "place": place[:200], "user": request.user}
    may_edit = can_edit(request.user, run.experiment.workspace)
    return render(request, "review/_comments.html", context | {"may_edit": may_edit})


@require_POST
@login_required
def edit_comment(request: HttpRequest, comment_id: int) -> HttpResponse:
    """Change one's own comment."""
    actor, error = signed_in(request), ""
    try:
        services.edit_comment(actor=actor, comment_id=comment_id, text=request.POST.get("text", ""))
    except ValueError as refusal:
        error = str(refusal)
    return _answer(request, Comment.objects.get(pk=comment_id).run, error)


@require_POST
@login_required
def delete_comment(request: HttpRequest, comment_id: int) -> HttpResponse:
    """Take a comment away."""
    comment = services.delete_comment(actor=signed_in(request), comment_id=comment_id)
    return _answer(request, comment.run)


@require_POST
@login_required
def mark(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Pin, flag or tag a sample, or take that away."""
    data, error = request.POST, ""
    episode, kind = data.get("episode", "")[:120], data.get("kind", "")
    try:
        tag = data.get("tag", "") if kind == "tag" else ""
        services.toggle_mark(actor=signed_in(request), run_id=run_id, episode=episode, kind=kind, tag=tag)
    except ValueError as refusal:
        error = str(refusal)
    if getattr(request, "htmx", False):
        run = run_for(request.user, run_id)
        may_edit = can_edit(request.user, run.experiment.workspace)
        return render(
            request, "review/_marks.html", {"run": run, "episode": episode, "may_edit": may_edit, "note_error": error}
        )
    return _answer(request, run_for(request.user, run_id), error)


def notes(run: Run) -> dict[str, Any]:
    """What the tab of notes reads."""
    return {"threads": threads_of(run), "marked": marks_by_name(run)}


def _answer(request: HttpRequest, run: Run, error: str = "") -> HttpResponse:
    """The comments of the place anew, the whole tab, or back to the page."""
    if getattr(request, "htmx", False):
        context = {"run": run, "note_error": error, "user": request.user}
        context["may_edit"] = can_edit(request.user, run.experiment.workspace)
        if request.POST.get("show") == "notes":
            return render(request, "review/_notes.html", context | notes(run))
        place = {"place_kind": request.POST.get("place_kind", ""), "place": request.POST.get("place", "")}
        return render(request, "review/_comments.html", context | place)
    if error:
        messages.error(request, error)
    return redirect(local_target(request) or reverse("run", args=[run.pk]) + "#notes")
