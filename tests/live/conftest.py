"""Viewers of the socket, as the browser's script behaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.test import Client
from redis.asyncio import Redis

from tests.conftest import PASSWORD
from tests.factories import make_experiment, make_run
from webapp.accounts.models import User
from webapp.asgi import application
from webapp.experiments.models import Run
from webapp.live.wakeups import ACCOUNT_CHANNEL
from webapp.workspaces.models import Workspace

ORIGIN = "http://localhost"
PATIENCE_S = 60.0
"""For one message; nobody waits that long unless something is broken."""


@pytest.fixture
def run(transactional_db: None, workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada))


@pytest.fixture
def sign_in() -> Callable[[User], str]:
    """The session cookie of somebody who has just signed in."""

    def cookie(user: User) -> str:
        client = Client()
        assert client.login(email=user.email, password=PASSWORD)
        return client.cookies["sessionid"].value

    return cookie


class Socket(ApplicationCommunicator):
    """One websocket to the site's ASGI application, without a network."""

    def __init__(self, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        where, _, query = path.partition("?")
        scope = {"type": "websocket", "path": where, "query_string": query.encode(), "headers": headers}
        super().__init__(application, {**scope, "subprotocols": []})

    async def connect(self) -> bool:
        """Open it; False where the handshake is refused."""
        await self.send_input({"type": "websocket.connect"})
        return bool((await self.receive_output(PATIENCE_S))["type"] == "websocket.accept")

    async def tell(self, text: str) -> None:
        await self.send_input({"type": "websocket.receive", "text": text})

    async def hear(self) -> dict[str, Any]:
        message = await self.receive_output(PATIENCE_S)
        assert message["type"] == "websocket.send", message
        return dict(json.loads(message["text"]))

    async def closed_with(self) -> int:
        """Read until the server closes; the close code."""
        while True:
            message = await self.receive_output(PATIENCE_S)
            if message["type"] == "websocket.close":
                return int(message["code"])


@asynccontextmanager
async def socket(path: str, *, session: str = "", origin: str | None = ORIGIN) -> AsyncIterator[Socket]:
    headers = [(b"cookie", f"sessionid={session}".encode())] if session else []
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    opened = Socket(path, headers)
    try:
        yield opened
    finally:
        with suppress(asyncio.CancelledError):
            await opened.send_input({"type": "websocket.disconnect", "code": 1001})
            await opened.wait(PATIENCE_S)


class Page:
    """What a page holds, kept by the rules of its script: no gap, no duplicate, drop after a reset."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.events: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.num_resets = 0

    @property
    def path(self) -> str:
        last = self.events[-1] if self.events else {"seq": 0, "attempt": 0}
        return f"/ws/runs/{self.run.pk}/?after={last['seq']}&attempt={last['attempt']}"

    @property
    def after(self) -> int:
        return self.events[-1]["seq"] if self.events else 0

    def take(self, message: dict[str, Any]) -> None:
        self.state = message.get("state", self.state)
        if message["type"] == "reset":
            self.num_resets += 1
            self.events = [event for event in self.events if event["seq"] <= message["after"]]
        elif message["type"] == "events":
            assert message["after"] == self.after
            for event in message["events"]:
                assert event["seq"] == self.after + 1
                self.events.append(event)

    async def follow(self, opened: Socket, until: int) -> None:
        """Read until event ``until`` is there."""
        async with asyncio.timeout(PATIENCE_S):
            while self.after < until:
                self.take(await opened.hear())


async def subscribed() -> None:
    """Return once the process listens to Redis, so that the next change is told and not found by looking."""
    async with asyncio.timeout(PATIENCE_S), Redis.from_url(settings.REDIS_URL) as redis:
        while (await redis.pubsub_numsub(ACCOUNT_CHANNEL))[0][1] == 0:
            await asyncio.sleep(0.02)
