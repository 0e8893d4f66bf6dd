"""The newest events of a run as they were read last: viewers that are a little apart are served without asking again."""

from typing import Any

from webapp.live.replay import Batch, Position
from webapp.telemetry.selectors import BATCH

MOST_KEPT = 2000


class Tail:
    """Events ``first`` to ``last`` without a gap, all written by ``attempt``; empty while ``last`` is 0."""

    def __init__(self) -> None:
        self.first, self.last, self.attempt = 1, 0, 0
        self.events: list[dict[str, Any]] = []
        self.texts: list[str] = []

    @property
    def end(self) -> Position:
        return Position(after=self.last, attempt=self.attempt)

    def take(self, batch: Batch) -> None:
        """What was read behind the end, or for somebody else while there is nothing here yet."""
        if batch.reset:
            self._clear()
        if batch.reset or not batch.events:
            return
        attempt = batch.to.attempt
        own = [place for place, event in enumerate(batch.events) if event["attempt"] == attempt]
        start = batch.events[own[0]]["seq"]
        if attempt != self.attempt or start != self.last + 1:
            self.first, self.attempt, self.events, self.texts = start, attempt, [], []
        self.last = batch.to.after
        self.events += batch.events[own[0] :]
        self.texts += batch.texts[own[0] :]
        if too_many := max(0, len(self.events) - MOST_KEPT):
            self.first += too_many
            del self.events[:too_many], self.texts[:too_many]

    def after(self, held: Position) -> Batch | None:
        """The next events of a viewer; None for one whom only the database can serve."""
        if not self.last or held.attempt != self.attempt or not self.first - 1 <= held.after <= self.last:
            return None
        start = held.after + 1 - self.first
        events = tuple(self.events[start : start + BATCH])
        if not events:
            return Batch(to=held)
        batch = Batch(events=events, to=Position(after=held.after + len(events), attempt=self.attempt))
        batch.__dict__["texts"] = tuple(self.texts[start : start + BATCH])
        return batch

    def _clear(self) -> None:
        self.first, self.last, self.attempt = 1, 0, 0
        self.events, self.texts = [], []
