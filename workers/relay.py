"""From ``events.jsonl`` to the database: whole lines only, in order, across truncation by a resumed process.

A process that resumes cuts the file back to its checkpoint and writes on. What was in the file before the process
started is therefore remembered by checksum; the line at which the file differs from memory is the first of the process,
whatever happened in between two looks.
"""

import json
import time
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from webapp.fleet.services import Claim
from webapp.telemetry.services import pack_metrics, store_events
from workers.redaction import Redactor

MAX_LINE_BYTES = 16 * 2**20
BATCH_BYTES = 2**20
BATCHES_PER_PUMP = 8
_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Consecutive events and where the next ones begin."""

    events: list[dict[str, Any]]
    next_offset: int


class EventFile:
    """Reads the events of the process that is about to start, from the first that is not stored."""

    def __init__(self, path: Path, *, last_seq: int, redactor: Redactor | None = None) -> None:
        self.path = path
        self._redactor = redactor or Redactor()
        self.first_own_seq: int | None = None
        """Number of the first event the new process wrote, once there is one."""
        self._last_seq = last_seq
        self._offset: int | None = None
        self._next_seq = 1
        self._step = 0
        self._ends, self._sums = _index(path)

    def next_batch(self) -> Batch | None:
        """Events that are complete and not confirmed yet; None when there are none."""
        if self._offset is None and not self._find_start():
            return None
        assert self._offset is not None
        lines = _whole_lines(self.path, self._offset, BATCH_BYTES)
        if not lines:
            return None
        events = [self._parse(line, self._next_seq + place) for place, line in enumerate(lines)]
        return Batch(events=events, next_offset=self._offset + sum(len(line) for line in lines))

    def confirm(self, batch: Batch) -> None:
        """The batch is stored; go on behind it."""
        self._offset = batch.next_offset
        self._next_seq += len(batch.events)
        self._step = batch.events[-1]["step"] if isinstance(batch.events[-1].get("step"), int) else self._step

    def process_has_ended(self) -> None:
        """Nothing will change any more: what is in the file counts, even if the process wrote nothing."""
        if self._offset is None and not self._find_start():
            self._start_at(self._num_intact())

    def _find_start(self) -> bool:
        intact = self._num_intact()
        end = self._ends[intact - 1] if intact else 0
        if not _whole_lines(self.path, end, BATCH_BYTES) or self._num_intact() != intact:
            return False
        self.first_own_seq = intact + 1
        self._start_at(intact)
        return True

    def _start_at(self, intact: int) -> None:
        """Begin with what the database lacks: lines of earlier processes that survived, then the new ones."""
        begin = min(self._last_seq, intact)
        self._offset = self._ends[begin - 1] if begin else 0
        self._next_seq = begin + 1
        self._ends, self._sums = array("Q"), array("L")

    def _num_intact(self) -> int:
        """How many of the remembered lines are still there. The file only ever loses a tail, so bisection finds it."""
        if not self._ends:
            return 0
        try:
            with self.path.open("rb") as file:

                def is_intact(number: int) -> bool:
                    begin = self._ends[number - 2] if number > 1 else 0
                    file.seek(begin)
                    return zlib.crc32(file.read(self._ends[number - 1] - begin)) == self._sums[number - 1]

                if is_intact(len(self._ends)):
                    return len(self._ends)
                low, high = 0, len(self._ends) - 1
                while low < high:
                    middle = (low + high + 1) // 2
                    low, high = (middle, high) if is_intact(middle) else (low, middle - 1)
                return low
        except FileNotFoundError:
            return 0

    def _parse(self, line: bytes, seq: int) -> dict[str, Any]:
        line = self._redactor.clean(line)
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            return self._complaint(seq, str(error), line)
        if not isinstance(event, dict) or event.get("seq") != seq:
            return self._complaint(seq, f"it is not event {seq}", line)
        return event

    def _complaint(self, seq: int, reason: str, line: bytes) -> dict[str, Any]:
        shown = line[:_SHOWN].decode("utf-8", "backslashreplace")
        text = f"Line {seq} of events.jsonl cannot be read ({reason}): {shown}"
        return {
            "seq": seq,
            "kind": "log",
            "step": self._step,
            "t": time.time(),
            "data": {"level": "error", "text": text},
        }


class Relay:
    """Moves one attempt's events into the database."""

    def __init__(self, claim: Claim, path: Path, *, redactor: Redactor | None = None) -> None:
        self.file = EventFile(path, last_seq=claim.last_seq, redactor=redactor)
        self.last_state: dict[str, Any] | None = None
        """The last state event of this attempt's process."""
        self.last_step = claim.last_step
        self.has_begun = False
        """Whether the process has begun to play."""
        self.moved_at = time.monotonic()
        """When the last new event was seen."""
        self._run_id: UUID = claim.run_id
        self._token, self._attempt = claim.token, claim.attempt

    def pump(self, *, batches: int = BATCHES_PER_PUMP) -> int:
        """Store what is new, a bounded amount at a time; returns the number of events. Raises ``LeaseLost``."""
        moved = 0
        for _ in range(batches):
            batch = self.file.next_batch()
            if batch is None:
                break
            store_events(run_id=self._run_id, token=self._token, attempt=self._attempt, events=batch.events)
            self._observe(batch.events)
            self.file.confirm(batch)
            moved += len(batch.events)
        return moved

    def finish(self) -> None:
        """Store the rest after the process has ended."""
        self.file.process_has_ended()
        while self.pump():
            pass
        pack_metrics(run_id=self._run_id, token=self._token)

    def _observe(self, events: Sequence[dict[str, Any]]) -> None:
        self.moved_at = time.monotonic()
        first_own = self.file.first_own_seq
        for event in events:
            if first_own is None or event["seq"] < first_own:
                continue
            if isinstance(event.get("step"), int):
                self.last_step = event["step"]
            data = event.get("data")
            if event.get("kind") == "state" and isinstance(data, dict):
                self.last_state = data
                self.has_begun = self.has_begun or data.get("phase") == "running"


def _index(path: Path) -> tuple["array[int]", "array[int]"]:
    """Where every whole line of the file ends, and its checksum."""
    ends, sums, end = array("Q"), array("L"), 0
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                end += len(line)
                ends.append(end)
                sums.append(zlib.crc32(line))
    except FileNotFoundError:
        pass
    return ends, sums


def _whole_lines(path: Path, offset: int, num_bytes: int) -> list[bytes]:
    """Whole lines from ``offset`` on, about ``num_bytes`` of them; a longer line is read until it ends."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            text = file.read(num_bytes)
            if len(text) == num_bytes and b"\n" not in text:
                text += file.readline(MAX_LINE_BYTES)
    except FileNotFoundError:
        return []
    return [line + b"\n" for line in text.split(b"\n")[:-1]]
