"""Formulas of a method with the numbers they are made of, from ``equations`` in its card and from ``common_equations.yaml``.

In a formula, which is LaTeX, ``<id>`` stands for a symbol and ``\\mean[...]`` for the mean over a step. A symbol's number is that of a
knob or of a metric. Where the formula holds for the means that metrics are, ``check`` writes it as a sum of symbols, so that a page can
put the numbers together and lay the outcome beside what the run measured; where it does not, ``unchecked`` says why.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

from pydantic import BaseModel

from training_core.methods.arithmetic import Sum, read_sum

_PLACE = re.compile(r"<([A-Za-z_]\w*)>")
_MEAN, _EXPECTATION = r"\mean", r"\mathrm{E}"

_CLOSE = 1e-3
"""How far apart equal numbers may lie: metrics are means of 32-bit numbers."""


@dataclass(frozen=True, kw_only=True)
class Symbol:
    """``Symbol(id="wq", latex="w_q", name="weight of quality", knob="method.w_quality")``"""

    id: str
    latex: str
    name: str
    knob: str = ""
    """Path in the resolved spec."""
    metric: str = ""
    """Counts before the knob where the run reports it: some runs change a number as they go."""
    absent: float | None = None
    """What it stands for while the run reports no such metric."""


@dataclass(frozen=True, kw_only=True)
class Equation:
    """``Equation(title="What the Proposer is paid", formula="<R> = <wq> <Q>", result="R", symbols=(...), check="wq * Q", ...)``"""

    title: str
    formula: str
    help: str
    source: str
    """Paper and section."""
    result: str
    """The symbol on the left; its metric is what was measured."""
    symbols: tuple[Symbol, ...]
    beside: tuple[Symbol, ...] = ()
    """Numbers worth seeing that do not stand in the formula."""
    check: str = ""
    relation: Literal["equal", "at_least", "at_most"] = "equal"
    """How what was measured lies to the sum: of a convex function the mean is at least the function of the mean."""
    because: str = ""
    """Why what was measured may differ although nothing is wrong."""
    unchecked: str = ""
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    """Knobs with the values of which each must have one."""
    unless: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    per_role: bool = False
    """One for every trained role: ``{role}`` in the names of metrics is its name."""
    per_policy: bool = False
    """Where several policies are trained, each reports the metrics under its own name: ``loss/policy/solver``."""

    @cached_property
    def sum(self) -> Sum | None:
        return read_sum(self.check) if self.check else None

    @property
    def knobs(self) -> list[str]:
        """Paths of every knob that it names."""
        conditions = [path for path, _ in (*self.when, *self.unless)]
        return [*(symbol.knob for symbol in (*self.symbols, *self.beside) if symbol.knob), *conditions]

    @property
    def metrics(self) -> list[str]:
        return [symbol.metric for symbol in (*self.symbols, *self.beside) if symbol.metric]

    @property
    def measured(self) -> str:
        """The metric of its result."""
        return next(symbol.metric for symbol in self.symbols if symbol.id == self.result)

    @property
    def latex(self) -> str:
        """The formula as it is printed."""
        return self._written(self.formula, {}).replace(_MEAN, _EXPECTATION)

    def right_side(self, numbers: Mapping[str, str]) -> str:
        """The right side in LaTeX with numbers in place of the symbols they are given for. Means stand for what they are taken of."""
        right = self.formula.partition("=")[2].strip()
        return self._written(right, numbers).replace(_MEAN, "" if self.check else _EXPECTATION)

    def _written(self, formula: str, numbers: Mapping[str, str]) -> str:
        told = {symbol.id: symbol.latex for symbol in self.symbols} | dict(numbers)
        return _PLACE.sub(lambda found: f"{{{told[found[1]]}}}", formula)

    def fits(self, total: float, measured: float) -> bool:
        """Whether what was measured lies to the sum as it should."""
        if math.isclose(measured, total, rel_tol=_CLOSE, abs_tol=_CLOSE / 10):
            return True
        return (self.relation == "at_least" and measured > total) or (self.relation == "at_most" and measured < total)

    def holds_in(self, spec: Mapping[str, Any]) -> bool:
        """Whether a resolved spec chooses this variant."""
        return all(_at(spec, path) in values for path, values in self.when) and not any(
            _at(spec, path) in values for path, values in self.unless
        )

    def for_role(self, role: str) -> "Equation":
        return self._renamed(lambda metric: metric.replace("{role}", role))

    def for_policy(self, policy: str) -> "Equation":
        return self._renamed(lambda metric: f"{metric}/{policy}")

    def _renamed(self, rename: Callable[[str], str]) -> "Equation":
        def of(symbols: tuple[Symbol, ...]) -> tuple[Symbol, ...]:
            return tuple(replace(each, metric=rename(each.metric)) if each.metric else each for each in symbols)

        return replace(self, symbols=of(self.symbols), beside=of(self.beside))

    @property
    def choice(self) -> str:
        """The values of knobs that choose this variant, in words: "difficulty: frontier"."""
        chosen = [f"{path.removeprefix('method.')}: {_words(values)}" for path, values in self.when]
        return "; ".join([*chosen, *(f"{path.removeprefix('method.')}: not {_words(v)}" for path, v in self.unless)])


def read_equation(raw: Mapping[str, Any]) -> Equation:
    """An equation as a card writes it; a ``ValueError`` names what does not fit together."""
    equation = Equation(
        **{
            **raw,
            "symbols": _symbols(raw["symbols"]),
            "beside": _symbols(raw.get("beside", {})),
            "when": _conditions(raw.get("when", {})),
            "unless": _conditions(raw.get("unless", {})),
        }
    )
    if complaint := next(_complaints(equation), None):
        raise ValueError(f"equation {equation.title!r}: {complaint}")
    return equation


def check_knobs(equations: Sequence[Equation], spec: type[BaseModel]) -> None:
    """Raises ``ValueError`` for a knob that the method's spec does not have."""
    for equation in equations:
        for path in equation.knobs:
            if not path.startswith("method.") or not _has(spec, path.split(".")[1:]):
                raise ValueError(
                    f"equation {equation.title!r} names the knob {path!r}, which {spec.__name__} does not have; "
                    "write the path of one of its fields, such as method.optimizer.lr"
                )


