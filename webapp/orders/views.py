"""Giving orders to a run from its page."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from training_core.spec.io import SpecError
from webapp.experiments.selectors import run_for
from webapp.orders import services
from webapp.orders.steering import read_value, steering
from webapp.pages.requests import signed_in
from webapp.workspaces.selectors import can_edit


@require_POST
@login_required
def turn_knob(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Change a live field of the run's spec."""
    run = run_for(request.user, run_id)
    path, error = request.POST.get("path", ""), ""
    value = read_value(run, path, request.POST.get("value", ""))
    try:
        services.turn_knob(actor=signed_in(request), run_id=run_id, path=path, value=value)
    except SpecError as refusal:
        error = "; ".join(str(found) for found in refusal.errors)
    except services.OrderImpossible as refusal:
        error = str(refusal)
    return _answer(request, run_id, error)


@require_POST
@login_required
def change_pool(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Mark a question as bad, or add one."""
    error = ""
    action = "remove" if request.POST.get("action") == "remove" else "add"
    question, answer = request.POST.get("question", ""), request.POST.get("answer", "").strip() or None
    try:
        services.change_pool(actor=signed_in(request), run_id=run_id, action=action, question=question, answer=answer)
    except services.OrderImpossible as refusal:
        error = str(refusal)
    return _answer(request, run_id, error)


def _answer(request: HttpRequest, run_id: UUID, error: str) -> HttpResponse:
    if getattr(request, "htmx", False):
        run = run_for(request.user, run_id)
        context = {"run": run, "may_edit": can_edit(request.user, run.experiment.workspace)}
        return render(request, "orders/_steer.html", context | steering(run, error=error))
    if error:
        messages.error(request, error)
    else:
        messages.success(request, "The run will do this before its next step.")
    return redirect(reverse("run", args=[run_id]) + "#steer")
