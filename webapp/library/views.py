"""The library: what a team keeps. Templates and reports have pages of their own; checkpoints and data sets are here."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_POST

from webapp.experiments.models import Template
from webapp.jobs.asking import read_job
from webapp.jobs.choices import JobKind
from webapp.jobs.models import Job
from webapp.jobs.services import ask
from webapp.library import datasets, services
from webapp.library.models import DatasetVersion
from webapp.library.rubrics import rubrics_in
from webapp.library.selectors import Kept, kept_checkpoints
from webapp.pages.requests import signed_in
from webapp.reports.selectors import reports_visible_to
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import can_edit, current_workspace, require_edit

MAX_EXPORTS = 20
_KEEP = {"1": 1, "2": 2, "3": 3, "5": 5, "10": 10}


@require_GET
@login_required
def library(request: HttpRequest) -> HttpResponse:
    """What this workspace keeps, at a glance."""
    workspace = current_workspace(request)
    context: dict[str, Any] = {"workspace": workspace}
    if workspace is not None:
        kept = kept_checkpoints(workspace)
        context |= {
            "templates": Template.objects.filter(workspace=workspace, retired_at=None).order_by("name")[:6],
            "num_kept": len(kept),
            "num_bytes": sum(each.num_bytes for each in kept),
            "named": [each for each in kept if each.name][:6],
            "datasets": datasets.datasets_in(workspace)[:6],
            "rubrics": rubrics_in(workspace)[:6],
            "reports": reports_visible_to(request.user).filter(workspace=workspace)[:6],
        }
    return render(request, "library/library.html", context)


@require_GET
@login_required
def checkpoints(request: HttpRequest) -> HttpResponse:
    """Every checkpoint that can be loaded, with what it scored; and what a rule would remove, before anything is."""
    workspace = current_workspace(request)
    if workspace is None:
        return redirect("new_workspace")
    kept = kept_checkpoints(workspace, run_id=_run_id(request))
    newest = _KEEP.get(request.GET.get("newest", ""))
    going = _beyond(kept, newest) if newest else []
    context = {
        "checkpoints": kept,
        "going": {each.key for each in going},
        "num_going": len(going),
        "bytes_going": sum(each.num_bytes for each in going),
        "num_bytes": sum(each.num_bytes for each in kept),
        "newest": request.GET.get("newest", ""),
        "choices": list(_KEEP),
        "exports": _exports(workspace),
        "may_edit": can_edit(request.user, workspace),
        "run": request.GET.get("run", ""),
    }
    return render(request, "library/checkpoints.html", context)


def _run_id(request: HttpRequest) -> UUID | None:
    try:
        return UUID(request.GET.get("run", ""))
    except ValueError:
        return None


def _beyond(kept: list[Kept], newest: int) -> list[Kept]:
    """What goes when each run keeps its newest few and its best, and whatever must stay stays."""
    seen: dict[UUID, int] = {}
    going = []
    for each in kept:
        seen[each.run.pk] = seen.get(each.run.pk, 0) + 1
        if seen[each.run.pk] > newest and not each.is_best and not each.keeps:
            going.append(each)
    return going


def _exports(workspace: Workspace) -> list[Job]:
    found = Job.objects.filter(workspace=workspace, kind=JobKind.EXPORT).select_related("run__experiment")
    return list(found.order_by("-created_at")[:MAX_EXPORTS])


@require_POST
@login_required
def name_checkpoint(request: HttpRequest, run_id: UUID, step: int) -> HttpResponse:
    """Promote a checkpoint, or take its name back."""
    try:
        services.name_checkpoint(actor=signed_in(request), run_id=run_id, step=step, name=request.POST.get("name", ""))
    except ValueError as error:
        messages.error(request, str(error))
    return redirect("checkpoints")


@require_POST
@login_required
def remove_checkpoints(request: HttpRequest) -> HttpResponse:
    """Delete what was chosen."""
    workspace = current_workspace(request)
    if workspace is None:
        return redirect("new_workspace")
    chosen = request.POST.getlist("checkpoint")
    try:
        count, freed = services.remove_checkpoints(actor=signed_in(request), workspace=workspace, keys=chosen)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("checkpoints")
    left = len(chosen) - count
    words = f"{count} checkpoint{'s' * (count != 1)} removed, {filesizeformat(freed)} freed."
    messages.success(request, words + (f" {left} had to stay." if left else ""))
    return redirect("checkpoints")


@require_POST
@login_required
def export_checkpoint(request: HttpRequest, run_id: UUID, step: int) -> HttpResponse:
    """Make a Hugging Face folder of a checkpoint, as a file to download."""
    actor = signed_in(request)
    try:
        asked = read_job(actor, JobKind.EXPORT, {"weights": {"run": str(run_id), "step": step}})
        ask(actor=actor, workspace=asked.runs[0].experiment.workspace, job=asked.job, run=asked.runs[0], keep=True)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "The export is being made. It stands below as soon as it is ready.")
    return redirect("checkpoints")


@require_GET
@login_required
def dataset_list(request: HttpRequest) -> HttpResponse:
    """The workspace's data sets with their versions."""
    return _datasets(request)


def _datasets(request: HttpRequest, *, status: int = 200, error: str = "", **form: str) -> HttpResponse:
    workspace = current_workspace(request)
    if workspace is None:
        return redirect("new_workspace")
    context = {
        "datasets": datasets.datasets_in(workspace),
        "may_edit": can_edit(request.user, workspace),
        "error": error,
        "form": form,
    }
    return render(request, "library/datasets.html", context, status=status)


@require_POST
@login_required
def upload_dataset(request: HttpRequest) -> HttpResponse:
    """Keep an uploaded file as a data set or as its next version."""
    workspace = current_workspace(request)
    if workspace is None:
        return redirect("new_workspace")
    require_edit(request.user, workspace)
    file = request.FILES.get("file")
    form = {"name": request.POST.get("name", ""), "note": request.POST.get("note", "")}
    if file is None:
        return _datasets(request, status=422, error="Choose a .jsonl file to upload.", **form)
    try:
        version = datasets.save_dataset(
            actor=signed_in(request), workspace=workspace, name=form["name"], note=form["note"], chunks=file.chunks()
        )
    except ValueError as error:
        return _datasets(request, status=422, error=str(error), **form)
    messages.success(request, f"{version} is kept: {version.num_lines:,} lines.")
    return redirect("datasets")


@require_GET
@login_required
def dataset_file(request: HttpRequest, version_id: int) -> FileResponse:
    """A version as a file."""
    return file_of(datasets.version_for(request.user, version_id))


def file_of(version: DatasetVersion) -> FileResponse:
    """What stands in a version, under a name that tells which it is."""
    name = f"{slugify(version.dataset.name.replace('/', '-'))[:60] or 'data'}-v{version.number}.jsonl"
    return FileResponse(version.path.open("rb"), as_attachment=True, filename=name, content_type="application/jsonl")


@require_POST
@login_required
def retire_dataset(request: HttpRequest, dataset_id: UUID) -> HttpResponse:
    """Offer a data set no more."""
    gone = datasets.retire_dataset(actor=signed_in(request), dataset_id=dataset_id)
    messages.success(request, f"{gone.name} is no longer offered. Runs that use it keep working.")
    return redirect("datasets")
