"""Dry runs on ten stored samples: of a rubric on its page, of judge and reward weights in Compose."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import SpecError, dump_dict
from training_core.spec.rubrics import rubrics_in
from webapp.experiments.beginnings import beginning_of
from webapp.experiments.compose_views import seen
from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.jobs.selectors import job_state
from webapp.jobs.weights import Moment, moment_of, read_key
from webapp.library.rubrics import own_words, rubric_for
from webapp.pages.requests import signed_in
from webapp.review.dry_run_results import DryRun, dry_run_for
from webapp.review.dry_run_services import start_dry_run
from webapp.review.dry_runs import weighed_anew, weights_of
from webapp.workspaces.selectors import can_edit, current_workspace, require_edit


@require_POST
@login_required
def try_rubric(request: HttpRequest, rubric_id: UUID) -> HttpResponse:
    """Try the words in the form, saved or not, on ten stored samples of a run."""
    rubric = rubric_for(request.user, rubric_id)
    require_edit(request.user, rubric.workspace)
    try:
        job = start_dry_run(
            actor=signed_in(request),
            run=_run(request),
            judge=_judge(request),
            kind=rubric.kind,
            template=request.POST.get("text", ""),
        )
    except ValueError as error:
        return _part(request, problem=str(error))
    return _shown(request, job)


@require_POST
@login_required
def try_composition(request: HttpRequest) -> HttpResponse:
    """Try the judge or the reward weights of a form on ten stored samples of a run."""
    workspace = current_workspace(request)
    if workspace is None:
        return _part(request, problem="A dry run needs a workspace with a run in it. Create one first.")
    require_edit(request.user, workspace)
    try:
        composition = seen(request, beginning_of(request, request.POST), workspace)
    except SpecError:
        return _part(request, problem="Correct the YAML first; then it can be tried.")
    if composition.spec is None:
        return _part(request, problem="Correct the settings first; then they can be tried.")
    kind, weights = request.POST.get("dry.kind", ""), weights_of(dump_dict(composition.spec))
    try:
        run = _run(request)
        if kind == "weights":
            return _part(request, outcome=weighed_anew(run, weights), run=run)
        job = start_dry_run(
            actor=signed_in(request),
            run=run,
            judge=_judge(request),
            kind=kind,
            template=_words(composition.spec, kind),
            weights=weights,
        )
    except ValueError as error:
        return _part(request, problem=str(error))
    return _shown(request, job)


def _words(spec: ExperimentSpec, kind: str) -> str:
    """How the form's judge is asked: in the words of its rubric, else in the method's own for such a model."""
    words = next((rubric.text for _, rubric in rubrics_in(spec.method) if rubric.kind == kind), "")
    style = "starter" if spec.model.is_starter else "chat"
    return words or own_words(spec.method.name, style, kind, task=spec.task.kind)


@require_GET
@login_required
def dry_run(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """How far it is, or what came of it."""
    return _of_job(request, dry_run_for(request.user, job_id))


@require_POST
@login_required
def stop_dry_run(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Stop it; what it found so far is not kept."""
    found = dry_run_for(request.user, job_id)
    jobs.request_cancel(actor=signed_in(request), job_id=found.job.pk)
    return _of_job(request, dry_run_for(request.user, job_id))


def _shown(request: HttpRequest, job: Job) -> HttpResponse:
    """Beside the form where scripts ask, else on a page of its own."""
    if not getattr(request, "htmx", False):
        return redirect("dry_run", job.pk)
    return _of_job(request, dry_run_for(request.user, job.pk))


def _of_job(request: HttpRequest, found: DryRun) -> HttpResponse:
    return _part(
        request,
        dry_run=found,
        state=job_state(found.job),
        outcome=found.outcome,
        pairs=found.pairs,
        run=found.run,
        may_stop=can_edit(request.user, found.job.workspace),
    )


def _part(request: HttpRequest, **context: Any) -> HttpResponse:
    part = getattr(request, "htmx", False)
    return render(request, "review/_dry_run.html" if part else "review/dry_run.html", context)


def _run(request: HttpRequest) -> Run:
    text = request.POST.get("dry.of", "")
    if not text:
        raise ValueError("Choose a run whose stored samples are to be tried on.")
    try:
        return run_for(request.user, UUID(text))
    except ValueError as error:
        raise Http404("That is not the id of a run.") from error


def _judge(request: HttpRequest) -> Moment:
    run_id, step, policy = read_key(request.POST.get("dry.judge", ""))
    return moment_of(run_for(request.user, run_id), step, policy)
