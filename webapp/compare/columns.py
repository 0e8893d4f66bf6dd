"""Columns of the list of runs: some that every run has, and any metric as its last, best, highest, lowest or mean value."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

HOWS = {"last": "last", "best": "best", "high": "highest", "low": "lowest", "mean": "mean"}
BUILT_IN = {
    "method": "Method",
    "seed": "Seed",
    "state": "State",
    "step": "Step",
    "curve": "Curve",
    "headline": "Headline",
    "duration": "Took",
    "by": "By",
    "created": "Created",
    "started": "Started",
    "gpus": "GPUs",
    "tags": "Tags",
}
DEFAULT = ("method", "seed", "state", "step", "curve", "headline", "duration", "by", "created")
_NUMERIC = frozenset({"seed", "step", "headline", "duration", "created", "started", "gpus"})
_METRIC = re.compile(r"(?P<metric>[^\s:]{1,80}):(?P<how>[a-z]+)")
_UNSORTED = frozenset({"curve", "tags"})
MAX_COLUMNS, MAX_PINS = 20, 3


@dataclass(frozen=True, kw_only=True)
class Column:
    """``Column(key="eval/accuracy_greedy:best", title="eval/accuracy_greedy", metric="eval/accuracy_greedy", how="best")``."""

    key: str
    title: str
    metric: str = ""
    how: str = ""
    pin: int = 0
    """Its place among the pinned columns, from 1; 0 for one that moves."""

    @property
    def is_numeric(self) -> bool:
        return bool(self.metric) or self.key in _NUMERIC

    @property
    def is_compared(self) -> bool:
        """Whether it gets a further column with the difference from the baseline."""
        return bool(self.metric) or self.key == "headline"

    @property
    def is_sortable(self) -> bool:
        return self.key not in _UNSORTED

    @property
    def how_words(self) -> str:
        return HOWS.get(self.how, "")


def column(key: str) -> Column | None:
    """The column called ``key``, or None if there is no such column."""
    if key in BUILT_IN:
        return Column(key=key, title=BUILT_IN[key])
    found = _METRIC.fullmatch(key)
    if found is None or found["how"] not in HOWS:
        return None
    return Column(key=key, title=found["metric"], metric=found["metric"], how=found["how"])


def read_columns(keys: Sequence[str], pins: Sequence[str]) -> tuple[Column, ...]:
    """The columns an address names, pinned ones first; the usual ones where it names none."""
    named = [found for key in dict.fromkeys(keys) if (found := column(key))][:MAX_COLUMNS]
    chosen = named or [Column(key=key, title=BUILT_IN[key]) for key in DEFAULT]
    pinned = [each for each in chosen if each.key in pins][:MAX_PINS]
    rest = [each for each in chosen if each not in pinned]
    return (*(replace(each, pin=place) for place, each in enumerate(pinned, start=1)), *rest)
