"""Whether an event follows the contract, found out quickly for those that plainly do.

Checking a sample with pydantic builds an object for every turn, which costs more than everything else that storing does with it.
Nearly all events use no more than texts, numbers and truth values in known fields. Those are recognised here, from the same
models; whatever is not so plain is left to pydantic, whose word counts.
"""

import types
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

Check = Callable[[Any], bool]
_PLAIN: dict[Any, frozenset[type]] = {
    str: frozenset({str}),
    float: frozenset({float, int}),
    int: frozenset({int}),
    bool: frozenset({bool}),
    type(None): frozenset({type(None)}),
}
_TEXT = frozenset({str})
_MOST_SHAPES = 2000
"""Combinations of fields and types that are remembered; there are a handful unless somebody makes them up."""


def validate(model: type[BaseModel], data: Any) -> None:
    """Raises ``pydantic.ValidationError`` where the data is not what the model says."""
    if not _plainly_fits(model)(data):
        _adapter(model).validate_python(data)


@cache
def _adapter(model: type[BaseModel]) -> TypeAdapter[Any]:
    return TypeAdapter(model)


@cache
def _plainly_fits(model: type[BaseModel]) -> Check:
    """True only for data that the model accepts; False where pydantic has to look."""
    types_of = {name: plain for name, field in model.model_fields.items() if (plain := _types(field))}
    checks = {name: check for name, field in model.model_fields.items() if (check := _check(field))}
    required = frozenset(name for name, field in model.model_fields.items() if field.is_required())

    known: dict[tuple[tuple[Any, ...], tuple[type, ...]], tuple[tuple[str, Check], ...] | None] = {}

    def rest_of(shape: tuple[tuple[Any, ...], tuple[type, ...]]) -> tuple[tuple[str, Check], ...] | None:
        """What is left to look at in data of this shape; None where it is not plain."""
        names, found = shape
        fields = dict(zip(names, found, strict=True))
        if not required <= fields.keys():
            return None
        if any(kind not in types_of.get(name, ()) for name, kind in fields.items() if name not in checks):
            return None
        return tuple((name, checks[name]) for name in fields if name in checks)

    def fits(data: Any) -> bool:
        if type(data) is not dict:
            return False
        shape = (tuple(data), tuple(map(type, data.values())))
        if shape not in known:
            if len(known) >= _MOST_SHAPES:
                known.clear()
            known[shape] = rest_of(shape)
        rest = known[shape]
        return rest is not None and all(check(data[name]) for name, check in rest)

    return fits


def _types(field: FieldInfo) -> frozenset[type] | None:
    """The types of plain values that a field takes; None for a field with further conditions or parts."""
    return None if field.metadata else _plain_types(field.annotation)


def _plain_types(annotation: Any) -> frozenset[type] | None:
    if get_origin(annotation) in (Union, types.UnionType):
        each = [_plain_types(part) for part in get_args(annotation)]
        return None if None in each else frozenset().union(*(part for part in each if part))
    return _PLAIN.get(annotation)


def _check(field: FieldInfo) -> Check | None:
    """For fields made of others: choices, mappings from text to plain values, lists of models; and counts."""
    origin, parts = get_origin(field.annotation), get_args(field.annotation)
    if field.annotation is int and [type(limit) for limit in field.metadata] == [Ge]:
        lowest = field.metadata[0].ge
        return lambda value: type(value) is int and value >= lowest
    if field.metadata:
        return None
    if origin is Literal:
        choices = frozenset(parts)
        return lambda value: type(value) is str and value in choices
    if origin is dict and parts[0] is str and (plain := _plain_types(parts[1])):
        return lambda value: _maps_to(plain, value)
    if origin is list and isinstance(parts[0], type) and issubclass(parts[0], BaseModel):
        fits = _plainly_fits(parts[0])
        return lambda value: type(value) is list and all(map(fits, value))
    return None


def _maps_to(plain: frozenset[type], value: Any) -> bool:
    return type(value) is dict and set(map(type, value)) <= _TEXT and set(map(type, value.values())) <= plain
