"""Forks: what can be gone on from, and what the spec of a fork looks like."""

from typing import Any

from training_core.spec.events import EventKind
from webapp.experiments.models import Run
from webapp.fleet.folders import run_folder
from webapp.orders.selectors import effective_spec
from webapp.telemetry.models import Event


def kept_checkpoints(run: Run) -> list[int]:
    """Steps of the checkpoints a fork can begin from: what lies in the run's folder, or, where it is elsewhere, what was told last."""
    folder = run_folder(run.pk) / "checkpoints"
    if folder.is_dir():
        return sorted(int(path.parent.name.removeprefix("step-")) for path in folder.glob("step-*/manifest.json"))
    told = Event.objects.filter(run=run, kind=EventKind.CHECKPOINT).order_by("seq").values_list("step", flat=True)
    keep = int(run.spec.get("checkpoint", {}).get("keep", 1))
    return sorted(set(told))[-keep:]


def forked(parent: Run, step: int) -> dict[str, Any]:
    """The parent's spec as it was in force at a step, going on from there; a run that was over goes on for as long again."""
    spec = effective_spec(parent, up_to_step=step)
    steps = int(spec["steps"])
    steps = steps if step < steps else step + steps
    return {**spec, "steps": steps, "start": {"run": str(parent.pk), "step": step, "what": "everything"}}
