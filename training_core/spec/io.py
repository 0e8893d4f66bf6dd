"""Specs in and out of YAML and JSON, with errors that name the field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from training_core.methods.registry import all_methods
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.schemas import experiment_schema, field_path, method_schema

MAX_SPEC_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """What is wrong with one field: ``FieldError(path="task.max_digits", message="...")``; an empty path means the whole."""

    path: str
    message: str

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
        raise SpecError([found for detail in error.errors() for found in _field_errors(detail)]) from error


def load_yaml(text: str) -> ExperimentSpec:
    """Read YAML (or JSON, which is YAML) into a spec; raises ``SpecError`` with line and column of a syntax error."""
    if len(text.encode()) > MAX_SPEC_BYTES:
        raise SpecError([FieldError(path="", message=f"the spec is larger than {MAX_SPEC_BYTES // 1024} KiB")])
    try:
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SpecError([FieldError(path="", message=f"this is not valid YAML{where}: {error.problem}")]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError([FieldError(path="", message="this is not valid YAML")]) from error
    if not isinstance(value, dict):
        raise SpecError([FieldError(path="", message="a spec is a mapping, for example: method: {name: mae}")])
    return parse_spec(value)


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


def _field_errors(detail: Any) -> list[FieldError]:
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, ValidationError):  # a block looked up by name reports its own fields
        slug = next(method.slug for method in all_methods() if method.Spec.__name__ == cause.title)
        return [
            FieldError(
                path=f"method.{field_path(inner['loc'], method_schema(slug))}".rstrip("."), message=_sentence(inner)
            )
            for inner in cause.errors()
        ]
    return [FieldError(path=field_path(detail["loc"], experiment_schema()), message=_sentence(detail))]


def _sentence(detail: Any) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    kind = detail["type"]
    if kind == "extra_forbidden":
        return "this field is not known here; check its spelling"
    if kind == "missing":
        return "this field is required"
    value = detail.get("input")
    if isinstance(value, str | int | float | bool) and kind != "value_error":
        return f"{message} (you wrote {value!r})"
    return message
