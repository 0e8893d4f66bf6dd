"""Reports: list, page, editor, files and links; and the passports of runs."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from webapp.experiments.selectors import run_for
from webapp.pages.requests import signed_in
from webapp.reports import selectors, services
from webapp.reports.blocks import KINDS, MAX_RUNS, TextBlock, read_blocks
from webapp.reports.exports import to_html
from webapp.reports.forms import after, posted_blocks, shown_blocks
from webapp.reports.models import Report
from webapp.reports.panels import Panel, Table, is_live, name_of, read_panels, runs_in
from webapp.reports.paper import to_pdf
from webapp.reports.passport import passport_of
from webapp.telemetry.selectors import metric_names
from webapp.workspaces.selectors import can_edit, current_workspace, require_edit

PAGE_SIZE = 25


@require_GET
@login_required
def reports(request: HttpRequest) -> HttpResponse:
    """The workspace's reports, those changed last first."""
    workspace = current_workspace(request)
    found = selectors.reports_visible_to(request.user).filter(workspace=workspace)
    context = {
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "may_edit": workspace is not None and can_edit(request.user, workspace),
    }
    return render(request, "reports/list.html", context)


@require_POST
@login_required
def new_report(request: HttpRequest) -> HttpResponse:
    """Begin a report, about the runs named if there are any."""
    try:
        runs = [run_for(request.user, UUID(run_id)) for run_id in request.POST.getlist("run")[:MAX_RUNS]]
    except ValueError as error:
        raise Http404("That is not the id of a run.") from error
    workspace = runs[0].experiment.workspace if runs else current_workspace(request)
    if workspace is None:
        messages.error(request, "A report needs a workspace to stand in. Create one first.")
        return redirect("new_workspace")
    title = request.POST.get("title", "") or (f"About {name_of(runs[0])}"[:120] if runs else "Untitled report")
    try:
        report = services.create_report(actor=signed_in(request), workspace=workspace, title=title, runs=runs)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("reports")
    return redirect("edit_report", report.pk)


@require_GET
@login_required
def report(request: HttpRequest, report_id: UUID) -> HttpResponse:
    """A report to read; its panels are read anew while any of its runs is at work."""
    found = selectors.report_for(request.user, report_id)
    context = _shown(found) | {
        "may_edit": can_edit(request.user, found.workspace),
        "links": selectors.links_of(found),
        "panels_url": reverse("report_panels", args=[report_id]),
        "share_url": request.session.pop(f"report-link-{found.pk}", ""),
    }
    return render(request, "reports/report.html", context)


@require_GET
@login_required
def panels(request: HttpRequest, report_id: UUID) -> HttpResponse:
    """The panels alone, read anew."""
    return render(request, "reports/_panels.html", _shown(selectors.report_for(request.user, report_id)))


@require_GET
def shared_report(request: HttpRequest, secret: str) -> HttpResponse:
    """The same for whoever holds a link."""
    found = selectors.report_for_link(secret)
    context = _shown(found) | {"is_shared": True, "panels_url": reverse("shared_report_panels", args=[secret])}
    return _private(render(request, "reports/shared.html", context))


@require_GET
def shared_panels(request: HttpRequest, secret: str) -> HttpResponse:
    context = _shown(selectors.report_for_link(secret)) | {"is_shared": True}
    return _private(render(request, "reports/_panels.html", context))


@require_GET
@login_required
def report_file(request: HttpRequest, report_id: UUID, kind: str) -> HttpResponse:
    """The report as one HTML page or as PDF."""
    return _file(selectors.report_for(request.user, report_id), kind)


@require_GET
def shared_report_file(request: HttpRequest, secret: str, kind: str) -> HttpResponse:
    return _private(_file(selectors.report_for_link(secret), kind))


@require_http_methods(["GET", "POST"])
@login_required
def edit_report(request: HttpRequest, report_id: UUID) -> HttpResponse:
    """The editor. Every button but *Save* only changes the form, so nothing is lost and nothing is saved unasked."""
    found = selectors.report_for(request.user, report_id)
    require_edit(request.user, found.workspace)
    if request.method == "GET":
        return _editor(request, found, title=found.title, blocks=found.blocks, version=found.version)
    blocks, action = posted_blocks(request.POST), request.POST.get("action", "save")
    title, version = request.POST.get("title", ""), request.POST.get("version", "")
    form: dict[str, Any] = {"title": title, "version": version}
    if action != "save":
        return _editor(request, found, blocks=after(action, blocks), **form)
    try:
        number = int(version) if version.isascii() and version.isdigit() and len(version) < 9 else 0
        services.save_report(
            actor=signed_in(request), report_id=report_id, version=number, title=title, blocks=read_blocks(blocks)
        )
    except services.ReportChanged as error:
        found.refresh_from_db()
        return _editor(
            request, found, blocks=blocks, error=str(error), status=409, **{**form, "version": found.version}
        )
    except ValueError as error:
        return _editor(request, found, blocks=blocks, error=str(error), status=422, **form)
    return redirect("report", report_id)


