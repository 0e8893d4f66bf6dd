"""The tab from which people steer a run: its live knobs, its pool of questions, and what became of every order."""

from dataclasses import dataclass
from typing import Any

from training_core.spec.forms import FieldKind, FormField, rounded
from training_core.spec.live import live_fields, value_at
from webapp.experiments.choices import RunStatus
from webapp.experiments.models import Run
from webapp.orders.models import OrderKind, RunOrder
from webapp.orders.selectors import effective_spec, keeps_pool, orders_of, why_no_corrections

MAX_ORDERS = 100


@dataclass(frozen=True, kw_only=True)
class Knob:
    """A live field as it stands: ``Knob(field=..., text="0.001", began="1e-06", asked="")``."""

    field: FormField
    text: str
    began: str
    """What the run began with, where that was something else."""
    asked: str
    """What somebody asked for and the run has not come to yet."""

    @property
    def html_id(self) -> str:
        return "knob-" + self.field.path.replace(".", "-")

    @property
    def is_on(self) -> bool:
        return self.text == "on"


def steering(run: Run, *, error: str = "") -> dict[str, Any]:
    """What the tab's template reads."""
    orders = list(orders_of(run)[:MAX_ORDERS])
    is_over = run.is_terminal or run.status == RunStatus.CANCELLING
    return {
        "knobs": _by_group(_knobs(run, orders)),
        "orders": orders,
        "keeps_pool": keeps_pool(run.spec["method"]["name"]),
        "no_corrections": why_no_corrections(run.spec),
        "window": run.spec.get("learner", {}).get("overrule_window", 0),
        "is_over": is_over,
        "steer_error": error,
    }


def read_value(run: Run, path: str, text: str) -> Any:
    """What a person wrote for a live field, as the spec's validation reads it; an empty optional field is None."""
    found = next((field for field in live_fields(run.spec) if field.path == path), None)
    if found is None:
        return text
    if found.kind is FieldKind.SWITCH:
        return text == "on"
    if not text.strip() and found.optional:
        return None
    try:
        return int(text) if found.kind is FieldKind.INTEGER else float(text) if found.kind is FieldKind.NUMBER else text
    except ValueError:
        return text


def _knobs(run: Run, orders: list[RunOrder]) -> list[Knob]:
    now = effective_spec(run)
    asked = {
        order.payload["path"]: _text(order.payload["value"])
        for order in reversed(orders)
        if order.kind == OrderKind.KNOB and order.is_waiting
    }
    knobs = []
    for field in live_fields(run.spec):
        text, began = _text(value_at(now, field.path)), _text(value_at(run.spec, field.path))
        knobs.append(
            Knob(field=field, text=text, began="" if began == text else began, asked=asked.get(field.path, ""))
        )
    return knobs


def _by_group(knobs: list[Knob]) -> dict[str, list[Knob]]:
    """The method's own knobs by the heading of its form, the rest by the block they belong to."""
    grouped: dict[str, list[Knob]] = {}
    for knob in knobs:
        block = knob.field.path.split(".")[-2].replace("_", " ").capitalize()
        grouped.setdefault(knob.field.group or block, []).append(knob)
    return grouped


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "on" if value else "off"
        case float():
            return rounded(value)
        case _:
            return str(value)
