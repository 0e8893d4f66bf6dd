"""The passport of a run: everything that decided what came out, on one page under one hash.

The hash is the sha256 of the content as canonical JSON (sorted keys, no spaces), so whoever holds the JSON can check it. Of a run that
has not ended it is provisional, and says so.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from training_core.spec.events import EventKind
from training_core.spec.rubrics import named_in
from webapp.experiments.choices import RunStatus
from webapp.experiments.models import Run
from webapp.orders.models import RunOrder
from webapp.telemetry.lens import lens_of
from webapp.telemetry.models import Event

FORMAT = "kumite-passport/1"
_NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Passport:
    """``Passport(content={"run": "…", "spec": {...}, ...}, is_final=True)``."""

    content: Mapping[str, Any]
    is_final: bool

    @property
    def digest(self) -> str:
        return hashlib.sha256(canonical(self.content)).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """What is handed out: the content, its hash and how the hash is made."""
        return {
            "format": FORMAT,
            "sha256": self.digest,
            "of": "content, as JSON with sorted keys and separators ',' and ':', UTF-8",
            "final": self.is_final,
            "content": dict(self.content),
        }

    @property
    def sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """The content in words, by heading."""
        content = self.content
        return [
            ("What it was", _facts(content["identity"])),
            ("Carried out by", _facts(content["machine"]) or [("Machine", "this run did not tell")]),
            ("Settings", [(key.capitalize(), _yaml(value)) for key, value in content["settings"].items()]),
            ("People", _people(content["orders"])),
            ("Outcome", _facts(content["outcome"])),
            ("Checkpoints", [(f"Step {c['step']}", c["digest"]) for c in content["checkpoints"]] or [("Kept", _NONE)]),
        ]


def canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def passport_of(run: Run) -> Passport:
    """The passport as the database knows the run now."""
    content = {
        "identity": _identity(run),
        "machine": _machine(run),
        "settings": _settings(run.spec),
        "spec": run.spec,
        "orders": [_order(order) for order in RunOrder.objects.filter(run=run).select_related("by").order_by("number")],
        "outcome": _outcome(run),
        "checkpoints": _checkpoints(run),
    }
    return Passport(content=content, is_final=run.is_terminal)


def _identity(run: Run) -> dict[str, str]:
    experiment, spec = run.experiment, run.spec
    version = experiment.template_version
    parent = experiment.parent
    begun = f"{parent.pk}" if parent else _NONE
    if parent and experiment.fork_step is not None:
        begun += f", checkpoint of step {experiment.fork_step}"
    return {
        "run": str(run.pk),
        "name": f"{experiment.name}, run {run.number}",
        "method": f"{lens_of(run).title} ({experiment.method})",
        "seed": str(spec["seed"]),
        "model": str(spec["model"]["source"]),
        "task": str(spec["task"]["kind"]),
        "template": f"{version.template.name}, version {version.number}" if version else _NONE,
        "grown from": begun,
        "started by": str(run.created_by or "someone who left"),
        "created": run.created_at.isoformat(timespec="seconds"),
    }


def _machine(run: Run) -> list[dict[str, str]] | dict[str, str]:
    """What each process of the run told of itself, newest last; equal ones once."""
    told = Event.objects.filter(run=run, kind=EventKind.LOG, data__has_key="facts").order_by("seq")
    found: list[dict[str, str]] = []
    for facts in told.values_list("data__facts", flat=True)[:50]:
        if facts and facts not in found:
            found.append(facts)
    return found[0] if len(found) == 1 else found


def _settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of the spec a reader asks for first; the whole of it stands beside."""
    judge = spec["method"].get("judge")
    words = dict(named_in(spec["method"]))
    return {
        "task": spec["task"],
        "model": spec["model"],
        **({"judge": judge} if judge else {}),
        **({"rubrics": words} if words else {}),
        "steps": spec["steps"],
    }


def _order(order: RunOrder) -> dict[str, Any]:
    return {
        "kind": order.kind,
        "what": order.payload,
        "by": str(order.by) if order.by else "someone who left",
        "at": order.at.isoformat(timespec="seconds"),
        "obeyed": order.is_obeyed,
    }


def _outcome(run: Run) -> dict[str, str]:
    headline = lens_of(run).headline
    points = run.headline
    spent = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None
    return {
        "state": str(RunStatus(run.status).label),
        "steps": f"{run.last_step} of {run.total_steps}",
        "events": str(run.last_seq),
        "attempts": str(run.attempt),
        "headline": f"{headline}: {points[0][1]:.4g} to {points[-1][1]:.4g}" if points else _NONE,
        "wall time": f"{spent:.0f} s" if spent is not None else "not ended",
        "energy": "not measured",
    }


def _checkpoints(run: Run) -> list[dict[str, Any]]:
    rows = Event.objects.filter(run=run, kind=EventKind.CHECKPOINT).order_by("seq")
    newest = {step: data["digest"] for step, data in rows.values_list("step", "data")}
    return [{"step": step, "digest": digest} for step, digest in newest.items()]


def _facts(values: Any) -> list[tuple[str, str]]:
    if isinstance(values, list):
        return [
            (f"{name.capitalize()} ({place})", str(value))
            for place, each in enumerate(values, start=1)
            for name, value in each.items()
        ]
    return [(name.capitalize(), str(value)) for name, value in values.items()]


def _people(orders: list[dict[str, Any]]) -> list[tuple[str, str]]:
    if not orders:
        return [("Orders", "nobody changed anything while it ran")]
    return [
        (
            f"{order['kind'].capitalize()} by {order['by']}",
            f"{_yaml(order['what'])} ({'obeyed' if order['obeyed'] else 'not obeyed'})",
        )
        for order in orders
    ]


def _yaml(value: Any) -> str:
    return (
        yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
        .strip()
        .removesuffix("...")
        .strip()
    )
