"""Lines for the charts of a run; ``wire.py`` tells how they travel."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.views.decorators.gzip import gzip_page

from webapp.experiments.models import Run
from webapp.telemetry import selectors
from webapp.telemetry.buckets import Array, last_moments
from webapp.telemetry.finding import whole
from webapp.telemetry.lens import lens_of
from webapp.telemetry.pyramid import Reading
from webapp.telemetry.series import line_of, metric_ends, read_run, stacked_lines
from webapp.telemetry.viewing import Viewing, viewing
from webapp.telemetry.wire import Axes, answer, floats, line_json

MAX_PIXELS, MAX_NAMES = 2000, 100
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


def _whole(data: QueryDict, name: str) -> int | None:
    return whole(data.get(name, ""))


def _pixels(data: QueryDict) -> int:
    """How many places a line may have."""
    return min(max(_whole(data, "pixels") or 600, 4), MAX_PIXELS)
