"""How many have a run open, in all web processes together. Each tells its own number; who falls silent is soon not counted."""

import logging
import os
import socket
from functools import cache
from uuid import UUID

from django.conf import settings
from redis import Redis, RedisError

logger = logging.getLogger(__name__)

FRESH_S = 15.0
"""A process looks at a run it watches at least every ``feed.POLL_S``; one that did not for so long watches it no more."""


def watching_elsewhere(run_id: UUID, num_here: int, *, process: str | None = None) -> int:
    """Tell how many watch the run here, and hear how many do in other processes; none where Redis cannot be reached."""
    key, me = f"kumite:watching:{run_id}", process or _me()
    try:
        seconds, micros = _redis().time()
        now = seconds + micros / 1e6
        with _redis().pipeline() as told:
            told.hset(key, me, f"{num_here} {now}")
            told.expire(key, int(FRESH_S))
            told.hgetall(key)
            everywhere = told.execute()[-1]
    except (RedisError, OSError):
        logger.debug("audience.redis_unreachable", exc_info=True)
        return 0
    counts = (value.decode().split(" ") for name, value in everywhere.items() if name.decode() != me)
    return sum(int(count) for count, at in counts if now - float(at) < FRESH_S)


@cache
def _redis() -> "Redis[bytes]":
    return Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1)


@cache
def _me() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"