def _symbols(raw: Mapping[str, Mapping[str, Any]]) -> tuple[Symbol, ...]:
    return tuple(Symbol(id=name, **{"latex": "", **described}) for name, described in raw.items())


def _conditions(raw: Mapping[str, Any]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    return tuple((path, tuple(value) if isinstance(value, list) else (value,)) for path, value in raw.items())


def _complaints(equation: Equation) -> Iterator[str]:
    """What is wrong with it, one sentence each."""
    known = {symbol.id: symbol for symbol in equation.symbols}
    used = set(_PLACE.findall(equation.formula))
    if unknown := used - known.keys():
        yield f"the formula holds <{min(unknown)}>, which is no symbol of it; known are {', '.join(known)}"
    if idle := known.keys() - used:
        yield f"the symbol {min(idle)!r} does not stand in the formula; write it there as <{min(idle)}>, or move it to `beside`"
    if equation.result not in known or not known[equation.result].metric:
        yield f"the result {equation.result!r} must be a symbol with a metric"
    if not equation.formula.startswith(f"<{equation.result}> ="):
        yield f"the formula must begin with `<{equation.result}> =`, its result"
    if bool(equation.check) == bool(equation.unchecked):
        yield "give either `check`, the formula as a sum of symbols, or `unchecked`, a sentence that says why there is none"
    for symbol in equation.symbols:
        if not symbol.latex:
            yield f"the symbol {symbol.id!r} has no `latex`"
    for symbol in equation.beside:
        if not (symbol.knob or symbol.metric):
            yield f"{symbol.id!r} beside the formula has neither knob nor metric, so it has no number"
    if equation.relation not in get_args(Equation.__annotations__["relation"]):
        yield f"the relation {equation.relation!r} is none of equal, at_least, at_most"
    if equation.sum is not None:
        numbered = {symbol.id for symbol in equation.symbols if symbol.knob or symbol.metric}
        if missing := equation.sum.names - numbered - {equation.result} or equation.sum.names & {equation.result}:
            yield f"the check {equation.check!r} holds {min(missing)!r}, which is no symbol with a number on the right"


def _words(values: Sequence[Any]) -> str:
    told = {True: "on", False: "off"}
    return " or ".join(told[each] if isinstance(each, bool) else str(each) for each in values)


def _at(spec: Mapping[str, Any], path: str) -> Any:
    value: Any = spec
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _has(model: type[BaseModel], keys: Sequence[str]) -> bool:
    """Whether a field lies at the end of these keys, in whatever member of a union."""
    field = model.model_fields.get(keys[0])
    if field is None:
        return False
    return len(keys) == 1 or any(_has(inner, keys[1:]) for inner in _models(field.annotation))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
