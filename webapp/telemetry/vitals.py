"""The six numbers that tell how a run is doing, in words: now, or as they stood after an event.

In order: the method's headline, where questions stand, the judge against the truth, what the reward is made of, whether
answers still vary, and speed. A method that has no such thing shows the first lines of its own charts instead.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from statistics import fmean, median
from typing import Any

from webapp.experiments.models import Run
from webapp.telemetry.attribution import Part, attribute
from webapp.telemetry.lens import PARTS, Lens, lens_of
from webapp.telemetry.moments import ends_at, recent_values
from webapp.telemetry.scores import is_share
from webapp.telemetry.series import Ends
from webapp.telemetry.statistics import Confusion

NUM_VITALS = 6
LEAST_VERDICTS = 20
"""Verdicts whose truth is known, below which nothing is said of the judge's own answers."""

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
    parts: list[dict[str, Any]] = field(default_factory=list)
    """A whole as a bar: ``[{"label": "judge", "tint": "series-1", "share": 0.6, "x": 0, "width": 60}]``; shares add up to 1,
    ``x`` and ``width`` are in percent of the bar."""


@dataclass(frozen=True, kw_only=True)
class _Rule:
    name: str
    label: str
    show: Callable[[float], str]
    judge: Callable[[Ends], Judged]
    before: bool = False
    """Whether where it began is part of the news."""


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """What the vitals of one moment are read from."""

    lens: Lens
    ends: dict[str, Ends]
    recent: list[dict[str, float]] = field(default_factory=list)
    """Metrics of the last steps, oldest first."""

    def mean(self, name: str) -> float | None:
        """Over the last steps."""
        values = [values[name] for values in self.recent if name in values]
        return fmean(values) if values else None

    def names(self, prefix: str) -> list[str]:
        return list(dict.fromkeys(name for values in self.recent for name in values if name.startswith(prefix)))


def vitals(run: Run, *, up_to: int | None = None) -> list[dict[str, Any]]:
    """At most six vital signs this run has numbers for; with ``up_to``, as they stood after that event."""
    lens = lens_of(run)
    recent = [values for _, values in recent_values(run, up_to=up_to)]
    rules = list(_rules(lens))
    names = [rule.name for rule in rules]
    names += [name for values in recent[-1:] for name in values if name.startswith("reward_part/")]
    role = main_role(lens)
    names += [f"reward/{role}", f"entropy/{role}", _SPEED] if role else [_SPEED]
    reading = _Reading(lens=lens, ends=ends_at(run, list(dict.fromkeys(names)), up_to=up_to), recent=recent)
    return [asdict(vital) for vital in _six(reading, rules, role)]


def _six(reading: _Reading, rules: list[_Rule], role: str) -> list[Vital]:
    by_name = {rule.name: _read(rule, reading.ends[rule.name]) for rule in rules if rule.name in reading.ends}
    headline = by_name.pop(reading.lens.headline, None)
    judge = _judge(reading) or by_name.get("judge/auc")
    first = [headline, _frontier(reading), judge, _reward(reading, role), _variety(reading, role), _speed(reading)]
    found = [vital for vital in first if vital is not None]
    taken = {vital.key for vital in found} | ({"judge/auc"} if judge else set())
    others = [vital for name, vital in by_name.items() if name not in taken]
    speed = [vital for vital in found if vital.key == _SPEED]
    before = [vital for vital in found if vital.key != _SPEED]
    return [*before, *others[: NUM_VITALS - len(found)], *speed]


def _read(rule: _Rule, ends: Ends) -> Vital:
    tone, words = rule.judge(ends) if ends.last == ends.last else ("bad", "is no longer a number")
    was = rule.show(ends.first) if rule.before else ""
    return Vital(key=rule.name, label=rule.label, was=was, now=rule.show(ends.last), tone=tone, words=words)


