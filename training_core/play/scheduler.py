"""Runs episodes as coroutines and batches whatever they wait for.

An episode is written in order, as in the paper: ``answers = await play.say("solver", prompt, n=8)``. Every coroutine runs until it
waits; then all waiting requests go to the engine at once. The order of work depends on nothing but the order of the
coroutines, so a step is deterministic.
"""

from collections import deque
from collections.abc import Coroutine, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any, TypeVar

from training_core.play.requests import Completion, Engine, Request, Score

T = TypeVar("T")
Episode = Coroutine[Any, Any, T]


@dataclass(eq=False)
class Ask:
    """Awaited by an episode to get completions."""

    request: Request

    def __await__(self) -> Generator["Ask", list[Completion], list[Completion]]:
        return (yield self)


@dataclass(eq=False)
class AskScore:
    """Awaited by an episode to learn how likely completions are."""

    request: Score

    def __await__(self) -> Generator["AskScore", list[float], list[float]]:
        return (yield self)


@dataclass(eq=False)
class Gather:
    """Awaited by an episode to run others side by side; gives their results in order."""

    episodes: Sequence[Episode[Any]]

    def __await__(self) -> Generator["Gather", list[Any], list[Any]]:
        return (yield self)


@dataclass(eq=False)
class _Task:
    episode: Episode[Any]
    parent: "_Task | None" = None
    place: int = 0
    """Index among the parent's children."""
    results: list[Any] = field(default_factory=list)
    """Results of this task's children while it waits for them."""
    num_open: int = 0


class BrokenOff(RuntimeError):
    """Somebody who needs the outcome no longer asked to stop."""


def run(episode: Episode[T], engine: Engine, *, stop: Event | None = None) -> T:
    """Drive an episode, and everything it gathers, to its end. An exception in any of them ends them all.

    When another thread sets ``stop``, the engine is asked nothing more and ``BrokenOff`` is raised.
    """
    root = _Task(episode)
    ready: deque[tuple[_Task, Any]] = deque([(root, None)])
    waiting: list[tuple[_Task, Request | Score]] = []
    live = {root}
    try:
        while True:
            while ready:
                task, value = ready.popleft()
                try:
                    awaited = task.episode.send(value)
                except StopIteration as end:
                    live.discard(task)
                    if task is root:
                        return end.value  # type: ignore[no-any-return]
                    _hand_up(task, end.value, ready)
                    continue
                if isinstance(awaited, Ask | AskScore):
                    waiting.append((task, awaited.request))
                else:
                    _start_children(task, awaited.episodes, ready, live)
            if stop is not None and stop.is_set():
                raise BrokenOff
            batch, waiting = waiting, []
            results = _answers([request for _, request in batch], engine)
            ready.extend((task, result) for (task, _), result in zip(batch, results, strict=True))
    finally:
        for task in live:
            task.episode.close()


def _answers(requests: Sequence[Request | Score], engine: Engine) -> list[Any]:
    """What the engine gives for each request, in order: all completions from one call, all scores from another."""
    asked = [request for request in requests if isinstance(request, Request)]
    scored = [request for request in requests if isinstance(request, Score)]
    completions = iter(engine.generate(asked) if asked else [])
    scores = iter(engine.score(scored) if scored else [])
    return [next(completions) if isinstance(request, Request) else next(scores) for request in requests]


def _start_children(
    task: _Task, episodes: Iterable[Episode[Any]], ready: deque[tuple[_Task, Any]], live: set[_Task]
) -> None:
    children = [_Task(child, task, place) for place, child in enumerate(episodes)]
    task.results, task.num_open = [None] * len(children), len(children)
    if not children:
        ready.append((task, []))
    live.update(children)
    ready.extend((child, None) for child in children)


def _hand_up(task: _Task, value: Any, ready: deque[tuple[_Task, Any]]) -> None:
    parent = task.parent
    assert parent is not None
    parent.results[task.place] = value
    parent.num_open -= 1
    if parent.num_open == 0:
        ready.append((parent, parent.results))
