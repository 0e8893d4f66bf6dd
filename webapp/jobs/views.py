"""A job as the page that waits for it sees it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_GET, require_POST

from webapp.jobs import selectors, services
from webapp.jobs.choices import JobKind, JobStatus
from webapp.jobs.folders import job_folder
from webapp.jobs.models import Job
from webapp.pages.requests import signed_in

_PIECE = 2**20


@require_GET
@login_required
def state(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Where the job stands, with its result once there is one."""
    response = JsonResponse(selectors.job_state(selectors.job_for(request.user, job_id)))
    add_never_cache_headers(response)
    return response


@require_POST
@login_required
def cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Stop the job."""
    return JsonResponse(selectors.job_state(services.request_cancel(actor=signed_in(request), job_id=job_id)))


@require_GET
@login_required
def file(request: HttpRequest, job_id: UUID) -> StreamingHttpResponse:
    """What an export made, for as long as it is kept."""
    return file_of(selectors.job_for(request.user, job_id))


def file_of(job: Job) -> StreamingHttpResponse:
    """The file of an export as an answer, or 404."""
    if job.kind != JobKind.EXPORT or job.status != JobStatus.SUCCEEDED or job.result is None:
        raise Http404("This job has no file to download.")
    path = job_folder(job.pk) / str(job.result["file"])
    if not selectors.has_file(job):
        raise Http404("The file of this export is not kept any more. Export the checkpoint again.")
    response = StreamingHttpResponse(_pieces(path), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{path.name}"'
    response["Content-Length"] = str(path.stat().st_size)
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    """The file piece by piece: weights are larger than the memory of a site."""
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
