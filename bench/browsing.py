"""A Chromium that is counted: CPU seconds of all its processes, bytes over the wire, heap after a collection."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

IDLE_SHARE, IDLE_S = 0.15, 1.5
"""A page is at rest once its browser has used less than this share of a core for so long."""


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """CPU seconds of these processes and of their children that have ended; what a lost one used is forgotten."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


class Wire:
    """What comes over the wire, as the browser's own debugger counts it; messages of sockets unpacked."""

    def __init__(self, session: Any) -> None:
        self.session, self.num_bytes, self.num_requests = session, 0, 0
        self.pending: set[str] = set()
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.loadingFailed", lambda event: self.pending.discard(event["requestId"]))
        session.on("Network.loadingFinished", self._finished)
        session.on("Network.webSocketFrameReceived", self._framed)

    def _asked(self, event: dict[str, Any]) -> None:
        """Data on its way; the end of a worker's script is not told to the page that started it."""
        if event.get("type") in ("Document", "Fetch", "XHR"):
            self.pending.add(event["requestId"])

    def _finished(self, event: dict[str, Any]) -> None:
        self.num_bytes += int(event["encodedDataLength"])
        self.num_requests += 1
        self.pending.discard(event["requestId"])

    def _framed(self, event: dict[str, Any]) -> None:
        self.num_bytes += len(event["response"]["payloadData"])

    def heap_bytes(self) -> int:
        self.session.send("HeapProfiler.enable")
        self.session.send("HeapProfiler.collectGarbage")
        return int(self.session.send("Runtime.getHeapUsage")["usedSize"])


class Tab:
    """The one page of a browser of its own, and what it cost since ``begin``."""

    def __init__(self, browser: Any, driver: psutil.Process, *, height: int, cookies: list[dict[str, str]]) -> None:
        self._driver = driver
        context = browser.new_context(viewport={"width": 1440, "height": height})
        if cookies:
            context.add_cookies(cookies)
        self.page = context.new_page()
        self.problems: list[str] = []
        self.page.goto("about:blank")
        self.wire = Wire(context.new_cdp_session(self.page))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda said: self.problems.append(said.text) if said.type == "error" else None)
        self.begin()

    def begin(self) -> None:
        self._cpu_before, self._began = self.cpu_s(), time.perf_counter()
        self._bytes_before, self._requests_before = self.wire.num_bytes, self.wire.num_requests

    def cpu_s(self) -> float:
        """Of all processes of the browser; Playwright's own, which started them, is none of it."""
        return cpu_s(self._driver.children(recursive=True))

    def cost(self) -> dict[str, Any]:
        return {
            "browser_cpu_s": round(self.cpu_s() - self._cpu_before, 2),
            "bytes": self.wire.num_bytes - self._bytes_before,
            "requests": self.wire.num_requests - self._requests_before,
            "wall_s": round(time.perf_counter() - self._began, 2),
        }

    @property
    def heap_mb(self) -> float:
        return round(self.wire.heap_bytes() / 1e6, 1)

    def rest(self, limit_s: float, *, until: str = "true") -> bool:
        """Wait until this JavaScript holds, nothing is on its way and the browser rests; whether that came in time."""
        deadline = time.perf_counter() + limit_s
        while time.perf_counter() < deadline:
            before, began = self.cpu_s(), time.perf_counter()
            self.page.wait_for_timeout(1000 * IDLE_S)
            is_idle = self.cpu_s() - before < IDLE_SHARE * (time.perf_counter() - began)
            if is_idle and not self.wire.pending and self.page.evaluate(until):
                return True
        return False


@contextmanager
def tab(*, height: int = 1400, cookies: list[dict[str, str]] | None = None) -> Iterator[Tab]:
    """A fresh browser that knows nothing, with an empty page."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("KUMITE_CHROMIUM", "/usr/bin/chromium")
    others = set(psutil.Process().children())
    with sync_playwright() as playwright:
        (driver,) = set(psutil.Process().children()) - others
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield Tab(browser, driver, height=height, cookies=cookies or [])
        browser.close()
