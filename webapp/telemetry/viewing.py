"""Who looks at a run, and through which door: as a member of its workspace or with a share link."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_GET

from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for, run_for_share
from webapp.telemetry.finding import SampleFilter
from webapp.workspaces.selectors import can_edit


@dataclass(frozen=True, kw_only=True)
class Viewing:
    """A run as one viewer may see it; ``root`` is the page's address, below which its parts and its socket lie."""

    run: Run
    root: str
    is_shared: bool
    may_edit: bool
    at: int | None = None
    """The step that is asked for; None is now."""

    def wanted(self, request: HttpRequest) -> SampleFilter:
        """Which samples the address names; what members think of them is no business of whoever holds a share link."""
        named = SampleFilter.from_query(request.GET)
        return named.outside() if self.is_shared else named


def viewing(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Give the view the run behind its address: 404 where the viewer may not see it, sign-in where nobody is known."""

    @require_GET
    @wraps(view)
    def looked_up(request: HttpRequest, run_id: UUID | None = None, secret: str = "", **kwargs: Any) -> HttpResponse:
        if run_id is not None and not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        seen = replace(_seen(request, run_id, secret), at=step_asked(request.GET.get("at", "")))
        response = view(request, seen, **kwargs)
        add_never_cache_headers(response)
        response["X-Robots-Tag"] = "noindex"
        return response

    return looked_up


def step_asked(text: str) -> int | None:
    """A step in an address; what is none reads as not given."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _seen(request: HttpRequest, run_id: UUID | None, secret: str) -> Viewing:
    if run_id is None:
        run = run_for_share(secret)
        return Viewing(run=run, root=reverse("share", args=[secret]), is_shared=True, may_edit=False)
    run = run_for(request.user, run_id)
    may_edit = can_edit(request.user, run.experiment.workspace)
    return Viewing(run=run, root=reverse("run", args=[run_id]), is_shared=False, may_edit=may_edit)