def _rules(lens: Lens) -> Iterator[_Rule]:
    """The headline, what every judge is measured by, and then the lines of the method's own charts."""
    if lens.headline:
        yield headline_rule(lens)
    fixed = [rule for rule in _RULES if rule.name != lens.headline]
    yield from fixed
    known = {lens.headline, *(rule.name for rule in fixed)}
    for chart in lens.charts:
        name, label = chart.series[0]
        if chart.kind == "lines" and chart.group not in _NOT_VITAL and name not in known and not chart.on_demand:
            known.add(name)
            is_role = name.startswith(("reward/", "entropy/", "length/"))
            if not is_role:
                show = _percent if chart.y_range == (0, 1) and is_share(name.partition("/")[2]) else _number
                yield _Rule(name=name, label=chart.title, show=show, judge=_moved(label), before=True)


def headline_rule(lens: Lens) -> _Rule:
    """How the headline metric of a method is shown and judged."""
    name, falls = lens.headline, lens.headline_falls
    label = next((chart.title for chart in lens.charts if any(name == line for line, _ in chart.series)), name)
    if is_share(name.partition("/")[2]):
        return _Rule(name=name, label=label, show=_percent, judge=_falling if falls else _learning, before=True)
    return _Rule(name=name, label=label, show=_number, judge=_falling if falls else _rising, before=True)


def main_role(lens: Lens) -> str:
    """The role whose reward and variety are watched: the trained solver, else the first that is trained."""
    trained = [role.name for role in lens.roles if role.trained]
    return "solver" if "solver" in trained else trained[0] if trained else ""


def _bar(parts: Iterable[tuple[str, str, float]]) -> list[dict[str, Any]]:
    """Label, tint and share of each part, laid end to end."""
    found: list[dict[str, Any]] = []
    x = 0.0
    for label, tint, share in parts:
        found.append({"label": label, "tint": tint, "share": share, "x": x, "width": 100 * share})
        x += 100 * share
    return found


def _frontier(reading: _Reading) -> Vital | None:
    """Where the questions of the last steps stand."""
    shares = {kind: reading.mean(f"frontier/{kind}") or 0.0 for kind in FRONTIER}
    if not reading.names("frontier/"):
        return None
    parts = _bar((*FRONTIER[kind], shares[kind]) for kind in FRONTIER)
    tone, words = _frontier_words(shares)
    label, now = "Questions at the edge", _percent(shares["edge"])
    return Vital(key="frontier/edge", label=label, was="", now=now, tone=tone, words=words, parts=parts)


FRONTIER = {
    "too_easy": ("too easy", "series-6"),
    "edge": ("at the edge", "series-3"),
    "too_hard": ("too hard", "series-2"),
    "ill_posed": ("ill-posed", "part-10"),
}
"""Words and tint of each kind of question."""


def _frontier_words(shares: dict[str, float]) -> Judged:
    worst = max(("too_easy", "too_hard", "ill_posed"), key=lambda kind: shares[kind])
    words = f"{_percent(shares[worst])} {FRONTIER[worst][0]}"
    if shares["edge"] < 0.1:
        return "bad", f"{words}: hardly anything to learn from"
    if shares["edge"] < 0.25:
        return "watch", f"{words}: little to learn from"
    return "good", f"{words}; the rest teaches" if shares["edge"] >= 0.5 else words


def _judge(reading: _Reading) -> Vital | None:
    """The judge's verdicts of the last steps against the truth."""
    cells = ("right_accepted", "right_refused", "wrong_accepted", "wrong_refused")
    table = Confusion(**{cell: sum(v.get(f"confusion/{cell}", 0) for v in reading.recent) for cell in cells})
    accuracy, kappa, accepted = table.accuracy(), table.kappa(), table.false_accept()
    if accuracy is None or table.total < LEAST_VERDICTS:
        return None
    words = "" if kappa is None else f"; kappa {kappa.value:.2f}"
    if accepted is None:
        tone, told = "plain", "every answer was right"
    elif accepted.value >= 0.25:
        tone, told = "bad", f"{_percent(accepted.value)} of the wrong answers get through"
    elif accepted.value >= 0.15:
        tone, told = "watch", f"{_percent(accepted.value)} of the wrong answers get through"
    else:
        tone, told = "good", "few wrong answers get through"
    now = _percent(accuracy.value)
    return Vital(key="confusion", label="Judge agrees with truth", was="", now=now, tone=tone, words=told + words)


