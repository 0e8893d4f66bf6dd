"""The run page: one address for people, and the parts its script asks for."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from webapp.experiments.services import revoke_share_link
from webapp.pages.requests import signed_in
from webapp.telemetry import moments, selectors
from webapp.telemetry.doctor import alerts
from webapp.telemetry.finding import KINDS, PLAYED, SampleFilter, hit_pattern, shown_kinds, whole
from webapp.telemetry.formulas import sheet
from webapp.telemetry.judgements import judge_lines, judge_tables
from webapp.telemetry.lens import lens_of
from webapp.telemetry.reading import read_sample
from webapp.telemetry.rows import is_judge
from webapp.telemetry.spread import spreads
from webapp.telemetry.state import run_state
from webapp.telemetry.tabs import tabs_of
from webapp.telemetry.timeline import timeline
from webapp.telemetry.viewing import Viewing, viewing
from webapp.telemetry.vitals import vitals

PAGE, LOG_PAGE = 50, 200
REGIONS = {
    "head": "runs/_head.html",
    "vitals": "runs/_vitals.html",
    "judge-tables": "runs/_judge_tables.html",
    "timeline-drawing": "runs/_timeline_drawing.html",
    "rewards-drawing": "runs/_rewards_drawing.html",
    "formulas": "runs/_formulas.html",
}
"""Parts of the page that are rendered anew by themselves, beside the tabs."""


@viewing
def page(request: HttpRequest, seen: Viewing) -> HttpResponse:
    """The whole page. What it holds is fixed first, so that the socket can continue exactly there."""
    held = selectors.position(seen.run)
    lens = lens_of(seen.run)
    config = {
        "root": seen.root,
        "position": held,
        "at": None if seen.at is None else min(seen.at, seen.run.last_step),
        "state": _state(seen),
        "groups": lens.chart_groups,
        "roles": {role.name: {"title": role.title, "hue": lens.hues[role.name]} for role in lens.roles},
        "samples": selectors.samples(seen.run, SampleFilter(kind=PLAYED), limit=PAGE),
        "kinds": selectors.num_samples(seen.run),
    }
    context = _context(seen) | {
        "config": config,
        "show": shown_kinds(lens, for_team=not seen.is_shared),
        "kinds": KINDS,
        "has_judge": any(is_judge(role.name) for role in lens.roles),
        "lens": lens,
        "tabs": tabs_of(seen, lens),
    }
    return render(request, "runs/shared.html" if seen.is_shared else "runs/page.html", context)


@viewing
def state(request: HttpRequest, seen: Viewing) -> HttpResponse:
    """Where the run stands and which events a page read now would hold."""
    return JsonResponse({"position": selectors.position(seen.run), "state": _state(seen)})


@viewing
def moment(request: HttpRequest, seen: Viewing) -> HttpResponse:
    """The run as it stood at a step: when that was, and the vital signs of then."""
    step = seen.run.last_step if seen.at is None else min(seen.at, seen.run.last_step)
    seq = moments.seq_at(seen.run, step)
    found = {"step": step, "t": moments.clock_at(seen.run, seq), "vitals": vitals(seen.run, up_to=seq)}
    return JsonResponse(found)


@viewing
def doctor(request: HttpRequest, seen: Viewing) -> HttpResponse:
    """What the doctor finds now, as marks."""
    return JsonResponse({"alerts": alerts(seen.run)})


@viewing
def judge(request: HttpRequest, seen: Viewing) -> HttpResponse:
    """The judge against the truth, as lines with their intervals."""
    return JsonResponse(judge_lines(seen.run))


@viewing
def samples(request: HttpRequest, seen: Viewing) -> HttpResponse:
    """A page of the stream of samples, newest first; ``next`` continues it, ``kinds`` counts what the run or the step has."""
    wanted = seen.wanted(request)
    rows = selectors.samples(seen.run, wanted, before=_number(request.GET, "before"), limit=PAGE)
    found = {"rows": rows, "next": rows[-1]["seq"] if len(rows) == PAGE else None}
    return JsonResponse(found | {"kinds": selectors.num_samples(seen.run, wanted.step)})


@viewing
def sample(request: HttpRequest, seen: Viewing, seq: int) -> HttpResponse:
    """One sample to read: on a page of its own, or as the part that opens in the stream."""
    event = selectors.sample(seen.run, seq)
    wanted = seen.wanted(request)
    context = _context(seen) | {"sample": event, **read_sample(event.data, lens_of(seen.run))}
    if "part" in request.GET:
        return render(request, "runs/_sample.html", context)
    template = "runs/sample_shared.html" if seen.is_shared else "runs/sample.html"
    older, newer = selectors.neighbours(seen.run, seq, wanted)
    pattern = hit_pattern(wanted.text)
    context |= {"older": older, "newer": newer, "query": wanted.query, "text": pattern.pattern if pattern else ""}
    return render(request, template, context)


@viewing
def log(request: HttpRequest, seen: Viewing) -> HttpResponse:
    """Log lines, newest first; ``next`` continues towards the start."""
    rows = selectors.logs(
        seen.run,
        levels=request.GET.getlist("level"),
        text=request.GET.get("text", "")[:200],
        before=_number(request.GET, "before"),
        limit=LOG_PAGE,
    )
    return JsonResponse({"rows": rows, "next": rows[-1]["seq"] if len(rows) == LOG_PAGE else None})


@viewing
def part(request: HttpRequest, seen: Viewing, part: str) -> HttpResponse:
    """A region of the page, rendered again after news, or the content of a tab."""
    if template := REGIONS.get(part):
        return render(request, template, _context(seen))
    tab = next((tab for tab in tabs_of(seen, lens_of(seen.run)) if tab.slug == part), None)
    if tab is None:
        raise Http404(f"The run page has no part called {part!r}.")
    return render(request, tab.template, _context(seen) | tab.context(seen))


@require_POST
@login_required
def revoke_share(request: HttpRequest, run_id: UUID, link_id: int) -> HttpResponse:
    """Take a share link back; whoever watches through it is cut off."""
    revoke_share_link(actor=signed_in(request), run_id=run_id, link_id=link_id)
    messages.success(request, "The link has been taken back. Whoever watched through it no longer can.")
    return redirect(reverse("run", args=[run_id]) + "#history")


def _context(seen: Viewing) -> dict[str, Any]:
    """What every part reads, with the vital signs of the step that is asked for."""
    run = seen.run
    up_to = None if seen.at is None else moments.seq_at(run, seen.at)
    return {
        "run": run,
        "root": seen.root,
        "is_shared": seen.is_shared,
        "may_edit": seen.may_edit,
        "state": run_state(run),
        "vitals": lambda: vitals(run, up_to=up_to),
        "judge": lambda: judge_tables(run, at=seen.at),
        "timeline": lambda: timeline(run, at=seen.at),
        "spreads": lambda: spreads(run, at=seen.at),
        "formulas": lambda: sheet(run, at=seen.at),
        "method_title": lens_of(run).title,
    }


def _state(seen: Viewing) -> dict[str, Any]:
    return {**run_state(seen.run), "vitals": vitals(seen.run)}


def _number(data: QueryDict, name: str) -> int | None:
    return whole(data.get(name, ""))
