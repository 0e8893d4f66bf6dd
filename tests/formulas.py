"""Whether the formulas of a method hold for what a step measured."""

from training_core.spec.equations import equations_of
from training_core.spec.io import dump_dict
from training_core.spec.live import value_at


def formulas_that_hold(spec, metrics):
    """Titles of the formulas whose numbers the step told, each of which must agree; with several roles, one title for each."""
    resolved = dump_dict(spec)
    found = []
    for _, applied in equations_of(spec):
        for each in applied:
            sums = put_together(each.equation, metrics, resolved)
            if sums is not None:
                assert each.equation.fits(*sums), (each.equation.title, each.equation.check, *sums)
                found.append(f"{each.equation.title}, {each.label}" if each.label else each.equation.title)
    return found


def put_together(equation, metrics, spec):
    """What the check of a formula comes to and what was measured, where a step told all of it."""
    told = {symbol.id: metrics.get(symbol.metric, symbol.absent) for symbol in equation.symbols if symbol.metric}
    knobs = {each.id: value_at(spec, each.knob) for each in equation.symbols if each.knob and told.get(each.id) is None}
    values = {**told, **knobs}
    if equation.sum is None or any(values[name] is None for name in (*equation.sum.names, equation.result)):
        return None
    return equation.sum.of(values), values[equation.result]
