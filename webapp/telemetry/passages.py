"""A completion cut into what was thought, code, and the rest. The pieces joined are the text, to the letter."""

import re
from dataclasses import dataclass
from typing import Literal

_SPECIAL = re.compile(
    r"(?P<think><(?P<tag>think|thinking|reasoning|scratchpad)>.*?(?:</(?P=tag)>|\Z))|(?P<code>```[^\n`]*\n.*?(?:```|\Z))",
    re.DOTALL | re.IGNORECASE,
)
LONG = 900
"""Texts beyond this many characters are folded."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A stretch of a completion: ``Passage(kind="think", text="<think>12 + 7</think>")``."""

    kind: Literal["text", "think", "code"]
    text: str

    @property
    def is_folded(self) -> bool:
        return self.kind == "think" or len(self.text) > LONG

    @property
    def start(self) -> str:
        """The first words, for what is folded."""
        inner = re.sub(r"^<\w+>|</\w+>$", "", self.text) if self.kind == "think" else self.text
        words = " ".join(inner.split())
        return words if len(words) <= 72 else f"{words[:71]}…"


def passages_of(text: str) -> tuple[Passage, ...]:
    """The text in passages; one without marks is a single passage."""
    found: list[Passage] = []
    end = 0
    for match in _SPECIAL.finditer(text):
        if match.start() > end:
            found.append(Passage(kind="text", text=text[end : match.start()]))
        found.append(Passage(kind="think" if match["think"] else "code", text=match[0]))
        end = match.end()
    if end < len(text) or not found:
        found.append(Passage(kind="text", text=text[end:]))
    return tuple(found)
