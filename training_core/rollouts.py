"""The rollouts of a run's steps, in order: played when they are asked for, or one step ahead of the learner."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Self

from training_core.methods.base import SelfPlay
from training_core.play.play import Play
from training_core.play.records import StepBatch
from training_core.play.requests import Engine
from training_core.play.scheduler import run as play_out


@dataclass(frozen=True, kw_only=True)
class Played:
    """What the self-play of one step gave: ``Played(step=12, batch=..., num_tokens=48_000, seconds={"rollout": 2.1})``."""

    step: int
    batch: StepBatch
    num_tokens: int
    """Sampled tokens."""
    seconds: dict[str, float]
    """Wall time of the rollout, and of its parts as far as the engine tells."""
    began_at: float = 0.0
    """Unix time."""
    token_shares: dict[str, float] = field(default_factory=dict)
    """Share of the sampled tokens that each role said."""
    health: dict[str, float] = field(default_factory=dict)
    """How busy the engine was, as metrics."""

    def to_json(self) -> dict[str, Any]:
        """JSON values from which ``from_json`` makes an equal object."""
        return {**vars(self), "batch": self.batch.to_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        return cls(**{**values, "batch": StepBatch.from_json(values["batch"])})


class Rollouts:
    """Plays the method's steps on the engine.

    Ahead of the learner, a step is played on a thread of its own from ``begin`` until ``settle``. Meanwhile nobody else may ask
    the engine or touch the method. Its outcome waits in ``pending`` and belongs into a checkpoint, because the method has
    already gone on to the state after it.
    """

    def __init__(self, method: SelfPlay, engine: Engine, table: Callable[[int], Play]) -> None:
        """``table`` gives the play of a step."""
        self._method = method
        self._engine = engine
        self._table = table
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rollouts")
        self._stop = Event()
        self._running: Future[Played] | None = None
        self.pending: Played | None = None

    def take(self, step: int) -> Played:
        """The rollouts of a step: what was played ahead, or else played now."""
        pending, self.pending = self.pending, None
        if pending is None:
            return self._play(step)
        assert pending.step == step
        return pending

    def begin(self, step: int) -> None:
        """Start to play a step on the thread."""
        self._running = self._thread.submit(self._play, step)

    def settle(self) -> None:
        """Wait until the step that was begun has been played; raises what went wrong there."""
        if self._running is not None:
            running, self._running = self._running, None
            self.pending = running.result()

    def close(self) -> None:
        """Break off what is being played, at its next request."""
        self._stop.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _play(self, step: int) -> Played:
        begin, began_at = time.perf_counter(), time.time()
        play = self._table(step)
        batch = play_out(self._method.step(play), self._engine, stop=self._stop)
        seconds = {**self._engine.watch.take(), "rollout": time.perf_counter() - begin}
        shares = {role: num / play.num_tokens for role, num in play.tokens_of.items() if play.num_tokens}
        return Played(
            step=step,
            batch=batch,
            num_tokens=play.num_tokens,
            seconds=seconds,
            began_at=began_at,
            token_shares=shares,
            health=self._engine.health.take(),
        )
