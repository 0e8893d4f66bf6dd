"""The verdict grammar: ``<verdict>Yes</verdict>`` or ``<verdict>No</verdict>``, the last pair counting."""

import re

from training_core.rewards.tags import last_tag

_WORD = re.compile(r"(yes|no)\b", re.IGNORECASE)


def read_verdict(text: str) -> bool | None:
    """Whether the verdict says Yes; None where it says neither. Only a whole first word counts: "Nothing" is not "No"."""
    match = _WORD.match(last_tag(text, "verdict") or "")
    return None if match is None else match[1].lower() == "yes"
