"""Methods as pages show them. Templates cannot use the classes themselves, because they would call them."""

from dataclasses import dataclass
from functools import cache

from training_core.methods.base import Role, SelfPlay, Snapshot
from training_core.methods.card import Paper, Preset, ResultTable
from training_core.methods.registry import all_methods
from training_core.spec.estimate import estimate
from training_core.spec.io import parse_spec
from webapp.pages.flow import Flow, draw
from webapp.pages.hues import hues

FIRST_METHOD = "mae"
"""What the demo runs, and where composing begins until somebody chooses."""


_LIGHT, _HEAVY = 2e5, 1.5e6
"""Tokens of a step, trained ones counted threefold, up to which a method is light and from which on it is heavy."""


@dataclass(frozen=True, kw_only=True)
class MethodCost:
    """How much a method asks for: ``MethodCost(level=2, tokens_per_step=819_200)``."""

    level: int
    """1 light, 2 medium, 3 heavy, at the setting of its last preset, which is the paper's."""
    tokens_per_step: int
    """Sampled tokens of a step at that setting."""

    @property
    def word(self) -> str:
        return ("light", "medium", "heavy")[self.level - 1]


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """``MethodCard(slug="mae", title="Multi-Agent Evolve", ...)``; roles are those under the default knobs."""

    slug: str
    title: str
    summary: str
    group: str
    paper: Paper | None
    results: tuple[ResultTable, ...]
    presets: tuple[Preset, ...]
    roles: tuple[Role, ...]
    snapshots: tuple[Snapshot, ...]
    flow: Flow
    cost: "MethodCost"

    @property
    def snapshot_names(self) -> frozenset[str]:
        return frozenset(snapshot.name for snapshot in self.snapshots)

    @property
    def num_trained(self) -> int:
        """How many sets of weights are trained."""
        return len({role.policy for role in self.roles if role.trained})

    @property
    def hues(self) -> dict[str, int]:
        """The hue of each role by name."""
        return hues(role.name for role in self.roles)


@cache
def cost_of(method: type[SelfPlay]) -> MethodCost:
    largest = method.presets[-1].spec if method.presets else {"method": {"name": method.slug}}
    paper = estimate(parse_spec(largest))
    work = paper.sampled_per_step + 3 * paper.trained_per_step
    level = 1 if work < _LIGHT else 2 if work < _HEAVY else 3
    return MethodCost(level=level, tokens_per_step=paper.sampled_per_step)


def card_of(method: type[SelfPlay]) -> MethodCard:
    spec = method.Spec(name=method.slug)
    roles = method.roles(spec)
    return MethodCard(
        slug=method.slug,
        title=method.title,
        summary=method.summary,
        group=method.group,
        paper=method.paper,
        results=method.results,
        presets=method.presets,
        roles=roles,
        snapshots=method.snapshots(spec),
        flow=draw(method.flow_nodes, method.flow_edges, roles=[role.name for role in roles]),
        cost=cost_of(method),
    )


def all_cards() -> list[MethodCard]:
    return [card_of(method) for method in all_methods()]


def find_cards(text: str = "") -> dict[str, list[MethodCard]]:
    """Methods by family; with a text those whose words contain all of its words."""
    words = text.casefold().split()
    families: dict[str, list[MethodCard]] = {}
    for card in all_cards():
        said = " ".join(
            (card.title, card.slug, card.summary, card.group, *(role.title for role in card.roles))
        ).casefold()
        if all(word in said for word in words):
            families.setdefault(card.group, []).append(card)
    return families
