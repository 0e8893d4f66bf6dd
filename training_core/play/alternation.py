"""Two learners that take turns: who learns now, and the questions that wait for the second of them."""

from dataclasses import dataclass, field
from typing import Any

Answered = tuple[str, str]
"""A question with the answer it came with."""


@dataclass(kw_only=True)
class Alternation:
    """The proposer learns for ``proposer_updates`` updates and fills the buffer, then the solver for ``solver_updates`` from it.

    A turn of the solver's also ends when it has gone through the whole buffer once without all of its updates, so a
    buffer that has nothing left to teach never holds the run up.
    """

    proposer_updates: int
    solver_updates: int
    cap: int | None = None
    """Most questions kept, oldest dropped first; None keeps all."""
    buffer: list[Answered] = field(default_factory=list)
    is_solvers_turn: bool = False
    _done: int = 0
    """Updates of the present turn."""
    _tried: int = 0
    """Questions tried in the present turn."""
    _next: int = 0
    """Where in the buffer the solver goes on."""

    def proposer_played(self, valid: list[Answered], *, accepted: bool) -> None:
        """A step of the proposer's brought these valid questions; ``accepted`` says that it was learnt from."""
        self.buffer += valid
        if self.cap is not None and len(self.buffer) > self.cap:
            dropped = len(self.buffer) - self.cap
            self.buffer, self._next = self.buffer[dropped:], max(0, self._next - dropped)
        self._done += accepted
        if self._done >= self.proposer_updates and self.buffer:
            self._change()

    def next_questions(self, n: int) -> list[Answered]:
        """The next ``n`` of the buffer in turn, each at most once."""
        size = len(self.buffer)
        found = [self.buffer[(self._next + place) % size] for place in range(min(n, size))]
        self._next = (self._next + len(found)) % size
        self._tried += len(found)
        return found

    def solver_played(self, *, accepted: bool, mastered: list[Answered]) -> None:
        """A step of the solver's is over; the ``mastered`` questions leave the buffer."""
        whole_round = self._tried >= len(self.buffer)
        for answered in mastered:
            self._forget(answered)
        self._done += accepted
        if self._done >= self.solver_updates or whole_round or not self.buffer:
            self._change()

    def _forget(self, answered: Answered) -> None:
        if answered not in self.buffer:
            return
        place = self.buffer.index(answered)
        del self.buffer[place]
        self._next -= place < self._next
        self._next = self._next % len(self.buffer) if self.buffer else 0

    def _change(self) -> None:
        self.is_solvers_turn = not self.is_solvers_turn
        self._done = self._tried = 0

    def state(self) -> dict[str, Any]:
        return {
            "buffer": [list(answered) for answered in self.buffer],
            "is_solvers_turn": self.is_solvers_turn,
            "done": self._done,
            "tried": self._tried,
            "next": self._next,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.buffer = [(question, answer) for question, answer in state["buffer"]]
        self.is_solvers_turn = state["is_solvers_turn"]
        self._done, self._tried, self._next = state["done"], state["tried"], state["next"]
