"""Lines for charts: of one run, and of many for the compare page. ``wire.py`` tells how they travel."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.utils.cache import add_never_cache_headers
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET

from webapp.experiments.models import Run
from webapp.experiments.selectors import runs_visible_to
from webapp.pages.requests import signed_in
from webapp.telemetry import selectors
from webapp.telemetry.buckets import Array, last_moments
from webapp.telemetry.finding import whole
from webapp.telemetry.lens import lens_of
from webapp.telemetry.many import GroupLine, ManyLines, many_series
from webapp.telemetry.pyramid import Reading
from webapp.telemetry.series import line_of, metric_ends, read_run, stacked_lines
from webapp.telemetry.viewing import Viewing, viewing
from webapp.telemetry.wire import Axes, answer, floats, line_json

MAX_PIXELS, MAX_NAMES, MAX_RUNS, MAX_METRICS = 2000, 100, 100, 12
BANDED_RUNS = 10
"""With more lines than this their own bands would cover each other; they stay behind unless ``bands=1`` asks for them."""
COUNTED = {"tokens": "tokens/sampled_total", "questions": "questions/asked_total"}
"""What the horizontal axis may count beside steps and time, and the metric that grows with it."""


@gzip_page
@viewing
def series(request: HttpRequest, seen: Viewing) -> HttpResponse:
    """Lines of the run's charts, or of the metrics named, over the steps ``x_from..x_to`` at ``pixels`` places.

    ``along=time|tokens|questions`` adds where the steps lie on that axis.
    """
    run, data = seen.run, request.GET
    lens, asked = lens_of(run), data.getlist("name")[:MAX_NAMES]
    names, stacked = asked or lens.metric_names, [] if asked else lens.stacked_names
    along, pixels, axes = data.get("along", ""), _pixels(data), Axes()
    wanted = [*names, *stacked, *([COUNTED[along]] if along in COUNTED else [])]
    reading = read_run(
        run, wanted, pixels, x_from=_whole(data, "x_from"), x_to=_whole(data, "x_to"), up_to=_whole(data, "up_to")
    )
    lines = {name: line_of(reading, name, pixels) for name in names} | stacked_lines(reading, stacked)
    newest = _newest(run, reading, lines)
    found = [{"name": name, **line_json(axes, line, newest=newest.get(name))} for name, line in lines.items()]
    more = {"marks": selectors.marks(run), "along": _along(run, reading, along, axes)}
    return JsonResponse(answer(axes, found, **more))


def _newest(run: Run, reading: Reading, lines: dict[str, Array]) -> dict[str, float]:
    """The last value of lines whose last place stands for several points."""
    last = {name: reading.lines[name][-1] for name, line in lines.items() if len(line) and line["count"][-1] > 1}
    found = {name: float(bucket["total"]) for name, bucket in last.items() if bucket["count"] == 1}
    rest = metric_ends(run, [name for name in last if name not in found]) if len(found) < len(last) else {}
    return found | {name: ends.last for name, ends in rest.items()}


def _along(run: Run, reading: Reading, along: str, axes: Axes) -> dict[str, Any] | None:
    """Where steps lie on another axis: seconds since the run's first event, or what was counted by then."""
    if along == "time":
        start = selectors.first_event_t(run)
        ends = last_moments(reading.moments, reading.width) if len(reading.moments) else reading.moments
        return {"axis": axes.of(ends["step"]), "x": floats(ends["t"] - start, "f8"), "start": start}
    if along in COUNTED:
        line = reading.merged(COUNTED[along])
        return {"axis": axes.of(line["step"]), "x": floats(line["high"], "f8")}
    return None


@gzip_page
@require_GET
@login_required
def compare_series(request: HttpRequest) -> HttpResponse:
    """``?run=..&metric=..&pixels=..``: lines of the runs; with ``groups=1`` also those of experiments with several runs.

    404 as soon as one of the runs is not to be seen.
    """
    data, axes = request.GET, Axes()
    runs = _runs(request)
    names = list(dict.fromkeys(data.getlist("metric")))[:MAX_METRICS]
    lines = many_series(runs, names, pixels=_pixels(data), x_from=_whole(data, "x_from"), x_to=_whole(data, "x_to"))
    band = len(runs) <= BANDED_RUNS or "bands" in data
    found = [
        {"run": str(run.pk), "name": name, **line_json(axes, lines.of(run.pk, name), band=band)}
        for run in runs
        for name in names
    ]
    groups = _groups(axes, runs, names, lines) if "groups" in data else []
    response = JsonResponse(answer(axes, found, groups=groups, width=lines.width))
    add_never_cache_headers(response)
    return response


def _runs(request: HttpRequest) -> list[Run]:
    """The runs asked for, in their order; 404 for one that is not to be seen, and for what is no run at all."""
    asked = list(dict.fromkeys(request.GET.getlist("run")))[:MAX_RUNS]
    try:
        wanted = [UUID(text) for text in asked]
    except ValueError:
        raise Http404("One of these is not the id of a run.") from None
    seen = runs_visible_to(signed_in(request)).in_bulk(wanted)
    if len(seen) < len(set(wanted)):
        raise Http404("One of these runs does not exist, or belongs to a workspace you are not a member of.")
    return [seen[run_id] for run_id in wanted]


def _groups(axes: Axes, runs: list[Run], names: list[str], lines: ManyLines) -> list[dict[str, Any]]:
    """One line per metric for each experiment of which several runs are asked for."""
    experiments: dict[UUID, list[UUID]] = {}
    for run in runs:
        experiments.setdefault(run.experiment_id, []).append(run.pk)
    return [
        {"experiment": str(experiment), "runs": [str(pk) for pk in members], "name": name}
        | group_json(axes, lines.group(members, name))
        for experiment, members in experiments.items()
        if len(members) > 1
        for name in names
    ]


def group_json(axes: Axes, group: GroupLine) -> dict[str, Any]:
    """A group's line: ``y`` with three bands to choose from, and how many seeds are behind each place."""
    return {
        "axis": axes.of(group.step),
        "y": floats(group.mean, "f8"),
        "low": floats(group.low, "f4"),
        "high": floats(group.high, "f4"),
        "deviation": floats(group.deviation, "f4"),
        "interval": floats(group.interval, "f4"),
        "count": group.count.tolist(),
    }


def _whole(data: QueryDict, name: str) -> int | None:
    return whole(data.get(name, ""))


def _pixels(data: QueryDict) -> int:
    """How many places a line may have."""
    return min(max(_whole(data, "pixels") or 600, 4), MAX_PIXELS)
