"""The verdict grammars: ``<verdict>Yes</verdict>`` or No of one answer, ``<better>1</better>`` or 2 of two; the last pair counts."""

import re

from training_core.rewards.tags import last_tag

_WORD = re.compile(r"(yes|no)\b", re.IGNORECASE)


def read_verdict(text: str) -> bool | None:
    """Whether the verdict says Yes; None where it says neither. Only a whole first word counts: "Nothing" is not "No"."""
    match = _WORD.match(last_tag(text, "verdict") or "")
    return None if match is None else match[1].lower() == "yes"


def read_better(text: str) -> bool | None:
    """Whether the verdict prefers the answer that was shown first; None where it names neither."""
    return {"1": True, "2": False}.get(last_tag(text, "better") or "")
