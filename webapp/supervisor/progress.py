"""What a person sees while things start: never a silent minute, on a terminal or in a log."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_FRAMES = "|/-\\"
_LINE_EVERY_S = 5.0


class Progress:
    """``with progress.stage("Starting Postgres"): ...`` shows a running clock, then how long it took."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._is_terminal = self._stream.isatty()
        self._lock = threading.Lock()
        self._detail = ""

    def say(self, text: str = "") -> None:
        """One line of its own, also in the middle of a stage."""
        with self._lock:
            self._write(f"{self._clear()}{text}\n")

    def detail(self, text: str) -> None:
        """How far the present stage is, in words."""
        self._detail = text

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        self._detail = ""
        started = time.monotonic()
        finished = threading.Event()
        if not self._is_terminal:
            self.say(f"  ..  {title}")
        clock = threading.Thread(target=self._tick, args=(title, started, finished), daemon=True)
        clock.start()
        try:
            yield
        except Exception:
            self._end(clock, finished)
            self.say(f"  !!  {title}: did not work")
            raise
        except BaseException:  # a request to stop is no failure
            self._end(clock, finished)
            self.say(f"  --  {title}: stopped")
            raise
        self._end(clock, finished)
        self.say(f"  ok  {title} ({time.monotonic() - started:.1f} s)")

    @staticmethod
    def _end(clock: threading.Thread, finished: threading.Event) -> None:
        finished.set()
        clock.join()

    def _tick(self, title: str, started: float, finished: threading.Event) -> None:
        shown, frame = started, 0
        while not finished.wait(0.2 if self._is_terminal else 0.5):
            now = time.monotonic()
            note = f": {self._detail}" if self._detail else ""
            with self._lock:
                if self._is_terminal:
                    frame += 1
                    self._write(f"{self._clear()}  {_FRAMES[frame % 4]}   {title}{note} ({now - started:.0f} s)"[:110])
                elif now - shown >= _LINE_EVERY_S:
                    shown = now
                    self._write(f"  ..  {title}{note} ({now - started:.0f} s)\n")

    def _clear(self) -> str:
        return "\r\033[K" if self._is_terminal else ""

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (BrokenPipeError, OSError):  # the reader of our output left; what we supervise should not
            pass
