"""The run page's socket. It owns no truth: a viewer says what it holds and gets the rest.

Server messages: ``hello`` (the state at the start), ``events`` (what follows ``after``, without a gap), ``state`` (only
the state changed) and ``reset`` (a later attempt rewrote what came after ``after``). Each may carry the new ``state``.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from contextlib import suppress
from importlib import import_module
from typing import Any, ClassVar
from urllib.parse import parse_qs
from uuid import UUID

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.http import Http404
from uvicorn.protocols.utils import ClientDisconnected

from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for, run_for_share
from webapp.live.feed import Feed, feed_of
from webapp.live.replay import Position
from webapp.live.wakeups import wake_ups
from webapp.outages import DATABASE_AWAY

logger = logging.getLogger(__name__)

SIGNED_OUT, NOT_FOUND, BEHIND, TOO_MUCH, TRY_AGAIN = 4401, 4404, 4408, 4429, 1012
MAX_REPLAY = 10_000
"""Whoever lacks more events than this is quicker served by reading the page again."""
MAX_SOCKETS = 60
"""Open sockets of one person, or of one share link, in this process."""
MAX_BYTES, MAX_MESSAGES, WINDOW_S = 4096, 25, 5.0
STATE_S = 1.0
"""The state is sent at most this often, unless the status changed."""

_open_sockets: Counter[str] = Counter()


class Refused(Exception):
    """The viewer may not have this socket; ``code`` is the close code that says why."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(str(code))


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """What both sockets share. Subclasses say who the viewer is and which run it may watch."""

    recheck_s: ClassVar[float] = 60.0
    """Rights are looked up again after this long, and at once when somebody signs out."""
    send_timeout_s: ClassVar[float] = 30.0
    """A viewer that has not taken a message for this long is let go; it comes back and asks for what it lacks."""

    async def authorise(self) -> tuple[UUID, str]:
        """The run and a key for counting this viewer's sockets; raises ``Refused``."""
        raise NotImplementedError

    async def connect(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._feed: Feed | None = None
        self._viewer = ""
        self._heard: deque[float] = deque(maxlen=MAX_MESSAGES)
        self._recheck = asyncio.Event()
        await self.accept()  # before any refusal: a close code reaches only an accepted socket
        try:
            held = self._position()
            run_id, viewer = await self.authorise()
            if _open_sockets[viewer] >= MAX_SOCKETS:
                raise Refused(TOO_MUCH)
        except Refused as refused:
            await self.close(refused.code)
            return
        self._viewer = viewer
        _open_sockets[viewer] += 1
        self._feed = feed_of(run_id)
        self._feed.join()
        wake_ups().listen(self._recheck.set)
        self._tasks = [asyncio.create_task(self._guarded(self._follow(self._feed, held)))]
        self._tasks.append(asyncio.create_task(self._guarded(self._keep_checking())))

    async def disconnect(self, code: int) -> None:
        for task in self._tasks:
            task.cancel()
        if self._feed is not None:
            self._feed.leave()
            self._feed = None
            wake_ups().forget(self._recheck.set)
            _open_sockets[self._viewer] -= 1

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        now = time.monotonic()
        too_often = len(self._heard) == MAX_MESSAGES and now - self._heard[0] < WINDOW_S
        self._heard.append(now)
        if too_often or bytes_data is not None or len(text_data or "") > MAX_BYTES:
            await self.close(TOO_MUCH)
        elif text_data == '{"type":"ping"}':
            await self._tell('{"type":"pong"}')

    async def _follow(self, feed: Feed, held: Position) -> None:
        state = await feed.state()
        if state.last_seq - held.after > MAX_REPLAY:
            raise Refused(BEHIND)
        await self._tell(f'{{"type":"hello","run":"{feed.run_id}","state":{state.text}}}')
        told_at, seen, is_owed = time.monotonic(), 0, False
        while True:
            with suppress(TimeoutError):
                due_s = max(0.0, told_at + STATE_S - time.monotonic()) if is_owed else None
                seen = await asyncio.wait_for(feed.round_after(seen), due_s)
            batch = await feed.batch(held)
            news = await feed.state()
            is_due = news.status != state.status or time.monotonic() - told_at >= STATE_S
            changed = news.text != state.text and is_due
            is_owed = news.text != state.text and not is_due
            message = ""
            if batch.reset:
                message = f'{{"type":"reset","after":{batch.to.after}'
                seen -= 1  # what replaced the dropped events is there already
            elif batch.events:
                message = f'{{"type":"events","after":{held.after},"events":{batch.text}'
                seen -= batch.is_full
            elif changed:
                message = '{"type":"state"'
            if message and changed:
                message += f',"state":{news.text}'
                state, told_at = news, time.monotonic()
            if message:
                await self._tell(f"{message}}}")
            held = batch.to
            if batch.reset or batch.is_full:
                await asyncio.sleep(0.25)

    async def _keep_checking(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._recheck.wait(), self.recheck_s)
            self._recheck.clear()
            await self.authorise()

    async def _guarded(self, work: Any) -> None:
        """Every way out of a task closes the socket with a code the page understands."""
        try:
            await work
        except Refused as refused:
            await self.close(refused.code)
        except Run.DoesNotExist:
            await self.close(NOT_FOUND)
        except TimeoutError:
            await self.close(BEHIND)
        except (ConnectionError, ClientDisconnected):
            pass  # nobody is there any more to be told
        except DATABASE_AWAY as error:
            logger.warning("live.database_unreachable", extra={"error": repr(error)})
            await self.close(TRY_AGAIN)
        except Exception:
            logger.exception("live.failed")
            await self.close(TRY_AGAIN)

    async def _tell(self, message: str) -> None:
        """Waits while the viewer's buffer is full, so nothing piles up here."""
        await asyncio.wait_for(self.send(text_data=message), self.send_timeout_s)

    def _position(self) -> Position:
        asked = parse_qs(self.scope["query_string"].decode("ascii", "replace"))
        try:
            after, attempt = (int(asked.get(name, ["0"])[0]) for name in ("after", "attempt"))
        except ValueError:
            raise Refused(NOT_FOUND) from None
        if not (0 <= after < 2**62 and 0 <= attempt < 2**15):
            raise Refused(NOT_FOUND)
        return Position(after=after, attempt=attempt)


class RunConsumer(LiveConsumer):
    """``/ws/runs/<uuid>/`` for members of the run's workspace."""

    async def authorise(self) -> tuple[UUID, str]:
        store = import_module(settings.SESSION_ENGINE).SessionStore
        session = store(self.scope["session"].session_key)  # read again: the one in the scope is as old as the socket
        user = await get_user({"session": session})
        if not user.is_authenticated:
            raise Refused(SIGNED_OUT)
        try:
            run = await database_sync_to_async(run_for)(user, self.scope["url_route"]["kwargs"]["run_id"])
        except Http404:
            raise Refused(NOT_FOUND) from None
        return run.pk, f"user {user.pk}"


class ShareConsumer(LiveConsumer):
    """``/ws/s/<secret>/`` for whoever holds a share link."""

    async def authorise(self) -> tuple[UUID, str]:
        secret = self.scope["url_route"]["kwargs"]["secret"]
        try:
            run = await database_sync_to_async(run_for_share)(secret)
        except Http404:
            raise Refused(NOT_FOUND) from None
        return run.pk, f"share {secret}"
