"""Pages on which code is read: that of one run, and what differs between two."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_cache_control
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET

from webapp.compare.filters import read_uuid
from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for
from webapp.pages.requests import signed_in
from webapp.sources import selectors
from webapp.sources.models import CodeVersion

MAX_LINES = 20_000


@gzip_page
@require_GET
@login_required
def code(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The files a run was carried out with; ``file`` names the one that is shown, at first that of its method."""
    run = run_for(signed_in(request), run_id)
    version = selectors.version_of(run)
    return render(request, "sources/code.html", {"run": run, "version": version} | _reading(request, run, version))


def _reading(request: HttpRequest, run: Run, version: CodeVersion | None) -> dict[str, Any]:
    if version is None:
        return {}
    paths = sorted(version.files)
    path = request.GET.get("file", "") or run.code.get("file", "") or (paths[0] if paths else "")
    if path and path not in version.files:
        raise Http404("This run's code has no such file.")
    text = selectors.texts(version.files, [path]).get(path, "")
    lines = text.removesuffix("\n").split("\n")
    return {
        "paths": paths,
        "path": path,
        "lines": lines[:MAX_LINES],
        "num_more": max(len(lines) - MAX_LINES, 0),
    }


@require_GET
@login_required
def code_zip(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The same as a ZIP file."""
    version = selectors.version_of(run_for(signed_in(request), run_id))
    if version is None:
        raise Http404("The code of this run was not kept.")
    name = f"code-{version.digest[:10]}.zip"
    response = HttpResponse(selectors.zipped(version), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    patch_cache_control(response, private=True, no_store=True)
    return response


@gzip_page
@require_GET
@login_required
def code_difference(request: HttpRequest) -> HttpResponse:
    """``?before=RUN&after=RUN``: the files that differ, line by line, that of the method first."""
    before, after = _run(request, "before"), _run(request, "after")
    versions = selectors.versions_of([before, after])
    old, new = (versions.get(run.code.get("version", "")) for run in (before, after))
    found = None
    if old and new:
        first = [path for run in (before, after) if (path := run.code.get("file"))]
        found = selectors.difference(old, new, first=first)
    context = {
        "before": before,
        "after": after,
        "lacking": [run for run, version in ((before, old), (after, new)) if version is None],
        "files": found,
        "num_added": sum(each.num_added for each in found or ()),
        "num_removed": sum(each.num_removed for each in found or ()),
    }
    return render(request, "sources/difference.html", context)


def _run(request: HttpRequest, name: str) -> Run:
    run_id = read_uuid(request.GET.get(name, ""))
    if run_id is None:
        raise Http404(f"Say which runs: this address needs {name}= with the id of a run.")
    return run_for(signed_in(request), run_id)
