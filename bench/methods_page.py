"""Writes ``docs/methods/README.md``: every method, and what was measured of it, from the stored results."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.claims import Claim
from training_core.methods.base import SelfPlay
from training_core.methods.registry import all_methods, find_method

PAGE = Path(__file__).resolve().parent.parent / "docs" / "methods" / "README.md"
Record = dict[str, Any]
_HEAD = """# Methods
`python -m bench.methods` writes this page from its results; `--draw` does it without measuring anew.

"""
_MEASURED = """
## Measured on the starter
First and last evaluation of a run, for each seed. The first row of a block is the preset itself; rows with a dash change what they say and
are there to compare. CPU-seconds are the mean of a run with one thread, teaching of the starter not counted.

| method | measured | before and after | CPU-s |
| --- | --- | --- | --- |
"""


def write(claims: Sequence[Claim], stored: Callable[[Claim], Sequence[Record]]) -> None:
    rows = [row for claim in claims for row in measured_rows(claim, stored(claim))]
    PAGE.write_text(_HEAD + _methods(all_methods()) + _MEASURED + "".join(rows), encoding="utf-8")


def _methods(methods: Iterable[type[SelfPlay]]) -> str:
    rows = [f"| [{method.title}]({method.slug}.md) | {method.summary} | {_paper(method)} |\n" for method in methods]
    return "| method | in short | paper |\n| --- | --- | --- |\n" + "".join(rows)


def _paper(method: type[SelfPlay]) -> str:
    paper = method.paper
    return f"[{paper.year}](https://arxiv.org/abs/{paper.arxiv})" if paper else "–"


def measured_rows(claim: Claim, records: Sequence[Record]) -> list[str]:
    """A line of the table for every arm that was measured, the method itself first."""
    rows = []
    for place, arm in enumerate(claim.arms):
        curves = [record for record in records if record["arm"] == arm.name and record["curves"].get(claim.metric)]
        if not curves:
            continue
        title = f"[{find_method(claim.method).title}]({claim.method}.md)" if place == 0 else f"– {arm.name}"
        metric = _title_of(claim) if place == 0 else ""
        moves = ", ".join(_move(record["curves"][claim.metric]) for record in curves)
        spent = sum(record["cpu_s"] for record in curves) / len(curves)
        rows.append(f"| {title} | {metric} | {moves} | {spent:.0f} |\n")
    return rows


def _title_of(claim: Claim) -> str:
    """What the metric is called in the charts of its method, and the preset where it is not the usual one."""
    charts = find_method(claim.method).charts
    names = ((chart.title, label) for chart in charts for metric, label in chart.series if metric == claim.metric)
    title, label = next(names, (claim.metric, ""))
    words = f"{title}: {label}" if label else title
    return words if claim.preset == "starter" else f"{words} (preset *{claim.preset}*)"


def _move(points: Sequence[Sequence[float]]) -> str:
    return f"{points[0][2]:.3f} → {points[-1][2]:.3f}"
