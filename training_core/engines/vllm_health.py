"""What vLLM tells of itself: to a stat logger in this process, or as Prometheus text over HTTP.

The names are vLLM's own; see its page "Metrics".
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from training_core.engine_health import EngineHealth

_LINE = re.compile(r"^vllm:(\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


class StatLogger:
    """Hands every step of vLLM's scheduler to the health of the engine, with the methods vLLM calls on its stat loggers."""

    def __init__(self, health: EngineHealth) -> None:
        self._health = health

    def record(self, scheduler_stats: Any, iteration_stats: Any, **_: Any) -> None:
        """One step: rows at work and in the queue, blocks taken, prompts found in the cache, rows put off."""
        if scheduler_stats is not None:
            self._health.look(
                running=scheduler_stats.num_running_reqs,
                waiting=scheduler_stats.num_waiting_reqs + scheduler_stats.num_skipped_waiting_reqs,
                cache_share=scheduler_stats.kv_cache_usage,
            )
            cache = scheduler_stats.prefix_cache_stats
            self._health.count(prompt_tokens=cache.queries, spared_tokens=cache.hits)
        if iteration_stats is not None:
            self._health.count(preemptions=iteration_stats.num_preempted_reqs)

    def log(self) -> None:
        """Nothing is written to the console."""

    def log_engine_initialized(self) -> None:
        """Of no interest."""

    def record_sleep_state(self, *_: Any) -> None:
        """Of no interest."""

    def record_admission_rejection(self, *_: Any) -> None:
        """Nothing is refused here."""


def read_metrics(text: str) -> Mapping[str, float]:
    """Values by name without ``vllm:``, added up over engines: ``{"num_requests_waiting": 3.0, "num_preemptions_total": 0.0, ...}``."""
    found: dict[str, float] = defaultdict(float)
    for name, value in _LINE.findall(text):
        found[name] += float(value)
    return found


class Poll:
    """Two kinds of readings of one server: what it is doing at the moment, and what has been counted since the poll before."""

    def __init__(self, health: EngineHealth) -> None:
        self._health = health
        self._before: Mapping[str, float] | None = None

    def enter(self, values: Mapping[str, float], *, at_work: bool) -> None:
        """Enter a reading; ``at_work`` says that something is being asked of the server, so that the moment counts."""
        if at_work:
            self._health.look(
                running=int(values["num_requests_running"]),
                waiting=int(values["num_requests_waiting"]),
                cache_share=values["kv_cache_usage_perc"],
            )
        if self._before is not None:
            since = {name: int(values[name] - self._before[name]) for name in _COUNTERS}
            self._health.count(
                preemptions=since["num_preemptions_total"],
                prompt_tokens=since["prefix_cache_queries_total"],
                spared_tokens=since["prefix_cache_hits_total"],
            )
        self._before = values


_COUNTERS = ("num_preemptions_total", "prefix_cache_queries_total", "prefix_cache_hits_total")
