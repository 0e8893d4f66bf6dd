"""What a run's method says about it: its title, roles and charts, so that no page knows a method by name."""

from dataclasses import dataclass
from typing import Any

from training_core.methods.base import Role
from training_core.methods.card import Chart
from training_core.methods.registry import find_method
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

    @property
    def metric_names(self) -> list[str]:
        """Every metric a chart draws, once."""
        return list(dict.fromkeys(name for chart in self.charts for name, _ in chart.series))

    @property
    def chart_groups(self) -> list[dict[str, Any]]:
        """Charts under their headings, in the method's order, as the page's script reads them."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for number, chart in enumerate(self.charts):
            lines = [
                {"name": name, "label": label, "tint": self._tint(name, place)}
                for place, (name, label) in enumerate(chart.series)
            ]
            described = {"id": f"chart-{number}", "title": chart.title, "help": chart.help, "series": lines}
            groups.setdefault(chart.group, []).append({**described, "range": chart.y_range})
        return [{"name": name, "charts": charts} for name, charts in groups.items()]

    def _tint(self, metric: str, place: int) -> str:
        """A role keeps its hue in every chart; other lines take the palette in order."""
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
    try:
        roles = method.roles(parse_spec(run.spec).method)
    except SpecError:
        roles = ()
    return Lens(slug=slug, title=method.title, roles=roles, charts=method.charts, headline=method.headline_metric)
