"""What a run's method says about it: its title, roles and charts, so that no page knows a method by name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from training_core.methods.base import Role
from training_core.methods.card import Chart
from training_core.methods.registry import find_method
from training_core.spec.casting import cast, roles_of
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import SpecError, parse_spec
from webapp.experiments.models import EXTERNAL, Run
from webapp.pages.hues import NUM_HUES, hues
from webapp.telemetry.series import metric_names

RIVER = ("series-6", "series-3", "series-2", "part-10")
"""Tints of the questions: too easy, at the edge, too hard, none."""
PARTS = (1, 5, 3, 4, 2, 7, 6, 8)

MAX_EXTERNAL_CHARTS = 60


@dataclass(frozen=True, kw_only=True)
class Lens:
    """How to look at a run: ``Lens(title="Multi-Agent Evolve", roles=(...), charts=(...), headline="eval/...")``."""

    slug: str
    title: str
    roles: tuple[Role, ...] = ()
    charts: tuple[Chart, ...] = ()
    headline: str = ""
    headline_falls: bool = False
    """Whether less of the headline metric is better."""
    estimator: str = ""
    """The formula of the advantage, empty where the method has none."""
    plays_ahead: bool = False
    """Whether the run plays beside the update, so that the parts of a step overlap."""

    @property
    def metric_names(self) -> list[str]:
        """Every metric drawn as a line or as the edge of a band, once."""
        names = [name for chart in self.charts if chart.kind == "lines" for name, _ in chart.series]
        edges = [edge for name in names for edge in band_of(name) or ()]
        return list(dict.fromkeys([*names, *edges]))

    @property
    def stacked_names(self) -> list[str]:
        """Every metric drawn as a part of a whole, once."""
        return list(dict.fromkeys(name for chart in self.charts if chart.kind != "lines" for name, _ in chart.series))

    @property
    def chart_groups(self) -> list[dict[str, Any]]:
        """Charts under their headings, in the method's order, as the page's script reads them."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for number, chart in enumerate(self.charts):
            rests = {rest.of: {"parts": rest.parts, "whole": rest.whole} for rest in chart.remainders}
            tints = self._tints(chart)
            lines = [
                {"name": name, "label": label, "tint": tint, "rest": rests.get(name), "band": band_of(name)}
                for (name, label), tint in zip(chart.series, tints, strict=True)
            ]
            described: dict[str, Any] = {
                "id": f"chart-{number}",
                "title": chart.title,
                "help": chart.help,
                "series": lines,
            }
            described |= {"kind": chart.kind, "on_demand": chart.on_demand, "overlaps": self.plays_ahead}
            groups.setdefault(chart.group, []).append({**described, "range": chart.y_range})
        return [{"name": name, "charts": charts} for name, charts in groups.items()]

    def _tints(self, chart: Chart) -> list[str]:
        """A role keeps its hue in every chart; other lines take what is left in order, and parts of a whole theirs."""
        match chart.kind:
            case "stack":
                return [f"part-{place + 1}" for place in range(len(chart.series))]
            case "river":
                return [RIVER[place % len(RIVER)] for place in range(len(chart.series))]
            case "parts":
                return [f"series-{PARTS[place % len(PARTS)]}" for place in range(len(chart.series))]
        found: list[int | None] = []
        for name, _ in chart.series:
            hue = self.hues.get(self._speaker(name))
            found.append(None if hue in found else hue)
        free = [hue for hue in range(1, NUM_HUES + 1) if hue not in found] or [1]
        rest = (free[place % len(free)] for place in range(len(found)))
        return [f"series-{hue or next(rest)}" for hue in found]

    @cached_property
    def hues(self) -> dict[str, int]:
        """The hue of each role by name."""
        return hues(role.name for role in self.roles)

    def _speaker(self, metric: str) -> str:
        """The role a metric is about, as in ``length/solver_tokens`` or ``kl/loss/solver``; empty where it is about none."""
        area, _, rest = metric.partition("/")
        if area == "reward_term":
            return ""
        words = rest.rpartition("/")[2]
        fitting = [role.name for role in self.roles if words == role.name or words.startswith(f"{role.name}_")]
        return max(fitting, key=len, default="")

    def role_title(self, name: str) -> str:
        return next((role.title for role in self.roles if role.name == name), name.replace("_", " ").capitalize())


def lens_of(run: Run) -> Lens:
    """The lens of the run's method. A run whose method or spec is no longer known here can still be read."""
    slug = run.experiment.method
    if slug == EXTERNAL:
        return Lens(slug=slug, title="Run from outside", charts=_charts_by_area(metric_names(run)))
    try:
        method = find_method(slug)
    except ValueError:
        return Lens(slug=slug, title=slug)
    lens = Lens(slug=slug, title=method.title, charts=method.charts, headline=method.headline_metric)
    lens = replace(lens, headline_falls=method.headline_goal == "down")
    try:
        spec = parse_spec(run.spec)
    except SpecError:
        return lens
    charts = tuple(_of_each_role(_of_each_policy(chart, spec), spec) for chart in method.charts)
    estimator = getattr(getattr(spec.method, "advantage", None), "formula", "")
    return replace(lens, roles=roles_of(spec), charts=charts, estimator=estimator, plays_ahead=spec.learner.ahead > 0)


def _charts_by_area(names: Sequence[str]) -> tuple[Chart, ...]:
    """A chart for each metric, under the first part of its name."""
    found = []
    for name in names[:MAX_EXTERNAL_CHARTS]:
        area, _, rest = name.partition("/")
        group = area.replace("_", " ").capitalize() if rest else "Metrics"
        found.append(Chart(title=rest or name, series=((name, rest or name),), help="", group=group))
    return tuple(sorted(found, key=lambda chart: chart.group))


def band_of(name: str) -> tuple[str, str] | None:
    """The metrics between which a metric is spread: tenth and ninetieth percentile of a role's rewards."""
    area, _, role = name.partition("/")
    return (f"reward_p10/{role}", f"reward_p90/{role}") if area == "reward" else None


def _of_each_role(chart: Chart, spec: ExperimentSpec) -> Chart:
    """The chart with a line for every trained role, where each reports its metrics under its own name."""
    if not chart.per_role:
        return chart
    roles = [role for role in roles_of(spec) if role.trained]
    each = ((f"{name}/{role.name}", role.title) for name, _ in chart.series for role in roles)
    return replace(chart, series=tuple(each))


def _of_each_policy(chart: Chart, spec: ExperimentSpec) -> Chart:
    """The chart with a line for every trained policy, where several of them report its metrics."""
    policies = cast(spec).trained
    if not chart.per_policy or len(policies) < 2:
        return chart
    each = ((f"{name}/{policy}", f"{label}, {policy}") for name, label in chart.series for policy in policies)
    return replace(chart, series=tuple(each))
