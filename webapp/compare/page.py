"""The Compare page: up to fifty runs side by side. Its address says everything, so that a view is a link."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET

from training_core.methods.registry import find_method
from webapp.accounts.models import User
from webapp.compare import selectors
from webapp.compare.arms import MAX_RUNS, SHOWN_AT_FIRST, Arm, Compared, arms_of, compared
from webapp.compare.configs import differing_blocks
from webapp.compare.drawn import drawn_export, runs_named
from webapp.compare.filters import read_uuid
from webapp.compare.headlines import change, headline_of, value_words
from webapp.compare.heldout import held_out
from webapp.compare.lines import AXES, Asked, Line, packed, read_lines
from webapp.compare.listing import runs_in
from webapp.compare.models import ViewPage
from webapp.compare.values import metrics_of, value_of
from webapp.compare.verdicts import verdicts
from webapp.experiments.models import Run
from webapp.experiments.selectors import runs_visible_to
from webapp.exports.services import response as export_response
from webapp.sources.differences import differing
from webapp.sources.selectors import versions_of
from webapp.telemetry.finding import whole
from webapp.telemetry.summary import Digest, digests
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import can_edit, current_workspace

MAX_METRICS, METRICS_AT_FIRST, MAX_PIXELS = 40, 4, 1200
ENDS = {"last": "last value", "best": "best value"}


@dataclass(frozen=True, kw_only=True)
class CompareAddress:
    """``CompareAddress(runs=(...), aside=frozenset(), metrics=("reward/solver",), axis="step", by_arm=True, ...)``."""

    runs: tuple[UUID, ...] = ()
    aside: frozenset[UUID] = frozenset()
    """Named, but not drawn."""
    metrics: tuple[str, ...] = ()
    axis: str = "step"
    smoothing: str = "0"
    by_arm: bool = True
    """Whether runs of the same settings are drawn as their mean with a band."""
    base: UUID | None = None
    """A run of the settings the others are measured by."""
    metric: str = ""
    """By which the settings are judged; empty for the headline."""
    end: str = "last"
    all: bool = False

    @classmethod
    def read(cls, data: QueryDict) -> Self:
        runs = dict.fromkeys(found for text in data.getlist("run") if (found := read_uuid(text)))
        aside = dict.fromkeys(found for text in data.getlist("aside") if (found := read_uuid(text)))
        return cls(
            runs=tuple({**runs, **aside})[:MAX_RUNS],
            aside=frozenset(aside),
            metrics=tuple(dict.fromkeys(name[:80] for name in data.getlist("metric") if name))[:MAX_METRICS],
            axis=data.get("x", "") if data.get("x", "") in AXES else "step",
            smoothing=_share(data.get("smooth", "")),
            by_arm=data.get("by", "") != "run",
            base=read_uuid(data.get("base", "")),
            metric=data.get("judge", "")[:80],
            end=data.get("end", "") if data.get("end", "") in ENDS else "last",
            all=data.get("all", "") == "1",
        )


@gzip_page
@require_GET
@login_required
def compare(request: HttpRequest) -> HttpResponse:
    """The whole page but its lines, which its script asks for."""
    workspace = current_workspace(request)
    if not request.GET:
        return redirect(_beginning(request.user, workspace))
    address = CompareAddress.read(request.GET)
    runs = _asked_for(request.user, address.runs)
    context: dict[str, Any] = {
        "address": address,
        "num_missing": len(address.runs) - len(runs),
        "views": selectors.views_of(request.user, workspace, ViewPage.COMPARE),
        "view_page": ViewPage.COMPARE.value,
        "query": request.GET.urlencode(),
        "may_edit": workspace is not None and can_edit(request.user, workspace),
    }
    if runs:
        context |= _side_by_side(runs, address)
    return render(request, "compare/compare.html", context)


def _beginning(user: User | AnonymousUser, workspace: Workspace | None) -> str:
    """The default view of the team, else its newest runs that have said something."""
    if (view := selectors.default_view(user, workspace, ViewPage.COMPARE)) and view.query:
        return f"{reverse('compare')}?{view.query}"
    newest = runs_in(user, workspace).filter(last_step__gt=0, archived_at=None)[:SHOWN_AT_FIRST]
    return f"{reverse('compare')}?{urlencode([('run', str(run.pk)) for run in newest] or [('all', '1')])}"


def _asked_for(user: User | AnonymousUser, ids: Sequence[UUID]) -> list[Run]:
    """Newest first; what the viewer may not see is left out like what never was."""
    return list(runs_visible_to(user).filter(pk__in=ids).defer("traceback", "experiment__spec"))


def _side_by_side(runs: Sequence[Run], address: CompareAddress) -> dict[str, Any]:
    aside = set(address.aside)
    if not aside and not address.all:
        aside = {run.pk for run in runs[SHOWN_AT_FIRST:]}
    shown = compared(runs, aside)
    drawn = [each.run for each in shown if each.is_shown] or [each.run for each in shown]
    arms = arms_of(runs)
    known, numbers = metrics_of([run.pk for run in runs]), digests([run.pk for run in runs])
    metrics = address.metrics or _first_metrics(runs, known)
    judged_by = address.metric or headline_of(runs[0].experiment.method).metric
    judged = arms_of(drawn)
    base = next((arm for arm in judged if address.base in {run.pk for run in arm.runs}), judged[-1])
    return {
        "shown": shown,
        "num_aside": len(aside),
        "arms": arms,
        "base": base,
        "judged_by": judged_by,
        "known": sorted(known.items()),
        "verdicts": verdicts(judged, base, numbers, judged_by, address.end),
        "values": _values(shown, base, numbers, metrics),
        "metrics": metrics,
        "blocks": differing_blocks([run.spec for run in drawn]),
        "origins": _origins(drawn, base.runs[0]),
        "drawn": [each for each in shown if each.is_shown],
        "suites": held_out(drawn),
        "axes": AXES,
        "ends": ENDS,
        "config": _config(shown, arms, metrics, known, address),
    }


def _first_metrics(runs: Sequence[Run], known: Counter[str]) -> tuple[str, ...]:
    """The headline of every method there is, then what its charts show first and most of the runs have."""
    methods = dict.fromkeys(run.experiment.method for run in runs)
    wanted = [headline_of(method).metric for method in methods]
    for method in methods:
        try:
            charts = find_method(method).charts
        except ValueError:
            continue
        wanted += [name for chart in charts if chart.kind == "lines" for name, _ in chart.series[:1]]
    common = [name for name in dict.fromkeys(wanted) if known[name] * 2 >= len(runs)]
    return tuple(common[:METRICS_AT_FIRST]) or tuple(name for name, _ in known.most_common(METRICS_AT_FIRST))


def _values(
    shown: Sequence[Compared], base: Arm, numbers: dict[UUID, dict[str, Digest]], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """Runs by metrics: the last and the best value, and how far the last is from the mean of the baseline's seeds."""
    means = {metric: _mean([numbers.get(run.pk, {}).get(metric) for run in base.runs]) for metric in metrics}
    rows = []
    for each in shown:
        if not each.is_shown:
            continue
        of_run = numbers.get(each.run.pk, {})
        cells = [_value(metric, of_run.get(metric), means[metric]) for metric in metrics]
        rows.append({"run": each, "cells": cells, "is_base": each.run in base.runs})
    return rows


