"""The judge against the truth over the steps: shares with intervals, where it errs, and whether a gap has opened."""

import math
from collections.abc import Sequence
from typing import Any

from webapp.experiments.models import Run
from webapp.telemetry.finding import SampleFilter
from webapp.telemetry.selectors import samples
from webapp.telemetry.series import read_run, stacked_lines
from webapp.telemetry.statistics import Z95, Confusion, Interval, onset

CELLS = ("right_accepted", "right_refused", "wrong_accepted", "wrong_refused")
AREAS = {"confusion": "All answers", "confusion_short": "Shorter half", "confusion_long": "Longer half"}
MAX_PLACES = 60
LEAST_ANSWERS = 50
"""Answers that one place of a line stands for, so that its interval says something."""
WINDOW = 20
"""Steps that the table sums up."""
NUM_WORST = 8
_LOOKED_THROUGH = 60


def judge_lines(run: Run) -> dict[str, Any]:
    """What the tab's charts draw: ``{"steps": [...], "accuracy": {"y": [...], "low": [...], "high": [...]}, ..., "audit": {...}}``."""
    steps, tables = _pooled(run)
    lines = {
        name: _line([getattr(table, name)() for table in tables])
        for name in ("accuracy", "kappa", "false_accept", "false_reject")
    }
    return {"steps": steps, **lines, "inflation": _inflation(run), "audit": _audit(run)}


def judge_tables(run: Run, *, at: int | None = None) -> dict[str, Any]:
    """Verdicts of the last steps up to ``at``: the confusion matrix, the rates with intervals by length, and the worst errors."""
    last = run.last_step if at is None else at
    first = max(0, last - WINDOW + 1)
    rows = []
    for area, title in AREAS.items():
        table = _sum(run, area, first=first, last=last)
        if table.total:
            rates = [table.accuracy(), table.kappa(), table.false_accept(), table.false_reject()]
            rows.append({"title": title, "table": table, "total": int(table.total), "rates": rates})
    return {
        "matrix": rows[0]["table"] if rows else None,
        "rows": rows if len(rows) > 1 else rows[:1],
        "first": first,
        "last": last,
        "pull": _mean(run, "judge/length_pull", first=first, last=last),
        "correlation": _mean(run, "judge/length_correlation", first=first, last=last),
        "worst": worst(run, last),
    }


def worst(run: Run, last: int) -> list[dict[str, Any]]:
    """Of the newest samples in which the judge erred, those in which it erred most."""
    rows = samples(run, SampleFilter(show="disagreement", step_to=last), limit=_LOOKED_THROUGH)
    return sorted(rows, key=lambda row: (-row["disagrees"], -row["seq"]))[:NUM_WORST]


def _pooled(run: Run) -> tuple[list[int], list[Confusion]]:
    """The run in stretches of steps, each with enough answers: the last step of each and its verdicts."""
    lines = _lines(run, [f"confusion/{cell}" for cell in CELLS])
    if not lines:
        return [], []
    steps = next(iter(lines.values()))["step"].tolist()
    counts = {cell: [float(value) for value in lines[f"confusion/{cell}"]["total"]] for cell in CELLS}
    per_step = sum(map(sum, counts.values())) / len(steps)
    width = max(math.ceil(len(steps) / MAX_PLACES), math.ceil(LEAST_ANSWERS / max(per_step, 1e-9)))
    starts = range(0, len(steps), min(width, len(steps)))
    tables = [Confusion(**{cell: sum(numbers[at : at + width]) for cell, numbers in counts.items()}) for at in starts]
    return [steps[min(at + width, len(steps)) - 1] for at in starts], tables


def _sum(run: Run, area: str, *, first: int, last: int) -> Confusion:
    lines = _lines(run, [f"{area}/{cell}" for cell in CELLS], first=first, last=last)
    return Confusion(**{cell: float(lines[f"{area}/{cell}"]["total"].sum()) for cell in CELLS if lines})


def _mean(run: Run, name: str, *, first: int, last: int) -> float | None:
    line = _lines(run, [name], first=first, last=last).get(name)
    return None if line is None or not line["count"].sum() else float(line["total"].sum() / line["count"].sum())


def _lines(run: Run, names: Sequence[str], *, first: int | None = None, last: int | None = None) -> dict[str, Any]:
    """The lines that have points, all with the same steps; none where one is missing."""
    found = stacked_lines(read_run(run, names, 2000, x_from=first, x_to=last), names)
    found = {name: line for name, line in found.items() if len(line)}
    lengths = {len(line) for line in found.values()}
    return found if len(found) == len(names) and len(lengths) == 1 else {}


def _line(intervals: Sequence[Interval | None]) -> dict[str, list[float | None]]:
    return {
        "y": [each.value if each else None for each in intervals],
        "low": [each.low if each else None for each in intervals],
        "high": [each.high if each else None for each in intervals],
    }


def _inflation(run: Run) -> dict[str, Any] | None:
    """The judge's mean score less the true share, step by step."""
    lines = _lines(run, ["judge/live_score", "judge/live_truth", "judge/live_gap_sd"])
    answers = _lines(run, [f"confusion/{cell}" for cell in CELLS])
    if not lines or not answers:
        return None
    scores, truths, deviations = (_means(lines[name]) for name in lines)
    numbers = [sum(row) for row in zip(*(answers[name]["total"] for name in answers), strict=True)]
    gaps = [score - truth for score, truth in zip(scores, truths, strict=True)]
    return _gap(next(iter(lines.values()))["step"].tolist(), gaps, deviations, numbers)


def _audit(run: Run) -> dict[str, Any] | None:
    """The judge's mean score less the hidden auditor's, on the same answers."""
    lines = _lines(run, ["audit/gap", "audit/gap_sd", "audit/answers"])
    if not lines:
        return None
    gaps, deviations = _means(lines["audit/gap"]), _means(lines["audit/gap_sd"])
    numbers = [float(value) for value in lines["audit/answers"]["total"]]
    return _gap(lines["audit/gap"]["step"].tolist(), gaps, deviations, numbers)


def _gap(steps: list[int], gaps: list[float], deviations: list[float], numbers: Sequence[float]) -> dict[str, Any]:
    """A gap between its limits, mean -+ 1.96 s / sqrt(n), with the step at which it opened."""
    errors = [sd / math.sqrt(max(float(n), 1.0)) for sd, n in zip(deviations, numbers, strict=True)]
    opened = onset(gaps, errors)
    return {
        "steps": steps,
        "y": gaps,
        "low": [gap - Z95 * error for gap, error in zip(gaps, errors, strict=True)],
        "high": [gap + Z95 * error for gap, error in zip(gaps, errors, strict=True)],
        "onset": opened and {"step": steps[opened.place], "seen_at": steps[opened.seen_at], "before": opened.before},
    }


def _means(line: Any) -> list[float]:
    return [float(total / count) for total, count in zip(line["total"], line["count"], strict=True)]
