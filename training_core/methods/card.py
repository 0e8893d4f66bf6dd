"""A method's card: the data beside its code. What pages show, presets, and the wording of prompts, in ``<slug>.yaml``."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class FlowNode:
    """A box of the flow diagram on a small grid: ``FlowNode(id="pool", label="Question pool", kind="pool", x=1, y=0)``."""

    id: str
    label: str
    kind: Literal["role", "pool", "reward", "update", "data"]
    x: int
    y: int
    knobs: tuple[str, ...] = ()
    """Paths of spec fields that shape this box, for example ``method.quality_threshold``."""


@dataclass(frozen=True, kw_only=True)
class FlowEdge:
    """An arrow of the flow diagram."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart of the run page: ``series`` pairs a metric name with its label."""

    title: str
    series: tuple[tuple[str, str], ...]
    help: str
    group: str = "Learning"
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named, complete starting point: ``spec`` is the mapping an ExperimentSpec is made of."""

    slug: str
    title: str
    description: str
    spec: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Paper:
    title: str
    authors: str
    year: int
    arxiv: str
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class ResultTable:
    """Figures reported by the paper, shown on the method's page, never ours."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything in a card file."""

    title: str
    summary: str
    """One or two sentences for the gallery."""
    group: str
    """Heading in the gallery, such as "Online self-play with a judge"."""
    headline_metric: str
    paper: Paper
    results: tuple[ResultTable, ...]
    flow_nodes: tuple[FlowNode, ...]
    flow_edges: tuple[FlowEdge, ...]
    charts: tuple[Chart, ...]
    presets: tuple[Preset, ...]
    prompts: dict[str, str]

    def put_on(self, cls: Any) -> None:
        """Make the card's entries class attributes of the method; prompts stay here."""
        for name, value in vars(self).items():
            if name != "prompts":
                setattr(cls, name, value)


@cache
def read_card(slug: str) -> Card:
    """The card of a method; a key that is missing or unknown is an error of the method's author."""
    raw: dict[str, Any] = yaml.safe_load((_FOLDER / f"{slug}.yaml").read_text(encoding="utf-8"))
    flow = raw.pop("flow")
    return Card(
        paper=Paper(**raw.pop("paper")),
        results=tuple(
            ResultTable(caption=t["caption"], columns=tuple(t["columns"]), rows=tuple(tuple(row) for row in t["rows"]))
            for t in raw.pop("results")
        ),
        flow_nodes=tuple(FlowNode(**{**node, "knobs": tuple(node.get("knobs", ()))}) for node in flow["nodes"]),
        flow_edges=tuple(FlowEdge(**edge) for edge in flow["edges"]),
        charts=tuple(
            Chart(**{**chart, "series": tuple(chart["series"].items()), "y_range": _pair(chart.get("y_range"))})
            for chart in raw.pop("charts")
        ),
        presets=tuple(Preset(**preset) for preset in raw.pop("presets")),
        **raw,
    )


def _pair(value: list[float] | None) -> tuple[float, float] | None:
    return None if value is None else (value[0], value[1])
