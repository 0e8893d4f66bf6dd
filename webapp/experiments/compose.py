"""The compose form: a spec bound to inputs, with its errors, its YAML, its cost and its differences from where it began."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from training_core.methods.base import SelfPlay
from training_core.methods.card import Preset
from training_core.methods.registry import find_method
from training_core.spec.estimate import Estimate, estimate
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.forms import (
    Difference,
    FieldKind,
    FormField,
    FormGroup,
    differences,
    exact_name,
    form_of,
    join_texts,
    read_form,
    rounded,
    value_at,
    walk,
)
from training_core.spec.io import FieldError, SpecError, dump_dict, dump_yaml, load_yaml, parse_spec
from webapp.experiments.methods import MethodCard, card_of


@dataclass(frozen=True, kw_only=True)
class BoundField:
    """A field with what it holds now."""

    field: FormField
    text: str = ""
    exact: str = ""
    """The number itself where ``text`` is rounded; it counts until somebody edits the text."""
    is_on: bool = False
    picked: tuple[str, ...] = ()
    variant: str = ""
    error: str = ""
    children: tuple["BoundField", ...] = ()

    @property
    def html_id(self) -> str:
        return "f-" + self.field.selector.replace(".", "-")

    @property
    def exact_name(self) -> str:
        return exact_name(self.field.path)

    @property
    def variant_help(self) -> str:
        return next((v.help for v in self.field.variants if v.value == self.variant), "")


@dataclass(frozen=True, kw_only=True)
class BoundGroup:
    group: FormGroup
    fields: tuple[BoundField, ...]

    @property
    def html_id(self) -> str:
        return "g-" + self.group.title.lower().replace(" ", "-")

    @property
    def has_error(self) -> bool:
        return any(field.error for field in _walk(self.fields))


def _walk(fields: Sequence[BoundField]) -> list[BoundField]:
    return [found for field in fields for found in (field, *_walk(field.children))]


def bind(
    group_fields: Sequence[FormField], mapping: Mapping[str, Any], errors: Mapping[str, str]
) -> tuple[BoundField, ...]:
    """Fill fields from a spec's mapping; what the mapping lacks shows the default."""
    return tuple(_bind_field(field, mapping, errors) for field in group_fields)


def _bind_field(field: FormField, mapping: Mapping[str, Any], errors: Mapping[str, str]) -> BoundField:
    value = value_at(mapping, field.path, field.default)
    error = errors.get(field.path, "")
    match field.kind:
        case FieldKind.BLOCK:
            return BoundField(field=field, error=error, children=bind(field.fields, mapping, errors))
        case FieldKind.UNION:
            variant = _variant_of(field, value)
            chosen = next((v.fields for v in field.variants if v.value == variant), ())
            error = error or errors.get(field.selector, "")
            return BoundField(field=field, error=error, variant=variant, children=bind(chosen, mapping, errors))
        case FieldKind.SWITCH:
            return BoundField(field=field, error=error, is_on=bool(value))
        case FieldKind.CHOICES:
            picked = tuple(str(v) for v in value) if isinstance(value, list | tuple) else ()
            return BoundField(field=field, error=error, picked=picked)
        case _:
            inner = next((m for path, m in errors.items() if path.startswith(f"{field.path}.")), "")
            many_texts = field.kind is FieldKind.TEXTS and isinstance(value, list | tuple)
            text = join_texts([str(v) for v in value]) if many_texts else _text(value)
            exact = repr(value) if isinstance(value, float) and float(text) != value else ""
            return BoundField(field=field, error=error or inner, text=text, exact=exact)


def _variant_of(field: FormField, value: Any) -> str:
    if value is None:
        return ""
    if not field.tag:
        return field.variants[0].value
    return str(value.get(field.tag, "")) if isinstance(value, Mapping) else ""


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(_text(v) for v in value)
    if isinstance(value, float):
        return rounded(value)
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a composition began: a preset, or a run that is cloned."""

    title: str
    spec: dict[str, Any]


class Composition:
    """One state of the compose page, made from a mapping that may be wrong."""

    def __init__(self, slug: str, mapping: Mapping[str, Any], origin: Origin) -> None:
        self.slug = slug
        self.mapping = mapping
        self.origin = origin
        self.spec: ExperimentSpec | None = None
        self.errors: tuple[FieldError, ...] = ()
        try:
            self.spec = parse_spec(mapping)
        except SpecError as error:
            self.errors = error.errors

    @classmethod
    def from_post(cls, slug: str, data: Mapping[str, Sequence[str]], origin: Origin) -> "Composition":
        return cls(slug, read_form(slug, data), origin)

    @cached_property
    def method(self) -> MethodCard:
        return card_of(find_method(self.slug))

    @cached_property
    def messages(self) -> dict[str, str]:
        """Every error by the path of the field it stands at."""
        return {error.path: error.message for error in reversed(self.errors)}

    @cached_property
    def groups(self) -> list[BoundGroup]:
        filled = dump_dict(self.spec) if self.spec else self.mapping
        return [
            BoundGroup(group=group, fields=bind(group.fields, filled, self.messages)) for group in form_of(self.slug)
        ]

    @cached_property
    def elsewhere(self) -> list[FieldError]:
        """Errors that belong to no single input: they are shown above the form."""
        paths = {field.path for group in form_of(self.slug) for field in walk(group.fields)}
        return [error for error in self.errors if not _stands_at(error.path, paths)]

    @cached_property
    def yaml(self) -> str:
        return dump_yaml(self.spec) if self.spec else ""

    @cached_property
    def estimate(self) -> Estimate | None:
        return estimate(self.spec) if self.spec else None

    @cached_property
    def differences(self) -> list[Difference]:
        return differences(self.slug, self.origin.spec, dump_dict(self.spec)) if self.spec else []

    @cached_property
    def state(self) -> dict[str, Any]:
        """What the page's script needs to bring the inputs in step."""
        errors = {f"f-{path.replace('.', '-')}": message for path, message in self.input_messages.items()}
        return {"errors": errors, "yaml": self.yaml}

    @cached_property
    def input_messages(self) -> dict[str, str]:
        """Messages by the name of the input they belong to."""
        bound = [field for group in self.groups for field in _walk(group.fields)]
        return {field.field.selector: field.error for field in bound if field.error}


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


def composition_from_yaml(text: str, origin: Origin) -> Composition:
    """A composition from what a person typed as YAML; raises ``SpecError``."""
    spec = load_yaml(text)
    return Composition(spec.method.name, dump_dict(spec), origin)
