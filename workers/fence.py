"""The last safety: a supervisor that cannot renew its lease ends its own child, before the run may start elsewhere."""

import threading
import time
from collections.abc import Callable


class Fence:
    """Calls ``cut`` once when ``renewed`` was not called for ``limit_s``; works while the main thread hangs in a call."""

    def __init__(self, *, limit_s: float, cut: Callable[[], None]) -> None:
        self.is_cut = False
        self._limit_s, self._cut = limit_s, cut
        self._renewed_at = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fence", daemon=True)
        self._thread.start()

    def renewed(self) -> None:
        self._renewed_at = time.monotonic()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(min(0.5, self._limit_s / 10)):
            if time.monotonic() - self._renewed_at > self._limit_s:
                self.is_cut = True
                self._cut()
                return
