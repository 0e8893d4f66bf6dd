"""A method's card: the data beside its code. What pages show, presets, and the wording of prompts, in ``<slug>.yaml``."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from training_core import methods
from training_core.methods.equations import Equation, check_knobs, read_equation

_BESIDE = Path(__file__).resolve().parent


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
class Remainder:
    """A series of a stack that holds what ``parts`` leave of the metric ``of``; labelled ``whole`` where there are no parts."""

    of: str
    parts: tuple[str, ...]
    whole: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart of the run page: ``series`` pairs a metric name with its label."""

    title: str
    series: tuple[tuple[str, str], ...]
    help: str
    group: str = "Learning"
    y_range: tuple[float, float] | None = None
    kind: Literal["lines", "stack", "river", "parts"] = "lines"
    """A stack shows how the seconds of its series add up step by step, a river how shares of a whole do, and parts how the weighted
    terms of a reward do, with what each explains of the change."""
    remainders: tuple[Remainder, ...] = ()
    on_demand: bool = False
    """Shown only once one of its values is not 0."""
    per_policy: bool = False
    """Where several policies are trained, each reports the metrics under its own name: ``grad/norm/solver``."""
    per_role: bool = False
    """Each trained role reports the metrics under its own name: ``zero_signal/solver``."""


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
    paper: Paper | None
    """None for an idea of one's own."""
    results: tuple[ResultTable, ...]
    flow_nodes: tuple[FlowNode, ...]
    flow_edges: tuple[FlowEdge, ...]
    charts: tuple[Chart, ...]
    presets: tuple[Preset, ...]
    prompts: dict[str, str]
    headline_goal: Literal["up", "down"] = "up"
    """Which way the headline metric gets better: an error or an exploitability goes down."""
    equations: tuple[Equation, ...] = ()
    """The method's own formulas; those of advantages and losses are common to all."""

    def put_on(self, cls: Any) -> None:
        """Make the card's entries class attributes of the method; prompts stay here."""
        check_knobs(self.equations, cls.Spec)
        for name, value in vars(self).items():
            if name != "prompts":
                setattr(cls, name, value)


@cache
def read_card(slug: str) -> Card:
    """The card of a method; only ``paper``, ``results``, ``equations`` and ``prompts`` may be missing, no key be unknown."""
    raw: dict[str, Any] = yaml.safe_load(_path_of(slug).read_text(encoding="utf-8"))
    flow, paper = raw.pop("flow"), raw.pop("paper", None)
    return Card(
        paper=paper and Paper(**paper),
        results=tuple(
            ResultTable(caption=t["caption"], columns=tuple(t["columns"]), rows=tuple(tuple(row) for row in t["rows"]))
            for t in raw.pop("results", [])
        ),
        flow_nodes=tuple(FlowNode(**{**node, "knobs": tuple(node.get("knobs", ()))}) for node in flow["nodes"]),
        flow_edges=tuple(FlowEdge(**edge) for edge in flow["edges"]),
        charts=(*(_chart(chart) for chart in raw.pop("charts")), *common_charts()),
        presets=tuple(Preset(**preset) for preset in raw.pop("presets")),
        prompts=raw.pop("prompts", {}),
        equations=tuple(read_equation(equation) for equation in raw.pop("equations", [])),
        **raw,
    )


def _path_of(slug: str) -> Path:
    """The card beside the method's module, which may lie outside this package's own folder."""
    paths = [Path(folder) / f"{slug}.yaml" for folder in methods.__path__]
    return next((path for path in paths if path.is_file()), paths[0])


@cache
def common_charts() -> tuple[Chart, ...]:
    """Charts of what every run reports, whatever its method: they stand after the method's own."""
    raw: list[dict[str, Any]] = yaml.safe_load((_BESIDE / "common_charts.yaml").read_text(encoding="utf-8"))
    return tuple(_chart(chart) for chart in raw)


@cache
def common_equations() -> tuple[Equation, ...]:
    """Formulas of the advantages and losses that methods choose from: each is shown where the spec chooses it."""
    raw: list[dict[str, Any]] = yaml.safe_load((_BESIDE / "common_equations.yaml").read_text(encoding="utf-8"))
    return tuple(map(read_equation, raw))


def _chart(raw: dict[str, Any]) -> Chart:
    remainders = tuple(
        Remainder(of=name, parts=tuple(rest["parts"]), whole=rest["whole"])
        for name, rest in raw.get("remainders", {}).items()
    )
    series, y_range = tuple(raw["series"].items()), _pair(raw.get("y_range"))
    return Chart(**{**raw, "series": series, "y_range": y_range, "remainders": remainders})


def _pair(value: list[float] | None) -> tuple[float, float] | None:
    return None if value is None else (value[0], value[1])
