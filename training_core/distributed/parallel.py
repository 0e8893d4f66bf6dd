"""The processes of one run, as its loop sees them. Torch-free: a run of one process needs nothing else.

A run of several processes is SPMD: every process ("rank") carries out the same loop and the same method code. What is expensive is
split by rank and gathered again, so that all ranks hold the same facts afterwards; what leaves the run (events, checkpoints) leaves
through rank 0, and what comes in (commands) comes in through it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, Self, TypeVar

T = TypeVar("T")


class Parallel(Protocol):
    """The processes that carry out a run together. Every method but ``share`` must be called by all ranks in the same order."""

    @property
    def rank(self) -> int:
        """This process, counted from 0."""

    @property
    def size(self) -> int:
        """How many processes there are."""

    def share(self, items: Sequence[T]) -> list[T]:
        """This rank's part of ``items``: neighbours, sizes differ by one at most. ``gather_lists(share(items)) == items``."""

    def all_sum(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sum of each named number over the ranks, the same bits everywhere; a name some ranks lack counts as 0 there."""

    def gather_lists(self, part: Sequence[T]) -> list[T]:
        """The parts of all ranks end to end, in the order of the ranks."""

    def broadcast(self, value: T) -> T:
        """What rank 0 passed in; the other ranks' arguments are ignored."""

    def barrier(self) -> None:
        """Wait until every rank has come here."""

    def twin(self) -> Self:
        """The same ranks on a line of their own, for a second thread: calls on one line do not wait for those on the other."""


class Alone:
    """One process: all of the work is its own."""

    rank = 0
    size = 1

    def share(self, items: Sequence[T]) -> list[T]:
        return list(items)

    def all_sum(self, values: Mapping[str, float]) -> dict[str, float]:
        return dict(values)

    def gather_lists(self, part: Sequence[T]) -> list[T]:
        return list(part)

    def broadcast(self, value: T) -> T:
        return value

    def barrier(self) -> None:
        return

    def twin(self) -> Self:
        return self


def neighbours(items: Sequence[T], *, rank: int, size: int) -> list[T]:
    """Part ``rank`` of ``size`` parts of neighbouring items whose lengths differ by one at most.

    >>> [neighbours("abcde", rank=rank, size=3) for rank in range(3)]
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    short, extra = divmod(len(items), size)
    start = rank * short + min(rank, extra)
    return list(items[start : start + short + (rank < extra)])


def deal(costs: Sequence[float], size: int) -> list[list[int]]:
    """Indices of ``costs`` dealt to ``size`` hands of nearly equal total, dearest first, each to the hand that holds least.

    >>> deal([5, 1, 4, 3, 2], 2)
    [[0, 4, 1], [2, 3]]
    """
    hands: list[list[int]] = [[] for _ in range(size)]
    held = [0.0] * size
    for index in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        least = min(range(size), key=held.__getitem__)
        hands[least].append(index)
        held[least] += costs[index]
    return hands
