"""What is exported, row by row, with a bounded number of events in memory."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from training_core.spec.events import EventKind
from webapp.experiments.models import Run
from webapp.telemetry.finding import SampleFilter, matching
from webapp.telemetry.models import Event, Sample

AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Row:
    """One event: ``Row(run="0b5e...", seq=9, step=3, t=1769000000.5, data={"values": {"loss/total": 0.25}})``."""

    run: str
    seq: int
    step: int
    t: float
    data: dict[str, Any]


def rows_of(runs: Sequence[Run], kind: EventKind, wanted: SampleFilter | None = None) -> Iterator[Row]:
    """Every event of a kind, run by run, in order; of samples those that fit, where some are wanted."""
    for run in runs:
        after, events = 0, Event.objects.filter(run=run, kind=kind).order_by("seq")
        fitting = None
        if wanted is not None and not wanted.is_open:
            fitting = matching(Sample.objects.filter(run=run), wanted).order_by("seq").values_list("seq", flat=True)
        while True:
            if fitting is None:
                part = list(events.filter(seq__gt=after)[:AT_ONCE])
            else:
                part = list(events.filter(seq__in=list(fitting.filter(seq__gt=after)[:AT_ONCE])))
            if not part:
                break
            for event in part:
                yield Row(run=str(run.pk), seq=event.seq, step=event.step, t=event.t, data=event.data)
            after = part[-1].seq


def point_rows(runs: Sequence[Run]) -> Iterator[tuple[str, int, int, float, str, float]]:
    """Every metric value as (run, seq, step, t, name, value)."""
    for row in rows_of(runs, EventKind.METRIC):
        for name, value in row.data["values"].items():
            if value is not None:
                yield row.run, row.seq, row.step, row.t, name, value


def sample_rows(
    runs: Sequence[Run], wanted: SampleFilter | None = None
) -> Iterator[tuple[str, int, int, float, str, str, str]]:
    """Every sample that fits as (run, seq, step, t, episode, title, everything as JSON)."""
    for row in rows_of(runs, EventKind.SAMPLE, wanted):
        data = json.dumps(row.data, ensure_ascii=False)
        yield row.run, row.seq, row.step, row.t, str(row.data["episode"]), str(row.data["title"] or ""), data


POINT_COLUMNS = {"run": str, "seq": int, "step": int, "t": float, "name": str, "value": float}
SAMPLE_COLUMNS = {"run": str, "seq": int, "step": int, "t": float, "episode": str, "title": str, "data": str}
