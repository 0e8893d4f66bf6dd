"""Questions and answered questions that a method keeps from step to step."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

PoolSampling = Literal["uniform", "newest", "half_new"]


@dataclass(kw_only=True)
class Question:
    """A question that entered the pool: ``Question(text="3+4", step=12, answer=None)``."""

    text: str
    step: int
    answer: str | None = None
    """Reference answer of a seed question; None for self-made ones."""


@dataclass(kw_only=True)
class QuestionPool:
    """Questions in order of entry, oldest first."""

    cap: int | None
    sampling: PoolSampling
    questions: list[Question] = field(default_factory=list)
    _texts: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.questions)

    def __contains__(self, text: str) -> bool:
        return text in self._texts

    def add(self, question: Question) -> None:
        """Append; drop the oldest when the cap is passed. Repeats are kept, as in the paper."""
        self.questions.append(question)
        self._texts.add(question.text)
        if self.cap is not None and len(self.questions) > self.cap:
            self.questions = self.questions[-self.cap :]
            self._texts = {question.text for question in self.questions}

    def remove(self, is_meant: Callable[[Question], bool]) -> int:
        """Take questions out; returns how many."""
        kept = [question for question in self.questions if not is_meant(question)]
        num_removed = len(self.questions) - len(kept)
        self.questions, self._texts = kept, {question.text for question in kept}
        return num_removed

    def draw(self, rng: random.Random, n: int) -> list[Question]:
        """``n`` questions with replacement: uniformly, from the newest ``n``, or half of each."""
        if not self.questions:
            return []
        newest = self.questions[-n:]
        num_new = {"uniform": 0, "newest": n, "half_new": n // 2}[self.sampling]
        return [rng.choice(newest) for _ in range(num_new)] + [rng.choice(self.questions) for _ in range(n - num_new)]

    def state(self) -> list[Any]:
        return [[q.text, q.step, q.answer] for q in self.questions]

    def restore(self, state: list[Any]) -> None:
        self.questions = [Question(text=text, step=step, answer=answer) for text, step, answer in state]
        self._texts = {question.text for question in self.questions}


@dataclass(kw_only=True)
class PairPool:
    """Questions with one answer each, good and bad, for the Judge to practise on."""

    cap: int | None
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pairs)

    def add(self, question: str, answer: str) -> None:
        self.pairs.append((question, answer))
        if self.cap is not None and len(self.pairs) > self.cap:
            self.pairs = self.pairs[-self.cap :]

    def draw(self, rng: random.Random, n: int) -> list[tuple[str, str]]:
        return [rng.choice(self.pairs) for _ in range(n)]
