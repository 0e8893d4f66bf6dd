"""The knobs that may be turned while a run is at work: those whose field is marked ``Live()``."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from training_core.spec.experiment import ExperimentSpec
from training_core.spec.forms import FieldKind, FormField, form_of
from training_core.spec.io import FieldError, SpecError, dump_dict, parse_spec


def live_fields(spec: Mapping[str, Any]) -> list[FormField]:
    """The fields of a resolved spec that may be changed while it runs, in the order of the form."""
    groups = form_of(str(spec["method"]["name"]))
    return [field for group in groups for field in _live(group.fields, spec)]


def value_at(spec: Mapping[str, Any], path: str) -> Any:
    """The value of a field of a resolved spec: ``value_at(spec, "method.optimizer.lr")``; None where there is none."""
    value: Any = spec
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def turned(spec: ExperimentSpec, path: str, value: Any) -> ExperimentSpec:
    """The spec with one live field changed; raises ``SpecError`` for a field that is not live or a value it does not take."""
    resolved = dump_dict(spec)
    if path not in {field.path for field in live_fields(resolved)}:
        message = "this field cannot be changed while the run is at work; clone the run, or fork it from a checkpoint"
        raise SpecError([FieldError(path=path, message=message)])
    return with_values(spec, [(path, value)])


def with_values(spec: ExperimentSpec, values: Iterable[tuple[str, Any]]) -> ExperimentSpec:
    """The spec with fields set one after the other; raises ``SpecError``."""
    resolved = dump_dict(spec)
    for path, value in values:
        *blocks, name = path.split(".")
        block = value_at(resolved, ".".join(blocks)) if blocks else resolved
        if not isinstance(block, dict):
            raise SpecError([FieldError(path=path, message="this spec has no such field")])
        block[name] = value
    return parse_spec(resolved)


def _live(fields: Sequence[FormField], spec: Mapping[str, Any]) -> Iterator[FormField]:
    for field in fields:
        if field.live:
            yield field
        yield from _live(field.fields, spec)
        if field.kind is FieldKind.UNION:
            chosen = value_at(spec, field.path)
            if not isinstance(chosen, Mapping):
                continue
            for variant in field.variants:
                if not field.tag or variant.value == chosen.get(field.tag):
                    yield from _live(variant.fields, spec)
