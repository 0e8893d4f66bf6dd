"""A real browser against a real ASGI server. A page fails its test by any console error, CSP report or axe violation."""

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from django.db import connection
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

CHROMIUM = os.environ.get("KUMITE_CHROMIUM", "/usr/bin/chromium")
_FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-quic",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
_SETTLED = """document.readyState === 'complete' && !document.querySelector('.htmx-request, [aria-busy=true]')
    && ![...document.querySelectorAll('.part-wait')].some((wait) => wait.checkVisibility())"""
# Observers of sizes are told when a frame is drawn; on a busy machine that may be after axe has begun.
_DRAWN = """async () => {
    await document.fonts.ready;
    for (const _ of [1, 2]) await new Promise((drawn) => requestAnimationFrame(drawn));
}"""
_STILL = "!document.getAnimations().some((each) => each instanceof CSSTransition)"
_AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
PATIENCE_MS = 60_000
"""For one condition; a busy machine is no reason to fail."""
expect.set_options(timeout=PATIENCE_MS)
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's own loop runs in the thread that also sets up rows


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        reason = f"there is no chromium at {CHROMIUM}; install it (apt-get install chromium) or set KUMITE_CHROMIUM"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"Browser tests must run in CI, but {reason}.")
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


class LiveServer:
    """The site's ASGI application on a free port, in a thread: ``server.url`` is "http://127.0.0.1:40123"."""

    def __init__(self) -> None:
        from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

        from webapp.asgi import application

        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.listener, self.url = listener, f"http://127.0.0.1:{listener.getsockname()[1]}"
        http = ASGIStaticFilesHandler(application.application_mapping["http"])

        async def site(scope: Any, receive: Any, send: Any) -> None:
            await (http if scope["type"] == "http" else application)(scope, receive, send)

        config = uvicorn.Config(site, log_level="warning", lifespan="off", ws="websockets-sansio")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self._run, name="live-server", daemon=True)

    def _run(self) -> None:
        asyncio.run(self.server.serve(sockets=[self.listener]))

    def start(self) -> None:
        self.thread.start()
        while not self.server.started:
            if not self.thread.is_alive():
                raise RuntimeError("the live server did not start")
            self.thread.join(0.02)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(15)
        self.listener.close()


@pytest.fixture(scope="session")
def _running_server() -> Iterator[LiveServer]:
    server = LiveServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def site(_running_server: LiveServer, transactional_db: None) -> str:
    """The address of the site, which sees the rows of this test."""
    return _running_server.url


class Visit:
    """One person's browser window. ``problems`` collects everything a page must not do."""

    def __init__(self, context: BrowserContext, site: str) -> None:
        self.context, self.site = context, site
        self.problems: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":  # violations of the content security policy arrive here too
            self.problems.append(f"console: {message.text} ({message.location.get('url', '')})")

    def sign_in(self, user: Any) -> "Visit":
        from django.conf import settings
        from django.test import Client

        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        self.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": self.site}])
        return self

    def goto(self, path: str) -> Page:
        self.page.goto(self.site + path, wait_until="load")
        return self.page

    def wait_until(self, condition: str) -> bool:
        """Whether the page comes to this; Playwright's own way of asking again is closed by the content security policy."""
        asking = f"""async () => {{
            const end = Date.now() + {PATIENCE_MS};
            while (!({condition}) && Date.now() < end) await new Promise((again) => setTimeout(again, 30));
            return Boolean({condition});
        }}"""
        return bool(self.page.evaluate(asking))

    def settle(self) -> None:
        """Until nothing is being read, the page was drawn at its size, and no colour is on its way to another."""
        assert self.wait_until(_SETTLED)
        self.page.evaluate(_DRAWN)
        assert self.wait_until(_STILL)

    def expect_accessible(self) -> None:
        """No violation that axe can find, in both colour schemes."""
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            self.settle()
            assert self.axe_findings() == []

    def axe_findings(self, within: str = "", rules: Sequence[str] = ()) -> list[str]:
        """What axe says against the page, or one part of it, by all of its rules or some."""
        # Evaluated through the debugger, which the page's content security policy does not govern.
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(_AXE.read_text(encoding="utf-8") + ";undefined")
        only = f", runOnly: {json.dumps(list(rules))}" if rules else ""
        place = json.dumps(within) if within else "document"
        found = self.page.evaluate(f"axe.run({place}, {{resultTypes: ['violations'], preload: false{only}}})")
        return [
            f"{violation['id']}: {violation['help']}: {json.dumps(node['target'])} {node.get('failureSummary', '')}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def expect_no_problems(self) -> None:
        assert self.problems == []

    def expect_no_sideways_scroll(self) -> None:
        overflow = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"the page is {overflow} px wider than its window"


DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    """A desktop window; at the end of the test no page may have reported a problem."""
    yield from _visit(browser, site, DESKTOP)


@pytest.fixture
def phone(browser: Browser, site: str) -> Iterator[Visit]:
    """The same on a phone, with touch."""
    yield from _visit(browser, site, PHONE, has_touch=True, is_mobile=True)


def _visit(browser: Browser, site: str, size: dict[str, int], **options: Any) -> Iterator[Visit]:
    context = browser.new_context(viewport=size, reduced_motion="reduce", **options)  # type: ignore[arg-type]
    visit = Visit(context, site)
    yield visit
    context.close()
    _let_requests_end()
    visit.expect_no_problems()


def _let_requests_end() -> None:
    """What the page asked for last may still be read; emptying the tables meanwhile could end in a deadlock."""
    busy = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"""
    with connection.cursor() as cursor:
        for _ in range(200):
            cursor.execute(busy)
            if cursor.fetchone()[0] == 0:
                return
            time.sleep(0.02)
