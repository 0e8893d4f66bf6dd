"""Whether a question tells its own answer."""

import re
from typing import Literal

from training_core.rewards.tags import last_tag

LeakCheck = Literal["off", "exact", "substring"]
_TOKENS = re.compile(r"\w+|[^\w\s]")


def gives_away(question: str, answer: str, *, check: LeakCheck) -> bool:
    """Whether solving ``question`` needs no thought: it states an answer, is part of ``answer``, or ``answer`` is found in it.

    ``exact`` finds whole tokens only, so the answer 2 is not found in 12 apples; ``substring`` finds it there.
    """
    if question in answer or "\\boxed" in question or last_tag(question, "answer") is not None:
        return True
    match check:
        case "off":
            return False
        case "substring":
            return answer in question
        case "exact":
            return _contains(_TOKENS.findall(question), _TOKENS.findall(answer))


def _contains(tokens: list[str], wanted: list[str]) -> bool:
    size = len(wanted)
    return size > 0 and any(tokens[start : start + size] == wanted for start in range(len(tokens) - size + 1))
