"""Moving waiting runs: operators decide what goes first, one run at a time."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.http import Http404

from webapp.accounts.models import User
from webapp.experiments import doorbell
from webapp.experiments.choices import RunStatus
from webapp.experiments.models import Run
from webapp.workspaces.selectors import PermissionDenied
from webapp.workspaces.services import record

_TICK = timedelta(microseconds=1)


class QueueChanged(ValueError):
    """A run that was to be moved, or to be passed, waits no longer."""


@transaction.atomic(durable=True)
def move_in_queue(*, actor: User, run_id: UUID, before: UUID | None) -> Run:
    """Put a waiting run right before another, or last. It keeps its priority where the new place allows it.

    Raises ``Http404`` where there is no such run, ``PermissionDenied`` for people who are not operators, ``QueueChanged`` where one of
    the two waits no longer.
    """
    if not actor.is_staff:
        if not Run.objects.visible_to(actor).filter(pk=run_id).exists():
            raise Http404("There is no such run, or it belongs to a workspace you are not a member of.")
        raise PermissionDenied("Only operators of this installation may do that.")
    waiting = Run.objects.filter(status=RunStatus.QUEUED).select_related("experiment__workspace")
    queue = list(waiting.select_for_update(of=("self",)).in_queue_order())
    places = {run.pk: place for place, run in enumerate(queue)}
    if run_id not in places:
        raise QueueChanged("This run waits no longer, so it has no place in the queue.")
    if before == run_id:
        return queue[places[run_id]]
    if before is not None and before not in places:
        raise QueueChanged("The run it was to go before waits no longer. Look at the queue again.")
    run = queue.pop(places[run_id])
    queue.insert(
        len(queue) if before is None else queue.index(next(other for other in queue if other.pk == before)), run
    )
    came, goes = places[run_id], queue.index(run)
    if came == goes:
        return run
    run.priority = _priority_at(queue, goes)
    peers = [other for other in queue if other.priority == run.priority]
    for other, place in zip(peers, _rising([other.placed_at for other in peers]), strict=True):
        other.placed_at = place
    Run.objects.bulk_update(peers, ["priority", "placed_at"])
    record(
        actor=actor,
        action="run.moved_in_queue",
        obj=run,
        workspace=run.experiment.workspace,
        detail={"from": came + 1, "to": goes + 1},
    )
    transaction.on_commit(doorbell.ring)
    return run


def _priority_at(queue: Sequence[Run], place: int) -> int:
    """The priority nearest to its own that keeps the queue in order at this place."""
    own = queue[place].priority
    above = queue[place - 1].priority if place > 0 else own
    below = queue[place + 1].priority if place + 1 < len(queue) else own
    return min(max(own, below), max(above, below))


def _rising(places: Sequence[datetime]) -> list[datetime]:
    """The same moments from early to late, equal ones set apart by a tick."""
    rising: list[datetime] = []
    for place in sorted(places):
        rising.append(max(place, rising[-1] + _TICK) if rising else place)
    return rising
