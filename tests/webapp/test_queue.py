"""Operators put waiting runs in another order, and nothing else changes."""

from collections.abc import Callable

import pytest
from django.http import Http404
from django.test import Client

from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.queue_services import QueueChanged, move_in_queue
from webapp.workspaces.models import AuditEvent
from webapp.workspaces.selectors import PermissionDenied

RunIn = Callable[..., Run]


def order() -> list[tuple[int, int]]:
    """Number and priority of the waiting runs, first to last."""
    return list(Run.objects.filter(status="queued").in_queue_order().values_list("number", "priority"))


@pytest.fixture
def waiting(run_in: RunIn) -> list[Run]:
    """Runs 1 to 5, in this order: two of priority 5, three of priority 0."""
    return [run_in("queued", priority=priority) for priority in (5, 5, 0, 0, 0)]


@pytest.mark.parametrize(
    ("moved", "before", "expected"),
    [
        (5, 4, [(1, 5), (2, 5), (3, 0), (5, 0), (4, 0)]),
        (3, None, [(1, 5), (2, 5), (4, 0), (5, 0), (3, 0)]),
        (4, 1, [(4, 5), (1, 5), (2, 5), (3, 0), (5, 0)]),
        (4, 2, [(1, 5), (4, 5), (2, 5), (3, 0), (5, 0)]),
        (4, 3, [(1, 5), (2, 5), (4, 0), (3, 0), (5, 0)]),  # its own priority still fits there
        (1, 4, [(2, 5), (3, 0), (1, 0), (4, 0), (5, 0)]),
        (1, 3, [(2, 5), (1, 5), (3, 0), (4, 0), (5, 0)]),
        (2, 2, [(1, 5), (2, 5), (3, 0), (4, 0), (5, 0)]),
    ],
)
def test_a_run_goes_right_before_another(
    moved: int, before: int | None, expected: list[tuple[int, int]], olga: User, waiting: list[Run]
) -> None:
    runs = {run.number: run for run in waiting}
    move_in_queue(actor=olga, run_id=runs[moved].pk, before=runs[before].pk if before else None)
    assert order() == expected


def test_a_run_launched_later_waits_behind_those_that_were_moved(olga: User, waiting: list[Run], run_in: RunIn) -> None:
    Run.objects.update(placed_at=waiting[0].placed_at)  # even where all came at the same moment
    by_key = list(Run.objects.in_queue_order().values_list("pk", flat=True))
    move_in_queue(actor=olga, run_id=by_key[-1], before=by_key[2])
    assert list(Run.objects.in_queue_order().values_list("pk", flat=True)) == [*by_key[:2], by_key[4], *by_key[2:4]]
    late = run_in("queued")
    assert order()[-1] == (late.number, 0)


def test_a_queue_that_has_moved_on_is_told(olga: User, waiting: list[Run]) -> None:
    gone = waiting[1]
    Run.objects.filter(pk=gone.pk).update(status="paused")
    with pytest.raises(QueueChanged, match="waits no longer"):
        move_in_queue(actor=olga, run_id=waiting[4].pk, before=gone.pk)
    with pytest.raises(QueueChanged, match="no place in the queue"):
        move_in_queue(actor=olga, run_id=gone.pk, before=None)
    assert not AuditEvent.objects.filter(action="run.moved_in_queue").exists()


def test_only_operators_move_runs_and_it_is_on_record(ada: User, cyn: User, olga: User, waiting: list[Run]) -> None:
    with pytest.raises(PermissionDenied):
        move_in_queue(actor=ada, run_id=waiting[4].pk, before=waiting[0].pk)
    with pytest.raises(Http404):
        move_in_queue(actor=cyn, run_id=waiting[4].pk, before=waiting[0].pk)
    move_in_queue(actor=olga, run_id=waiting[4].pk, before=waiting[0].pk)
    noted = AuditEvent.objects.get(action="run.moved_in_queue")
    assert (noted.actor, noted.detail) == (olga, {"from": 5, "to": 1})


def test_the_arrows_of_the_fleet_page_move_a_row(client: Client, olga: User, waiting: list[Run]) -> None:
    client.force_login(olga)
    shown = client.get("/fleet/").context["fleet"].queue
    assert [(view.goes_up, view.goes_down, view.is_last) for view in (shown[0], shown[3], shown[4])] == [
        (None, waiting[2].pk, False),
        (waiting[2].pk, None, False),
        (waiting[3].pk, None, True),
    ]
    client.post(f"/fleet/runs/{shown[3].key}/move/", {"before": ""})
    assert [number for number, _ in order()] == [1, 2, 3, 5, 4]
    told = client.post(f"/fleet/runs/{shown[3].key}/move/", {"before": "nonsense"}, follow=True).content.decode()
    assert "There is no run &#x27;nonsense&#x27; to go before." in told
