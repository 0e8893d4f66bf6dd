"""TensorBoard's event files: records of TFRecord framing around the few protocol buffer fields that scalars need.

A record is its length (uint64), a checksum of the length, the data, a checksum of the data; the checksum is CRC-32C,
rotated and shifted. Field numbers are those of tensorflow/core/util/event.proto and framework/summary.proto.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence

from training_core.spec.events import EventKind
from webapp.experiments.models import Run
from webapp.exports.rows import rows_of

_POLYNOMIAL, _MASK_DELTA = 0x82F63B78, 0xA282EAD8


def metrics_events(runs: Sequence[Run]) -> Iterator[bytes]:
    """The event file of one run, or of several after each other."""
    yield opening()
    for row in rows_of(runs, EventKind.METRIC):
        values = {name: value for name, value in row.data["values"].items() if value is not None}
        if values:
            yield record(scalars(row.t, row.step, values))


def opening() -> bytes:
    """The record every event file begins with."""
    return record(_double(1, 0.0) + _bytes(3, b"brain.Event:2"))


def scalars(t: float, step: int, values: Mapping[str, float]) -> bytes:
    """An Event message: wall_time = 1, step = 2, summary = 5 with values of tag = 1 and simple_value = 2."""
    summary = b"".join(_bytes(1, _bytes(1, name.encode()) + _float(2, value)) for name, value in values.items())
    return _double(1, t) + _tag(2, 0) + varint(step) + _bytes(5, summary)


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def masked_crc(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), least significant bit first."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(_entry(byte) for byte in range(256))


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _tag(field: int, wire_type: int) -> bytes:
    return varint(field << 3 | wire_type)


def _bytes(field: int, data: bytes) -> bytes:
    return _tag(field, 2) + varint(len(data)) + data


def _double(field: int, value: float) -> bytes:
    return _tag(field, 1) + struct.pack("<d", value)


def _float(field: int, value: float) -> bytes:
    try:
        return _tag(field, 5) + struct.pack("<f", value)
    except OverflowError:  # larger than any 32-bit float
        return _tag(field, 5) + struct.pack("<f", float("inf") if value > 0 else float("-inf"))
