"""Pages about methods, experiments and the control of runs."""

from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from training_core.methods.base import SelfPlay
from training_core.methods.registry import all_methods, find_method
from training_core.spec.forms import FieldKind, FormGroup, find_field, form_of, walk
from training_core.spec.io import FieldError, SpecError, dump_yaml, parse_spec
from webapp.experiments import selectors, services
from webapp.experiments.compose import (
    Composition,
    Origin,
    bind,
    composition_from_yaml,
    origin_of_preset,
    preset_of,
)
from webapp.experiments.forms import LaunchAgainForm
from webapp.experiments.methods import FIRST_METHOD, MethodCard, all_cards, card_of
from webapp.experiments.models import Experiment, Run
from webapp.orders.selectors import effective_spec
from webapp.pages.documents import method_document
from webapp.pages.requests import signed_in
from webapp.workspaces.selectors import can_edit, current_workspace


@require_GET
@login_required
def gallery(request: HttpRequest) -> HttpResponse:
    """Every method there is, by family."""
    families: dict[str, list[MethodCard]] = {}
    for card in all_cards():
        families.setdefault(card.group, []).append(card)
    return render(request, "experiments/gallery.html", {"families": families})


@require_GET
@login_required
def method(request: HttpRequest, slug: str) -> HttpResponse:
    """One method: what it does, who plays, what it reports, which knobs it has."""
    context = {
        "method": card_of(_method_or_404(slug)),
        "knobs": [group for group in form_of(slug) if _is_of_method(group)],
        "document": method_document(slug),
    }
    return render(request, "experiments/method.html", context)


@require_http_methods(["GET", "POST"])
@login_required
def compose(request: HttpRequest) -> HttpResponse:
    """Compose an experiment. Works without scripts; with them it is checked at every change."""
    data = request.POST if request.method == "POST" else request.GET
    found = _method_or_404(data.get("method") or _default_method())
    parent = _parent(request, data)
    if parent and request.method == "GET":
        found = _method_or_404(parent.experiment.method)
    origin = _origin(found, data, parent)
    if request.method == "GET":
        return _compose_page(request, Composition(found.slug, origin.spec, origin), parent)
    if data.get("action") == "yaml":
        try:
            return _compose_page(request, composition_from_yaml(data.get("yaml", ""), origin), parent)
        except SpecError as error:
            composition = Composition(found.slug, origin.spec, origin)
            return _compose_page(request, composition, parent, yaml_errors=error.errors, yaml=data.get("yaml", ""))
    composition = Composition.from_post(found.slug, _lists(data), origin)
    if data.get("action") == "launch" and composition.spec:
        return _launch(request, composition, parent)
    return _compose_page(request, composition, parent)


def _launch(request: HttpRequest, composition: Composition, parent: Run | None) -> HttpResponse:
    workspace = current_workspace(request)
    if workspace is None:
        messages.error(request, "An experiment needs a workspace to stand in. Create one first, then launch again.")
        return redirect("new_workspace")
    assert composition.spec is not None
    # Of the page and of what it asks for: a second click is the same launch, an edit after going back is another one.
    asked_for = sha256(composition.yaml.encode()).hexdigest()[:24]
    key = f"{request.POST.get('idempotency_key', '')[:48]}-{asked_for}"
    try:
        experiment = services.create_experiment(
            actor=signed_in(request), workspace=workspace, spec=composition.spec, parent=parent, idempotency_key=key
        )
    except ValueError as error:
        messages.error(request, str(error))
        return _compose_page(request, composition, parent)
    run = experiment.runs.order_by("number").first()
    return redirect("run", run.pk) if run else redirect("experiment", experiment.pk)


