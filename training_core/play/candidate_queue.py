"""The latest answers of a policy, first in, first out, to be compared with newer ones to the same question."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any

from training_core.play.oracle import Candidate


class CandidateQueue:
    """At most ``size`` answers over all questions; the oldest leave first, whatever they answer."""

    def __init__(self, *, size: int) -> None:
        self._size = size
        self._order: deque[str] = deque()
        """The question of every answer, oldest first."""
        self._answers: dict[str, deque[Candidate]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def of(self, question: str) -> Sequence[Candidate]:
        """The kept answers to a question, oldest first."""
        return self._answers.get(question, ())

    def add(self, question: str, candidates: Iterable[Candidate]) -> None:
        if self._size == 0:
            return
        for candidate in candidates:
            self._order.append(question)
            self._answers.setdefault(question, deque()).append(candidate)
            if len(self._order) > self._size:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        question = self._order.popleft()
        self._answers[question].popleft()
        if not self._answers[question]:
            del self._answers[question]

    def state(self) -> list[Any]:
        waiting = {question: iter(answers) for question, answers in self._answers.items()}
        return [[question, *astuple(next(waiting[question]))] for question in self._order]

    def restore(self, state: Iterable[Sequence[Any]]) -> None:
        for question, text, answer, num_tokens in state:
            self.add(question, [Candidate(text=text, answer=answer, num_tokens=num_tokens)])