def _value(metric: str, digest: Digest | None, mean: float | None) -> dict[str, Any]:
    last, best = value_of(digest, metric, "last"), value_of(digest, metric, "best")
    return {
        "last": value_words(metric, last),
        "best": value_words(metric, best),
        "change": change(metric, last, mean),
    }


def _mean(found: Sequence[Digest | None]) -> float | None:
    values = [digest.last for digest in found if digest]
    return sum(values) / len(values) if values else None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A cell that says where a run comes from: ``Origin(words="2 files differ", href="/compare/code/?before=…")``."""

    words: str
    href: str = ""


def _origins(runs: Sequence[Run], base: Run) -> list[tuple[str, list[Origin]]]:
    """What tells runs apart besides their specs; only rows in which they differ."""
    rows = [
        ("Method", [run.experiment.method for run in runs]),
        ("GPUs", [str(run.num_gpus * run.num_hosts or "CPU") for run in runs]),
        ("Begins at step", [str(run.experiment.fork_step or 0) for run in runs]),
        ("Attempts", [str(run.attempt) for run in runs]),
    ]
    found = [(title, [Origin(words=each) for each in cells]) for title, cells in rows if len(set(cells)) > 1]
    if len({(run.code.get("method"), run.code.get("core"), run.code.get("version")) for run in runs}) > 1:
        found.insert(0, ("Code", _codes(runs, base)))
    return found


def _codes(runs: Sequence[Run], base: Run) -> list[Origin]:
    """How the code of each differs from that of the baseline, as far as it was kept; the way to the lines."""
    versions = versions_of([base, *runs])
    ground = versions.get(base.code.get("version", ""))
    cells = []
    for run in runs:
        version = versions.get(run.code.get("version", ""))
        if run == base:
            cells.append(Origin(words="baseline", href=reverse("code", args=[run.pk]) if version else ""))
        elif ground is None or version is None:
            cells.append(Origin(words="was not kept" if run.attempt else "not started"))
        elif num := len(differing(ground.files, version.files)):
            href = f"{reverse('code_difference')}?before={base.pk}&after={run.pk}"
            cells.append(Origin(words=f"{num} file{'s' if num > 1 else ''} differ{'' if num > 1 else 's'}", href=href))
        else:
            cells.append(Origin(words="the same"))
    return cells


@gzip_page
@require_GET
@login_required
def lines(request: HttpRequest) -> HttpResponse:
    """The lines of runs and of settings, packed; ``arm`` names the runs of one line, joined by commas."""
    _, _, width, by_metric = _asked_lines(request)
    response = HttpResponse(packed(width, by_metric), content_type="application/octet-stream")
    add_never_cache_headers(response)
    return response


@require_GET
@login_required
def export(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The same lines as a file; ``form`` is csv or parquet."""
    runs, axis, _, by_metric = _asked_lines(request)
    try:
        found = drawn_export(by_metric, runs, axis=axis, form=request.GET.get("form", "csv"))
    except ValueError as error:
        raise Http404(str(error)) from None
    return export_response(found)


