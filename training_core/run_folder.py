"""A run's folder: the events it writes and the commands it reads. The seam between the library and whoever supervises it."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from training_core.spec.events import Command, EventKind
from training_core.spec.orders import ORDER, Order


class EventLog:
    """Appends numbered events to ``events.jsonl``; ``seq`` counts from 1 without gaps."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.jsonl"
        self.seq = 0
        self._file = self.path.open("ab")

    def cut_back(self, *, seq: int, offset: int) -> None:
        """Drop everything after the event ``seq``, which ends at byte ``offset``."""
        self._file.truncate(offset)
        self._file.seek(0, os.SEEK_END)
        self.seq = seq

    @property
    def offset(self) -> int:
        return self._file.tell()

    def write(self, kind: EventKind, step: int, data: BaseModel) -> dict[str, Any]:
        """Append one event and hand it to the operating system; returns it. A sample is written without what is empty."""
        self.seq += 1
        event = {
            "seq": self.seq,
            "kind": kind,
            "step": step,
            "t": round(time.time(), 3),
            "data": data.model_dump(mode="json", exclude_defaults=kind is EventKind.SAMPLE),
        }
        self._file.write(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        return event

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self.sync()
        self._file.close()


class SilentLog(EventLog):
    """Takes events and writes none: for the processes of a run beside the one that speaks."""

    def __init__(self) -> None:
        self.seq = 0

    @property
    def offset(self) -> int:
        return 0

    def cut_back(self, *, seq: int, offset: int) -> None:
        self.seq = seq

    def write(self, kind: EventKind, step: int, data: BaseModel) -> dict[str, Any]:
        return {}

    def sync(self) -> None:
        return

    def close(self) -> None:
        return


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """All whole events of a run's folder, oldest first."""
    path = folder / "events.jsonl"
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


class Control:
    """Commands for the running process, one JSON line each in ``control.jsonl``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "control.jsonl"
        self._offset = 0

    def new_commands(self) -> list[Command | Order]:
        """Commands that came since the last call; lines that cannot be read are passed over."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        commands: list[Command | Order] = []
        for line in whole.splitlines():
            for read in (Command.model_validate_json, ORDER.validate_json):
                try:
                    commands.append(read(line))
                except ValidationError:
                    continue
        return commands

    def clear(self) -> None:
        """Forget all commands, so that the next process of this run does not obey them again."""
        self._path.unlink(missing_ok=True)
        self._offset = 0
