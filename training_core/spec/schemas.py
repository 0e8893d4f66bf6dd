"""Reads the JSON schemas of specs: references, variants of a union, and the way an error's location takes through them."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from training_core.methods.registry import find_method
from training_core.spec.experiment import ExperimentSpec

Schema = dict[str, Any]


@cache
def method_schema(slug: str) -> Schema:
    """The schema of the method's knobs."""
    return find_method(slug).Spec.model_json_schema()


@cache
def experiment_schema() -> Schema:
    """The schema of an experiment; its ``method`` is described by ``method_schema``."""
    return ExperimentSpec.model_json_schema()


def resolve(schema: Schema, root: Schema) -> Schema:
    """Follow ``$ref``; what stands beside the reference (help, group, default) wins over what it points at."""
    if "$ref" not in schema:
        return schema
    target: Schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def without_null(schema: Schema, root: Schema) -> tuple[Schema, bool]:
    """Take ``None`` out of a union: the rest, and whether ``None`` was allowed."""
    branches = schema.get("anyOf")
    if branches is None:
        return schema, False
    kept = [branch for branch in branches if branch.get("type") != "null"]
    outside = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(kept) != 1:
        return {**outside, "oneOf": kept}, len(kept) < len(branches)
    return {**resolve(kept[0], root), **outside}, len(kept) < len(branches)


def variants(schema: Schema, root: Schema) -> dict[str, Schema]:
    """The members of a tagged union by tag; empty for anything else."""
    mapping = schema.get("discriminator", {}).get("mapping", {})
    return {tag: resolve({"$ref": reference}, root) for tag, reference in mapping.items()}


def field_path(location: Sequence[int | str], root: Schema) -> str:
    """Write an error's location as a person writes the field: the tags that pydantic adds inside unions are left out."""
    parts: list[str] = []
    schema: Schema | None = root
    for part in location:
        if schema is not None:
            schema = without_null(resolve(schema, root), root)[0]
            members = variants(schema, root)
            if part in members:
                schema = members[str(part)]
                continue
            schema = schema.get("properties", {}).get(part)
        parts.append(str(part))
    return ".".join(parts)
