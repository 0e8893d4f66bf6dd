"""A method's formulas as its page shows them: every symbol with what it stands for, and knobs with their defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from training_core.methods.base import SelfPlay
from training_core.methods.equations import Equation
from training_core.spec.equations import equations_of
from training_core.spec.io import dump_dict, parse_spec
from training_core.spec.live import value_at
from webapp.pages.tags import number


@dataclass(frozen=True, kw_only=True)
class ShownSymbol:
    """``ShownSymbol(latex="w_q", name="weight of quality", knob="method.w_quality", value="0.333", metric="")``"""

    latex: str
    name: str
    knob: str
    value: str
    """What the knob is set to unless somebody changes it."""
    metric: str


@dataclass(frozen=True, kw_only=True)
class ShownEquation:
    """A formula with its symbols; ``choice`` names the knobs that choose it where the defaults do not."""

    title: str
    latex: str
    help: str
    source: str
    symbols: tuple[ShownSymbol, ...]
    choice: str = ""


def shown_equations(method: type[SelfPlay]) -> tuple[ShownEquation, ...]:
    """The formulas under the default knobs, then the method's own variants."""
    spec = parse_spec({"method": {"name": method.slug}})
    resolved = dump_dict(spec)
    chosen = [equation for equation, _ in equations_of(spec)]
    others = [equation for equation in method.equations if equation not in chosen]
    return (
        *(_shown(equation, resolved) for equation in chosen),
        *(replace(_shown(equation, resolved), choice=equation.choice) for equation in others),
    )


def _shown(equation: Equation, spec: Mapping[str, Any]) -> ShownEquation:
    symbols = tuple(
        ShownSymbol(
            latex=symbol.latex,
            name=symbol.name,
            knob=symbol.knob,
            value=_set_to(value_at(spec, symbol.knob)) if symbol.knob else "",
            metric=symbol.metric.replace("{role}", "<role>"),
        )
        for symbol in (*equation.symbols, *equation.beside)
    )
    return ShownEquation(
        title=equation.title, latex=equation.latex, help=equation.help, source=equation.source, symbols=symbols
    )


def _set_to(value: Any) -> str:
    return "off" if value is None else number(value) if isinstance(value, int | float) else str(value)
