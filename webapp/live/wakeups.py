"""Redis pub/sub as a doorbell: one subscription per process, passed on to whoever watches a run here.

Redis may go away at any time. The subscription comes back by itself and then wakes everybody, since calls may have been
lost; besides, every feed looks into the database by itself every few seconds.
"""

import asyncio
import logging
from collections.abc import Callable
from uuid import UUID
from weakref import WeakKeyDictionary

from django.conf import settings
from redis import RedisError
from redis.asyncio import Redis

logger = logging.getLogger(__name__)

RUN_CHANNEL = "kumite:run:"
ACCOUNT_CHANNEL = "kumite:account"
"""Announces that somebody signed out or lost a right; every socket checks its viewer again."""
_FIRST_DELAY_S, _LAST_DELAY_S = 0.2, 5.0

Wake = Callable[[], None]


class WakeUps:
    """The subscription of one event loop; it exists while somebody listens."""

    def __init__(self) -> None:
        self._runs: dict[str, set[Wake]] = {}
        self._accounts: set[Wake] = set()
        self._task: asyncio.Task[None] | None = None

    def listen(self, wake: Wake, *, run_id: UUID | None = None) -> None:
        """Call ``wake`` at news of the run, or without a run at news about accounts."""
        self._group(run_id).add(wake)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._subscribe())

    def forget(self, wake: Wake, *, run_id: UUID | None = None) -> None:
        group = self._group(run_id)
        group.discard(wake)
        if run_id is not None and not group:
            self._runs.pop(str(run_id), None)
        if not self._runs and not self._accounts and self._task is not None:
            self._task.cancel()
            self._task = None

    def _group(self, run_id: UUID | None) -> set[Wake]:
        return self._accounts if run_id is None else self._runs.setdefault(str(run_id), set())

    async def _subscribe(self) -> None:
        delay_s = _FIRST_DELAY_S
        while True:
            client = Redis.from_url(settings.REDIS_URL, socket_connect_timeout=5, health_check_interval=15)
            try:
                async with client, client.pubsub() as pubsub:
                    await pubsub.psubscribe(f"{RUN_CHANNEL}*")
                    await pubsub.subscribe(ACCOUNT_CHANNEL)
                    delay_s = _FIRST_DELAY_S
                    self._wake_all()
                    while True:
                        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=10)
                        if message is not None:
                            self._pass_on(message["channel"].decode())
            except (RedisError, OSError, RuntimeError) as error:
                logger.warning("live.redis_unreachable", extra={"error": repr(error), "again_in_s": delay_s})
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _LAST_DELAY_S)

    def _pass_on(self, channel: str) -> None:
        listeners = self._accounts if channel == ACCOUNT_CHANNEL else self._runs.get(channel.removeprefix(RUN_CHANNEL))
        for wake in list(listeners or ()):
            wake()

    def _wake_all(self) -> None:
        for group in [self._accounts, *self._runs.values()]:
            for wake in list(group):
                wake()


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, WakeUps] = WeakKeyDictionary()


def wake_ups() -> WakeUps:
    """The subscription of the running event loop."""
    return _by_loop.setdefault(asyncio.get_running_loop(), WakeUps())
