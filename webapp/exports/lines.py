"""CSV and JSON lines."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from training_core.spec.events import EventKind
from webapp.experiments.models import Run
from webapp.exports.rows import SAMPLE_COLUMNS, Row, rows_of, sample_rows
from webapp.telemetry.finding import SampleFilter
from webapp.telemetry.series import metric_names

_HEAD = ("run", "seq", "step", "t")


def metrics_csv(runs: Sequence[Run]) -> Iterator[bytes]:
    """A line for each metric event, a column for each metric; empty where an event has no value of it."""
    names = sorted({name for run in runs for name in metric_names(run)})
    yield from _csv([(*_HEAD, *names)])
    yield from _csv(_wide(row, names) for row in rows_of(runs, EventKind.METRIC))


def samples_csv(runs: Sequence[Run], wanted: SampleFilter | None = None) -> Iterator[bytes]:
    yield from _csv([tuple(SAMPLE_COLUMNS)])
    yield from _csv(sample_rows(runs, wanted))


def metrics_jsonl(runs: Sequence[Run]) -> Iterator[bytes]:
    """``{"run": ..., "seq": 1, "step": 1, "t": ..., "values": {"loss/total": 0.25}}``"""
    return _jsonl(rows_of(runs, EventKind.METRIC))


def samples_jsonl(runs: Sequence[Run], wanted: SampleFilter | None = None) -> Iterator[bytes]:
    """The sample's data beside run, seq, step and t."""
    return _jsonl(rows_of(runs, EventKind.SAMPLE, wanted))


def csv_lines(columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """Any rows below the names of their columns."""
    yield from _csv([tuple(columns)])
    yield from _csv(rows)


def _wide(row: Row, names: Sequence[str]) -> tuple[Any, ...]:
    values = row.data["values"]
    return (row.run, row.seq, row.step, row.t, *(values.get(name) for name in names))


def _csv(rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow([_harmless(cell) for cell in row])
        yield line.getvalue().encode()


def _harmless(cell: Any) -> Any:
    """Text that a spreadsheet would run as a formula is quoted, as model text may be anything."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell


def _jsonl(rows: Iterable[Row]) -> Iterator[bytes]:
    for row in rows:
        head = {"run": row.run, "seq": row.seq, "step": row.step, "t": row.t}
        yield json.dumps({**head, **row.data}, ensure_ascii=False).encode() + b"\n"
