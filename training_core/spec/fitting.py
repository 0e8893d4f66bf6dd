"""Which blocks and choices fit what a form holds at the moment: every other one is tried with the spec's own validation."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from training_core.spec.forms import FieldKind, FormField, form_of, value_at
from training_core.spec.io import FieldError, SpecError, parse_spec

Reasons = dict[str, dict[str, str]]
"""For each input that picks something, the values that do not fit, each with the reason in a sentence."""


def unfit(method_slug: str, mapping: Mapping[str, Any]) -> Reasons:
    """What cannot be picked beside the rest of the form. What is wrong whatever is picked closes nothing."""
    return _unfit(method_slug, json.dumps(mapping, sort_keys=True, default=str))


@lru_cache(maxsize=64)
def _unfit(method_slug: str, text: str) -> Reasons:
    mapping = json.loads(text)
    fields = [each for group in form_of(method_slug) for each in _open(group.fields, mapping)]
    found = {each.selector: _reasons(each, mapping) for each in fields}
    return {selector: reasons for selector, reasons in found.items() if reasons}


def _open(fields: Sequence[FormField], mapping: Mapping[str, Any]) -> Iterator[FormField]:
    """The fields that pick something, below the variants that are picked now."""
    for each in fields:
        match each.kind:
            case FieldKind.CHOICE:
                yield each
            case FieldKind.BLOCK:
                yield from _open(each.fields, mapping)
            case FieldKind.UNION:
                yield each
                picked = _picked(each, mapping)
                yield from _open(next((v.fields for v in each.variants if v.value == picked), ()), mapping)


def _picked(each: FormField, mapping: Mapping[str, Any]) -> str:
    value = value_at(mapping, each.path, each.default)
    if each.kind is FieldKind.CHOICE:
        return str(value)
    if value is None:
        return ""
    if not each.tag:
        return each.variants[0].value
    return str(value.get(each.tag, "")) if isinstance(value, Mapping) else ""


def _reasons(each: FormField, mapping: Mapping[str, Any]) -> dict[str, str]:
    options = [choice.value for choice in each.choices] or [variant.value for variant in each.variants]
    if each.optional and each.kind is FieldKind.UNION:
        options.append("")
    picked = _picked(each, mapping)
    wrong = {option: _errors(each, option, mapping, is_picked=option == picked) for option in options}
    whatever = set.intersection(*map(set, wrong.values())) if wrong else set()
    return {
        option: next(_sentence(error) for error in errors if error not in whatever)
        for option, errors in wrong.items()
        if option != picked and set(errors) - whatever
    }


def _sentence(error: FieldError) -> str:
    """Rules across fields name them in their words; the others stand at a field."""
    return error.message if error.path in {"", "method", "model", "task", "engine", "resources"} else str(error)


def _errors(each: FormField, option: str, mapping: Mapping[str, Any], *, is_picked: bool) -> list[FieldError]:
    """What is wrong with the form if this is picked; what a new block still lacks is no reason against it."""
    if is_picked:
        tried: Any = mapping
    elif each.kind is FieldKind.CHOICE:
        tried = _with(mapping, each.path.split("."), option)
    else:
        block = None if not option else {each.tag: option} if each.tag else {}
        tried = _with(mapping, each.path.split("."), block)
    try:
        parse_spec(tried)
    except SpecError as error:
        own = () if is_picked else (f"{each.path}.",)
        return [found for found in error.errors if not found.path.startswith(own or "\0")]
    return []


def _with(mapping: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy with one value changed; what is not on the way to it is shared."""
    first, *rest = path
    inner = mapping.get(first)
    changed = _with(inner if isinstance(inner, Mapping) else {}, rest, value) if rest else value
    return {**mapping, first: changed}
