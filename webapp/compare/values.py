"""One value of a metric for each of many runs: the last, the best, the highest, the lowest, or the mean of all points."""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import FloatField
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast

from webapp.compare.headlines import falls
from webapp.telemetry.models import RunSummary
from webapp.telemetry.summary import COUNT, HIGH, LAST, LOW, SUM, Digest

_PLACES = {"last": LAST, "high": HIGH, "low": LOW}


def value_of(digest: Digest | None, metric: str, how: str) -> float | None:
    """``how`` is last, best, high, low or mean; best is the lowest of a metric of which less is better."""
    if digest is None:
        return None
    named: dict[str, float] = {"last": digest.last, "high": digest.high, "low": digest.low, "mean": digest.mean}
    return named["low" if falls(metric) else "high"] if how == "best" else named[how]


def value_of_run(metric: str, how: str) -> Any:
    """The same as an expression over runs, to sort by."""
    numbers = KeyTransform(metric, "summary__metrics")
    if how == "mean":
        return _number(numbers, SUM) / _number(numbers, COUNT)
    return _number(numbers, _PLACES.get(how) or (LOW if falls(metric) else HIGH))


def _number(numbers: KeyTransform, place: int) -> Any:
    return Cast(KeyTextTransform(place, numbers), FloatField())


def metrics_of(run_ids: Sequence[UUID]) -> Counter[str]:
    """Every metric that any of the runs has reported, with the number of runs that have."""
    summaries = RunSummary.objects.filter(run_id__in=list(run_ids)).values_list("metrics", flat=True)
    return Counter(name for metrics in summaries for name in metrics)