def _asked_lines(request: HttpRequest) -> tuple[list[Run], str, int, dict[str, list[Line]]]:
    """The runs, the axis, the steps a place stands for, and the lines; 404 where one of the runs is not to be seen."""
    data = request.GET
    asked = [found for text in data.getlist("run") if (found := read_uuid(text))]
    arms = {text: [found for part in text.split(",") if (found := read_uuid(part))] for text in data.getlist("arm")}
    wanted = runs_named(asked, arms)[:MAX_RUNS]
    runs = list(runs_visible_to(request.user).filter(pk__in=wanted).defer("spec", "traceback", "experiment__spec"))
    if len(runs) < len(wanted):
        raise Http404("One of these runs is not there, or belongs to a workspace you are not a member of.")
    kept = {text: [run for run in same if run in wanted] for text, same in arms.items()}
    axis = data.get("x", "") if data.get("x", "") in AXES else "step"
    width, by_metric = read_lines(
        [run for run in asked if run in wanted],
        {",".join(map(str, same)): same for same in kept.values() if same},
        Asked(
            metrics=list(dict.fromkeys(name[:80] for name in data.getlist("metric")))[:MAX_METRICS],
            axis=axis,
            pixels=min(max(whole(data.get("pixels", "")) or 300, 20), MAX_PIXELS),
            first=whole(data.get("from", "")),
            last=whole(data.get("to", "")),
        ),
    )
    return runs, axis, width, by_metric


def _config(
    shown: Sequence[Compared], arms: Sequence[Arm], metrics: Sequence[str], known: Counter[str], address: CompareAddress
) -> dict[str, Any]:
    """What the page's script reads."""
    return {
        "runs": [
            {
                "id": str(each.run.pk),
                "label": each.label,
                "arm": each.arm,
                "tint": each.tint,
                "dash": each.dash,
                "shown": each.is_shown,
            }
            for each in shown
        ],
        "arms": [
            {"key": ",".join(str(run.pk) for run in arm.runs), "label": arm.label, "tint": arm.tint, "dash": arm.dash}
            for arm in arms
        ],
        "metrics": list(metrics),
        "known": sorted(known),
        "x": address.axis,
        "smoothing": float(address.smoothing),
        "byArm": address.by_arm,
        "series": reverse("compare_lines"),
        "export": reverse("compare_export"),
    }


def _share(text: str) -> str:
    try:
        found = float(text)
    except ValueError:
        return "0"
    return f"{found:g}" if 0 < found < 1 else "0"
