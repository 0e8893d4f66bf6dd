"""Downloads of what runs said."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.views.decorators.http import require_GET

from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for, run_for_share, runs_visible_to
from webapp.exports.services import MAX_RUNS, export, response
from webapp.pages.requests import signed_in
from webapp.telemetry.finding import SampleFilter


@require_GET
@login_required
def export_run(request: HttpRequest, run_id: UUID) -> HttpResponse | StreamingHttpResponse:
    """``?what=metrics|samples&form=csv|jsonl|parquet|tensorboard`` of one run, of samples those that the address names."""
    return _answer(request, [run_for(signed_in(request), run_id)])


@require_GET
def export_shared(request: HttpRequest, secret: str) -> HttpResponse | StreamingHttpResponse:
    """The same of the run that a share link shows, for whoever holds it."""
    answer = _answer(request, [run_for_share(secret)], is_shared=True)
    answer["X-Robots-Tag"] = "noindex"
    return answer


@require_GET
@login_required
def export_runs(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The same of several, ``?run=..&run=..``; 404 as soon as one of them is not to be seen."""
    try:
        wanted = list(dict.fromkeys(UUID(text) for text in request.GET.getlist("run")))[:MAX_RUNS]
    except ValueError:
        raise Http404("One of these is not the id of a run.") from None
    seen = runs_visible_to(signed_in(request)).in_bulk(wanted)
    if not wanted or len(seen) < len(wanted):
        raise Http404("One of these runs does not exist, or belongs to a workspace you are not a member of.")
    return _answer(request, [seen[run_id] for run_id in wanted])


def _answer(request: HttpRequest, runs: list[Run], *, is_shared: bool = False) -> HttpResponse | StreamingHttpResponse:
    what, form = request.GET.get("what", "metrics"), request.GET.get("form", "csv")
    wanted = SampleFilter.from_query(request.GET)
    try:
        return response(export(runs, what=what, form=form, wanted=wanted.outside() if is_shared else wanted))
    except ValueError as error:
        raise Http404(str(error)) from None
