"""Calibration sets, data sets of picked samples, and grading again."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for
from webapp.jobs.selectors import job_state
from webapp.jobs.weights import Moment, moment_of, moments_of, read_key
from webapp.library.datasets import versions_made
from webapp.library.models import DatasetSource, DatasetVersion, RubricVersion
from webapp.library.rubrics import version_for, versions_in
from webapp.pages.requests import signed_in
from webapp.review import services
from webapp.review.models import Regrading
from webapp.review.regrading import Findings, own_prompt, regrading_for, regradings_visible_to
from webapp.review.selectors import reviewable_runs
from webapp.review.sets import calibration_sets, mark_words
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import can_edit, current_workspace

MAX_RUNS, MAX_LISTED = 12, 30


@require_http_methods(["GET", "POST"])
@login_required
def sets(request: HttpRequest) -> HttpResponse:
    """The workspace's calibration sets and picked samples; a form makes a version of one."""
    workspace = _workspace(request)
    if request.method == "POST":
        try:
            made = _make(request, workspace)
            messages.success(request, f"{made} holds {made.num_lines} line{'s' * (made.num_lines != 1)}.")
        except ValueError as error:
            messages.error(request, str(error))
        return redirect("review_sets")
    context = {
        "workspace": workspace,
        "may_edit": can_edit(request.user, workspace),
        "sets": calibration_sets(workspace),
        "words": mark_words(workspace),
        "picked": versions_made(workspace, DatasetSource.PICKED)[:MAX_LISTED],
        "regradings": regradings_visible_to(request.user).filter(workspace=workspace).exclude(subject="")[:MAX_LISTED],
    }
    return render(request, "review/sets.html", context)


def _make(request: HttpRequest, workspace: Workspace) -> DatasetVersion:
    actor, data = signed_in(request), request.POST
    if subject := data.get("subject", ""):
        return services.make_calibration_set(actor=actor, workspace=workspace, subject=subject)
    kind, _, tag = data.get("marked", "").partition(":")
    return services.make_picked_set(
        actor=actor, workspace=workspace, form=data.get("form", ""), name=data.get("name", ""), kind=kind, tag=tag
    )


@require_http_methods(["GET", "POST"])
@login_required
def again(request: HttpRequest) -> HttpResponse:
    """Choose answers, a judge and its words; the answers are graded again by a worker."""
    workspace = _workspace(request)
    runs = list(reviewable_runs(request.user, workspace)[:MAX_RUNS])
    data = request.POST if request.method == "POST" else request.GET
    of = data.get("of", "")
    run = _run(request, of.removeprefix("run:")) if of.startswith("run:") else None
    shown = own_prompt((run or runs[0]).spec) if runs else ""
    version = _version(request, data.get("rubric_version", ""))
    context = {
        "workspace": workspace,
        "may_edit": can_edit(request.user, workspace),
        "runs": runs,
        "sets": calibration_sets(workspace),
        "of": of,
        "chosen_run": run,
        "judges": [moment for each in runs for moment in moments_of(each)],
        "template": data.get("template") or (version.text if version else shown),
        "versions": [each for each in versions_in(workspace) if each.rubric.kind == "answer"],
        "version": version,
        "shown": shown,
        "regradings": regradings_visible_to(request.user).filter(workspace=workspace)[:MAX_LISTED],
        "error": "",
    }
    if request.method == "POST":
        try:
            return redirect("regraded", _ask(request, workspace, run, version).pk)
        except ValueError as error:
            context["error"] = str(error)
    return render(request, "review/again.html", context)


def _version(request: HttpRequest, key: str) -> RubricVersion | None:
    """The version of a rubric whose words are to be used."""
    return version_for(request.user, key) if key else None


@require_GET
@login_required
def again_words(request: HttpRequest) -> HttpResponse:
    """The prompt's field, with the words of the version that was picked or the judge's own."""
    workspace = _workspace(request)
    of = request.GET.get("of", "")
    run = _run(request, of.removeprefix("run:")) if of.startswith("run:") else None
    run = run or reviewable_runs(request.user, workspace).first()
    version, shown = _version(request, request.GET.get("rubric_version", "")), own_prompt(run.spec) if run else ""
    return render(request, "review/_again_words.html", {"template": version.text if version else shown, "shown": shown})


def _ask(request: HttpRequest, workspace: Workspace, run: Run | None, version: RubricVersion | None) -> Regrading:
    actor, data = signed_in(request), request.POST
    judge, template = _judge(request, data.get("judge", "")), data.get("template", "").replace("\r\n", "\n")
    if template.split() == data.get("shown", "").split():  # nobody edited it: the judge is asked in its own way
        template = ""
    n, num_samples = _number(data.get("n", "1")), _number(data.get("samples", "60"))
    if run is None:
        subject = data.get("of", "").removeprefix("set:")
        return services.grade_set_again(
            actor=actor, workspace=workspace, subject=subject, judge=judge, template=template, version=version, n=n
        )
    return services.grade_run_again(
        actor=actor, run=run, judge=judge, template=template, version=version, num_samples=num_samples, n=n
    )


@require_GET
@login_required
def regraded(request: HttpRequest, regrading_id: int) -> HttpResponse:
    """What came of it, or how far it is."""
    found = regrading_for(request.user, regrading_id)
    findings = Findings(found)
    context = {
        "regrading": found,
        "state": job_state(found.job),
        "findings": findings if found.job.status == "succeeded" else None,
        "curves": findings.curves if found.job.status == "succeeded" and found.run else None,
    }
    part = getattr(request, "htmx", False)
    return render(request, "review/_regraded.html" if part else "review/regraded.html", context)


def _workspace(request: HttpRequest) -> Workspace:
    workspace = current_workspace(request)
    if workspace is None:
        raise Http404("You belong to no workspace.")
    return workspace


def _run(request: HttpRequest, text: str) -> Run:
    try:
        return run_for(request.user, UUID(text))
    except ValueError as error:
        raise Http404("That is not the id of a run.") from error


def _judge(request: HttpRequest, key: str) -> Moment:
    run_id, step, policy = read_key(key)
    return moment_of(run_for(request.user, run_id), step, policy)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ValueError(f"{text[:20]!r} is no whole number.")
    return int(text)
