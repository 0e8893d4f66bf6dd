"""A spec made small enough to be tried in a minute: the very same method and knobs, on the starter, with few of everything."""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from training_core.methods.base import SelfPlay
from training_core.methods.registry import find_method
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.forms import FieldKind, FormField, form_of, value_at, walk
from training_core.spec.io import SpecError, dump_dict, parse_spec
from training_core.spec.rubrics import rubrics_in

TaughtTasks = Callable[[type[SelfPlay], str], tuple[str, ...]]
"""Kinds of task that the starter of a method is taught, asked with the kind that is wanted."""
_MOST = {
    "sequences": 8,
    "prompts": 4,
    "pairs": 8,
    "problems": 8,
    "questions": 16,
    "items": 16,
    "answers": 16,
    "comparisons": 8,
    "passages": 4,
    "turns": 32,
    "actors": 8,
    "games": 4,
    "moves": 8,
    "texts": 16,
    "updates": 2,
    "rounds": 2,
    "steps": 1,
}
"""The most of each unit in a method's whole-number knobs."""
_MOST_TOKENS = 96
_NUM_ITEMS = 16
_STEPS = (2, 3, 4, 5, 6, 8, 10, 12, 16)
"""Tried one after the other: methods in rounds take only some numbers of steps."""
_NO_GUARDS = {"method.min_judge_auc": 0.0}
"""Limits that a handful of items cannot be held to."""


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """``Rehearsal(spec=..., notes=("on the starter instead of Qwen/Qwen2.5-3B-Instruct",))``"""

    spec: ExperimentSpec
    notes: tuple[str, ...]
    """How it differs from the real thing, beside being small."""


def rehearsal_of(spec: ExperimentSpec, *, taught: TaughtTasks, max_seconds: float) -> Rehearsal:
    """The spec as a rehearsal. Raises ``ValueError`` with the reason where its method cannot be played on the starter."""
    method = find_method(spec.method.name)
    mapping, notes = copy.deepcopy(dump_dict(spec)), []
    mapping |= {
        "start": None,
        "evaluation": {**mapping["evaluation"], "num_items": min(spec.evaluation.num_items, _NUM_ITEMS)},
    }
    mapping["evaluation"]["samples_per_item"] = 1
    mapping["recording"] = {**mapping["recording"], "samples_per_step": 16}
    mapping["resources"] = {"device": "cpu", "threads": 1, "max_hours": max_seconds / 3600}
    mapping["checkpoint"] = {"every": 1000, "keep": 1}
    mapping["engine"] = {"kind": "transformers"}
    mapping["learner"] = {**mapping["learner"], "precision": "float32"}
    if not spec.model.is_starter:
        notes.append(f"on the starter instead of {spec.model.source}")
        mapping["model"] = {"source": "starter", "adapter": mapping["model"]["adapter"]}
        rubrics = [path for path, _ in rubrics_in(spec.method, "method.")]
        for path in rubrics:
            _change(mapping, path, None)
        if rubrics:
            notes.append("with the judge asked as the starter was taught it, not in the words of the rubric")
    if spec.start is not None:
        notes.append("from the starter's own weights instead of the checkpoint")
    first: ValueError | None = None
    for task, note in _tasks(spec, method, taught):
        try:
            small = _first_valid(method.slug, {**mapping, "task": task})
        except ValueError as error:
            first = first or error
        else:
            return Rehearsal(spec=small, notes=(*notes, *note))
    raise first or ValueError(
        f"The starter was taught no task that {method.title} plays on, so there is nothing to rehearse on."
    )


def _tasks(
    spec: ExperimentSpec, method: type[SelfPlay], taught: TaughtTasks
) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """The tasks to try, the spec's own first, each with what is to be said of it."""
    own = spec.task.kind
    if own in taught(method, own):
        yield spec.task.model_dump(mode="json"), ()
        yield {"kind": own}, (f"on {_plain(own)} as the starter was taught it",)
    for kind in method.tasks:
        if kind != own and kind in taught(method, kind):
            yield {"kind": kind}, (f"on {_plain(kind)} instead of {_plain(own)}, which the starter was not taught",)


def _plain(kind: str) -> str:
    return "a JSONL file" if kind == "jsonl" else kind.replace("_", " ")


def _first_valid(slug: str, mapping: dict[str, Any]) -> ExperimentSpec:
    """The smallest version that validates: fewer of everything first, then with what may be empty left empty, then as it was."""
    counts = [each for group in form_of(slug) for each in walk(group.fields) if _counts(each)]
    first: SpecError | None = None
    for shrink, steps in itertools.product((_few, _few_or_empty, None), _STEPS):
        tried = copy.deepcopy(mapping)
        for each in counts if shrink else ():
            shrink(each, tried)
        for path, value in _NO_GUARDS.items():
            _change(tried, path, value)
        tried["steps"] = tried["evaluation"]["every"] = steps
        try:
            return parse_spec(tried)
        except SpecError as error:
            first = first or error
    assert first is not None
    raise ValueError(f"This form cannot be rehearsed on the starter: {first.errors[0].message}.") from first


def _counts(each: FormField) -> bool:
    return each.path.startswith("method.") and each.kind is FieldKind.INTEGER and _limit(each) is not None


def _limit(each: FormField) -> int | None:
    if each.unit == "tokens":
        return _MOST_TOKENS if each.path.endswith(("max_tokens", "judge_tokens", "refine_tokens")) else None
    return _MOST.get(each.unit)


def _few(each: FormField, mapping: dict[str, Any]) -> None:
    value, limit = value_at(mapping, each.path), _limit(each)
    if isinstance(value, int) and limit is not None:
        _change(mapping, each.path, min(value, max(limit, int(each.minimum or 0))))


def _few_or_empty(each: FormField, mapping: dict[str, Any]) -> None:
    if each.optional and value_at(mapping, each.path) is not None:
        _change(mapping, each.path, None)
    else:
        _few(each, mapping)


def _change(mapping: dict[str, Any], path: str, value: Any) -> None:
    """Set a field that is there; others stay away."""
    *parents, last = path.split(".")
    at: Any = mapping
    for parent in parents:
        at = at.get(parent) if isinstance(at, Mapping) else None
    if isinstance(at, dict) and last in at:
        at[last] = value
