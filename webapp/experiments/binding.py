"""Fields of the form with what they hold and what is to be said about it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from training_core.spec.fitting import Reasons
from training_core.spec.forms import FieldKind, FormField, FormGroup, exact_name, join_texts, rounded, value_at


@dataclasses.dataclass(frozen=True, kw_only=True)
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
    closed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Values that do not fit the rest of the form, each with the reason."""
    is_changed: bool = False

    @property
    def closed_labels(self) -> list[tuple[str, str]]:
        """What is closed in words: ``("Verifier", "a verifier knows ...")``."""
        names = {choice.value: choice.label for choice in self.field.choices}
        names |= {variant.value: variant.label for variant in self.field.variants}
        return [(names.get(value, "Off"), reason) for value, reason in self.closed.items()]

    @property
    def html_id(self) -> str:
        return "f-" + self.field.selector.replace(".", "-")

    @property
    def block_id(self) -> str:
        """Where the fields of a union's variant stand."""
        return f"{self.html_id}-block"

    @property
    def anchor(self) -> str:
        """Where the whole field stands, for links of the drawing."""
        return "k-" + self.field.path.replace(".", "-")

    @property
    def exact_name(self) -> str:
        return exact_name(self.field.path)

    @property
    def variant_help(self) -> str:
        return next((v.help for v in self.field.variants if v.value == self.variant), "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoundGroup:
    group: FormGroup
    fields: tuple[BoundField, ...]

    @property
    def html_id(self) -> str:
        return "g-" + self.group.title.lower().replace(" ", "-")

    @property
    def has_error(self) -> bool:
        return any(field.error for field in walk_bound(self.fields))


def walk_bound(fields: Sequence[BoundField]) -> list[BoundField]:
    """Every bound field below these."""
    return [found for field in fields for found in (field, *walk_bound(field.children))]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """What is to be said at the fields: ``Findings(errors={"steps": "must be at least 1"}, closed={"method.judge.kind": {...}})``."""

    errors: Mapping[str, str] = dataclasses.field(default_factory=dict)
    closed: Reasons = dataclasses.field(default_factory=dict)
    changed: frozenset[str] = frozenset()
    """Paths that differ from where the composition began."""


def bind(group_fields: Sequence[FormField], mapping: Mapping[str, Any], found: Findings) -> tuple[BoundField, ...]:
    """Fill fields from a spec's mapping; what the mapping lacks shows the default."""
    return tuple(_bind_field(field, mapping, found) for field in group_fields)


def _bind_field(field: FormField, mapping: Mapping[str, Any], found: Findings) -> BoundField:
    bound = _filled(field, mapping, found)
    closed = found.closed.get(field.selector, {})
    is_off = field.kind is FieldKind.UNION and not bound.variant
    is_changed = bool({field.selector, field.path} & found.changed) or (
        is_off and any(path.startswith(f"{field.path}.") for path in found.changed)
    )
    return dataclasses.replace(bound, closed=closed, is_changed=is_changed)


def _filled(field: FormField, mapping: Mapping[str, Any], found: Findings) -> BoundField:
    value, errors = value_at(mapping, field.path, field.default), found.errors
    error = errors.get(field.path, "")
    match field.kind:
        case FieldKind.BLOCK:
            return BoundField(field=field, error=error, children=bind(field.fields, mapping, found))
        case FieldKind.UNION:
            variant = _variant_of(field, value)
            chosen = next((v.fields for v in field.variants if v.value == variant), ())
            error = error or errors.get(field.selector, "")
            return BoundField(field=field, error=error, variant=variant, children=bind(chosen, mapping, found))
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
