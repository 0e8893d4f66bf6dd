"""The list of runs as rows of cells, each cell already in words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from django.utils import timezone

from webapp.compare.columns import Column
from webapp.compare.headlines import Change, change, headline_of, value_words
from webapp.compare.listing import Group
from webapp.compare.values import value_of
from webapp.experiments.models import Run
from webapp.pages.tags import duration
from webapp.telemetry.summary import digests


@dataclass(frozen=True, kw_only=True)
class Cell:
    """``Cell(column=..., words="79.1%", note="41.0% →", value=0.791)``; what is no text the template draws from the run."""

    column: Column
    words: str = ""
    note: str = ""
    """In small type before the words."""
    title: str = ""
    value: float | None = None
    metric: str = ""
    change: Change | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    run: Run
    cells: tuple[Cell, ...]
    is_base: bool


@dataclass(frozen=True, kw_only=True)
class GroupRow:
    """An experiment above its runs; its figures are means over them."""

    group: Group
    cells: tuple[Cell, ...]
    rows: tuple[Row, ...]


class Table:
    """Makes rows for runs; the baseline's values are read together with theirs."""

    def __init__(self, columns: Sequence[Column], runs: Sequence[Run], base: Run | None = None) -> None:
        self.columns, self.base = columns, base
        ids = [run.pk for run in (*runs, *([base] if base else []))]
        self.digests = digests(ids) if any(each.metric for each in columns) else {}
        self.base_cells = {each.key: self._cell(each, base) for each in columns} if base else {}

    def row(self, run: Run) -> Row:
        cells = tuple(self._compared(self._cell(each, run)) for each in self.columns)
        return Row(run=run, cells=cells, is_base=self.base is not None and run.pk == self.base.pk)

    def group_row(self, group: Group) -> GroupRow:
        rows = tuple(self.row(run) for run in group.runs)
        cells = tuple(self._of_group(place, each, group, rows) for place, each in enumerate(self.columns))
        return GroupRow(group=group, cells=cells, rows=rows)

    def _compared(self, cell: Cell) -> Cell:
        base = self.base_cells.get(cell.column.key)
        if base is None or base.metric != cell.metric or not cell.column.is_compared:
            return cell
        return Cell(**{**cell.__dict__, "change": change(cell.metric, cell.value, base.value)})

    def _cell(self, column: Column, run: Run) -> Cell:
        if column.metric:
            value = value_of(self.digests.get(run.pk, {}).get(column.metric), column.metric, column.how)
            return Cell(column=column, words=value_words(column.metric, value), value=value, metric=column.metric)
        if column.key == "headline":
            return _headline(column, run)
        words, title = _WORDS[column.key](run) if column.key in _WORDS else ("", "")
        return Cell(column=column, words=words, title=title)

    def _of_group(self, place: int, column: Column, group: Group, rows: Sequence[Row]) -> Cell:
        """Means with their spread for figures, nothing for what differs from run to run."""
        if column.key == "method":
            return Cell(column=column, words=group.experiment.method)
        if column.key == "state":
            counts = Counter(str(run.get_status_display()).lower() for run in group.runs)
            return Cell(column=column, words=", ".join(f"{count} {state}" for state, count in counts.most_common()))
        if not column.is_compared:
            return Cell(column=column)
        cells = [row.cells[place] for row in rows]
        metric = next((cell.metric for cell in cells), column.metric)
        values = [cell.value for cell in cells if cell.value is not None]
        if not values:
            return Cell(column=column, words="–")
        spread = f"± {value_words(metric, stdev(values))}" if len(values) > 1 else ""
        words = f"{value_words(metric, fmean(values))} {spread}".strip()
        title = f"Mean of {len(values)} runs and their standard deviation" if spread else "One run"
        return self._compared(Cell(column=column, words=words, title=title, value=fmean(values), metric=metric))


def _headline(column: Column, run: Run) -> Cell:
    about = headline_of(run.experiment.method)
    if not run.headline:
        return Cell(column=column, words="–", title=about.title, metric=about.metric)
    first, last = run.headline[0][1], run.headline[-1][1]
    note = f"{value_words(about.metric, first)} → " if len(run.headline) > 1 else ""
    return Cell(
        column=column,
        words=value_words(about.metric, last),
        note=note,
        title=about.title,
        value=last,
        metric=about.metric,
    )


def _took(run: Run) -> tuple[str, str]:
    if run.started_at is None:
        return "–", ""
    return duration(((run.finished_at or timezone.now()) - run.started_at).total_seconds()), ""


_WORDS: dict[str, Any] = {
    "method": lambda run: (run.experiment.method, ""),
    "seed": lambda run: (str(run.seed), ""),
    "step": lambda run: (f"{run.last_step:,} / {run.total_steps:,}", ""),
    "duration": _took,
    "by": lambda run: (str(run.created_by or "someone who left"), ""),
    "gpus": lambda run: (str(run.num_gpus * run.num_hosts) if run.num_gpus else "CPU", ""),
    "tags": lambda run: (", ".join(run.tags) or "–", ""),
}
