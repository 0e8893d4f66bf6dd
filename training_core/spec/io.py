"""Specs in and out of YAML and JSON, with errors that name the field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from training_core.spec.experiment import ExperimentSpec
from training_core.spec.schemas import experiment_schema, field_path, method_schema

MAX_SPEC_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """What is wrong with one field: ``FieldError(path="task.max_digits", message="...")``; an empty path means the whole."""

    path: str
    message: str
    line: int | None = None
    """Line of the YAML text it stands in, counted from 1."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SpecError(ValueError):
    """A spec that cannot be used; ``errors`` lists every field at fault."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in errors))


def parse_spec(value: Mapping[str, Any]) -> ExperimentSpec:
    """Validate a mapping into a spec; raises ``SpecError``."""
    try:
        return ExperimentSpec.model_validate(dict(value))
    except ValidationError as error:
        raise SpecError([_field_error(detail, value) for detail in error.errors()]) from error


def load_yaml(text: str) -> ExperimentSpec:
    """Read YAML (or JSON, which is YAML) into a spec; raises ``SpecError`` with line and column of a syntax error."""
    if len(text.encode()) > MAX_SPEC_BYTES:
        raise SpecError([FieldError(path="", message=f"the spec is larger than {MAX_SPEC_BYTES // 1024} KiB")])
    try:
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        message, line = f"this is not valid YAML{where}: {error.problem}", mark.line + 1 if mark else None
        raise SpecError([FieldError(path="", message=message, line=line)]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError([FieldError(path="", message="this is not valid YAML")]) from error
    if not isinstance(value, dict):
        raise SpecError([FieldError(path="", message="a spec is a mapping, for example: method: {name: mae}")])
    try:
        return parse_spec(value)
    except SpecError as error:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        raise SpecError([replace(each, line=_line_of(root, each.path)) for each in error.errors]) from error


def _line_of(node: Any, path: str) -> int | None:
    """The line of the field, or of the nearest block around it that the text has."""
    line = None
    for part in path.split(".") if path else ():
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        found = next(((key, value) for key, value in pairs if key.value == part), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def load_file(path: Path) -> ExperimentSpec:
    """Read a spec file; raises ``SpecError`` if it cannot be read or used."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError([FieldError(path="", message=f"cannot read {path}: {reason}")]) from error
    return load_yaml(text)


def dump_dict(spec: ExperimentSpec) -> dict[str, Any]:
    """The resolved spec as JSON values, every default written out."""
    return spec.model_dump(mode="json")


def dump_yaml(spec: ExperimentSpec) -> str:
    """The resolved spec as YAML, in the order of the form."""
    return yaml.safe_dump(dump_dict(spec), sort_keys=False, allow_unicode=True, width=100)


def _field_error(detail: Any, value: Mapping[str, Any]) -> FieldError:
    location = detail["loc"]
    if location[:1] == ("method",) and len(location) > 1:  # the schema of an experiment does not say which method
        path = f"method.{field_path(location[1:], method_schema(value['method']['name']))}".rstrip(".")
    else:
        path = field_path(location, experiment_schema())
    return FieldError(path=path, message=_sentence(detail))


_SENTENCES = {
    "extra_forbidden": "this field is not known here; check its spelling",
    "missing": "this field is required",
    "union_tag_not_found": "say which one is meant with {discriminator}",
    "union_tag_invalid": "{tag!r} is not known here; choose one of {expected_tags}",
    "literal_error": "choose one of {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be a name of letters, digits, dots, - and _ only",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "needs at least {min_length} of its choices",
}
"""What pydantic found, in words; the others keep pydantic's own."""
_SELF_CONTAINED = frozenset({"value_error", "union_tag_invalid", "extra_forbidden"})


def _sentence(detail: Any) -> str:
    kind, value = detail["type"], detail.get("input")
    shown = isinstance(value, str | int | float | bool) and kind not in _SELF_CONTAINED
    suffix = f" (you wrote {_shortened(value)})" if shown and value != "" else ""
    if kind in _SENTENCES:
        limits = {key: f"{x:g}" if isinstance(x, float) else x for key, x in detail.get("ctx", {}).items()}
        return _SENTENCES[kind].format(**limits) + suffix
    return str(detail["msg"]).removeprefix("Value error, ") + suffix


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
