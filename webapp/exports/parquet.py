"""Parquet files of required columns, written row group by row group: plain encoding, one gzip page a column.

The format is https://parquet.apache.org/docs/file-format: pages, then a footer in Thrift's compact protocol that says
where they are. Field numbers are those of parquet.thrift.
"""

import gzip
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from webapp.exports.event_files import varint

GROUP_ROWS = 20_000
_MAGIC = b"PAR1"
_TYPES = {int: 2, float: 5, str: 6}
"""INT64, DOUBLE, BYTE_ARRAY."""
_GZIP, _PLAIN, _RLE, _UTF8 = 2, 0, 3, 0

Typed = tuple[int, bytes]
"""A type of Thrift's compact protocol and a value written in it."""


def parquet(columns: Mapping[str, type], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """The file's bytes, a row group at a time."""
    yield _MAGIC
    rows, offset, groups, total = iter(rows), len(_MAGIC), [], 0
    while table := list(islice(rows, GROUP_ROWS)):
        chunks, size = [], 0
        for place, (name, kind) in enumerate(columns.items()):
            page, plain_size, packed_size = _page(kind, [row[place] for row in table])
            chunks.append(_chunk(name, kind, len(table), offset, plain_size, packed_size))
            yield page
            offset += packed_size
            size += plain_size
        groups.append(struct_of({1: list_of(12, chunks), 2: i64(size), 3: i64(len(table))})[1])
        total += len(table)
    footer = _footer(columns, groups, total)
    yield footer + struct.pack("<I", len(footer)) + _MAGIC


def _page(kind: type, values: Sequence[Any]) -> tuple[bytes, int, int]:
    """A page with its header, and its sizes before and after packing, header included in both."""
    plain = _plain(kind, values)
    packed = gzip.compress(plain, compresslevel=6, mtime=0)
    described = struct_of({1: i32(len(values)), 2: i32(_PLAIN), 3: i32(_RLE), 4: i32(_RLE)})
    header = struct_of({1: i32(0), 2: i32(len(plain)), 3: i32(len(packed)), 5: described})[1]
    return header + packed, len(header) + len(plain), len(header) + len(packed)


def _plain(kind: type, values: Sequence[Any]) -> bytes:
    if kind is str:
        texts = [value.encode("utf-8", "replace") for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return struct.pack(f"<{len(values)}{'q' if kind is int else 'd'}", *values)


def _chunk(name: str, kind: type, num_values: int, offset: int, plain_size: int, packed_size: int) -> bytes:  # noqa: PLR0917
    where = struct_of(
        {
            1: i32(_TYPES[kind]),
            2: list_of(5, [i32(_PLAIN)[1]]),
            3: list_of(8, [text_of(name)[1]]),
            4: i32(_GZIP),
            5: i64(num_values),
            6: i64(plain_size),
            7: i64(packed_size),
            9: i64(offset),
        }
    )
    return struct_of({2: i64(offset), 3: where})[1]


def _footer(columns: Mapping[str, type], groups: Sequence[bytes], num_rows: int) -> bytes:
    elements = [struct_of({4: text_of("schema"), 5: i32(len(columns))})[1]]
    for name, kind in columns.items():
        element = {1: i32(_TYPES[kind]), 3: i32(0), 4: text_of(name)}
        elements.append(struct_of(element | ({6: i32(_UTF8)} if kind is str else {}))[1])
    fields = {1: i32(1), 2: list_of(12, elements), 3: i64(num_rows), 4: list_of(12, groups), 6: text_of("Kumite")}
    return struct_of(fields)[1]


def i32(number: int) -> Typed:
    return 5, varint(number << 1 if number >= 0 else (-number << 1) - 1)


def i64(number: int) -> Typed:
    return 6, i32(number)[1]


def text_of(text: str) -> Typed:
    data = text.encode()
    return 8, varint(len(data)) + data


def list_of(kind: int, items: Sequence[bytes]) -> Typed:
    head = bytes([len(items) << 4 | kind]) if len(items) < 15 else bytes([0xF0 | kind]) + varint(len(items))
    return 9, head + b"".join(items)


def struct_of(fields: Mapping[int, Typed]) -> Typed:
    """A struct whose fields, in ascending order, are at most 15 numbers apart."""
    data, before = b"", 0
    for number, (kind, value) in fields.items():
        data += bytes([number - before << 4 | kind]) + value
        before = number
    return 12, data + b"\0"