def _reward(reading: _Reading, role: str) -> Vital | None:
    """The mean reward of the main role, its terms, and which of them made it what it is."""
    now, ends = reading.mean(f"reward/{role}"), reading.ends.get(f"reward/{role}")
    if now is None or ends is None:
        return None
    prefix = f"reward_part/{role}_"
    drawn = [name for chart in reading.lens.charts if chart.kind == "parts" for name, _ in chart.series]
    known = [name for name in reading.names(prefix) if name in reading.ends]
    terms = sorted(known, key=lambda name: drawn.index(name) if name in drawn else len(drawn))
    found = attribute(
        {name.removeprefix(prefix): reading.ends[name].first for name in terms},
        {name.removeprefix(prefix): reading.mean(name) or 0.0 for name in terms},
    )
    whole = sum(max(part.now, 0.0) for part in found)
    bar = _bar(
        (part.term.replace("_", " "), f"series-{PARTS[place % len(PARTS)]}", max(part.now, 0) / whole)
        for place, part in enumerate(found)
        if whole > 0
    )
    label = f"{reading.lens.role_title(role)}'s reward"
    words = _attribution_words(found, now - ends.first)
    return Vital(
        key=f"reward/{role}",
        label=label,
        was=_number(ends.first),
        now=_number(now),
        tone="plain",
        words=words,
        parts=bar,
    )


def _attribution_words(parts: list[Part], change: float) -> str:
    if len(parts) < 2 or any(part.share is None for part in parts):
        return (
            "more than at the start"
            if change > 0.01
            else "less than at the start"
            if change < -0.01
            else "as at the start"
        )
    most = max(parts, key=lambda part: part.share or 0.0)
    way = "rise" if change > 0 else "fall"
    share = round(100 * (most.share or 0))
    term = most.term.replace("_", " ")
    return f"{share}% of the {way} is the {term} term" if share < 95 else f"all of the {way} is the {term} term"


def _variety(reading: _Reading, role: str) -> Vital | None:
    """Whether the main role still varies what it says, and how far it has gone from where it began."""
    name = f"entropy/{role}"
    if name not in reading.ends:
        return None
    ends = reading.ends[name]
    label = f"{reading.lens.role_title(role)}'s entropy"
    vital = _read(_Rule(name=name, label=label, show=_number, judge=_entropy, before=True), ends)
    distance = next((reading.mean(name) for name in reading.names("kl/") if name.endswith("_start")), None)
    if distance is None:
        return vital
    return Vital(**{**asdict(vital), "words": f"{vital.words}; KL {distance:.2g} from the start"})


def _speed(reading: _Reading) -> Vital | None:
    if _SPEED not in reading.ends:
        return None
    now = reading.ends[_SPEED].last
    usual = median(values[_SPEED] for values in reading.recent if _SPEED in values) if reading.recent else now
    slow = usual < reading.ends[_SPEED].first / 3
    words = "tokens sampled per second" + (", a third of the start's" if slow else "")
    return Vital(
        key=_SPEED, label="Throughput", was="", now=_number(now), tone="watch" if slow else "plain", words=words
    )


_SPEED = "tokens/sampled_per_s"
_NOT_VITAL = frozenset({"Speed", "Machine", "Stability", "Sampler and learner"})


def _moved(label: str) -> Callable[[Ends], Judged]:
    """Whether the line moved; a line whose good direction nobody knows is not judged."""

    def judge(ends: Ends) -> Judged:
        least = 0.02 * max(abs(ends.first), 0.5)
        way = "more than" if ends.last - ends.first > least else "less than" if ends.first - ends.last > least else "as"
        return "plain", f"{label.lower()}: {way} at the start"

    return judge


def _percent(value: float) -> str:
    return f"{100 * value:.0f}%"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


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
    _Rule(name="judge/auc", label="Judge against truth", show=_number, judge=_auc),
    _Rule(name="judge/false_accept", label="Wrong accepted", show=_percent, judge=_false_accept),
    _Rule(name="eval/accuracy_greedy", label="Greedy accuracy", show=_percent, judge=_learning, before=True),
)
