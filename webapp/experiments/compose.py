"""The compose form: a spec bound to inputs, with its errors, its YAML, its cost and its differences from where it began."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from training_core.methods.base import SelfPlay
from training_core.methods.card import Preset
from training_core.methods.registry import find_method
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.fitting import Reasons, unfit
from training_core.spec.forms import Difference, differences, form_of, put, read_form, value_at, walk
from training_core.spec.io import FieldError, SpecError, dump_dict, dump_yaml, load_yaml, parse_spec
from webapp.experiments.binding import BoundField, BoundGroup, Findings, bind, walk_bound
from webapp.experiments.forecasts import Forecast, forecast
from webapp.experiments.launching import Launch, Planned, Sweepable, planned, sweepable
from webapp.experiments.living_flow import LiveFlow, living_flow
from webapp.experiments.methods import MethodCard, card_of
from webapp.experiments.previews import Preview, preview
from webapp.workspaces.models import Workspace


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a composition began: a preset, a team template, or a run that is cloned."""

    title: str
    spec: dict[str, Any]


class Composition:
    """One state of the compose page, made from a mapping that may be wrong."""

    def __init__(
        self,
        slug: str,
        mapping: Mapping[str, Any],
        origin: Origin,
        *,
        launch: Launch | None = None,
        workspace: Workspace | None = None,
    ) -> None:
        self.slug = slug
        self.mapping = mapping
        self.origin = origin
        self.launch = launch or Launch()
        self.workspace = workspace
        self.spec: ExperimentSpec | None = None
        self.errors: tuple[FieldError, ...] = ()
        try:
            self.spec = parse_spec(mapping)
        except SpecError as error:
            self.errors = error.errors

    @classmethod
    def from_post(
        cls, slug: str, data: Mapping[str, Sequence[str]], origin: Origin, *, workspace: Workspace | None = None
    ) -> "Composition":
        return cls(slug, read_form(slug, data), origin, launch=Launch.from_data(data), workspace=workspace)

    @cached_property
    def method(self) -> MethodCard:
        return card_of(find_method(self.slug))

    @cached_property
    def filled(self) -> Mapping[str, Any]:
        """The spec with every default, or what was typed as long as that is wrong."""
        return dump_dict(self.spec) if self.spec else self.mapping

    @cached_property
    def messages(self) -> dict[str, str]:
        """Every error by the path of the field it stands at."""
        return {error.path: error.message for error in reversed(self.errors)}

    @cached_property
    def closed(self) -> Reasons:
        """Blocks and choices that do not fit the rest of the form."""
        return unfit(self.slug, self.filled)

    @cached_property
    def groups(self) -> list[BoundGroup]:
        changed = frozenset(difference.path for difference in self.differences)
        found = Findings(errors=self.messages, closed=self.closed, changed=changed)
        return [BoundGroup(group=group, fields=bind(group.fields, self.filled, found)) for group in form_of(self.slug)]

    @cached_property
    def inputs(self) -> list[BoundField]:
        return [bound for group in self.groups for bound in walk_bound(group.fields)]

    @cached_property
    def elsewhere(self) -> list[FieldError]:
        """Errors that belong to no single input: they are shown above the form."""
        paths = {field.path for group in form_of(self.slug) for field in walk(group.fields)}
        return [error for error in self.errors if not _stands_at(error.path, paths)]

    @cached_property
    def yaml(self) -> str:
        return dump_yaml(self.spec) if self.spec else ""

    @cached_property
    def differences(self) -> list[Difference]:
        return differences(self.slug, self.origin.spec, dump_dict(self.spec)) if self.spec else []

    @cached_property
    def nearest(self) -> ExperimentSpec | None:
        """The spec, or while it is wrong what it is with the fields at fault as they were at the beginning."""
        if self.spec:
            return self.spec
        mapping = copy.deepcopy(dict(self.mapping))
        for error in self.errors:
            if not error.path:
                return None
            put(mapping, error.path, value_at(self.origin.spec, error.path))
        try:
            return parse_spec(mapping)
        except SpecError:
            return None

    @cached_property
    def flow(self) -> LiveFlow:
        changes = differences(self.slug, self.origin.spec, dump_dict(self.nearest)) if self.nearest else []
        return living_flow(self.slug, self.nearest, changes, self.errors)

    @cached_property
    def preview(self) -> Preview | None:
        """What the task gives to play on; None while the form is wrong."""
        team = str(self.workspace.pk) if self.workspace else ""
        return preview(self.spec.task, team=team) if self.spec else None

    @cached_property
    def planned(self) -> Planned:
        """The runs a launch makes."""
        return planned(self.launch, self.spec) if self.spec else Planned()

    @cached_property
    def sweepable(self) -> list[Sweepable]:
        return sweepable(self.slug, self.spec) if self.spec else []

    @cached_property
    def forecast(self) -> Forecast | None:
        """Cost and start of the launch; of a sweep the costliest run stands for all."""
        if self.spec is None:
            return None
        return forecast(self.spec, self.workspace, num_runs=max(len(self.planned.runs), 1))

    @property
    def is_ready(self) -> bool:
        return self.spec is not None and not self.planned.problem

    @cached_property
    def state(self) -> dict[str, Any]:
        """What the page's script needs to bring the inputs in step."""
        return {
            "errors": {_html_id(path): message for path, message in self.input_messages.items()},
            "closed": {_html_id(path): reasons for path, reasons in self.closed.items()},
            "changed": [bound.html_id for bound in self.inputs if bound.is_changed],
            "yaml": self.yaml,
        }

    @cached_property
    def input_messages(self) -> dict[str, str]:
        """Messages by the name of the input they belong to."""
        return {bound.field.selector: bound.error for bound in self.inputs if bound.error}


def _html_id(path: str) -> str:
    return f"f-{path.replace('.', '-')}"


def _stands_at(path: str, known: set[str]) -> bool:
    return path in known or path.rpartition(".")[0] in known - {""}


def preset_of(method: type[SelfPlay], slug: str) -> Preset | None:
    """The preset called ``slug``, or the method's first one for an empty slug; None if there is no such preset."""
    if not slug:
        return method.presets[0] if method.presets else None
    return next((preset for preset in method.presets if preset.slug == slug), None)


def origin_of_preset(method: type[SelfPlay], preset: Preset | None) -> Origin:
    mapping = preset.spec if preset else {"method": {"name": method.slug}}
    return Origin(title=preset.title if preset else "Defaults", spec=dump_dict(parse_spec(mapping)))


def composition_from_yaml(
    text: str, origin: Origin, *, launch: Launch | None = None, workspace: Workspace | None = None
) -> Composition:
    """A composition from what a person typed as YAML; raises ``SpecError``."""
    spec = load_yaml(text)
    return Composition(spec.method.name, dump_dict(spec), origin, launch=launch, workspace=workspace)
