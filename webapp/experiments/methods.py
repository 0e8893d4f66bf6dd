"""Methods as pages show them. Templates cannot use the classes themselves, because they would call them."""

from dataclasses import dataclass

from training_core.methods.base import Role, SelfPlay
from training_core.methods.card import Paper, Preset, ResultTable
from training_core.methods.registry import all_methods
from webapp.pages.flow import Flow, draw


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """``MethodCard(slug="mae", title="Multi-Agent Evolve", ...)``; roles are those under the default knobs."""

    slug: str
    title: str
    summary: str
    group: str
    paper: Paper
    results: tuple[ResultTable, ...]
    presets: tuple[Preset, ...]
    roles: tuple[Role, ...]
    flow: Flow


def card_of(method: type[SelfPlay]) -> MethodCard:
    return MethodCard(
        slug=method.slug,
        title=method.title,
        summary=method.summary,
        group=method.group,
        paper=method.paper,
        results=method.results,
        presets=method.presets,
        roles=method.roles(method.Spec(name=method.slug)),
        flow=draw(method.flow_nodes, method.flow_edges),
    )


def all_cards() -> list[MethodCard]:
    return [card_of(method) for method in all_methods()]
