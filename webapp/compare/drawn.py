"""What the Compare page draws, as a file: the same lines at the same places, a row for each place."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from webapp.compare.lines import Line
from webapp.experiments.models import Run
from webapp.exports.lines import csv_lines
from webapp.exports.parquet import parquet
from webapp.exports.services import Export

COLUMNS = {"metric": str, "line": str, "runs": str, "x": float, "value": float, "low": float, "high": float}
"""``x`` counts what the page's axis does; a line of several runs is their mean with a standard deviation to either side."""
FORMS = ("csv", "parquet")


def drawn_export(lines: Mapping[str, Sequence[Line]], runs: Sequence[Run], *, axis: str, form: str) -> Export:
    """The file; raises ``ValueError`` for a format there is not."""
    names = {str(run.pk): f"{run.experiment.name} #{run.number}" for run in runs}
    rows = _rows(lines, names)
    columns = {axis if name == "x" else name: kind for name, kind in COLUMNS.items()}
    match form:
        case "csv":
            return Export(name="compared.csv", content_type="text/csv; charset=utf-8", parts=csv_lines(columns, rows))
        case "parquet":
            return Export(
                name="compared.parquet", content_type="application/octet-stream", parts=parquet(columns, rows)
            )
    raise ValueError(f"What is compared is written as {' or '.join(FORMS)}, not as {form}.")


def _rows(lines: Mapping[str, Sequence[Line]], names: Mapping[str, str]) -> Iterator[tuple[Any, ...]]:
    for metric, of_metric in lines.items():
        for line in of_metric:
            runs = line.key.split(",")
            title = ", ".join(names[run] for run in runs)
            for place in range(len(line.x)):
                numbers = (line.x, line.y, line.low, line.high)
                yield metric, title, " ".join(runs), *(float(each[place]) for each in numbers)


def runs_named(singles: Sequence[UUID], arms: Mapping[str, Sequence[UUID]]) -> list[UUID]:
    """Every run that is drawn, once."""
    return list(dict.fromkeys([*singles, *(run for same in arms.values() for run in same)]))
