"""The Runs page: the list, what is done to chosen runs, and its saved views."""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Page
from django.db.models import F, Func
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET, require_POST

from training_core.methods.registry import all_methods
from webapp.compare import selectors, services
from webapp.compare.addresses import PAGE_SIZES, RunsAddress
from webapp.compare.columns import BUILT_IN, HOWS
from webapp.compare.filters import STATUS_GROUPS, read_uuid
from webapp.compare.listing import page_of_groups, page_of_runs, runs_in
from webapp.compare.models import ViewPage
from webapp.compare.table import Table
from webapp.compare.tree import draw_tree
from webapp.compare.values import metrics_of
from webapp.experiments.choices import TERMINAL
from webapp.experiments.contact import lost_since
from webapp.experiments.models import Run
from webapp.pages.requests import signed_in
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import can_edit, current_workspace, members_of

LIVE_POLL_S, IDLE_POLL_S = 5, 20
MAX_IN_TREE = 300
ASKED_FOR_NAMES = 3
"""Runs of a page whose own metrics are offered beside those the methods are known to report."""


@gzip_page
@require_GET
@login_required
def runs(request: HttpRequest) -> HttpResponse:
    """The workspace's runs as a table, by experiment, or as a tree of what was made from what."""
    workspace = current_workspace(request)
    if not request.GET and (view := selectors.default_view(request.user, workspace, ViewPage.RUNS)) and view.query:
        return redirect(address_of(view.query))
    address = RunsAddress.read(request.GET)
    context = _context(request, workspace, address)
    if not getattr(request, "htmx", False):
        return render(request, "compare/runs.html", context | _tools(request, workspace, context))
    if request.GET.get("mark") == context["mark"]:
        return HttpResponse(status=204)
    response = render(request, "compare/_runs.html", context)
    if "mark" not in request.GET:
        response["HX-Push-Url"] = address_of(address.query(page=address.page))
    return response


def address_of(query: str) -> str:
    """The page with this query; without any it says so, for an empty address opens the default view."""
    return f"{reverse('runs')}?{query or 'all=1'}"


def _context(request: HttpRequest, workspace: Workspace | None, address: RunsAddress) -> dict[str, Any]:
    base = runs_in(request.user, workspace).filter(pk=address.base).first() if address.base else None
    context = _links(address) | {"address": address, "base": base}
    context["may_edit"] = workspace is not None and can_edit(request.user, workspace)
    if address.as_tree:
        tree = draw_tree(list(address.filter.apply(runs_in(request.user, workspace))[: MAX_IN_TREE + 1]), MAX_IN_TREE)
        return context | {"tree": tree} | _shown(address, tree.runs)
    if address.grouped:
        groups = page_of_groups(request.user, workspace, address)
        shown = [run for group in groups.object_list for run in group.runs]
        table = Table(address.columns, shown, base)
        rows: list[Any] = [table.group_row(group) for group in groups.object_list]
        return context | {"page": groups, "rows": rows} | _paging(address, groups) | _shown(address, shown)
    page = page_of_runs(request.user, workspace, address)
    shown = list(page.object_list)
    table = Table(address.columns, shown, base)
    rows = [table.row(run) for run in shown]
    return context | {"page": page, "rows": rows} | _paging(address, page) | _shown(address, shown)


def _links(address: RunsAddress) -> dict[str, Any]:
    """Where the parts of the page lead."""
    heads = [
        {"column": each, "query": address.query_sorted_by(each.key), "direction": address.direction(each.key)}
        for each in address.columns
    ]
    return {
        "heads": heads,
        "name_query": address.query_sorted_by("name"),
        "name_direction": address.direction("name"),
        "address_here": address.query(page=address.page),
        "table_query": address.query(as_tree=False) or "all=1",
        "tree_query": address.query(as_tree=True),
        "without_base": address.query(base=None) or "all=1",
        "shown_keys": {each.key for each in address.columns},
    }


def _paging(address: RunsAddress, page: Page[Any]) -> dict[str, Any]:
    return {
        "previous_query": address.query(page=page.previous_page_number()) or "all=1" if page.has_previous() else "",
        "next_query": address.query(page=page.next_page_number()) if page.has_next() else "",
    }


def _shown(address: RunsAddress, shown: Sequence[Run]) -> dict[str, Any]:
    is_live = any(run.status not in TERMINAL for run in shown)
    return {"shown": shown, "mark": _mark(address, shown), "poll_s": LIVE_POLL_S if is_live else IDLE_POLL_S}


