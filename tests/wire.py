"""Lines of charts as they travel, read back."""

import struct
from base64 import b64decode
from itertools import accumulate
from typing import Any


def floats(text: str) -> list[float]:
    raw, kind = b64decode(text[3:]), {"f4": "f", "f8": "d"}[text[:2]]
    return list(struct.unpack(f"<{len(raw) // struct.calcsize(kind)}{kind}", raw))


def line_of(answer: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    """``{"steps": [...], "y": [...], "low": [...], "high": [...], "total": 9}``, without bands where it has none."""
    steps = list(accumulate(answer["axes"][line["axis"]]))
    numbers = {name: floats(line[name]) for name in ("y", "low", "high") if name in line}
    return {"steps": steps, **numbers, "total": line["total"]}


def lines_of(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The lines of one run by name."""
    return {line["name"]: line_of(answer, line) for line in answer["lines"]}
