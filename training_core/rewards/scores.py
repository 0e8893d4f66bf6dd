"""The score grammar: what counts as a readable verdict.

Inside the last ``<score>`` pair stands one number from 1 to 10 and nothing else: ``8``, ``8.5`` or ``8/10``.
``8/10`` means eight out of ten, so it reads as 8. (Reading it as the fraction 0.8 would turn a good verdict into
the worst one, because (0.8 - 1) / 9 is below zero.) Anything else, such as ``0``, ``11``, ``8/9`` or ``eight``,
is unreadable.
The lenient grammar falls back to the last number in the whole text.
"""

import re

from training_core.rewards.tags import last_tag

MAX_TAIL = 20_000
_NUMBER = r"(?<![\d.,/-])(\d{1,2}(?:\.\d{1,4})?)(?:\s*/\s*10)?"
_WHOLE = re.compile(_NUMBER)
_ANYWHERE = re.compile(_NUMBER + r"(?![\d/]|\.\d|,\d)")


def read_score(text: str, *, lenient: bool = False) -> float | None:
    """The score of a verdict from 1 to 10, or None where it is unreadable."""
    inside = last_tag(text, "score")
    match = _WHOLE.fullmatch(inside) if inside else None
    score = _in_range(match)
    if score is not None or not lenient:
        return score
    numbers = list(_ANYWHERE.finditer(text[-MAX_TAIL:]))
    return _in_range(numbers[-1]) if numbers else None


def normalised_score(score: float) -> float:
    """(s - 1) / 9 clipped to [0, 1], so that 1 pays nothing and 10 pays everything."""
    return min(1.0, max(0.0, (score - 1) / 9))


def _in_range(match: re.Match[str] | None) -> float | None:
    if match is None:
        return None
    value = float(match.group(1))
    return value if 1 <= value <= 10 else None
