"""Pages about methods, experiments and the control of runs."""

from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from training_core.methods.registry import find_method
from training_core.spec.forms import FormGroup, form_of, walk
from training_core.spec.io import SpecError, dump_yaml, parse_spec
from webapp.experiments import selectors, services
from webapp.experiments.beginnings import method_or_404
from webapp.experiments.compose import (
    Composition,
    origin_of_preset,
    preset_of,
)
from webapp.experiments.equations import shown_equations
from webapp.experiments.forms import LaunchAgainForm
from webapp.experiments.methods import card_of, find_cards
from webapp.experiments.models import Experiment, Run
from webapp.pages.documents import method_document
from webapp.pages.requests import signed_in
from webapp.workspaces.selectors import can_edit


@require_GET
@login_required
def gallery(request: HttpRequest) -> HttpResponse:
    """Every method there is, by family."""
    query = request.GET.get("q", "")
    return render(request, "experiments/gallery.html", {"families": find_cards(query), "query": query})


@require_GET
@login_required
def method(request: HttpRequest, slug: str) -> HttpResponse:
    """One method: what it does, who plays, what it reports, which knobs it has."""
    context = {
        "method": card_of(method_or_404(slug)),
        "knobs": [group for group in form_of(slug) if _is_of_method(group)],
        "document": method_document(slug),
        "equations": shown_equations(method_or_404(slug)),
    }
    return render(request, "experiments/method.html", context)


@require_GET
@login_required
def experiments(request: HttpRequest) -> HttpResponse:
    """The address of the list before runs had one of their own: the runs by experiment."""
    query = request.GET.copy()
    query["group"] = "1"
    return redirect(f"{reverse('runs')}?{query.urlencode()}")


@require_GET
@login_required
def experiment(request: HttpRequest, experiment_id: UUID) -> HttpResponse:
    """One experiment: its spec and its runs."""
    found = selectors.experiment_for(request.user, experiment_id)
    context: dict[str, Any] = {
        "experiment": found,
        "runs": _light(selectors.runs_visible_to(request.user))
        .filter(experiment=found)
        .annotate(seed=KT("spec__seed"))
        .order_by("-number"),
        "may_edit": can_edit(request.user, found.workspace),
        "idempotency_key": uuid4().hex,
        "form": LaunchAgainForm(),
    }
    if _is_htmx(request):
        return render(request, "experiments/_runs.html", context)
    context |= _spec_facts(found)
    return render(request, "experiments/experiment.html", context)


@require_POST
@login_required
def launch_again(request: HttpRequest, experiment_id: UUID) -> HttpResponse:
    """Another run of the same experiment, with the next seed or a given one."""
    found = selectors.experiment_for(request.user, experiment_id)
    form = LaunchAgainForm(request.POST)
    if not form.is_valid():
        messages.error(request, str(form.errors["seed"][0]))
        return redirect("experiment", experiment_id)
    try:
        run = services.launch_run(
            actor=signed_in(request),
            experiment=found,
            seed=form.cleaned_data["seed"],
            idempotency_key=request.POST.get("idempotency_key", ""),
        )
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("experiment", experiment_id)
    return redirect("run", run.pk)


@require_POST
@login_required
def archive(request: HttpRequest, experiment_id: UUID) -> HttpResponse:
    """Take an experiment out of the lists."""
    found = selectors.experiment_for(request.user, experiment_id)
    try:
        services.archive_experiment(actor=signed_in(request), experiment=found)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("experiment", experiment_id)
    messages.success(request, f"{found.name} is archived. Its runs keep their addresses.")
    return redirect("runs")


@require_POST
@login_required
def run_control(request: HttpRequest, run_id: UUID, action: str) -> HttpResponse:
    """Pause, resume, save, stop or share a run; answers with its controls, or goes back to its page."""
    context: dict[str, Any] = {}
    try:
        if action == "share":
            _, secret = services.create_share_link(actor=signed_in(request), run_id=run_id)
            context["share_url"] = request.build_absolute_uri(reverse("share", args=[secret]))
        else:
            _CONTROLS[action](actor=signed_in(request), run_id=run_id)
    except ValueError as error:
        context["control_error"] = str(error)
    if _is_htmx(request):
        run = selectors.run_for(request.user, run_id)
        context |= {"run": run, "may_edit": can_edit(request.user, run.experiment.workspace)}
        return render(request, "runs/_controls.html", context)
    if "share_url" in context:
        messages.success(
            request, f"Anybody with this link can watch the run: {context['share_url']} It is shown only now."
        )
    if "control_error" in context:
        messages.error(request, context["control_error"])
    return redirect("run", run_id)


_CONTROLS = {
    "pause": services.request_pause,
    "resume": services.request_resume,
    "checkpoint": services.request_checkpoint,
    "stop": services.request_cancel,
}


def _is_htmx(request: HttpRequest) -> bool:
    return bool(getattr(request, "htmx", False))


def _is_of_method(group: FormGroup) -> bool:
    return any(field.path.startswith("method.") for field in walk(group.fields))


def _light(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Without the columns that only a run's own page shows."""
    return runs.defer("spec", "traceback", "experiment__spec")


def _spec_facts(found: Experiment) -> dict[str, Any]:
    """The spec in full and against the method's defaults; a spec of an older version may no longer be readable."""
    try:
        spec = parse_spec(found.spec)
        method = find_method(found.method)
        composition = Composition(found.method, found.spec, origin_of_preset(method, preset_of(method, "")))
    except (SpecError, ValueError):
        return {"yaml": "", "changes": None}
    return {"yaml": dump_yaml(spec), "changes": composition.differences}
