"""What happened at a step beside the numbers: marks on every time axis of the run page."""

from typing import Any

from django.db.models import Min

from training_core.spec.events import EventKind
from webapp.experiments.models import Run
from webapp.telemetry.models import Event

CHANGE = "change"
OVERRULE = "overrule"
MARKED = (EventKind.CHECKPOINT, CHANGE)
"""Kinds of events that are marks of their own."""


def marks(run: Run) -> list[dict[str, Any]]:
    """Checkpoints, what people changed, and where a later attempt took over, by step: ``{"step": 10, "kind": "checkpoint",
    "text": "Checkpoint"}``; kinds are checkpoint, change, override and restart."""
    rows = Event.objects.filter(run=run, kind__in=MARKED).order_by("seq").values_list("kind", "step", "data")
    found = [event_mark(kind, step, data) for kind, step, data in rows]
    return sorted([*filter(None, found), *_restarts(run)], key=lambda mark: mark["step"])


def event_mark(kind: str, step: int, data: dict[str, Any]) -> dict[str, Any] | None:
    """The mark an event makes, or None where nothing came of it."""
    if kind == EventKind.CHECKPOINT:
        return {"step": step, "kind": "checkpoint", "text": "Checkpoint"}
    if kind == CHANGE and data.get("obeyed", True):
        mark = "override" if data.get("command") == OVERRULE else "change"
        text = ": ".join(filter(None, (data.get("by"), data.get("text"))))
        return {"step": step, "kind": mark, "text": text[:300]}
    return None


def _restarts(run: Run) -> list[dict[str, Any]]:
    if run.attempt < 2:
        return []
    starts = Event.objects.filter(run=run).order_by("attempt").values("attempt").annotate(step=Min("step"))
    return [
        {"step": row["step"], "kind": "restart", "text": f"Attempt {row['attempt']} went on"}
        for row in list(starts)[1:]
    ]
