"""What a person does about a run that happens elsewhere."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from webapp.experiments.services import TransitionRefused
from webapp.external.services import end_silent_run
from webapp.pages.requests import signed_in


@require_POST
@login_required
def end_run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """End a run whose program is not heard of any more."""
    try:
        end_silent_run(actor=signed_in(request), run_id=run_id)
    except TransitionRefused as refusal:
        messages.error(request, str(refusal))
    return redirect("run", run_id)
