"""Text between tags, and the format score that rewards using them properly."""

import re
from functools import cache

MAX_TEXT = 200_000


@cache
def _pair(tag: str) -> re.Pattern[str]:
    name = re.escape(tag)
    return re.compile(f"<{name}>|</{name}>")


def last_tag(text: str, tag: str) -> str | None:
    """The stripped text inside the last ``<tag>...</tag>``; None without a closed pair or with nothing in it."""
    opened: int | None = None
    found: str | None = None
    for match in _pair(tag).finditer(text[:MAX_TEXT]):
        if match.group()[1] != "/":
            opened = match.end()
        elif opened is not None:
            found = text[opened : match.start()]
            opened = None
    return (found or "").strip() or None


def format_score(text: str, tag: str) -> float:
    """F of Multi-Agent Evolve: exactly one open and close pair is 1, several balanced pairs are 0.5, all else is 0."""
    depth = pairs = 0
    for match in _pair(tag).finditer(text[:MAX_TEXT]):
        if match.group()[1] != "/":
            depth += 1
            continue
        depth -= 1
        pairs += 1
        if depth < 0:
            return 0.0
    if depth or not pairs:
        return 0.0
    return 1.0 if pairs == 1 else 0.5
