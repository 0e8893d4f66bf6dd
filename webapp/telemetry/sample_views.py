"""Pages on which samples are found: lists with words and filters, questions through time, two runs side by side, tokens."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from training_core.token_files import read_tokens
from webapp.experiments.selectors import run_for
from webapp.fleet.folders import run_folder
from webapp.pages.requests import signed_in
from webapp.telemetry import genealogy, groups, novelty, selectors
from webapp.telemetry.finding import KINDS, PLAYED, SHOW, SampleFilter, shown_kinds, whole
from webapp.telemetry.found import found_in, searched_runs
from webapp.telemetry.lens import Lens, lens_of
from webapp.telemetry.rows import is_proposer
from webapp.telemetry.viewing import Viewing, viewing
from webapp.workspaces.selectors import workspaces_for

ORDER_TITLES = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "best": "Best rewarded first",
    "worst": "Worst rewarded first",
    "spread": "Most different rewards first",
}


@viewing
def find(request: HttpRequest, seen: Viewing) -> HttpResponse:
    """The samples of a run that fit, with an address of its own for every filter."""
    lens = lens_of(seen.run)
    there = {PLAYED, *selectors.num_samples(seen.run)}
    kinds = {kind: title for kind, title in KINDS.items() if kind in there}
    show = shown_kinds(lens, for_team=not seen.is_shared)
    return _list(request, seen, {"kinds": kinds, "show": show, "roles": lens.roles, "runs": [seen.run]})


@require_GET
@login_required
def search(request: HttpRequest) -> HttpResponse:
    """The same over the newest runs a person may see, or those of one workspace."""
    user = signed_in(request)
    workspace = request.GET.get("workspace", "")
    found = searched_runs(user, workspace)
    context = {"kinds": KINDS, "show": SHOW, "runs": found, "workspaces": workspaces_for(user), "workspace": workspace}
    return _list(request, None, context)


def _list(request: HttpRequest, seen: Viewing | None, context: dict[str, Any]) -> HttpResponse:
    wanted = seen.wanted(request) if seen else SampleFilter.from_query(request.GET)
    order = request.GET.get("order", "newest")
    page = whole(request.GET.get("page", "")) or 1
    context |= {
        "wanted": wanted,
        "query": wanted.query,
        "orders": ORDER_TITLES,
        "order": order,
        # Over all runs nothing is listed until something is asked for.
        "page": found_in(context["runs"], wanted, order=order, page=page) if seen or not wanted.is_open else None,
        "here_query": _without(request, "page"),
        "no_step": f"?{_without(request, 'step')}",
    }
    if seen is None:
        return render(request, "samples/search.html", context)
    return render(request, "samples/find.html", context | _of(seen))


@viewing
def group(request: HttpRequest, seen: Viewing, key: str) -> HttpResponse:
    """One question through time: the answers of every occasion side by side, and two of them word by word."""
    run, lens = seen.run, lens_of(seen.run)
    found = groups.occasions(run, key, lens, before=whole(request.GET.get("before", "")))
    left, right = request.GET.get("left", ""), request.GET.get("right", "")
    context = {
        "key": key,
        "question": groups.question_of(run, key),
        "history": groups.history(run, key),
        "occasions": found,
        "next": found[-1].event.seq if len(found) == groups.MOST_OCCASIONS else None,
        "compared": groups.compared(run, lens, left, right) if left and right else None,
        "left": left,
        "right": right,
        "others": [] if seen.is_shared else groups.other_runs(request.user, run, key),
    }
    return render(request, "samples/group.html", context | _of(seen))


@viewing
def tokens(request: HttpRequest, seen: Viewing, seq: int) -> HttpResponse:
    """What the update saw of each token of a sample, by the place of the turn; empty where it was not kept."""
    event = selectors.sample(seen.run, seq)
    rows = read_tokens(run_folder(seen.run.pk), event.step, event.data["episode"])
    known = {place: row.model_dump() for place, row in rows.items() if place < len(event.data["turns"])}
    return JsonResponse({"turns": known})


@require_GET
@login_required
def twin(request: HttpRequest, run_id: UUID, other_id: UUID) -> HttpResponse:
    """The questions that two runs both met, those on which they differ most first; one of them in full with ``?key=``."""
    run, other = run_for(request.user, run_id), run_for(request.user, other_id)
    if run == other:
        raise Http404("A run has no twin in itself. Choose another run.")
    by, key = request.GET.get("by", "solved"), request.GET.get("key", "")
    by = by if by in {"solved", "reward"} else "solved"
    found, num_shared = groups.twins(run.pk, other.pk, by)
    context = {"run": run, "other": other, "by": by, "key": key, "twins": found, "num_shared": num_shared}
    if key:
        sides = [groups.occasions(each, key, lens_of(each))[:1] for each in (run, other)]
        if not all(sides):
            raise Http404("The two runs have no such question in common.")
        context |= {
            "sides": list(zip((run, other), (side[0] for side in sides), strict=True)),
            "compared": groups.first_difference(sides[0][0], sides[1][0]),
            "title": sides[0][0].event.data["title"],
        }
    return render(request, "samples/twin.html", context)


@viewing
def family(request: HttpRequest, seen: Viewing, key: str) -> HttpResponse:
    """A question with what it was made from and what was made from it."""
    return render(request, "samples/family.html", genealogy.family_tree(seen.run, key) | _of(seen))


def questions_tab(seen: Viewing) -> dict[str, Any]:
    """Where the run's own questions come from, and how alike they are."""
    found = genealogy.families(genealogy.questions_of(seen.run))
    fruitful, dead = genealogy.fruitful(found), genealogy.dead(found, seen.run.last_step)
    genealogy.measure(seen.run, [each.root for each in (*fruitful, *dead)])
    return {
        "map": novelty.novelty_map(seen.run),
        "contamination": novelty.contamination(seen.run),
        "fruitful": fruitful,
        "dead": dead,
    }


def makes_questions(lens: Lens) -> bool:
    """Whether runs of this method make questions of their own."""
    return any(is_proposer(role.name) for role in lens.roles)


def groups_tab(seen: Viewing) -> dict[str, Any]:
    """What the tab of groups reads at first."""
    return {
        "groups": groups.groups(seen.run, SampleFilter()),
        "orders": {slug: title for slug, (title, _) in groups.ORDERS.items()},
        "window": groups.WINDOW,
    }


@viewing
def groups_list(request: HttpRequest, seen: Viewing) -> HttpResponse:
    """The run's questions in the order asked for, on a page of their own."""
    wanted, order = seen.wanted(request), request.GET.get("order", "newest")
    partners = [] if seen.is_shared else groups.partners(request.user, seen.run)
    context = groups_tab(seen) | {
        "groups": groups.groups(seen.run, wanted, order),
        "order": order,
        "wanted": wanted,
        "partners": partners,
    }
    return render(request, "samples/groups.html", context | _of(seen))


def _of(seen: Viewing) -> dict[str, Any]:
    frame = "samples/frame_shared.html" if seen.is_shared else "samples/frame.html"
    return {"frame": frame, "run": seen.run, "root": seen.root, "is_shared": seen.is_shared, "may_edit": seen.may_edit}


def _without(request: HttpRequest, name: str) -> str:
    query = request.GET.copy()
    query.pop(name, None)
    return query.urlencode()
