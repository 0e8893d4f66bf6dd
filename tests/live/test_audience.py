"""How many watch a run, counted over processes that share nothing but Redis."""

from uuid import uuid4

import pytest
from django.conf import settings
from redis import Redis

from webapp.live import audience
from webapp.live.audience import watching_elsewhere


def test_every_process_hears_of_all_others() -> None:
    run, other = uuid4(), uuid4()
    assert watching_elsewhere(run, 2, process="a") == 0
    assert watching_elsewhere(run, 3, process="b") == 2
    assert watching_elsewhere(other, 1, process="a") == 0
    assert watching_elsewhere(run, 1, process="c") == 5
    assert watching_elsewhere(run, 0, process="b") == 3
    assert watching_elsewhere(run, 2, process="a") == 1


def test_who_falls_silent_is_counted_no_more() -> None:
    run = uuid4()
    watching_elsewhere(run, 7, process="dead")
    key = f"kumite:watching:{run}"
    with Redis.from_url(settings.REDIS_URL) as client:
        count, at = client.hget(key, "dead").decode().split(" ")
        client.hset(key, "dead", f"{count} {float(at) - audience.FRESH_S}")
    assert watching_elsewhere(run, 1, process="a") == 0


def test_without_redis_nobody_else_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Redis.from_url("unix:///nowhere/redis.sock", socket_connect_timeout=1)
    monkeypatch.setattr(audience, "_redis", lambda: nowhere)
    assert watching_elsewhere(uuid4(), 4) == 0
