"""Making what a run wrote safe to store, without losing a line.

Postgres refuses NUL in text and JSON, JSON knows no NaN, and models write anything. Non-finite numbers become null in
the event and leave a gap in the metric; NUL becomes the symbol for it; what cannot be understood becomes a log event
that says so, under the same number, because numbers have no gaps.
"""

import json
import math
import reprlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from training_core.spec import events
from training_core.spec.events import EventKind
from webapp.telemetry.contract import validate
from webapp.telemetry.sample_index import Findings, findings

MAX_NAME = 80
_MAX_INT = 2**63 - 1
_SHOWN = 300
_NUL, _NUL_SYMBOL, _REPLACEMENT = "\0", "\u2400", "\ufffd"
_MODELS: dict[EventKind, type[BaseModel]] = {
    EventKind.STATE: events.StateData,
    EventKind.SAMPLE: events.SampleData,
    EventKind.EVALUATION: events.EvaluationData,
    EventKind.CHECKPOINT: events.CheckpointData,
    EventKind.LOG: events.LogData,
    EventKind.CHANGE: events.ChangeData,
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One event ready for the database; ``json`` is ``data`` as text that Postgres accepts."""

    seq: int
    kind: str
    step: int
    t: float
    data: dict[str, Any]
    json: str
    metrics: dict[str, float] = field(default_factory=dict)
    """Finite values of a metric event."""
    findings: Findings | None = None
    """What the index says about a sample."""


def clean(event: Mapping[str, Any], *, step: int) -> Line:
    """The event as it can be stored; one that does not follow the contract becomes a log event at ``step``."""
    seq = event.get("seq")
    if not isinstance(seq, int) or isinstance(seq, bool) or not 1 <= seq <= _MAX_INT:
        raise ValueError(f"an event needs a seq from 1 on, not {seq!r}")
    try:
        return _clean(seq, event)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        return complaint(seq, step, f"Event {seq} does not follow the contract ({reason}): {reprlib.repr(dict(event))}")


def complaint(seq: int, step: int, text: str) -> Line:
    """A log event in place of a line that could not be used."""
    data = _scrub({"level": "error", "text": text[:_SHOWN]})
    return Line(seq=seq, kind=EventKind.LOG, step=step, t=time.time(), data=data, json=_dumps(data))


def _clean(seq: int, event: Mapping[str, Any]) -> Line:
    kind, step, t, data = EventKind(event["kind"]), event["step"], float(event["t"]), event["data"]
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step <= _MAX_INT:
        raise ValueError(f"step is {step!r}")
    if not math.isfinite(t):
        raise ValueError(f"t is {t!r}")
    if kind is EventKind.METRIC:
        values = _metric_values(data["values"])
        data = {"values": values}
        finite = {name: value for name, value in values.items() if value is not None}
        return Line(seq=seq, kind=kind, step=step, t=t, data=data, json=json.dumps(data), metrics=finite)
    validate(_MODELS[kind], data)
    text = _dumps_or_none(data)
    if text is None:
        data = _scrub(data)
        text = _dumps(data)
    found = findings(data) if kind is EventKind.SAMPLE else None
    return Line(seq=seq, kind=kind, step=step, t=t, data=data, json=text, findings=found)


def _metric_values(values: Any) -> dict[str, float | None]:
    if not isinstance(values, dict):
        raise TypeError(f"values is {values!r}")
    cleaned: dict[str, float | None] = {}
    for name, value in values.items():
        if value is not None and not isinstance(value, int | float):
            raise ValueError(f"{name} is {value!r}")
        key = name if len(name) <= MAX_NAME and name.isascii() and name.isprintable() else safe_text(name)[:MAX_NAME]
        cleaned[key] = _finite(value)
    return cleaned


def _finite(value: float | None) -> float | None:
    try:
        return float(value) if value is not None and math.isfinite(value) else None
    except OverflowError:  # an integer no float can hold
        return None


def _dumps_or_none(data: Any) -> str | None:
    """The JSON text, or None when something in it may have to be replaced first."""
    try:
        text = to_json(data)
    except ValueError:  # halves of surrogate pairs
        return None
    return None if b"\\u0000" in text or b"NaN" in text or b"Infinity" in text else text.decode()


def _dumps(data: Any) -> str:
    return json.dumps(data, allow_nan=False)


def _scrub(value: Any) -> Any:
    match value:
        case str():
            return safe_text(value)
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {safe_text(str(key)): _scrub(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_scrub(inner) for inner in value]
    return value


def safe_text(text: str) -> str:
    """Text that Postgres stores: without NUL and without halves of surrogate pairs."""
    return text.replace(_NUL, _NUL_SYMBOL).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