@require_POST
@login_required
def archive_report(request: HttpRequest, report_id: UUID) -> HttpResponse:
    """Take a report out of the list."""
    gone = services.archive_report(actor=signed_in(request), report_id=report_id)
    messages.success(request, f"{gone.title} is archived, and its links no longer work. The page keeps its address.")
    return redirect("reports")


@require_POST
@login_required
def share_report(request: HttpRequest, report_id: UUID) -> HttpResponse:
    """Make a link for people without an account; its secret is shown once."""
    link, secret = services.create_report_link(actor=signed_in(request), report_id=report_id)
    address = request.build_absolute_uri(reverse("shared_report", args=[secret]))
    request.session[f"report-link-{link.report_id}"] = address
    return redirect("report", report_id)


@require_POST
@login_required
def revoke_report_link(request: HttpRequest, report_id: UUID, link_id: int) -> HttpResponse:
    """Take a link back."""
    services.revoke_report_link(actor=signed_in(request), report_id=report_id, link_id=link_id)
    messages.success(request, "The link has been taken back. Whoever had it can no longer read the report.")
    return redirect("report", report_id)


@require_GET
@login_required
def passport(request: HttpRequest, run_id: UUID, kind: str = "page") -> HttpResponse:
    """The passport of a run: as a page, as JSON, or as PDF."""
    run = run_for(request.user, run_id)
    found = passport_of(run)
    if kind == "json":
        told = JsonResponse(found.to_json(), json_dumps_params={"indent": 1, "ensure_ascii": False})
        return _as_file(told, f"passport {name_of(run)}", "json")
    if kind == "pdf":
        shown = [Panel(title=title, tables=[Table(head=["", ""], rows=facts)]) for title, facts in found.sections]
        words = f"sha256 {found.digest}" + ("" if found.is_final else " (provisional: the run has not ended)")
        response = HttpResponse(to_pdf(f"Passport of {name_of(run)}", words, shown), content_type="application/pdf")
        return _as_file(response, f"passport {name_of(run)}", "pdf")
    return render(request, "reports/passport.html", {"run": run, "passport": found, "name": name_of(run)})


def _shown(found: Report) -> dict[str, Any]:
    try:
        blocks = read_blocks(found.blocks)
    except ValueError as error:  # written by a later version of this software
        blocks = [TextBlock(text=str(error))]
    runs = runs_in(found, blocks)
    return {"report": found, "panels": read_panels(blocks, runs), "is_live": is_live(runs)}


def _editor(
    request: HttpRequest, found: Report, *, blocks: list[Any], error: str = "", status: int = 200, **form: Any
) -> HttpResponse:
    offered = selectors.runs_offered(request.user, found.workspace)
    chosen = {str(run) for block in blocks for run in block.get("runs", ())}
    named = [run for run in offered if str(run.pk) in chosen] or offered[:1]
    context = {
        "report": found,
        "blocks": shown_blocks(blocks),
        "kinds": KINDS.items(),
        "runs": [(str(run.pk), name_of(run)) for run in offered],
        "metrics": sorted({name for run in named[:5] for name in metric_names(run)}),
        "error": error,
        **form,
    }
    return render(request, "reports/edit.html", context, status=status)


def _file(found: Report, kind: str) -> HttpResponse:
    shown = _shown(found)["panels"]
    if kind == "html":
        response = HttpResponse(to_html(found, shown))
    else:
        words = f"From the workspace {found.workspace.name}, as of {found.updated_at:%Y-%m-%d %H:%M} UTC"
        response = HttpResponse(to_pdf(found.title, words, shown), content_type="application/pdf")
    return _as_file(response, found.title, kind)


def _as_file(response: HttpResponse, name: str, kind: str) -> HttpResponse:
    response["Content-Disposition"] = f'attachment; filename="{slugify(name)[:80] or "kumite"}.{kind}"'
    return response


def _private(response: HttpResponse) -> HttpResponse:
    add_never_cache_headers(response)
    response["X-Robots-Tag"] = "noindex"
    return response