def _compose_page(
    request: HttpRequest,
    composition: Composition,
    parent: Run | None,
    *,
    yaml_errors: tuple[FieldError, ...] = (),
    yaml: str | None = None,
) -> HttpResponse:
    workspace = current_workspace(request)
    data = request.POST if request.method == "POST" else request.GET
    context = {
        "composition": composition,
        "parent": parent,
        "methods": all_cards(),
        "preset_slug": "" if parent else data.get("preset") or _first_preset(composition.method),
        "idempotency_key": data.get("idempotency_key") or uuid4().hex,
        "may_edit": workspace is None or can_edit(request.user, workspace),
        "is_expert": bool(data.get("expert")),
        "view": "yaml" if yaml_errors else data.get("view", "form"),
        "yaml": composition.yaml if yaml is None else yaml,
        "yaml_errors": yaml_errors,
    }
    status = 422 if request.method == "POST" and (composition.errors or yaml_errors) else 200
    return render(request, "experiments/compose.html", context, status=status)


@require_POST
@login_required
def compose_check(request: HttpRequest) -> HttpResponse:
    """The findings beside the form: errors, cost, differences, YAML."""
    found = _method_or_404(request.POST.get("method", ""))
    origin = _origin(found, request.POST, _parent(request, request.POST))
    composition = Composition.from_post(found.slug, _lists(request.POST), origin)
    return render(request, "experiments/compose/_check.html", {"composition": composition})


@require_POST
@login_required
def compose_block(request: HttpRequest) -> HttpResponse:
    """The inputs of the variant that a union's selector now names."""
    slug, path = _method_or_404(request.POST.get("method", "")).slug, request.GET.get("path", "")
    field = find_field(slug, path)
    if field is None or field.kind is not FieldKind.UNION:
        raise Http404(f"There is no block called {path!r} in this method.")
    picked = request.POST.get(field.selector, "")
    variant = next((v for v in field.variants if v.value == picked), None)
    fields = bind(variant.fields, {}, {}) if variant else ()
    return render(
        request, "experiments/compose/_block.html", {"fields": fields, "help": variant.help if variant else ""}
    )


@require_POST
@login_required
def compose_yaml(request: HttpRequest) -> HttpResponse:
    """Bring the form in step with what stands in the YAML view; a wrong text changes nothing and says why."""
    found = _method_or_404(request.POST.get("method", ""))
    origin = _origin(found, request.POST, _parent(request, request.POST))
    text = request.POST.get("yaml", "")
    try:
        composition = composition_from_yaml(text, origin)
    except SpecError as error:
        response = render(request, "experiments/compose/_yaml_errors.html", {"yaml_errors": error.errors})
        response["HX-Retarget"] = "#yaml-errors"
        response["HX-Reswap"] = "outerHTML"
        return response
    return render(request, "experiments/compose/_fields_in_step.html", {"composition": composition})


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
        "runs": _light(selectors.runs_visible_to(request.user)).filter(experiment=found).order_by("-number"),
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


def _default_method() -> str:
    slugs = [found.slug for found in all_methods()]
    return FIRST_METHOD if FIRST_METHOD in slugs else next(iter(slugs), "")


def _method_or_404(slug: str) -> type[SelfPlay]:
    try:
        return find_method(slug)
    except ValueError as error:
        raise Http404(str(error)) from error


def _first_preset(found: MethodCard) -> str:
    return found.presets[0].slug if found.presets else ""


def _is_of_method(group: FormGroup) -> bool:
    return any(field.path.startswith("method.") for field in walk(group.fields))


def _parent(request: HttpRequest, data: QueryDict) -> Run | None:
    clone = data.get("clone", "")
    if not clone:
        return None
    try:
        return selectors.run_for(request.user, UUID(clone))
    except ValueError as error:
        raise Http404("That is not the id of a run.") from error


def _origin(found: type[SelfPlay], data: QueryDict, parent: Run | None) -> Origin:
    if parent:
        return Origin(title=str(parent), spec=effective_spec(parent))
    preset = preset_of(found, data.get("preset", ""))
    if preset is None and data.get("preset"):
        raise Http404(f"{found.title} has no preset called {data['preset']!r}.")
    return origin_of_preset(found, preset)


def _lists(data: QueryDict) -> dict[str, list[str]]:
    return {key: [str(value) for value in values] for key, values in data.lists()}


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
