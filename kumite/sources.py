"""Files of other tools, read as rows ``{"step", "t", "values"}`` in the order of steps."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]

_STEPS, _TIMES = ("step", "_step", "global_step"), ("t", "_timestamp", "timestamp", "time")
_FORMATS = {0: None, 1: 8, 5: 4}
"""Bytes of the fixed wire types of protocol buffers."""


def read_file(path: Path) -> list[Row]:
    """Rows of JSON lines, or of a TensorBoard event file where the name says that it is one."""
    return read_event_file(path) if "tfevents" in path.name else read_json_lines(path)


def read_json_lines(path: Path) -> list[Row]:
    """One object a line, the values flat or under ``values``; ``_step`` and ``_timestamp`` are understood too."""
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            said = json.loads(line)
            if not isinstance(said, dict):
                raise ValueError(f"Line {number} of {path} is not an object.")
            step = next((said[name] for name in _STEPS if name in said), number - 1)
            t = next((float(said[name]) for name in _TIMES if isinstance(said.get(name), int | float)), None)
            values = said["values"] if isinstance(said.get("values"), dict) else said
            numbers = {
                name: value for name, value in values.items() if _is_number(value) and name not in (*_STEPS, *_TIMES)
            }
            if numbers:
                rows.append({"step": int(step), "t": t, "values": numbers})
    return sorted(rows, key=lambda row: int(row["step"]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0


def read_event_file(path: Path) -> list[Row]:
    """Scalars of an event file, those written at one step together."""
    by_step: dict[int, Row] = {}
    for data in _records(path):
        event = dict(_fields(data))
        step = event.get(2, 0)
        for summary in (value for number, value in _fields(data) if number == 5):
            for scalar in (value for number, value in _fields(summary) if number == 1):
                name, value = _scalar(scalar)
                if value is not None and _is_number(value):
                    t = struct.unpack("<d", event[1])[0]
                    by_step.setdefault(step, {"step": step, "t": t, "values": {}})["values"][name] = value
    return [by_step[step] for step in sorted(by_step)]


def _records(path: Path) -> Iterator[bytes]:
    """The data of each whole record; a file that is still being written ends early."""
    with path.open("rb") as file:
        while len(head := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", head[:8])
            data = file.read(length)
            if len(data) < length or len(file.read(4)) < 4:
                return
            yield data


def _scalar(message: bytes) -> tuple[str, float | None]:
    """Tag and value of a Summary.Value: simple_value = 2, or a float tensor = 8 of one element."""
    name, value = "", None
    for number, field in _fields(message):
        if number == 1:
            name = field.decode("utf-8", "replace")
        elif number == 2 and len(field) == 4:
            value = struct.unpack("<f", field)[0]
        elif number == 8:
            value = _tensor(field)
    return name, value


def _tensor(message: bytes) -> float | None:
    """The number in a TensorProto of dtype float (1): tensor_content = 4 or float_val = 5."""
    fields = dict(_fields(message))
    raw = fields.get(4) or fields.get(5)
    return struct.unpack("<f", raw)[0] if fields.get(1) == 1 and isinstance(raw, bytes) and len(raw) == 4 else None


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, value): integers of varints, bytes of everything else."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        wire = tag & 7
        if wire == 0:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        size = _FORMATS.get(wire)
        if size is None:
            if wire != 2:
                raise ValueError("This is not an event file of TensorBoard.")
            size, place = _varint(message, place)
        yield tag >> 3, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return number, place
