"""The compose page: method, roles and data, check and launch. Everything works by plain forms; scripts only make it quicker."""

from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID, uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from training_core.methods.registry import find_method
from training_core.spec.forms import FieldKind, FormField, Variant, find_field, form_of, put, walk
from training_core.spec.io import FieldError, SpecError
from training_core.spec.model import STARTER_SOURCES
from webapp.experiments import rehearsals, services
from webapp.experiments.beginnings import Beginning, beginning_of, method_or_404
from webapp.experiments.binding import Findings, bind
from webapp.experiments.compose import Composition, composition_from_yaml
from webapp.experiments.launching import Launch
from webapp.experiments.methods import find_cards
from webapp.experiments.previews import data_files
from webapp.experiments.rehearsal_services import start_rehearsal
from webapp.experiments.team_templates import offered_templates
from webapp.experiments.template_services import save_template
from webapp.library.models import RubricVersion
from webapp.library.rubrics import own_words, version_for, versions_in
from webapp.pages.requests import signed_in
from webapp.review.dry_runs import bench_for, kinds_of
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import can_edit, current_workspace

NO_WORKSPACE = "An experiment needs a workspace to stand in. Create one first, then launch again."


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A YAML text that is no spec, and what is wrong with it."""

    text: str
    errors: tuple[FieldError, ...]


@require_http_methods(["GET", "POST"])
@login_required
def compose(request: HttpRequest) -> HttpResponse:
    """Compose an experiment: show the form, check it, save it as a template, rehearse it, or launch it."""
    data = request.POST if request.method == "POST" else request.GET
    beginning, workspace = beginning_of(request, data), current_workspace(request)
    if request.method == "GET":
        first = Composition(beginning.method.slug, beginning.mapping, beginning.origin, workspace=workspace)
        return _page(request, first, beginning)
    if data.get("action") == "yaml":
        return _from_yaml(request, beginning, workspace)
    try:
        composition = seen(request, beginning, workspace)
    except SpecError:
        return _from_yaml(request, beginning, workspace)
    deed = _DEEDS.get(data.get("action", ""))
    if deed and composition.is_ready:
        return deed(request, composition, beginning)
    return _page(request, composition, beginning)


def _from_yaml(request: HttpRequest, beginning: Beginning, workspace: Workspace | None) -> HttpResponse:
    text, launch = request.POST.get("yaml", ""), Launch.from_data(_lists(request.POST))
    try:
        read = composition_from_yaml(text, beginning.origin, launch=launch, workspace=workspace)
    except SpecError as error:
        first = Composition(beginning.method.slug, beginning.mapping, beginning.origin, workspace=workspace)
        return _page(request, first, beginning, wrong=Wrong(text=text, errors=error.errors))
    return _page(request, read, beginning)


def _launch(request: HttpRequest, composition: Composition, beginning: Beginning) -> HttpResponse:
    workspace = current_workspace(request)
    if workspace is None:
        messages.error(request, NO_WORKSPACE)
        return redirect("new_workspace")
    assert composition.spec is not None
    person, rehearsed = signed_in(request), request.POST.get("rehearsal", "")
    try:
        experiment = services.create_experiment(
            actor=person,
            workspace=workspace,
            spec=composition.spec,
            parent=beginning.parent,
            idempotency_key=_key(request, composition),
            plan=composition.planned.runs,
            template_version=beginning.version,
            rehearsed=rehearsals.finding_for_launch(person, rehearsed, composition.spec),
        )
    except ValueError as error:
        messages.error(request, str(error))
        return _page(request, composition, beginning)
    runs = list(experiment.runs.order_by("number")[:2])
    return redirect("run", runs[0].pk) if len(runs) == 1 else redirect("experiment", experiment.pk)


def _key(request: HttpRequest, composition: Composition) -> str:
    """Of the page and of what it asks for: a second click is the same launch, an edit after going back is another one."""
    asked_for = sha256(f"{composition.yaml}{composition.launch}".encode()).hexdigest()[:24]
    return f"{request.POST.get('idempotency_key', '')[:48]}-{asked_for}"


def _rehearse(request: HttpRequest, composition: Composition, beginning: Beginning) -> HttpResponse:
    workspace = current_workspace(request)
    if workspace is None:
        messages.error(request, NO_WORKSPACE)
        return redirect("new_workspace")
    assert composition.spec is not None
    try:
        run = start_rehearsal(actor=signed_in(request), workspace=workspace, spec=composition.spec)
    except ValueError as error:
        messages.error(request, str(error))
        return _page(request, composition, beginning)
    return _page(request, composition, beginning, rehearsal=str(run.pk))


def _save_template(request: HttpRequest, composition: Composition, beginning: Beginning) -> HttpResponse:
    workspace = current_workspace(request)
    if workspace is None:
        messages.error(request, NO_WORKSPACE)
        return redirect("new_workspace")
    assert composition.spec is not None
    try:
        version = save_template(
            actor=signed_in(request),
            workspace=workspace,
            name=request.POST.get("template_name", ""),
            note=request.POST.get("template_note", ""),
            spec=composition.spec,
        )
    except ValueError as error:
        messages.error(request, str(error))
        return _page(request, composition, beginning)
    messages.success(request, f"Saved as {version}. The form goes on from there.")
    return redirect(f"{reverse('compose')}?template={version.template_id}&version={version.number}")


_DEEDS = {"launch": _launch, "rehearse": _rehearse, "save_template": _save_template}


def _page(
    request: HttpRequest,
    composition: Composition,
    beginning: Beginning,
    *,
    wrong: Wrong | None = None,
    rehearsal: str = "",
) -> HttpResponse:
    workspace = current_workspace(request)
    data = request.POST if request.method == "POST" else request.GET
    if beginning.problem:
        messages.warning(request, beginning.problem)
    query = data.get("q", "")
    context = {
        "composition": composition,
        "beginning": beginning,
        "families": find_cards(query),
        "query": query,
        "is_choosing": bool(query) or (request.method == "GET" and not beginning.is_chosen),
        "templates": list(offered_templates(request.user, workspace)) if workspace else [],
        "files": _files(request),
        "rubric_versions": _versions(request),
        **_dry_run(request, composition.slug, workspace),
        "idempotency_key": data.get("idempotency_key") or uuid4().hex,
        "may_edit": workspace is None or can_edit(request.user, workspace),
        "is_expert": bool(data.get("expert")),
        "view": "yaml" if wrong else data.get("view", "drawing"),
        "yaml": wrong.text if wrong else composition.yaml,
        "yaml_errors": wrong.errors if wrong else (),
        "rehearsal": _rehearsal_of(request, rehearsal or data.get("rehearsal", "")),
    }
    refused = composition.errors or wrong or composition.planned.problem
    return render(
        request, "experiments/compose.html", context, status=422 if request.method == "POST" and refused else 200
    )


def _dry_run(request: HttpRequest, slug: str, workspace: Workspace | None) -> dict[str, object]:
    """What the form's judge and reward weights can be tried on, and the fields that it concerns."""
    if workspace is None:
        return {}
    fields = [field for group in form_of(slug) for field in walk(group.fields)]
    kinds = kinds_of(slug)
    weighed = {knob for terms in find_method(slug).reward_weights.values() for knob in terms.values()}
    paths = [field.path for field in fields if field.rubric in kinds or field.path.removeprefix("method.") in weighed]
    return {"trial": bench_for(request.user, workspace, kinds, method=slug), "dry_paths": paths}


