"""How unlike the questions of late a new one is."""

import re
from collections import deque
from collections.abc import Iterable
from typing import Literal

Unit = Literal["words", "characters"]
_WORDS = re.compile(r"\w+|[^\w\s]")


class NoveltyMemory:
    """The last ``size`` texts as sets of tokens; the oldest leave first.

    PasoDoble compares sets of token ids. A method knows no tokenizer, so tokens are words, numbers and signs here, or
    single characters.
    """

    def __init__(self, *, size: int, jaccard: float, unit: Unit) -> None:
        self.jaccard = jaccard
        self.unit = unit
        self._texts: deque[str] = deque(maxlen=size)
        self._tokens: deque[frozenset[str]] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._texts)

    def novelty(self, text: str) -> float:
        """Share of the remembered texts whose Jaccard similarity with ``text`` is at most ``jaccard``; 1 with no memory."""
        tokens = self._split(text)
        unlike = [jaccard_similarity(tokens, other) <= self.jaccard for other in self._tokens]
        return sum(unlike) / len(unlike) if unlike else 1.0

    def add(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._texts.append(text)
            self._tokens.append(self._split(text))

    def state(self) -> list[str]:
        return list(self._texts)

    def restore(self, state: list[str]) -> None:
        self._texts.clear()
        self._tokens.clear()
        self.add(state)

    def _split(self, text: str) -> frozenset[str]:
        return frozenset(_WORDS.findall(text) if self.unit == "words" else text)


def jaccard_similarity(left: frozenset[str], right: frozenset[str]) -> float:
    """Tokens in both over tokens in either, from 0 to 1; two empty sets are alike."""
    either = len(left | right)
    return len(left & right) / either if either else 1.0
