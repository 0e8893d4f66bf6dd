"""Methods as pages show them. Templates cannot use the classes themselves, because they would call them."""

from dataclasses import dataclass

from training_core.methods.base import Role, SelfPlay, Snapshot
from training_core.methods.card import Paper, Preset, ResultTable
from training_core.methods.registry import all_methods
from webapp.pages.flow import Flow, draw
from webapp.pages.hues import hues

FIRST_METHOD = "mae"
"""What the demo runs, and where composing begins until somebody chooses."""


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
    )


def all_cards() -> list[MethodCard]:
    return [card_of(method) for method in all_methods()]
