"""The few numbers that tell how a run is doing, in words."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from webapp.experiments.models import Run
from webapp.telemetry.lens import Lens, lens_of
from webapp.telemetry.scores import is_share
from webapp.telemetry.series import Ends, metric_ends

Judged = tuple[str, str]
"""(tone, words); the tones are good, watch, bad and plain."""


@dataclass(frozen=True, kw_only=True)
class Vital:
    """``Vital(key="judge/auc", label="Judge", was="", now="0.93", tone="good", words="tells right from wrong")``."""

    key: str
    label: str
    was: str
    now: str
    tone: str
    words: str


@dataclass(frozen=True, kw_only=True)
class _Rule:
    name: str
    label: str
    show: Callable[[float], str]
    judge: Callable[[Ends], Judged]
    before: bool = False
    """Whether where it began is part of the news."""


def vitals(run: Run) -> list[dict[str, Any]]:
    """The vital signs this run has numbers for, most telling first; a handful, so that each is read."""
    lens = lens_of(run)
    headline = [headline_rule(lens)] if lens.headline else []
    others = [rule for rule in [*_RULES, *_entropies(lens), _THROUGHPUT] if rule.name != lens.headline]
    rules = headline + others
    ends = metric_ends(run, [rule.name for rule in rules])
    return [asdict(_read(rule, ends[rule.name])) for rule in rules if rule.name in ends]


def _read(rule: _Rule, ends: Ends) -> Vital:
    tone, words = rule.judge(ends) if ends.last == ends.last else ("bad", "is no longer a number")
    was = rule.show(ends.first) if rule.before else ""
    return Vital(key=rule.name, label=rule.label, was=was, now=rule.show(ends.last), tone=tone, words=words)


def headline_rule(lens: Lens) -> _Rule:
    """How the headline metric of a method is shown and judged."""
    name, falls = lens.headline, lens.headline_falls
    label = next((chart.title for chart in lens.charts if any(name == line for line, _ in chart.series)), name)
    if is_share(name.partition("/")[2]):
        return _Rule(name=name, label=label, show=_percent, judge=_falling if falls else _learning, before=True)
    return _Rule(name=name, label=label, show=_number, judge=_falling if falls else _rising, before=True)


def _entropies(lens: Lens) -> list[_Rule]:
    """Whether the first trained role still varies what it says; the others have their lines in a chart."""
    trained = [role for role in lens.roles if role.trained]
    role = next((role for role in trained if role.name == "solver"), trained[0] if trained else None)
    if role is None:
        return []
    label = f"{role.title}'s entropy"
    return [_Rule(name=f"entropy/{role.name}", label=label, show=_number, judge=_entropy, before=True)]


def _percent(value: float) -> str:
    return f"{100 * value:.0f}%"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _plain(words: str) -> Callable[[Ends], Judged]:
    return lambda _: ("plain", words)


def _learning(ends: Ends) -> Judged:
    change = round(100 * (ends.last - ends.first))
    if change >= 2:
        return "good", f"{change} points better than at the start"
    if change <= -2:
        return "bad", f"{-change} points worse than at the start"
    return "plain", "as at the start, so far"


def _rising(ends: Ends) -> Judged:
    change, least = ends.last - ends.first, 0.02 * abs(ends.first)
    if change > least:
        return "good", "more than at the start; more is better"
    if change < -least:
        return "bad", "less than at the start; more is better"
    return "plain", "as at the start, so far; more is better"


def _falling(ends: Ends) -> Judged:
    if ends.first and ends.last <= 0.98 * ends.first:
        return "good", f"{100 * (1 - ends.last / ends.first):.0f}% less than at the start; less is better"
    if ends.first and ends.last >= 1.02 * ends.first:
        return "bad", "more than at the start; less is better"
    return "plain", "as at the start, so far; less is better"


def _auc(ends: Ends) -> Judged:
    if ends.last >= 0.9:
        return "good", "tells right from wrong"
    if ends.last >= 0.8:
        return "plain", "mostly tells right from wrong"
    if ends.last >= 0.65:
        return "watch", "often mistakes wrong for right"
    return "bad", "cannot tell right from wrong"


def _false_accept(ends: Ends) -> Judged:
    if ends.last < 0.15:
        return "good", "few wrong answers get through"
    if ends.last < 0.25:
        return "watch", "some wrong answers get through"
    return "bad", "too many wrong answers get through"


def _entropy(ends: Ends) -> Judged:
    if ends.last < 0.02 and ends.first > 0.1:
        return "bad", "answers no longer vary: collapse"
    if ends.last < ends.first / 3:
        return "watch", "answers vary much less than at the start"
    return "good", "answers still vary"


_RULES = (
    _Rule(name="eval/accuracy_greedy", label="Greedy accuracy", show=_percent, judge=_learning, before=True),
    _Rule(name="judge/auc", label="Judge against truth", show=_number, judge=_auc),
    _Rule(name="judge/false_accept", label="Wrong accepted", show=_percent, judge=_false_accept),
)
_THROUGHPUT = _Rule(
    name="tokens/sampled_per_s", label="Throughput", show=_number, judge=_plain("tokens sampled per second")
)
