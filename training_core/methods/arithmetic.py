"""Small sums written in a card, such as ``w * Q + (1 - w) * D``: read once, never evaluated as Python."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_MAX_LENGTH = 300
_TWO: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
_ONE: dict[type[ast.unaryop], Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _clip(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


_FUNCTIONS: dict[str, tuple[Callable[..., float], int | None]] = {
    "min": (min, None),
    "max": (max, None),
    "abs": (abs, 1),
    "log": (math.log, 1),
    "exp": (math.exp, 1),
    "sigmoid": (_sigmoid, 1),
    "clip": (_clip, 3),
}
"""Each with the number of its arguments; None stands for two or more."""


@dataclass(frozen=True, kw_only=True)
class Sum:
    """``read_sum("w * Q").of({"w": 0.5, "Q": 0.8})`` is 0.4."""

    text: str
    names: frozenset[str]
    _tree: ast.expr

    def of(self, values: Mapping[str, float]) -> float | None:
        """What it comes to; None where that is no finite number, as after a division by 0."""
        try:
            found = _value(self._tree, values)
        except (ArithmeticError, ValueError):
            return None
        return found if math.isfinite(found) else None


def read_sum(text: str) -> Sum:
    """The sum behind a text; a ``ValueError`` says what in it is not understood."""
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"a sum of {len(text)} characters is longer than {_MAX_LENGTH}")
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{text!r} cannot be read as a sum: {error.msg}") from error
    names: set[str] = set()
    _check(tree, names, text)
    return Sum(text=text, names=frozenset(names), _tree=tree)


def _check(node: ast.expr, names: set[str], text: str) -> None:
    match node:
        case ast.Constant(value=bool()):
            raise ValueError(f"{text!r} holds {node.value!r}, which is no number")
        case ast.Constant(value=int() | float()):
            return
        case ast.Name(id=name):
            names.add(name)
        case ast.UnaryOp(op=op, operand=inner) if type(op) in _ONE:
            _check(inner, names, text)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _TWO:
            _check(left, names, text)
            _check(right, names, text)
        case ast.Call(func=ast.Name(id=name), args=inputs, keywords=[]) if name in _FUNCTIONS:
            number = _FUNCTIONS[name][1]
            if len(inputs) != number if number is not None else len(inputs) < 2:
                raise ValueError(f"{text!r} gives {name} {len(inputs)} numbers; it takes {number or 'two or more'}")
            for each in inputs:
                _check(each, names, text)
        case _:
            raise ValueError(
                f"{text!r} holds {ast.unparse(node)!r}; a sum may hold symbols, numbers, + - * / ** and "
                f"{', '.join(_FUNCTIONS)}"
            )


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=op, operand=inner):
            return _ONE[type(op)](_value(inner, values))
        case ast.BinOp(left=left, op=op, right=right):
            return _TWO[type(op)](_value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=inputs):
            return _FUNCTIONS[name][0](*(_value(each, values) for each in inputs))
        case ast.Constant(value=int() | float() as number):
            return float(number)
    raise AssertionError(ast.dump(node))
