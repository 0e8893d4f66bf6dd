"""What a run's method says about it: its title, roles and charts, so that no page knows a method by name."""

from dataclasses import dataclass, replace
from typing import Any

from training_core.methods.base import Role
from training_core.methods.card import Chart
from training_core.methods.registry import find_method
from training_core.spec.casting import cast_roles, roles_of, trained_policies
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import SpecError, parse_spec
from webapp.experiments.models import Run

_ROLE_HUES = frozenset({"solver", "proposer", "judge", "opponent"})
_NUM_HUES = 8


@dataclass(frozen=True, kw_only=True)
class Lens:
    """How to look at a run: ``Lens(title="Multi-Agent Evolve", roles=(...), charts=(...), headline="eval/...")``."""

    slug: str
    title: str
    roles: tuple[Role, ...] = ()
    charts: tuple[Chart, ...] = ()
    headline: str = ""
    plays_ahead: bool = False
    """Whether the run plays beside the update, so that the parts of a step overlap."""

    @property
    def metric_names(self) -> list[str]:
        """Every metric drawn as a line, once."""
        return self._names("lines")

    @property
    def stacked_names(self) -> list[str]:
        """Every metric drawn as a part of a stack, once."""
        return self._names("stack")

    def _names(self, kind: str) -> list[str]:
        return list(dict.fromkeys(name for chart in self.charts if chart.kind == kind for name, _ in chart.series))

    @property
    def chart_groups(self) -> list[dict[str, Any]]:
        """Charts under their headings, in the method's order, as the page's script reads them."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for number, chart in enumerate(self.charts):
            rests = {rest.of: {"parts": rest.parts, "whole": rest.whole} for rest in chart.remainders}
            lines = [
                {"name": name, "label": label, "tint": self._tint(chart, name, place), "rest": rests.get(name)}
                for place, (name, label) in enumerate(chart.series)
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

    def _tint(self, chart: Chart, metric: str, place: int) -> str:
        """A role keeps its hue in every chart; other lines take the palette in order, and parts of a step theirs."""
        if chart.kind == "stack":
            return f"part-{place + 1}"
        spoken = metric.partition("/")[2].partition("_")[0]
        if metric.split("/", maxsplit=1)[0] != "reward_term" and any(role.name == spoken for role in self.roles):
            return f"role-{spoken}" if spoken in _ROLE_HUES else "role-other"
        return f"series-{place % _NUM_HUES + 1}"

    def role_title(self, name: str) -> str:
        return next((role.title for role in self.roles if role.name == name), name.replace("_", " ").capitalize())


def lens_of(run: Run) -> Lens:
    """The lens of the run's method. A run whose method or spec is no longer known here can still be read."""
    slug = run.experiment.method
    try:
        method = find_method(slug)
    except ValueError:
        return Lens(slug=slug, title=slug)
    lens = Lens(slug=slug, title=method.title, charts=method.charts, headline=method.headline_metric)
    try:
        spec = parse_spec(run.spec)
    except SpecError:
        return lens
    charts = tuple(_of_each_policy(chart, spec) for chart in method.charts)
    return replace(lens, roles=roles_of(spec), charts=charts, plays_ahead=spec.learner.ahead > 0)


def _of_each_policy(chart: Chart, spec: ExperimentSpec) -> Chart:
    """The chart with a line for every trained policy, where several of them report its metrics."""
    policies = trained_policies(cast_roles(spec.weights, roles_of(spec)))
    if not chart.per_policy or len(policies) < 2:
        return chart
    each = ((f"{name}/{policy}", f"{label}, {policy}") for name, label in chart.series for policy in policies)
    return replace(chart, series=tuple(each))
