"""The one number that matters of each method: what it is called, how it is written, and which way is better."""

from dataclasses import dataclass
from functools import cache

from training_core.methods.registry import all_methods, find_method
from webapp.telemetry.scores import is_share

_FALLING = ("loss/", "kl/", "mismatch/", "staleness/", "time/")
_FALLING_WORDS = ("exploitability", "false_accept", "false_reject", "illegal", "duplicate")


@dataclass(frozen=True, kw_only=True)
class Headline:
    """``Headline(metric="eval/accuracy_sampled", title="Held-out accuracy, sampled", falls=False)``."""

    metric: str
    title: str
    falls: bool


@cache
def headline_of(method: str) -> Headline:
    """What a method is measured by; of a method that is not installed nothing is known."""
    try:
        found = find_method(method)
    except ValueError:
        return Headline(metric="", title="Headline measurement", falls=False)
    lines = ((chart.title, label, name) for chart in found.charts for name, label in chart.series)
    named = next((f"{title}, {label.lower()}" for title, label, name in lines if name == found.headline_metric), "")
    falls = found.headline_goal == "down"
    return Headline(metric=found.headline_metric, title=named or found.headline_metric, falls=falls)


@cache
def falls(metric: str) -> bool:
    """Whether less of a metric is better: as the methods measured by it say, else by its name."""
    goals = [method.headline_goal == "down" for method in all_methods() if method.headline_metric == metric]
    return goals[0] if goals else metric.startswith(_FALLING) or any(word in metric for word in _FALLING_WORDS)


def value_words(metric: str, value: float | None) -> str:
    """A value as a list shows it: shares as percentages, everything else in three significant digits."""
    if value is None:
        return "–"
    if is_share(metric.rpartition("/")[2]):
        return f"{100 * value:.1f}%"
    if abs(value) >= 1e6:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A difference from a baseline in words: ``Change(words="+3.1 points", percent="+7.4%", tone="good")``."""

    words: str
    percent: str
    tone: str


def change(metric: str, value: float | None, base: float | None) -> Change | None:
    """How far a value is from the baseline's; None where one of them is missing."""
    if value is None or base is None:
        return None
    difference = value - base
    sign = "−" if difference < 0 else "+"
    size = f"{100 * abs(difference):.1f} points" if is_share(metric.rpartition("/")[2]) else f"{abs(difference):.3g}"
    percent = f"{sign}{100 * abs(difference / base):.1f}%" if base else ""
    worse = falls(metric) == (difference > 0)
    tone = "plain" if difference == 0 else "bad" if worse else "good"
    return Change(words=f"{sign}{size}", percent=percent, tone=tone)
