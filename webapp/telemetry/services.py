"""Storing what runs say: every event once, in order, and only from the worker that holds the run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from training_core.spec.events import EventKind
from webapp.experiments import doorbell
from webapp.experiments.models import Run
from webapp.fleet.leases import LeaseLost, lock_leased_run
from webapp.orders import services as orders
from webapp.telemetry import blocks, headline, summary
from webapp.telemetry.copying import copy_rows, escape
from webapp.telemetry.lines import Line, clean
from webapp.telemetry.models import Event, Sample
from webapp.telemetry.sample_index import Findings
from webapp.telemetry.series import metric_series

__all__ = ["EventGap", "LeaseLost", "pack_metrics", "store_events"]

_COPY_EVENTS = "COPY telemetry_event (run_id, seq, attempt, kind, step, t, data) FROM STDIN"
_FINDINGS = tuple(field.name for field in fields(Findings))
_COPY_SAMPLES = f"COPY telemetry_sample (run_id, seq, step, {', '.join(_FINDINGS)}) FROM STDIN"
_ROOM_FOR_WORDS = "SET LOCAL work_mem = '48MB'"
"""The index of words takes new ones in by the thousand; with less memory it would go through itself for every few."""
_MAX_PHASE_TEXT = 300


class EventGap(ValueError):
    """Events must follow each other and join what is stored; storing these would leave a hole."""


@transaction.atomic(durable=True)
def store_events(*, run_id: UUID, token: int, attempt: int, events: Sequence[Mapping[str, Any]]) -> int:
    """Store consecutive events of one attempt; returns how many were new.

    1. lock the run and check the lease (raises ``LeaseLost``), 2. leave out what this attempt stored already, 3. drop
    what an earlier attempt wrote from the first new event on, 4. copy events and index rows of samples, and pack metrics when a block
    of them is full, 5. update the run, 6. once committed, wake the pages. Storing the same batch twice changes nothing.
    """
    run = lock_leased_run(run_id, token)
    if run.attempt != attempt:
        raise LeaseLost(run_id, token)
    lines = _new_lines(run, events)
    if not lines:
        return 0
    is_progress = _saves_newer_checkpoint(run, lines)
    rewinds = lines[0].seq <= run.last_seq
    if rewinds:
        _drop_from(run, lines[0].seq)
        orders.forget_answers(run, from_seq=lines[0].seq)
    orders.acknowledge(run, lines)
    _copy(run, lines)
    blocks.pack(run_id, last_seq=lines[-1].seq)
    _update_run(run, lines, rewound=rewinds, is_progress=is_progress)
    summary.keep(run_id, lines, rewound=rewinds)
    news = {"seq": run.last_seq, "attempt": attempt}
    transaction.on_commit(lambda: doorbell.publish(run_id, news))
    return len(lines)


@transaction.atomic(durable=True)
def pack_metrics(*, run_id: UUID, token: int) -> None:
    """Pack what is left once a process has ended, so that a run at rest is read without its tail."""
    run = lock_leased_run(run_id, token)
    blocks.pack(run_id, last_seq=run.last_seq, everything=True)


def _new_lines(run: Run, events: Sequence[Mapping[str, Any]]) -> list[Line]:
    """The events that are not stored yet, checked to be consecutive and to join what is."""
    lines: list[Line] = []
    step = run.last_step
    for event in events:
        line = clean(event, step=step)
        if lines and line.seq != lines[-1].seq + 1:
            raise EventGap(f"event {line.seq} came after event {lines[-1].seq}")
        step = line.step
        lines.append(line)
    if not lines:
        return []
    first = lines[0].seq
    if first > run.last_seq + 1:
        raise EventGap(f"event {first} came, but events are stored only up to {run.last_seq}")
    if Event.objects.filter(run=run, seq=first, attempt=run.attempt).exists():
        return lines[run.last_seq + 1 - first :]
    return lines


def _drop_from(run: Run, seq: int) -> None:
    Event.objects.filter(run=run, seq__gte=seq).delete()
    Sample.objects.filter(run=run, seq__gte=seq).delete()
    blocks.drop_from(run.pk, seq)


def _copy(run: Run, lines: Sequence[Line]) -> None:
    """Kinds and numbers need no escaping."""
    events = "".join(
        f"{run.pk}\t{line.seq}\t{run.attempt}\t{line.kind}\t{line.step}\t{line.t!r}\t{escape(line.json)}\n"
        for line in lines
    )
    samples = "".join(
        f"{run.pk}\t{line.seq}\t{line.step}\t{_columns(line.findings)}\n" for line in lines if line.findings is not None
    )
    copy_rows(_COPY_EVENTS, events)
    if samples:
        with connection.cursor() as cursor:
            cursor.execute(_ROOM_FOR_WORDS)
    copy_rows(_COPY_SAMPLES, samples)


def _columns(found: Findings) -> str:
    return "\t".join(_column(getattr(found, name)) for name in _FINDINGS)


def _column(value: Any) -> str:
    match value:
        case None:
            return "\\N"
        case str():
            return escape(value)
        case list():
            return escape(json.dumps(value))
        case _:
            return repr(value)


def _update_run(run: Run, lines: Sequence[Line], *, rewound: bool, is_progress: bool) -> None:
    run.last_seq, run.last_step = lines[-1].seq, lines[-1].step
    metric = headline.headline_metric(run.spec["method"]["name"])
    if rewound:
        line = metric_series(run, [metric])[metric]
        points = zip(line.steps, line.values, strict=True)
        run.headline = headline.extend([], ((step, value) for step, value in points if value is not None))
    else:
        new = ((line.step, line.metrics[metric]) for line in lines if metric in line.metrics)
        run.headline = headline.extend(run.headline, new)
    if state := _last_state(lines):
        run.phase_text = str(state["text"])[:_MAX_PHASE_TEXT]
        run.phase_fraction = state.get("fraction")
    if is_progress:
        run.failed_attempts = 0
    run.save(update_fields=["last_seq", "last_step", "headline", "phase_text", "phase_fraction", "failed_attempts"])


def _last_state(lines: Iterable[Line]) -> dict[str, Any] | None:
    states = [line.data for line in lines if line.kind == EventKind.STATE]
    return states[-1] if states else None


def _saves_newer_checkpoint(run: Run, lines: Iterable[Line]) -> bool:
    """Whether these events hold a checkpoint further than any before; one that is announced again is no progress."""
    steps = [line.step for line in lines if line.kind == EventKind.CHECKPOINT]
    if not steps or run.failed_attempts == 0:
        return False
    before = Event.objects.filter(run=run, kind=EventKind.CHECKPOINT).order_by("-seq").first()
    return before is None or max(steps) > before.step
