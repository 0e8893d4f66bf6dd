"""The drawing of a composition: what each box opens, what differs there, what is wrong there, and with which weights roles speak."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from training_core.methods.base import Role
from training_core.methods.card import FlowNode
from training_core.methods.registry import find_method
from training_core.spec.casting import NONE, START, cast, roles_of
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.forms import Difference
from training_core.spec.io import FieldError
from webapp.pages.flow import DrawnEdge, DrawnNode, draw

WEIGHTS_KNOB = "weights.kind"
Manner = Literal["trained", "adapter", "frozen", "rule"]
_KINDS = {
    "role": "role",
    "pool": "pool",
    "reward": "reward",
    "update": "update",
    "data": "data",
}
_HUES = (1, 2, 3, 5, 6, 7)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One set of weights and who speaks with it: ``Weights(name="main", manner="trained", hue=1, roles=("Solver",))``."""

    name: str
    manner: Manner
    hue: int
    """0 for what is not trained."""
    roles: tuple[str, ...]

    @property
    def words(self) -> str:
        """``main, trained``"""
        match self.manner:
            case "rule":
                return "no model, a rule"
            case "frozen":
                return "frozen start" if self.name == START else f"{self.name}, kept frozen"
            case "adapter":
                return f"{self.name}, an adapter"
            case "trained":
                return f"{self.name}, trained"


@dataclass(frozen=True, kw_only=True)
class LiveNode:
    """A box that can be opened: ``LiveNode(drawn=..., opens=("method.judge",), num_changed=1, ...)``."""

    drawn: DrawnNode
    opens: tuple[str, ...]
    """Paths of the fields it shows."""
    help: str
    num_changed: int
    num_errors: int
    weights: Weights | None

    @property
    def kind(self) -> str:
        return _KINDS[self.drawn.kind]

    @property
    def anchor(self) -> str:
        """Where its first field stands in the form, for pages without scripts."""
        return f"k-{self.opens[0].replace('.', '-')}" if self.opens else ""

    @property
    def words(self) -> str:
        """What the box says to those who do not see it."""
        parts = [f"{self.drawn.label}, {self.kind}"]
        if self.weights:
            parts.append(f"weights: {self.weights.words}")
        if self.num_errors:
            parts.append(f"{self.num_errors} to correct")
        if self.num_changed:
            parts.append(f"{self.num_changed} changed")
        return "; ".join(parts)


@dataclass(frozen=True, kw_only=True)
class LiveFlow:
    width: int
    height: int
    nodes: tuple[LiveNode, ...]
    edges: tuple[DrawnEdge, ...]
    weights: tuple[Weights, ...]


def living_flow(
    slug: str, spec: ExperimentSpec | None, differences: Sequence[Difference], errors: Sequence[FieldError]
) -> LiveFlow:
    """The flow of a method as a form stands; a form that is wrong is drawn with the method's default roles."""
    method = find_method(slug)
    roles = {role.name: role for role in (roles_of(spec) if spec else method.roles(method.Spec(name=slug)))}
    weights = weights_of(spec) if spec else ()
    spoken = {role: each for each in weights for role in each.roles}
    drawn = draw(method.flow_nodes, method.flow_edges, roles=list(roles))
    placed = {node.id: node for node in drawn.nodes}
    return LiveFlow(
        width=drawn.width,
        height=drawn.height,
        nodes=tuple(
            _live(
                node,
                placed[node.id],
                role=roles.get(node.id),
                spoken=spoken,
                differences=differences,
                errors=errors,
            )
            for node in method.flow_nodes
        ),
        edges=drawn.edges,
        weights=weights,
    )


def _live(
    node: FlowNode,
    drawn: DrawnNode,
    *,
    role: Role | None,
    spoken: dict[str, Weights],
    differences: Sequence[Difference],
    errors: Sequence[FieldError],
) -> LiveNode:
    opens = (*node.knobs, WEIGHTS_KNOB) if role else node.knobs
    return LiveNode(
        drawn=drawn,
        opens=opens,
        help=f"Reads {role.reads}; writes {role.writes}." if role else "",
        num_changed=sum(_is_below(difference.path, opens) for difference in differences),
        num_errors=sum(_concerns(error, opens) for error in errors),
        weights=spoken.get(role.title) if role else None,
    )


def weights_of(spec: ExperimentSpec) -> tuple[Weights, ...]:
    """Every set of weights that a role speaks with, the trained ones first."""
    parts, roles = cast(spec), roles_of(spec)
    order = [*parts.trained, *(name for name in parts.policy_of.values() if name not in parts.trained)]
    hues = {name: _HUES[place % len(_HUES)] for place, name in enumerate(parts.trained)}
    return tuple(
        Weights(
            name=name,
            manner=_manner(spec, name, is_trained=name in hues),
            hue=hues.get(name, 0),
            roles=tuple(role.title for role in roles if parts.policy_of[role.name] == name),
        )
        for name in dict.fromkeys(order)
    )


def _manner(spec: ExperimentSpec, name: str, *, is_trained: bool) -> Manner:
    if name == NONE:
        return "rule"
    if not is_trained:
        return "frozen"
    return "trained" if spec.model.adapter is None else "adapter"


def _is_below(path: str, opens: Iterable[str]) -> bool:
    return any(path == each or path.startswith(f"{each}.") or each.startswith(f"{path}.") for each in opens)


def _concerns(error: FieldError, opens: Sequence[str]) -> bool:
    """Whether an error stands at one of these fields, or, being a rule across fields, names one of them."""
    if error.path not in {"", "method"}:
        return _is_below(error.path, opens)
    words = set(re.findall(r"[\w.]+\w", error.message))
    names = {each for path in opens for each in (path, path.rpartition(".")[2]) if "." in each or "_" in each}
    return bool(words & names) or any(word.startswith(f"{path}.") for word in words for path in opens)
