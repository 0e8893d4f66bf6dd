"""Where a run stands, for the page and the socket alike; nothing in it depends on who looks."""

from typing import Any

from django.utils import timezone

from training_core.spec.events import EventKind
from webapp.experiments.choices import HELD, TERMINAL, RunStatus
from webapp.experiments.contact import lost_since
from webapp.experiments.failures import explain
from webapp.experiments.models import EXTERNAL, Run
from webapp.experiments.selectors import waiting_reason
from webapp.pages.tags import duration
from webapp.telemetry.models import Event

PACE_WINDOW = 40
"""Metric events over which the recent step rate is taken."""

UNSURE = 1.25
"""The time left is told as a range once its ends are further apart than this factor."""

_ACTIONS = {
    RunStatus.QUEUED: ("stop",),
    RunStatus.CLAIMED: ("pause", "stop"),
    RunStatus.STARTING: ("pause", "stop"),
    RunStatus.RUNNING: ("pause", "checkpoint", "stop"),
    RunStatus.PAUSING: ("stop",),
    RunStatus.PAUSED: ("resume", "stop"),
}


def actions_of(run: Run) -> tuple[str, ...]:
    """What an editor may ask of the run now."""
    return () if run.experiment.method == EXTERNAL else _ACTIONS.get(RunStatus(run.status), ())


def run_state(run: Run) -> dict[str, Any]:
    """Status, phase, progress, time left, what may be done now, and a sentence where one is needed."""
    status = RunStatus(run.status)
    points = _recent_points(run) if status == RunStatus.RUNNING else []
    rate = _rate(points)
    left_s = (run.total_steps - run.last_step) / rate if rate and run.total_steps else None
    return {
        "status": str(status),
        "label": str(status.label),
        "version": run.status_version,
        "is_live": status not in TERMINAL and status != RunStatus.PAUSED,
        "is_terminal": status in TERMINAL,
        "phase": run.phase_text if status in HELD else "",
        "phase_fraction": run.phase_fraction if status in HELD else None,
        "step": run.last_step,
        "total_steps": run.total_steps,
        "fraction": min(1.0, run.last_step / run.total_steps) if run.total_steps else 0.0,
        "steps_per_s": round(rate, 4) if rate else None,
        "seconds_left": round(left_s, 1) if left_s is not None else None,
        "progress": f"Step {run.last_step:,}" + (f" of {run.total_steps:,}" if run.total_steps else ""),
        "time": _time_words(run, _lefts(run, points)),
        "stage": stage_of(run),
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "elapsed_s": round(_elapsed_s(run), 1),
        "last_seq": run.last_seq,
        "attempt": run.attempt,
        "max_attempts": run.max_attempts,
        "actions": list(actions_of(run)),
        "failure": explain(run),
        "failure_text": run.failure_text,
        "waiting": waiting_reason(run),
        "lost_since": lost.isoformat() if (lost := lost_since(run)) else None,
    }


def steps_per_s(run: Run) -> float | None:
    """Steps per second over the last steps of this attempt, or None before there are two."""
    return _rate(_recent_points(run))


def stage_of(run: Run) -> str:
    """Where the run is on its way: queued, preparing, playing its first step, learning, done."""
    if run.is_terminal:
        return "done"
    if run.last_step > 0:
        return "learning"
    status = RunStatus(run.status)
    if status in (RunStatus.RUNNING, RunStatus.PAUSING, RunStatus.CANCELLING):
        return "playing"
    return "preparing" if status == RunStatus.STARTING else "queued"


def _recent_points(run: Run) -> list[tuple[int, float]]:
    """Step and time of the last metric events of this attempt, newest first."""
    rows = Event.objects.filter(run=run, kind=EventKind.METRIC, attempt=run.attempt).order_by("-seq")
    return list(rows.values_list("step", "t")[:PACE_WINDOW])


def _rate(points: list[tuple[int, float]]) -> float | None:
    if len(points) < 2:
        return None
    (last_step, last_t), (first_step, first_t) = points[0], points[-1]
    return (last_step - first_step) / (last_t - first_t) if last_step > first_step and last_t > first_t else None


def _lefts(run: Run, points: list[tuple[int, float]]) -> list[float]:
    """Seconds left at the pace of all recent steps and at that of the newest quarter: how far apart they are says how sure it is."""
    if not run.total_steps:  # of a run elsewhere nobody knows how long it will be
        return []
    rates = (_rate(points), _rate(points[: max(2, PACE_WINDOW // 4)]))
    return sorted((run.total_steps - run.last_step) / rate for rate in rates if rate)


def _time_words(run: Run, lefts: list[float]) -> str:
    if run.started_at is None:
        return ""
    so_far = duration(_elapsed_s(run))
    if run.is_terminal:
        return f"took {so_far}"
    if not lefts or not lefts[-1]:
        return f"{so_far} so far"
    soonest, latest = duration(lefts[0]), duration(lefts[-1])
    is_sure = lefts[-1] <= UNSURE * lefts[0] or soonest == latest
    return f"about {latest} left, {so_far} so far" if is_sure else f"{soonest} to {latest} left, {so_far} so far"


def _elapsed_s(run: Run) -> float:
    if run.started_at is None:
        return 0.0
    return ((run.finished_at or timezone.now()) - run.started_at).total_seconds()