def _rehearsal_of(request: HttpRequest, run_id: str) -> rehearsals.Shown | None:
    try:
        return rehearsals.shown(rehearsals.rehearsal_for(signed_in(request), UUID(run_id)))
    except (ValueError, Http404):
        return None


def _files(request: HttpRequest) -> list[str]:
    workspace = current_workspace(request)
    return data_files(team=str(workspace.pk) if workspace else "")


@require_POST
@login_required
def compose_check(request: HttpRequest) -> HttpResponse:
    """The findings beside the form, the drawing and the preview, for what the form holds now."""
    composition = _posted(request, beginning_of(request, request.POST), current_workspace(request))
    context = {"composition": composition, "files": _files(request), "is_plan": "plan" in request.GET}
    return render(request, "experiments/compose/_checked.html", context)


@require_POST
@login_required
def compose_block(request: HttpRequest) -> HttpResponse:
    """The inputs of the variant that a union's selector now names."""
    slug, path = method_or_404(request.POST.get("method", "")).slug, request.GET.get("path", "")
    field = find_field(slug, path)
    if field is None or field.kind is not FieldKind.UNION:
        raise Http404(f"There is no block called {path!r} in this method.")
    picked = request.POST.get(field.selector, "")
    variant = next((v for v in field.variants if v.value == picked), None)
    if field.rubric:
        return _rubric(request, slug, field, variant)
    fields = bind(variant.fields, {}, Findings()) if variant else ()
    context = {"fields": fields, "help": variant.help if variant else ""}
    return render(request, "experiments/compose/_block.html", context)


