"""Where the time goes: seconds by name, added up over as many rounds as there are."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up wall seconds by name.

    Example: ``with watch("decode"): ...`` and later ``watch.take()`` gives ``{"decode": 1.8, "prefill": 0.1}``.
    Names may be nested; a part's seconds then include those of the parts inside it, except the same name inside itself,
    which counts once. Threads may share a watch: each keeps its own nesting.
    """

    def __init__(self, synchronize: Callable[[], object] | None = None) -> None:
        """``synchronize`` waits for the device before each reading (``torch.cuda.synchronize``); without it, a part that
        only queues work on a GPU looks short and the part that waits for the result looks long."""
        self._synchronize = synchronize
        self._seconds: dict[str, float] = defaultdict(float)
        self._began: dict[str, float] = {}
        self._lock = threading.Lock()
        self._running = threading.local()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to ``name``, also when the block raises."""
        names: set[str] = self._running.__dict__.setdefault("names", set())
        if name in names:
            yield
            return
        names.add(name)
        with self._lock:
            self._began.setdefault(name, time.time())
        begin = self._now()
        try:
            yield
        finally:
            names.discard(name)
            self.add(name, self._now() - begin)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds that were measured elsewhere."""
        with self._lock:
            self._seconds[name] += seconds

    def take(self) -> dict[str, float]:
        """Seconds by name since the last taking; a block still running counts with the next one."""
        with self._lock:
            taken, self._seconds = dict(self._seconds), defaultdict(float)
        return taken

    def take_beginnings(self) -> dict[str, float]:
        """Unix time at which each name was first begun since the last taking."""
        with self._lock:
            taken, self._began = self._began, {}
        return taken

    def _now(self) -> float:
        if self._synchronize is not None:
            self._synchronize()
        return time.perf_counter()
