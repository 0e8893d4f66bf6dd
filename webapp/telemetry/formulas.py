"""The formulas of a run's method with its numbers in them, as they stood at a step, and whether they add up to what was measured."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from training_core.methods.equations import Equation, Symbol
from training_core.spec.equations import Applied, equations_of
from training_core.spec.io import SpecError, parse_spec
from training_core.spec.live import live_fields, value_at
from webapp.experiments.models import EXTERNAL, Run
from webapp.orders.selectors import effective_spec
from webapp.pages.tags import number
from webapp.telemetry.lens import lens_of
from webapp.telemetry.moments import ends_at, seq_at
from webapp.telemetry.series import Ends, Series, metric_series

NUM_POINTS = 48
"""Places of the small curves."""
_NOTHING = 1e-9
"""Advantages that cancel out leave less than this."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One symbol: ``Cell(latex="w_q", name="weight of quality", value="0.333", knob="method.w_quality", is_live=True)``"""

    latex: str
    name: str
    value: str
    """Empty where it has no number of its own, as what differs from token to token."""
    knob: str = ""
    is_live: bool = False
    """Whether the knob may be turned while the run is at work."""
    metric: str = ""
    step: int | None = None
    """Of which step the number is, where that is not the step asked for."""
    points: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Reckoned:
    """A formula for one role or policy: ``Reckoned(numbers="0.5 \\cdot 0.8 = 0.4", tone="good", words="They agree.", ...)``"""

    label: str
    hue: int
    numbers: str
    """The formula in LaTeX with the numbers put in; empty until there are some."""
    tone: str
    """good, watch, bad or plain, as of vital signs."""
    words: str
    cells: tuple[Cell, ...]
    beside: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Formula:
    title: str
    latex: str
    help: str
    source: str
    reckoned: tuple[Reckoned, ...]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Every formula that the run goes by, with the numbers of ``step``."""

    step: int
    formulas: tuple[Formula, ...]

    @property
    def words(self) -> str:
        """How many of the sums agree with what was measured; empty where there is none to tell of."""
        tones = [each.tone for formula in self.formulas for each in formula.reckoned]
        good, differing = tones.count("good"), tones.count("bad") + tones.count("watch")
        if not good + differing:
            return ""
        return (
            f"{good} agree, {differing} {'differs' if differing == 1 else 'differ'}" if differing else "all sums agree"
        )


@dataclass(frozen=True, kw_only=True)
class _Moment:
    """What is known of a run at a step."""

    step: int
    spec: Mapping[str, Any]
    live: frozenset[str]
    ends: Mapping[str, Ends]
    series: Mapping[str, Series]
    hues: Mapping[str, int]

    def value(self, symbol: Symbol) -> float | None:
        """The metric, else what stands for it, else the knob."""
        if symbol.metric in self.ends:
            value = self.ends[symbol.metric].last
            return value if math.isfinite(value) else None
        if symbol.absent is not None:
            return symbol.absent
        set_to = value_at(self.spec, symbol.knob) if symbol.knob else None
        return float(set_to) if isinstance(set_to, int | float) else None

    def step_of(self, symbol: Symbol) -> int | None:
        return self.ends[symbol.metric].step if symbol.metric in self.ends else None


def sheet(run: Run, *, at: int | None = None) -> Sheet | None:
    """The run's formulas at a step, or now; None for runs whose method has none, or is not known here."""
    step = run.last_step if at is None else min(at, run.last_step)
    if run.experiment.method == EXTERNAL:
        return None
    try:
        spec = effective_spec(run, up_to_step=step)
        equations = equations_of(parse_spec(spec))
    except SpecError:
        return None
    if not equations:
        return None
    names = [name for _, applied in equations for each in applied for name in each.equation.metrics]
    names = list(dict.fromkeys(names))
    moment = _Moment(
        step=step,
        spec=spec,
        live=frozenset(each.path for each in live_fields(spec)),
        ends=ends_at(run, names, up_to=None if at is None else seq_at(run, step)),
        series=metric_series(run, names, NUM_POINTS, x_to=step),
        hues=lens_of(run).hues,
    )
    return Sheet(step=step, formulas=tuple(_formula(equation, applied, moment) for equation, applied in equations))


def _formula(equation: Equation, applied: list[Applied], moment: _Moment) -> Formula:
    # A role or policy that reports none of the numbers is not what the formula is about, unless nobody reports any yet.
    telling = [each for each in applied if moment.ends.keys() & set(each.equation.metrics)]
    return Formula(
        title=equation.title,
        latex=equation.latex,
        help=equation.help,
        source=equation.source,
        reckoned=tuple(_reckoned(each, moment) for each in telling or applied[:1]),
    )


