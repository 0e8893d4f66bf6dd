"""Viewers of the socket, as the browser's script behaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.test import Client

from tests.conftest import PASSWORD
from tests.factories import make_experiment, make_run
from webapp.accounts.models import User
from webapp.asgi import application
from webapp.experiments.models import Run
from webapp.workspaces.models import Workspace

ORIGIN = "http://localhost"


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
        return bool((await self.receive_output(5))["type"] == "websocket.accept")

    async def tell(self, text: str) -> None:
        await self.send_input({"type": "websocket.receive", "text": text})

    async def hear(self, timeout_s: float = 10) -> dict[str, Any]:
        message = await self.receive_output(timeout_s)
        assert message["type"] == "websocket.send", message
        return dict(json.loads(message["text"]))

    async def closed_with(self, timeout_s: float = 10) -> int:
        """Read until the server closes; the close code."""
        while True:
            message = await self.receive_output(timeout_s)
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
            await opened.wait(5)


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

    async def follow(self, opened: Socket, until: int, timeout_s: float = 20) -> None:
        """Read until event ``until`` is there."""
        async with asyncio.timeout(timeout_s):
            while self.after < until:
                self.take(await opened.hear(timeout_s))
