"""The Fleet page: operators see the queue, the workers and what they do. For everybody else it does not exist."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from webapp.experiments import services as experiment_services
from webapp.experiments.queue_services import move_in_queue
from webapp.fleet import selectors, services
from webapp.pages.requests import signed_in

View = Callable[..., HttpResponse]


def _operators_only(view: View) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not signed_in(request).is_staff:
            raise Http404("There is no such page.")
        return view(request, *args, **kwargs)

    return login_required(guarded)


@require_GET
@_operators_only
def fleet(request: HttpRequest) -> HttpResponse:
    """Queue, running jobs and workers."""
    part = "fleet/_live.html" if getattr(request, "htmx", False) else "fleet/fleet.html"
    return render(request, part, {"fleet": selectors.fleet_overview(request.user)})


@require_POST
@_operators_only
def worker_action(request: HttpRequest, worker_id: UUID, action: str) -> HttpResponse:
    """Drain a worker or let it take runs again."""
    act = services.drain if action == "drain" else services.undrain
    worker = act(actor=signed_in(request), worker_id=worker_id)
    words = "finishes what it has and takes nothing new" if action == "drain" else "takes runs again"
    messages.success(request, f"{worker.name} {words}.")
    return redirect("fleet")


@require_POST
@_operators_only
def run_action(request: HttpRequest, run_id: UUID, action: str) -> HttpResponse:
    """Stop, queue again, move or reprioritise a run of any workspace."""
    actor = signed_in(request)
    try:
        if action == "stop":
            run = experiment_services.request_cancel(actor=actor, run_id=run_id)
            messages.success(request, f"{run} is being stopped.")
        elif action == "requeue":
            run = experiment_services.requeue(actor=actor, run_id=run_id)
            messages.success(request, f"{run} is queued again and goes on from its last checkpoint.")
        elif action == "move":
            move_in_queue(actor=actor, run_id=run_id, before=_run_before(request))
        else:
            run = experiment_services.change_priority(actor=actor, run_id=run_id, priority=_priority(request))
            messages.success(request, f"{run} now has priority {run.priority}.")
    except ValueError as error:
        messages.error(request, str(error))
    return redirect(f"{reverse('fleet')}#queue" if action in {"move", "priority"} else "fleet")


def _run_before(request: HttpRequest) -> UUID | None:
    text = request.POST.get("before", "")
    try:
        return UUID(text) if text else None
    except ValueError:
        raise ValueError(f"There is no run {text[:40]!r} to go before.") from None


def _priority(request: HttpRequest) -> int:
    text = request.POST.get("priority", "")
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"A priority is a whole number between -100 and 100, not {text[:20]!r}.") from None