def _mark(address: RunsAddress, shown: Sequence[Run]) -> str:
    """Changes when something listed has changed, so that a page that waits for news costs a few bytes."""
    states = "".join(
        f"{run.pk}{run.status_version}.{run.last_seq}.{run.last_step}.{run.tags}.{run.archived_at}.{lost_since(run)}"
        for run in shown
    )
    return sha256(f"{address.query(page=address.page)}{states}".encode()).hexdigest()[:12]


def _tools(request: HttpRequest, workspace: Workspace | None, context: dict[str, Any]) -> dict[str, Any]:
    """What stands above the list: filters, columns, saved views."""
    mine = runs_in(request.user, workspace)
    offered = set(metrics_of([run.pk for run in context["shown"][:ASKED_FOR_NAMES]]))
    tags = mine.order_by().values_list(Func(F("tags"), function="unnest"), flat=True).distinct()
    return {
        "methods": [(method.slug, method.title) for method in all_methods()],
        "states": [(name, title) for name, (title, _) in STATUS_GROUPS.items()],
        "people": [member.user for member in members_of(workspace)] if workspace else [],
        "tags": sorted(tags),
        "built_in": BUILT_IN,
        "hows": HOWS,
        "sizes": PAGE_SIZES,
        "metric_names": sorted(offered | _charted_metrics()),
        "views": selectors.views_of(request.user, workspace, ViewPage.RUNS),
        "view_page": ViewPage.RUNS.value,
        "query": context["address"].query(),
    }


@cache
def _charted_metrics() -> set[str]:
    return {name for method in all_methods() for chart in method.charts for name, _ in chart.series}


@require_POST
@login_required
def runs_chosen(request: HttpRequest) -> HttpResponse:
    """Compare the chosen runs, measure others by one of them, or stop, archive or tag them all."""
    ids = list(dict.fromkeys(found for text in request.POST.getlist("run") if (found := read_uuid(text))))
    deed, back = request.POST.get("deed", ""), address_of(request.POST.get("query", "")[: services.MAX_QUERY])
    if not ids:
        messages.error(request, "Choose one or more runs first.")
        return redirect(back)
    if deed == "compare":
        return redirect(f"{reverse('compare')}?{urlencode([('run', run_id) for run_id in ids])}")
    if deed == "base":
        return redirect(f"{back}&base={ids[0]}")
    try:
        outcome = services.on_many(
            actor=signed_in(request),
            run_ids=ids,
            deed=deed,
            tags=request.POST.get("tags", "").replace(",", " ").split(),
        )
    except ValueError as error:
        messages.error(request, str(error))
        return redirect(back)
    if outcome.num_done:
        messages.success(request, f"{_DONE[deed]} {outcome.num_done} run{'s' * (outcome.num_done != 1)}.")
    for refusal in outcome.refusals[:5]:
        messages.error(request, refusal)
    return redirect(back)


_DONE = {"stop": "Stopped", "archive": "Archived", "restore": "Put back", "tag": "Tagged"}


@require_POST
@login_required
def save_view(request: HttpRequest) -> HttpResponse:
    """Keep what the address of a page says, under a name."""
    workspace, page = current_workspace(request), request.POST.get("page", "")
    query = request.POST.get("query", "")
    if workspace is None:
        messages.error(request, "A view is kept in a workspace. Create one first.")
        return redirect("home")
    try:
        view = services.save_view(
            actor=signed_in(request),
            workspace=workspace,
            page=page,
            name=request.POST.get("name", ""),
            query=query,
            is_default=bool(request.POST.get("is_default")),
        )
    except ValueError as error:
        messages.error(request, str(error))
        return redirect(_target(page, query))
    link = request.build_absolute_uri(reverse("saved_view", args=[view.pk]))
    messages.success(request, f"{view.name} is saved for everybody in {workspace}. Its link: {link}")
    return redirect(_target(page, view.query))


@require_GET
@login_required
def view(request: HttpRequest, view_id: UUID) -> HttpResponse:
    """The link of a saved view: leads to its page, in its workspace."""
    from webapp.workspaces.selectors import SESSION_KEY

    found = selectors.view_for(request.user, view_id)
    request.session[SESSION_KEY] = found.workspace.slug
    return redirect(_target(found.page, found.query))


@require_POST
@login_required
def delete_view(request: HttpRequest, view_id: UUID) -> HttpResponse:
    """Forget a saved view."""
    found = selectors.view_for(request.user, view_id)
    services.delete_view(actor=signed_in(request), view_id=view_id)
    messages.success(request, f"The view {found.name} is forgotten.")
    return redirect(_target(found.page, ""))


def _target(page: str, query: str) -> str:
    return f"{reverse('compare')}?{query}" if page == ViewPage.COMPARE else address_of(query)
