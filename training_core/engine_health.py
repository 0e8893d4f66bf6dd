"""How busy an engine is: completions at a time, memory for keys and values, prompts that were read for several at once."""

from threading import Lock


class EngineHealth:
    """Gathers what an engine sees of itself until it is taken. Threads may share it.

    Example: after ``health.look(running=64, waiting=32, cache_share=0.4)`` and ``health.count(prompt_tokens=80, spared_tokens=60)``,
    ``health.take()`` gives ``{"engine/running": 64.0, "engine/waiting_peak": 32.0, "engine/spared_share": 0.75, ...}``.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._clear()

    def _clear(self) -> None:
        self._num_looks = self._num_running = self._most_running = self._most_waiting = 0
        self._cache_share = 0.0
        self._num_preemptions = self._prompt_tokens = self._spared_tokens = 0

    def look(self, *, running: int, waiting: int, cache_share: float) -> None:
        """At this moment so many completions are being written or wait for room, and this share of the memory is taken."""
        with self._lock:
            self._num_looks += 1
            self._num_running += running
            self._most_running = max(self._most_running, running)
            self._most_waiting = max(self._most_waiting, waiting)
            self._cache_share = max(self._cache_share, cache_share)

    def count(self, *, preemptions: int = 0, prompt_tokens: int = 0, spared_tokens: int = 0) -> None:
        """Completions sent back to wait; tokens of the prompts asked for, and those of them that had been read already."""
        with self._lock:
            self._num_preemptions += preemptions
            self._prompt_tokens += prompt_tokens
            self._spared_tokens += spared_tokens

    def take(self) -> dict[str, float]:
        """Metrics since the last taking; none where nothing was asked of the engine."""
        with self._lock:
            found: dict[str, float] = {}
            if self._num_looks:
                found = {
                    "engine/running": self._num_running / self._num_looks,
                    "engine/running_peak": float(self._most_running),
                    "engine/waiting_peak": float(self._most_waiting),
                    "engine/cache_share_peak": self._cache_share,
                    "engine/preemptions": float(self._num_preemptions),
                }
            if self._prompt_tokens:
                found["engine/spared_share"] = self._spared_tokens / self._prompt_tokens
            self._clear()
        return found
