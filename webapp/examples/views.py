"""The example by one click from Home, and away again."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from webapp.examples import services
from webapp.pages.requests import signed_in
from webapp.workspaces.selectors import current_workspace


@require_POST
@login_required
def add(request: HttpRequest) -> HttpResponse:
    """Bring the example into the workspace of this session and open its first run."""
    workspace = current_workspace(request)
    if workspace is None:
        return redirect("new_workspace")
    runs = services.add_example(actor=signed_in(request), workspace=workspace)
    messages.success(request, "Here is a finished example. Look around: nothing you do here can harm anything.")
    return redirect("run", runs[0].pk)


@require_POST
@login_required
def remove(request: HttpRequest) -> HttpResponse:
    """Take it away again."""
    workspace = current_workspace(request)
    if workspace is None:
        return redirect("new_workspace")
    services.remove_example(actor=signed_in(request), workspace=workspace)
    messages.success(request, "The example is gone. Home brings it back while nothing else is there.")
    return redirect("home")
