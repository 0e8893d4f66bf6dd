"""Where a composition begins: what the address or the form's hidden inputs name, made into a method and an origin."""

import json
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, QueryDict

from training_core.methods.base import SelfPlay
from training_core.methods.registry import all_methods, find_method
from training_core.spec.io import SpecError, dump_dict, parse_spec
from training_core.spec.live import with_values
from webapp.experiments import selectors
from webapp.experiments.compose import Origin, origin_of_preset, preset_of
from webapp.experiments.forks import forked, kept_checkpoints
from webapp.experiments.methods import FIRST_METHOD
from webapp.experiments.models import Run, TemplateVersion
from webapp.experiments.team_templates import version_for
from webapp.orders.selectors import effective_spec

MAX_SETTINGS = 20


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """``Beginning(method=MultiAgentEvolve, origin=Origin(title="Starter demo", ...), mapping={...}, preset="starter")``"""

    method: type[SelfPlay]
    origin: Origin
    mapping: dict[str, Any]
    """What the form shows first."""
    preset: str = ""
    parent: Run | None = None
    at: int | None = None
    """Step of the parent's checkpoint that is forked."""
    version: TemplateVersion | None = None
    problem: str = ""
    """Why it is not what was asked for."""
    is_chosen: bool = True
    """Whether the address names a method or a start."""


def beginning_of(request: HttpRequest, data: QueryDict) -> Beginning:
    """Raises ``Http404`` for what does not exist or may not be seen."""
    if parent := parent_of(request, data):
        return _with_settings(_of_run(parent, data.get("at", "")), data.getlist("set"))
    if template := data.get("template", ""):
        return _of_template(request, template, data.get("version", ""))
    found = method_or_404(data.get("method") or _default_method())
    preset = preset_of(found, data.get("preset", ""))
    if preset is None and data.get("preset"):
        raise Http404(f"{found.title} has no preset called {data['preset']!r}.")
    origin = origin_of_preset(found, preset)
    slug = preset.slug if preset else ""
    chosen = bool(data.get("method"))
    return Beginning(method=found, origin=origin, mapping=origin.spec, preset=slug, is_chosen=chosen)


def _of_run(parent: Run, at: str) -> Beginning:
    found = method_or_404(parent.experiment.method)
    spec, step, problem = effective_spec(parent), None, ""
    if at:
        kept = kept_checkpoints(parent)
        step = int(at) if at.isdecimal() and int(at) in kept else None
        if step is None:
            shown = ", ".join(map(str, kept)) or "none"
            problem = (
                f"{parent} keeps no checkpoint of step {at}; it keeps {shown}. This is a clone from the beginning."
            )
        else:
            origin = Origin(title=f"{parent} at step {step}", spec=effective_spec(parent, up_to_step=step))
            return Beginning(method=found, origin=origin, mapping=forked(parent, step), parent=parent, at=step)
    origin = Origin(title=str(parent), spec=spec)
    return Beginning(method=found, origin=origin, mapping=spec, parent=parent, at=step, problem=problem)


def _with_settings(beginning: Beginning, settings: list[str]) -> Beginning:
    """With fields set as the address proposes, ``set=method.judge={"kind": "frozen"}``; the origin stays, so the difference shows."""
    if not settings:
        return beginning
    values = [(path, text) for path, _, text in (setting.partition("=") for setting in settings[:MAX_SETTINGS])]
    try:
        proposed = with_values(parse_spec(beginning.mapping), [(path, json.loads(text)) for path, text in values])
    except ValueError as error:
        return replace(beginning, problem=f"The change that was proposed does not fit this run: {error}")
    return replace(beginning, mapping=dump_dict(proposed))


def _of_template(request: HttpRequest, template: str, number: str) -> Beginning:
    try:
        version = version_for(request.user, UUID(template), int(number) if number else None)
        spec = dump_dict(parse_spec(version.spec))
    except SpecError as error:
        raise Http404("This version was saved by another version of the product and can no longer be read.") from error
    except ValueError as error:
        raise Http404("That is not the id of a template.") from error
    found = method_or_404(str(spec["method"]["name"]))
    return Beginning(method=found, origin=Origin(title=str(version), spec=spec), mapping=spec, version=version)


def parent_of(request: HttpRequest, data: QueryDict) -> Run | None:
    clone = data.get("clone", "")
    if not clone:
        return None
    try:
        return selectors.run_for(request.user, UUID(clone))
    except ValueError as error:
        raise Http404("That is not the id of a run.") from error


def method_or_404(slug: str) -> type[SelfPlay]:
    try:
        return find_method(slug)
    except ValueError as error:
        raise Http404(str(error)) from error


def _default_method() -> str:
    slugs = [found.slug for found in all_methods()]
    return FIRST_METHOD if FIRST_METHOD in slugs else next(iter(slugs), "")