def _rubric(request: HttpRequest, slug: str, field: FormField, variant: Variant | None) -> HttpResponse:
    """A rubric's block: with the version that was picked, else with the method's own words to begin from."""
    picked = request.POST.get(f"pick.{field.path}", "")
    if picked:
        words = version_for(request.user, picked).in_spec
    else:
        style = "starter" if request.POST.get("model.source", "").strip() in STARTER_SOURCES else "chat"
        words = {"text": own_words(slug, style, field.rubric, task=request.POST.get("task.kind") or None)}
    value: dict[str, object] = {}
    put(value, field.path, words)
    (bound,) = bind([field], value, Findings())
    context = {
        "field": field,
        "fields": bound.children if variant else (),
        "block_id": bound.block_id,
        "rubric_versions": _versions(request),
    }
    return render(request, "experiments/compose/_rubric.html", context)


def _versions(request: HttpRequest) -> list[RubricVersion]:
    workspace = current_workspace(request)
    return versions_in(workspace) if workspace else []


@require_POST
@login_required
def compose_yaml(request: HttpRequest) -> HttpResponse:
    """Bring the form in step with what stands in the YAML view; a wrong text changes nothing and says why."""
    beginning, launch = beginning_of(request, request.POST), Launch.from_data(_lists(request.POST))
    try:
        composition = composition_from_yaml(
            request.POST.get("yaml", ""), beginning.origin, launch=launch, workspace=current_workspace(request)
        )
    except SpecError as error:
        response = render(request, "experiments/compose/_yaml_errors.html", {"yaml_errors": error.errors})
        response["HX-Retarget"] = "#yaml-errors"
        response["HX-Reswap"] = "outerHTML"
        return response
    context = {"composition": composition, "files": _files(request), "rubric_versions": _versions(request)}
    return render(request, "experiments/compose/_fields_in_step.html", context)


@require_POST
@login_required
def compose_rehearse(request: HttpRequest) -> HttpResponse:
    """Start a rehearsal of what the form holds; answers with its panel."""
    workspace = current_workspace(request)
    context: dict[str, object] = {}
    try:
        composition = seen(request, beginning_of(request, request.POST), workspace)
    except SpecError:
        context["rehearsal_problem"] = "Correct the YAML first; then it can be rehearsed."
        return render(request, "experiments/compose/_rehearsal.html", context)
    if workspace is None:
        context["rehearsal_problem"] = "A rehearsal needs a workspace to stand in. Create one first."
    elif composition.spec is None:
        context["rehearsal_problem"] = "Correct the settings first; then they can be rehearsed."
    else:
        try:
            run = start_rehearsal(actor=signed_in(request), workspace=workspace, spec=composition.spec)
            context["rehearsal"] = rehearsals.shown(run)
        except ValueError as error:
            context["rehearsal_problem"] = str(error)
    return render(request, "experiments/compose/_rehearsal.html", context)


@require_GET
@login_required
def compose_rehearsal(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Where a rehearsal stands."""
    shown = rehearsals.shown(rehearsals.rehearsal_for(signed_in(request), run_id))
    return render(request, "experiments/compose/_rehearsal.html", {"rehearsal": shown})


def seen(request: HttpRequest, beginning: Beginning, workspace: Workspace | None) -> Composition:
    """What the person sees is what counts: the text in the YAML view, else the form. Raises ``SpecError`` for a wrong text."""
    if request.POST.get("view") == "yaml" and request.POST.get("yaml"):
        launch = Launch.from_data(_lists(request.POST))
        return composition_from_yaml(request.POST["yaml"], beginning.origin, launch=launch, workspace=workspace)
    return _posted(request, beginning, workspace)


def _posted(request: HttpRequest, beginning: Beginning, workspace: Workspace | None) -> Composition:
    return Composition.from_post(
        _method_in(request.POST, beginning), _lists(request.POST), beginning.origin, workspace=workspace
    )


def _method_in(data: QueryDict, beginning: Beginning) -> str:
    """The form's own method: YAML may have changed it since the page was opened."""
    return method_or_404(data.get("method") or beginning.method.slug).slug


def _lists(data: QueryDict) -> dict[str, list[str]]:
    return {key: [str(value) for value in values] for key, values in data.lists()}