def _reckoned(applied: Applied, moment: _Moment) -> Reckoned:
    equation = applied.equation
    tone, words, total = _verdict(equation, moment)
    told = {symbol.id: moment.value(symbol) for symbol in equation.symbols}
    numbers = {name: as_latex(value) for name, value in told.items() if value is not None}
    right = equation.right_side({name: f"({text})" if text[0] == "{" else text for name, text in numbers.items()})
    outcome = total if equation.check else told[equation.result]
    return Reckoned(
        label=applied.label,
        hue=moment.hues.get(applied.role, 0),
        numbers=_line(equation, right, outcome),
        tone=tone,
        words=words,
        cells=tuple(_cell(symbol, moment) for symbol in equation.symbols),
        beside=tuple(_cell(symbol, moment) for symbol in equation.beside),
    )


def _line(equation: Equation, right: str, outcome: float | None) -> str:
    """The right side with its numbers and what it comes to; where there is no sum, what was measured and the right side."""
    if outcome is None:
        return ""
    figure = as_latex(outcome)
    return f"{right} = {figure}" if equation.check else f"{figure} = {right}"


def _cell(symbol: Symbol, moment: _Moment) -> Cell:
    step, line = moment.step_of(symbol), moment.series.get(symbol.metric)
    points = [] if line is None else zip(line.steps, line.values, strict=True)
    value = moment.value(symbol)
    off = value is None and symbol.knob and not symbol.metric
    return Cell(
        latex=symbol.latex,
        name=symbol.name,
        value="off" if off else "" if value is None else _figure(value),
        knob=symbol.knob,
        is_live=symbol.knob in moment.live,
        metric=symbol.metric,
        step=None if step == moment.step else step,
        points=[(at, _unless_nothing(value)) for at, value in points if value is not None],
    )


def _verdict(equation: Equation, moment: _Moment) -> tuple[str, str, float | None]:
    """Tone, words, and what the sum comes to where its numbers are known."""
    by_id = {symbol.id: symbol for symbol in equation.symbols}
    result = by_id[equation.result]
    measured = moment.value(result)
    if equation.sum is None:
        return "plain", equation.unchecked, None
    needed = [by_id[name] for name in sorted(equation.sum.names)]
    values = {symbol.id: value for symbol in needed if (value := moment.value(symbol)) is not None}
    if missing := [symbol.name for symbol in (result, *needed) if moment.value(symbol) is None]:
        return "plain", f"Without a number so far: {'; '.join(missing)}.", None
    total = equation.sum.of(values)
    if total is None or measured is None:
        return "plain", "With these numbers the formula has no finite value.", None
    steps = {step for symbol in (result, *needed) if (step := moment.step_of(symbol)) is not None}
    if len(steps) > 1:
        return "plain", f"The numbers are of steps {_listed(steps)}, so they are not held against one another.", total
    return *_compared(equation, total, measured), total


def _compared(equation: Equation, total: float, measured: float) -> tuple[str, str]:
    """Whether what was measured is what the formula says."""
    said, found = _figure(total), _figure(measured)
    if equation.fits(total, measured):
        match equation.relation:
            case "equal":
                return "good", f"{found} was measured: it agrees."
            case "at_least":
                return "good", f"{found} was measured. The mean of this is never below this of the means, {said}."
            case "at_most":
                return "good", f"{found} was measured. By these numbers it can be at most {said}."
    limit = {"equal": "", "at_least": "at least ", "at_most": "at most "}[equation.relation]
    gap = measured - total
    way = "much" if gap > 0 else "little"
    differs = f"{found} was measured, but the formula gives {limit}{said}: {_figure(abs(gap))} too {way}."
    if equation.because:
        return "watch", f"{differs} {equation.because}"
    return "bad", f"{differs} Nothing known explains that: look whether a weight or a sign is set wrong."


def _figure(value: float) -> str:
    return number(_unless_nothing(value))


def _unless_nothing(value: float) -> float:
    """What is 0 but for rounding is 0."""
    return 0.0 if abs(value) < _NOTHING else value


def _listed(steps: Iterable[int]) -> str:
    *first, last = sorted(steps)
    return f"{', '.join(map(str, first))} and {last}"


def as_latex(value: float) -> str:
    r"""A figure in three significant digits: 0.0000012 becomes ``1.2 \times 10^{-6}``. Braces keep a sign with its number."""
    if abs(value) < _NOTHING:
        return "0"
    if 1000 <= abs(value) < 1e6:
        text = f"{value:.0f}"
    else:
        digits, _, power = f"{value:.3g}".partition("e")
        text = rf"{digits} \times 10^{{{int(power)}}}" if power else digits
    return f"{{{text}}}" if value < 0 else text
