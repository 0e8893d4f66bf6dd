"""What a viewer lacks, read from Postgres. Needs nothing but what the viewer holds, so it can be asked at any time."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from uuid import UUID

from webapp.experiments.models import Run
from webapp.telemetry.rows import wire_event
from webapp.telemetry.selectors import BATCH, first_seq_after_attempt, slim_events
from webapp.telemetry.state import run_state
from webapp.telemetry.vitals import vitals


@dataclass(frozen=True, kw_only=True)
class Position:
    """What a viewer holds: events 1..``after``, the last of them written by ``attempt``."""

    after: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The next events of a viewer and where they bring it; ``reset`` means that what it holds beyond ``to`` is void."""

    to: Position
    events: tuple[dict[str, Any], ...] = ()
    reset: bool = False

    @property
    def is_full(self) -> bool:
        return len(self.events) == BATCH

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Each event as JSON, written once for everybody who gets it."""
        return tuple(map(compact, self.events))

    @property
    def text(self) -> str:
        return f"[{','.join(self.texts)}]"


@dataclass(frozen=True, kw_only=True)
class State:
    """Where the run stands, as JSON, and what of it has to be known here."""

    status: str
    last_seq: int
    text: str

    def watched_by(self, num_viewers: int) -> "State":
        """The same with how many have the run open; written anew for nobody."""
        return replace(self, text=f'{self.text[:-1]},"watching":{num_viewers}}}')


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def next_batch(run_id: UUID, held: Position) -> Batch:
    """The next events after ``held``, without a gap, or the order to drop what a later attempt has rewritten.

    A resumed run may rewrite events at any moment, also between the two queries below. Attempts never decrease with
    seq, so asking *after* reading where later attempts begin is enough: what was read below that point is still true.
    """
    events = list(slim_events(run_id).filter(seq__gt=held.after)[:BATCH])
    rewritten = first_seq_after_attempt(run_id, held.attempt)
    if rewritten is not None and rewritten <= held.after:
        return Batch(to=Position(after=rewritten - 1, attempt=held.attempt), reset=True)
    if rewritten is not None:
        events = [event for event in events if event.seq < rewritten or event.attempt > held.attempt]
    whole = _without_gap(held.after, [wire_event(event) for event in events])
    if not whole:
        return Batch(to=held)
    return Batch(events=tuple(whole), to=Position(after=whole[-1]["seq"], attempt=whole[-1]["attempt"]))


def state_message(run_id: UUID) -> dict[str, Any]:
    """The run's state as the socket sends it; raises ``Run.DoesNotExist`` once the run is deleted."""
    run = Run.objects.select_related("experiment", "worker").get(pk=run_id)
    return {**run_state(run), "vitals": vitals(run)}


def _without_gap(after: int, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events up to the first missing number; the rest comes once the number is there."""
    for place, event in enumerate(events):
        if event["seq"] != after + 1 + place:
            return events[:place]
    return events
