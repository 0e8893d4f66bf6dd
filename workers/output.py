"""``output.log``: what a run prints, with a bound on size and speed, so that a chatty run fills no disk."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from workers.redaction import Redactor

MAX_BYTES = 64 * 2**20
MAX_BYTES_PER_S = 2**20
_TAIL_BYTES = 16 * 2**10


class OutputLog:
    """Moves a process' output to a file until the process closes it; what exceeds the bounds is counted and dropped."""

    def __init__(
        self,
        path: Path,
        *,
        redactor: Redactor | None = None,
        max_bytes: int = MAX_BYTES,
        max_bytes_per_s: int = MAX_BYTES_PER_S,
    ) -> None:
        self.path = path
        self._redactor = redactor or Redactor()
        self._left = max(0, max_bytes - (path.stat().st_size if path.exists() else 0))
        self._per_s = max_bytes_per_s
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def drain(self, stream: IO[bytes]) -> None:
        """Start moving; returns at once."""
        self._thread = threading.Thread(target=self._move, args=(stream,), name="output", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 2.0) -> None:
        """Wait for the end of the output."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def tail(self) -> str:
        """The end of the file, as text."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, self.path.stat().st_size - _TAIL_BYTES))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def _move(self, stream: IO[bytes]) -> None:
        second, budget = time.monotonic(), self._per_s
        with self.path.open("ab", buffering=0) as file:
            for chunk in self._without_secrets(stream):
                if time.monotonic() - second >= 1:
                    second, budget = time.monotonic(), self._per_s
                taken = chunk[: min(budget, self._left)]
                budget -= len(taken)
                self._write(file, taken)
                self._dropped += len(chunk) - len(taken)
            if self._dropped:
                self._write(file, f"\n[{self._dropped} bytes of output were left out]\n".encode())

    def _without_secrets(self, stream: IO[bytes]) -> Iterator[bytes]:
        """What the process prints; the end of a piece that may be half a secret waits for the next piece."""
        held = b""
        while piece := stream.read1(65_536):  # type: ignore[attr-defined]  # a pipe is a buffered reader
            clean, held = self._redactor.split(held + piece)
            yield clean
        yield self._redactor.clean(held)

    def _write(self, file: IO[bytes], data: bytes) -> None:
        try:
            file.write(data)
            self._left -= len(data)
        except OSError:  # the disk is full; the run itself will notice and say so
            self._dropped += len(data)
