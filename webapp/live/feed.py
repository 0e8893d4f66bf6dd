"""One feed per watched run and process: paces its viewers and lets them share what they read.

Viewers at the same place ask the same question, so twenty of them cost one query.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async

from webapp.live.audience import watching_elsewhere
from webapp.live.replay import Batch, Position, State, compact, next_batch, state_message
from webapp.live.tail import Tail
from webapp.live.wakeups import wake_ups

TICK_S = 0.25
"""At most four looks a second, however often the run speaks."""
POLL_S = 5.0
"""Lost wake-ups are made good after this long."""


class Feed:
    """News of one run for the viewers of this process."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        self.num_viewers = 0
        self._round = 0
        self._news = asyncio.Event()
        self._next_round = asyncio.Event()
        self._answers: dict[object, asyncio.Task[Any]] = {}
        self._tail = Tail()
        self._task: asyncio.Task[None] | None = None

    def join(self) -> None:
        self.num_viewers += 1
        if self._task is None:
            wake_ups().listen(self._news.set, run_id=self.run_id)
            self._task = asyncio.create_task(self._tick())

    def leave(self) -> None:
        self.num_viewers -= 1
        if self.num_viewers == 0 and self._task is not None:
            self._task.cancel()
            wake_ups().forget(self._news.set, run_id=self.run_id)
            _feeds().pop(self.run_id, None)

    async def round_after(self, seen: int) -> int:
        """Wait until there may be news since round ``seen``; gives the round that is on."""
        while self._round <= seen:
            await self._next_round.wait()
        return self._round

    async def batch(self, held: Position) -> Batch:
        """What comes next for a viewer: out of the tail, which grows by one look a round, or from the database."""
        if self._tail.last:
            await self._once("tail", self._extend)
        if (known := self._tail.after(held)) is not None:
            return known
        batch: Batch = await self._once(held, lambda: database_sync_to_async(next_batch)(self.run_id, held))
        if not self._tail.last and not batch.is_full:
            self._tail.take(batch)
        return batch

    async def _extend(self) -> None:
        self._tail.take(await database_sync_to_async(next_batch)(self.run_id, self._tail.end))

    async def state(self) -> State:
        """Where the run stands, and how many have it open."""
        ask = database_sync_to_async(_state)
        known, elsewhere = await self._once("state", lambda: ask(self.run_id, self.num_viewers))
        watched: State = known.watched_by(self.num_viewers + elsewhere)
        return watched

    async def _once(self, key: object, ask: Callable[[], Awaitable[Any]]) -> Any:
        if key not in self._answers:
            self._answers[key] = asyncio.ensure_future(ask())
        return await asyncio.shield(self._answers[key])

    async def _tick(self) -> None:
        while True:
            self._round += 1
            self._answers = {}
            self._next_round.set()
            self._next_round = asyncio.Event()
            await asyncio.sleep(TICK_S)
            try:
                await asyncio.wait_for(self._news.wait(), POLL_S - TICK_S)
            except TimeoutError:
                pass
            self._news.clear()


def _state(run_id: UUID, num_viewers: int) -> tuple[State, int]:
    """Where the run stands, and how many other processes' viewers have it open."""
    found = state_message(run_id)
    state = State(status=found["status"], last_seq=found["last_seq"], text=compact(found))
    return state, watching_elsewhere(run_id, num_viewers)


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[UUID, Feed]] = WeakKeyDictionary()


def _feeds() -> dict[UUID, Feed]:
    return _by_loop.setdefault(asyncio.get_running_loop(), {})


def feed_of(run_id: UUID) -> Feed:
    """The feed of a run on the running event loop."""
    feeds = _feeds()
    if run_id not in feeds:
        feeds[run_id] = Feed(run_id)
    return feeds[run_id]
