"""One experiment as several runs: seeds, and up to three knobs that take several values."""

import copy
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from training_core.spec.experiment import ExperimentSpec
from training_core.spec.forms import FieldKind, find_field, value_at
from training_core.spec.io import FieldError, SpecError, dump_dict, parse_spec

MAX_RUNS = 64
MAX_KNOBS = 3
MAX_SEED = 2**31 - 1
_RANGE = re.compile(r"(\d+)\s*(?:-|\.\.|to)\s*(\d+)")
_FIXED = {
    "seed": "give several seeds instead",
    "name": "it names all runs",
    "method.name": "compose one experiment per method",
}


@dataclass(frozen=True, kw_only=True)
class Knob:
    """A field that takes several values: ``Knob(path="method.optimizer.lr", values=(0.001, 0.0003))``."""

    path: str
    values: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """``PlannedRun(seed=1, overrides={"method.optimizer.lr": 0.001}, spec=...)``; the spec has both in it."""

    seed: int
    overrides: dict[str, Any]
    spec: ExperimentSpec


def plan_runs(
    spec: ExperimentSpec, *, seeds: Sequence[int] = (), knobs: Sequence[Knob] = (), paired: bool = False
) -> tuple[PlannedRun, ...]:
    """Every combination of the knobs' values with every seed; ``paired`` takes the first values together, then the second ones.

    Without seeds the spec's own is the only one. Raises ``SpecError`` for what cannot be, before anything is created.
    """
    _check(seeds, knobs, paired=paired)
    seeds = tuple(seeds) or (spec.seed,)
    columns = [[(knob.path, value) for value in knob.values] for knob in knobs]
    rows = list(zip(*columns, strict=True)) if paired and columns else list(itertools.product(*columns))
    if len(rows) * len(seeds) > MAX_RUNS:
        raise _error(
            "sweep",
            f"this makes {len(rows) * len(seeds)} runs; one experiment has at most {MAX_RUNS}, so leave values or seeds out",
        )
    changed = [with_overrides(spec, dict(row)) for row in rows]
    return tuple(
        PlannedRun(seed=seed, overrides=_as_resolved(each, row), spec=each.model_copy(update={"seed": seed}))
        for each, row in zip(changed, rows, strict=True)
        for seed in seeds
    )


def with_overrides(spec: ExperimentSpec, overrides: Mapping[str, Any]) -> ExperimentSpec:
    """The spec with some fields changed by their paths. Raises ``SpecError``, whose messages name the values."""
    mapping = copy.deepcopy(dump_dict(spec))
    for path, value in overrides.items():
        _put(mapping, path, value)
    try:
        return parse_spec(mapping)
    except SpecError as error:
        values = ", ".join(f"{path} = {value}" for path, value in overrides.items())
        raise SpecError(
            [FieldError(path=e.path, message=f"with {values}: {e.message}") for e in error.errors]
        ) from error


def _as_resolved(spec: ExperimentSpec, row: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The overrides as the spec reads them: "1e-3" is the number 0.001."""
    resolved = dump_dict(spec)
    return {path: value_at(resolved, path, value) for path, value in row}


def read_seeds(text: str, *, first: int) -> tuple[int, ...]:
    """``"3"`` is three seeds from ``first`` on, ``"1, 5, 9"`` these, ``"1-5"`` all from 1 to 5; empty is none. Raises ``SpecError``."""
    text = text.strip()
    if not text:
        return ()
    if text.isdecimal():
        return tuple(range(first, first + _whole(text, most=MAX_RUNS)))
    if between := _RANGE.fullmatch(text):
        low, high = _whole(between[1]), _whole(between[2])
        if not low <= high < low + MAX_RUNS:
            raise _error("seeds", f"{text} is no range of 1 to {MAX_RUNS} seeds")
        return tuple(range(low, high + 1))
    return tuple(_whole(part) for part in text.rstrip(", ").split(","))


def read_values(text: str, *, path: str) -> tuple[Any, ...]:
    """``"1e-3, 3e-4"`` as two values; each is read as YAML. Raises ``SpecError``."""
    try:
        values = yaml.safe_load(f"[{text}]")
    except yaml.YAMLError as error:
        raise _error(path, f"{text!r} is no list of values with commas between them") from error
    return tuple(values)


def _whole(text: str, *, most: int = MAX_SEED) -> int:
    text = text.strip()
    if not text.isdecimal() or int(text) > most:
        raise _error(
            "seeds", f"write how many seeds, or the seeds themselves, such as 3 or 1, 5, 9 or 1-5 (you wrote {text!r})"
        )
    return int(text)


def _check(seeds: Sequence[int], knobs: Sequence[Knob], *, paired: bool) -> None:
    if len(set(seeds)) < len(seeds):
        raise _error("seeds", "a seed stands twice in the list; equal seeds give equal runs")
    if len(knobs) > MAX_KNOBS:
        raise _error("sweep", f"a sweep turns at most {MAX_KNOBS} knobs, not {len(knobs)}")
    paths = [knob.path for knob in knobs]
    for knob in knobs:
        if knob.path in _FIXED:
            raise _error(knob.path, f"this cannot be swept; {_FIXED[knob.path]}")
        if paths.count(knob.path) > 1:
            raise _error(knob.path, "this knob stands twice in the sweep")
        if not knob.values:
            raise _error(knob.path, "give at least one value")
    lengths = {len(knob.values) for knob in knobs}
    if paired and len(lengths) > 1:
        raise _error("sweep", "values that go together must be as many for every knob")


def _put(mapping: dict[str, Any], path: str, value: Any) -> None:
    """Set one field; naming another variant of a block drops the fields of the old one."""
    *parents, last = path.split(".")
    union = find_field(mapping["method"]["name"], ".".join(parents)) if parents else None
    at = mapping
    for depth, parent in enumerate(parents):
        inner = at.get(parent)
        swaps = depth == len(parents) - 1 and union is not None and union.kind is FieldKind.UNION and union.tag == last
        if not isinstance(inner, dict) or (swaps and inner.get(last) != value):
            inner = at[parent] = {}
        at = inner
    at[last] = value


def _error(path: str, message: str) -> SpecError:
    return SpecError([FieldError(path=path, message=message)])
