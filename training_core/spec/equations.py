"""The formulas a run goes by: those of its method and of the advantage and loss that its spec chooses."""

from dataclasses import dataclass

from training_core.methods.card import common_equations
from training_core.methods.equations import Equation
from training_core.methods.registry import find_method
from training_core.spec.casting import cast, roles_of
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import dump_dict


@dataclass(frozen=True, kw_only=True)
class Applied:
    """An equation with the metrics of one role or policy: ``Applied(equation=..., role="solver", label="Solver")``."""

    equation: Equation
    role: str = ""
    label: str = ""
    """Empty where it is the only one."""


def equations_of(spec: ExperimentSpec) -> list[tuple[Equation, list[Applied]]]:
    """Every equation the spec chooses, and who it is applied to: the method's own, then the common ones of what they leave untold."""
    resolved = dump_dict(spec)
    own = [each for each in find_method(spec.method.name).equations if each.holds_in(resolved)]
    told = {each.measured for each in own}
    common = [each for each in common_equations() if each.holds_in(resolved) and each.measured not in told]
    return [(each, _applied(each, spec)) for each in (*own, *common)]


def _applied(equation: Equation, spec: ExperimentSpec) -> list[Applied]:
    if equation.per_role:
        trained = [role for role in roles_of(spec) if role.trained]
        return [Applied(equation=equation.for_role(r.name), role=r.name, label=r.title) for r in trained]
    policies = cast(spec).trained
    if equation.per_policy and len(policies) > 1:
        return [Applied(equation=equation.for_policy(name), role=name, label=name.capitalize()) for name in policies]
    return [Applied(equation=equation)]
