"""Home: what runs, what waits and until when, what asks for a person, what the team did last."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.timesince import timesince
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET

from training_core.methods.card import Preset
from training_core.methods.registry import all_methods
from webapp.compare import guide
from webapp.compare.activity import last_deeds
from webapp.compare.forecast import forecasts
from webapp.compare.headlines import headline_of, value_words
from webapp.compare.listing import runs_in
from webapp.experiments.choices import HELD, TERMINAL, RunStatus
from webapp.experiments.contact import has_lost_contact, lost_since
from webapp.experiments.models import Run, RunQuerySet
from webapp.experiments.selectors import waiting_reasons
from webapp.pages.requests import signed_in
from webapp.telemetry.state import run_state
from webapp.telemetry.vitals import vitals
from webapp.workspaces.models import AuditEvent, Workspace
from webapp.workspaces.selectors import can_edit, current_workspace

MAX_CARDS, MAX_WAITING, MAX_ENDED, MAX_DEEDS = 12, 8, 6, 10
_TONES = ("bad", "watch", "good", "plain")


@dataclass(frozen=True, kw_only=True)
class Card:
    """A run at work: ``Card(run=..., now="77.1%", health="Judge 0.62: often mistakes wrong for right", tone="watch", ...)``."""

    run: Run
    title: str
    now: str
    state: dict[str, Any]
    health: str
    tone: str


@require_GET
@gzip_page
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """The page, or its live part; a page that waits for news gets an empty answer while there is none."""
    workspace = current_workspace(request)
    mine = runs_in(request.user, workspace)
    mark = _mark(mine, workspace)
    if request.GET.get("mark") == mark:
        return HttpResponse(status=204)
    context: dict[str, Any] = {"mark": mark, "may_edit": workspace is not None and can_edit(request.user, workspace)}
    if workspace is not None:
        context |= _at_work(mine, request) | _lately(mine) | {"deeds": last_deeds(request.user, workspace, MAX_DEEDS)}
        context |= {"beginnings": beginnings()}
        if context["may_edit"] and request.COOKIES.get(guide.COOKIE) != "off":
            context["steps"] = guide.first_steps(signed_in(request), workspace)
    part = "home/_live.html" if getattr(request, "htmx", False) else "home/home.html"
    return render(request, part, context)


def _mark(runs: RunQuerySet, workspace: Workspace | None) -> str:
    """Changes when a run of the workspace that has not ended moves, or somebody does something."""
    moving = (
        runs.exclude(status__in=TERMINAL)
        .order_by("pk")
        .values_list("pk", "status_version", "last_seq", "last_step", "priority", "placed_at")
    )
    lost = runs.filter(has_lost_contact()).order_by("pk").values_list("pk", "heard_at")
    last = AuditEvent.objects.filter(workspace=workspace).aggregate(last=Max("pk"))["last"]
    ended = runs.filter(status__in=TERMINAL).aggregate(last=Max("finished_at"))["last"]
    return sha256(f"{list(moving)}{list(lost)}{last}{ended}".encode()).hexdigest()[:12]


def _at_work(mine: RunQuerySet, request: HttpRequest) -> dict[str, Any]:
    """The viewer's own runs first."""
    held = sorted(mine.filter(status__in=HELD)[:50], key=lambda run: run.created_by_id != request.user.pk)
    queued = list(mine.filter(status=RunStatus.QUEUED).in_queue_order()[:MAX_WAITING])
    specs = dict(Run.objects.filter(pk__in=[run.pk for run in held[:MAX_CARDS]]).values_list("pk", "spec"))
    cards = [_card(run, specs[run.pk]) for run in held[:MAX_CARDS]]
    reasons, when = waiting_reasons(queued), forecasts(queued)
    return {
        "cards": cards,
        "num_more": max(0, len(held) - MAX_CARDS),
        "waiting": [(run, reasons[run.pk], when.get(run.pk, "")) for run in queued],
    }


def _card(run: Run, spec: dict[str, Any]) -> Card:
    run.spec = spec
    about = headline_of(run.experiment.method)
    now = value_words(about.metric, run.headline[-1][1]) if run.headline else ""
    since = lost_since(run)
    words = f"Nothing was heard of its program for {timesince(since, depth=1)}" if since else ""
    health, tone = (words, "watch") if since else _health(vitals(run))
    return Card(run=run, title=about.title, now=now, state=run_state(run), health=health, tone=tone)


def _health(signs: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """The most worrying vital sign as a sentence; the first of them where none worries."""
    if not signs:
        return "", "plain"
    told = min(signs, key=lambda sign: _TONES.index(sign["tone"]) if sign["tone"] in _TONES[:2] else len(_TONES))
    return f"{told['label']} {told['now']}: {told['words']}", told["tone"]


def _lately(mine: RunQuerySet) -> dict[str, Any]:
    ended = mine.filter(status__in=TERMINAL, archived_at=None).order_by("-finished_at")[:MAX_ENDED]
    rows = []
    for run in ended:
        about = headline_of(run.experiment.method)
        figures = [value_words(about.metric, point[1]) for point in (run.headline[:1] + run.headline[-1:])]
        rows.append(
            {"run": run, "title": about.title, "figures": " → ".join(figures if len(run.headline) > 1 else figures[:1])}
        )
    return {"ended": rows}


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """A preset for somebody's first run: ``Beginning(method="mae", title="Multi-Agent Evolve", preset=...)``."""

    method: str
    title: str
    summary: str
    preset: Preset


@cache
def beginnings() -> tuple[Beginning, ...]:
    """One preset that needs no download from each of three families of methods."""
    found: dict[str, Beginning] = {}
    for method in all_methods():
        preset = next((each for each in method.presets if _is_small(each)), None)
        if preset and method.group not in found:
            found[method.group] = Beginning(
                method=method.slug, title=method.title, summary=method.summary, preset=preset
            )
    return tuple(found.values())[:3]


def _is_small(preset: Preset) -> bool:
    model = preset.spec.get("model")
    return not isinstance(model, dict) or model.get("source", "starter") == "starter"
