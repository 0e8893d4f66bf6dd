"""Runs in the order and the pages a list asks for; a fixed number of queries whatever is listed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.core.paginator import Page, Paginator
from django.db.models import BigIntegerField, Count, Exists, F, FloatField, Max, OuterRef, Q, Window
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, Now, RowNumber

from webapp.accounts.models import User
from webapp.compare.addresses import RunsAddress
from webapp.compare.columns import column
from webapp.compare.values import value_of_run
from webapp.experiments.models import Experiment, Run, RunQuerySet
from webapp.experiments.selectors import experiments_visible_to, runs_visible_to
from webapp.workspaces.models import Workspace

MAX_SEEDS = 50
"""Runs of one experiment shown below it; its own page lists them all."""

_ORDERS: Mapping[str, Any] = {
    "created": F("created_at"),
    "started": F("started_at"),
    "name": F("experiment__name"),
    "method": F("experiment__method"),
    "seed": F("seed"),
    "state": F("status"),
    "step": F("last_step"),
    "by": F("created_by__display_name"),
    "gpus": F("num_gpus") * F("num_hosts"),
    "duration": Coalesce(F("finished_at"), Now()) - F("started_at"),
    "headline": Cast(KT("headline__-1__1"), FloatField()),
}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs of the same settings, which differ by their seed: ``Group(experiment=..., overrides="", runs=[...], ...)``.

    The runs of a sweep stand in a group for each of its settings.
    """

    experiment: Experiment
    runs: list[Run]
    num_runs: int
    """All runs of the experiment that the filter finds."""
    settings: str = ""
    """What the sweep changes for these runs, in words."""


def runs_in(user: User | AnonymousUser, workspace: Workspace | None) -> RunQuerySet:
    """Runs of a workspace without what only their own page shows, each with its ``seed``."""
    seed = Cast(KT("spec__seed"), BigIntegerField())
    found = runs_visible_to(user).filter(experiment__workspace=workspace).annotate(seed=seed)
    return found.defer("spec", "traceback", "experiment__spec")


def page_of_runs(user: User | AnonymousUser, workspace: Workspace | None, address: RunsAddress) -> Page[Run]:
    found = address.filter.apply(runs_in(user, workspace))
    return Paginator(_ordered(found, address.sort), address.size).get_page(address.page)


def page_of_groups(user: User | AnonymousUser, workspace: Workspace | None, address: RunsAddress) -> Page[Group]:
    """Experiments with those of their runs that the filter finds; without a filter also those never launched."""
    matching = address.filter.apply(runs_in(user, workspace))
    of_this = matching.filter(experiment=OuterRef("pk")).order_by()
    wanted = Q(Exists(of_this))
    if not address.filter.is_narrow:
        wanted |= Q(runs=None, archived_at=None)
    experiments = experiments_visible_to(user).filter(wanted, workspace=workspace).defer("spec")
    if address.sort in {"name", "-name"}:
        experiments = experiments.order_by(F("name").desc() if address.sort[0] == "-" else F("name"), "-created_at")
    else:
        newest = Max("runs__created_at")
        experiments = experiments.annotate(newest=Coalesce(newest, F("created_at"))).order_by("-newest", "pk")
    page: Page[Any] = Paginator(experiments, address.size).get_page(address.page)
    listed = list(page.object_list)
    found = _first_of_each(matching.filter(experiment__in=listed), address.sort)
    page.object_list = [group for each in listed for group in _groups(each, found.get(each.pk, []))]
    return page


def _groups(experiment: Experiment, runs: list[Run]) -> list[Group]:
    if not runs:
        return [Group(experiment=experiment, runs=[], num_runs=0)]
    total = int(runs[0].total)  # type: ignore[attr-defined]
    by_settings: dict[str, list[Run]] = {}
    for run in runs:
        by_settings.setdefault(settings_of(run), []).append(run)
    return [
        Group(
            experiment=experiment, runs=same, num_runs=total if len(by_settings) == 1 else len(same), settings=settings
        )
        for settings, same in by_settings.items()
    ]


def settings_of(run: Run) -> str:
    """What a sweep changes for the run: "lr 0.001, group_size 8"; empty outside of sweeps."""
    return ", ".join(f"{path.rpartition('.')[2]} {value}" for path, value in sorted(run.overrides.items()))


def _first_of_each(runs: RunQuerySet, sort: str) -> dict[UUID, list[Run]]:
    """Up to ``MAX_SEEDS`` runs of each experiment, each run with the ``total`` of its experiment."""
    in_order = _ordered(runs, sort)
    place = Window(RowNumber(), partition_by=F("experiment_id"), order_by=_order(sort))
    total = Window(Count("pk"), partition_by=F("experiment_id"))
    found: dict[UUID, list[Run]] = {}
    for run in in_order.annotate(place=place, total=total).filter(place__lte=MAX_SEEDS):
        found.setdefault(run.experiment_id, []).append(run)
    return found


def _ordered(runs: RunQuerySet, sort: str) -> RunQuerySet:
    """Sorted by a column."""
    key = sort.removeprefix("-")
    by = column(key)
    value = value_of_run(by.metric, by.how) if by and by.metric else _ORDERS.get(key, F("created_at"))
    return runs.annotate(order=value).order_by(*_order(sort))


def _order(sort: str) -> list[Any]:
    """Runs without a value come last whatever the direction; what is equal stands newest first."""
    direction = F("order").desc(nulls_last=True) if sort.startswith("-") else F("order").asc(nulls_last=True)
    return [direction, F("created_at").desc(), F("pk").asc()]
