"""The review page: one judged turn after the other, and what the answers did."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for
from webapp.orders.selectors import why_no_corrections
from webapp.pages.requests import local_target, signed_in
from webapp.review import selectors, services
from webapp.review.selectors import Item
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import can_edit, current_workspace

MAX_WAITING = 4


@require_GET
@login_required
def review(request: HttpRequest) -> HttpResponse:
    """The queue with its first item open, or with the one that the address names."""
    user, workspace = signed_in(request), current_workspace(request)
    if workspace is None:
        return render(request, "review/review.html", {"workspace": None})
    run = _chosen_run(request)
    items = selectors.queue(user, workspace, run=run)
    named = _named(request.user, request.GET)
    first = named or (items[0] if items else None)
    context = {
        "workspace": workspace,
        "runs": list(selectors.reviewable_runs(user, workspace)[: selectors.MAX_RUNS]),
        "chosen": run,
        "items": items,
        "reason": why_no_corrections(run.spec) if run and not items else "",
        "config": {"items": [item.key for item in items], "here": first.key if first else None},
        **_side(user, workspace, run),
    }
    return render(request, "review/review.html", context | (_shown(user, first) if first else {"item": None}))


@require_GET
@login_required
def waiting(request: HttpRequest) -> HttpResponse:
    """The first few items of the viewer's queue, for Home."""
    user, workspace = signed_in(request), current_workspace(request)
    found = selectors.queue(user, workspace) if workspace else []
    shown = [{"title": each.title, "run": each.run_name, "query": urlencode(each.key)} for each in found[:MAX_WAITING]]
    return render(request, "review/_waiting.html", {"items": shown, "num_more": len(found) - len(shown)})


@require_GET
@login_required
def item(request: HttpRequest) -> HttpResponse:
    """One item as a part of the page."""
    found = _named(request.user, request.GET)
    if found is None:
        raise Http404("Say which item is meant.")
    return render(request, "review/_item.html", _shown(signed_in(request), found))


@require_GET
@login_required
def side(request: HttpRequest) -> HttpResponse:
    """The meter and the newest verdicts as a part of the page."""
    user, workspace = signed_in(request), current_workspace(request)
    if workspace is None:
        raise Http404("There is no workspace.")
    return render(request, "review/_side.html", _side(user, workspace, _chosen_run(request)))


@require_POST
@login_required
def answer(request: HttpRequest) -> HttpResponse:
    """Give a verdict; answers with the item opened, or goes back to where the form stood."""
    user, data = signed_in(request), request.POST
    found = _named(user, data)
    if found is None:
        raise Http404("Say which item is meant.")
    try:
        services.give_verdict(
            actor=user,
            run_id=found.run.pk,
            episode=found.episode,
            turn=found.judged.turn,
            label=data.get("label", ""),
            saw_judge=bool(data.get("saw_judge")),
            note=data.get("note", ""),
        )
    except ValueError as error:
        messages.error(request, str(error))
    if "part" in data:
        return render(request, "review/_item.html", _shown(user, found))
    if getattr(request, "htmx", False):
        return render(request, "review/_people.html", _people(user, found))
    return redirect(local_target(request) or f"{reverse('review')}?{_query(found)}")


@require_POST
@login_required
def undo(request: HttpRequest) -> HttpResponse:
    """Take back one's last verdict and come to its item again."""
    user, workspace = signed_in(request), current_workspace(request)
    if workspace is None:
        raise Http404("There is no workspace.")
    verdict = services.undo_verdict(actor=user, workspace=workspace)
    if verdict is None and "part" in request.POST:
        return HttpResponse(status=204)
    if verdict is None:
        messages.info(request, "There is nothing to take back.")
        return redirect("review")
    found = selectors.item_for(user, verdict.run_id, verdict.episode, verdict.turn)
    if "part" in request.POST:
        return render(request, "review/_item.html", _shown(user, found))
    return redirect(f"{reverse('review')}?{_query(found)}")


def _shown(user: User, found: Item) -> dict[str, Any]:
    workspace = found.run.experiment.workspace
    return {"item": found, "may_edit": can_edit(user, workspace), "mine": selectors.verdict_of(user, found)}


def _people(user: User, found: Item) -> dict[str, Any]:
    verdicts = selectors.verdicts_on(found.run, found.episode).get(found.judged.turn, [])
    return {
        "run": found.run,
        "judged": found.judged,
        "verdicts": verdicts,
        "episode": found.episode,
        **_shown(user, found),
    }


def _side(user: User, workspace: Workspace, run: Run | None) -> dict[str, Any]:
    return {
        "agreement": selectors.agreement_in(user, workspace, run=run),
        "recent": selectors.recent_verdicts(user, workspace),
    }


def _chosen_run(request: HttpRequest) -> Run | None:
    text = request.GET.get("of", "")
    if not text:
        return None
    try:
        return run_for(request.user, UUID(text))
    except ValueError as error:
        raise Http404("That is not the id of a run.") from error


def _named(user: Any, data: QueryDict) -> Item | None:
    """The item that ``run``, ``episode`` and ``turn`` name; None where none is named."""
    if not data.get("run"):
        return None
    turn = data.get("turn", "")
    try:
        run_id = UUID(str(data["run"]))
    except ValueError as error:
        raise Http404("That is not the id of a run.") from error
    if not (turn.isascii() and turn.isdigit() and len(turn) < 7):
        raise Http404("That is not a turn.")
    return selectors.item_for(user, run_id, data.get("episode", "")[:120], int(turn))


def _query(found: Item) -> str:
    query = QueryDict(mutable=True)
    query.update(found.key)
    return query.urlencode()
