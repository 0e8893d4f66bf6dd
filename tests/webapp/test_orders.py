"""Orders to runs: who may give them, what is refused at once, and how their answers come and go with the events."""

from collections.abc import Callable
from typing import Any

import pytest
from django.http import Http404
from django.test import Client
from django.urls import reverse

from tests.factories import START_T, metric_events, next_attempt, tell
from training_core.spec.io import SpecError
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.orders import services
from webapp.orders.models import RunOrder
from webapp.orders.selectors import effective_spec, waiting_lines
from webapp.telemetry import selectors
from webapp.workspaces.models import AuditEvent
from webapp.workspaces.selectors import PermissionDenied

pytestmark = pytest.mark.django_db(transaction=True)
LR = "method.optimizer.lr"


def answer(seq: int, order: int, *, update: int = 3, **data: Any) -> dict[str, Any]:
    told = {"order": order, "command": "knob", "by": "Ada", "what": LR, "before": 1e-6, "after": 0.5, "obeyed": True}
    data = {**told, "update": update, "text": "Done.", **data}
    return {"seq": seq, "kind": "change", "step": update - 1, "t": START_T, "data": data}


@pytest.fixture
def run(run_in: Callable[..., Run]) -> Run:
    return run_in("running")


def test_orders_are_numbered_audited_and_read_by_the_run(run: Run, ada: User) -> None:
    services.turn_knob(actor=ada, run_id=run.pk, path=LR, value=0.5)
    services.change_pool(actor=ada, run_id=run.pk, action="remove", question=" 3+4 ")
    services.overrule(actor=ada, run_id=run.pk, episode="2-s0", turn=1, value=1.0)
    assert waiting_lines(run.pk) == [
        {"id": 1, "command": "knob", "by": "Ada", "path": LR, "value": 0.5},
        {"id": 2, "command": "question", "by": "Ada", "action": "remove", "question": "3+4", "answer": None},
        {"id": 3, "command": "overrule", "by": "Ada", "episode": "2-s0", "turn": 1, "value": 1.0},
    ]
    assert AuditEvent.objects.filter(action__endswith="_ordered", object_id=str(run.pk)).count() == 3


def test_viewers_may_not_order_and_for_outsiders_there_is_no_run(run: Run, ben: User, cyn: User) -> None:
    with pytest.raises(PermissionDenied):
        services.turn_knob(actor=ben, run_id=run.pk, path=LR, value=0.5)
    with pytest.raises(Http404):
        services.change_pool(actor=cyn, run_id=run.pk, action="add", question="1+1")


def test_what_cannot_be_obeyed_is_refused_at_once(run_in: Callable[..., Run], run: Run, ada: User) -> None:
    with pytest.raises(SpecError, match="at most 1"):
        services.turn_knob(actor=ada, run_id=run.pk, path=LR, value=7)
    with pytest.raises(SpecError, match="cannot be changed"):
        services.turn_knob(actor=ada, run_id=run.pk, path="method.batch_per_role", value=7)
    with pytest.raises(services.OrderImpossible, match="This run has ended"):
        services.turn_knob(actor=ada, run_id=run_in("succeeded").pk, path=LR, value=0.5)
    Run.objects.filter(pk=run.pk).update(spec={**run.spec, "method": {"name": "spin"}})
    with pytest.raises(services.OrderImpossible, match="keeps no pool"):
        services.change_pool(actor=ada, run_id=run.pk, action="add", question="1+1")
    with pytest.raises(services.OrderImpossible, match="nobody judges"):
        services.overrule(actor=ada, run_id=run.pk, episode="2-s0", turn=1, value=1.0)


def test_an_answer_is_forgotten_when_a_later_attempt_drops_its_event(run: Run, ada: User) -> None:
    services.turn_knob(actor=ada, run_id=run.pk, path=LR, value=0.5)
    tell(run, [*metric_events(2), answer(3, 1)])
    order = RunOrder.objects.get()
    assert (order.acked_seq, order.is_obeyed, order.fate) == (3, True, "Done.")
    assert waiting_lines(run.pk) == []
    assert effective_spec(run)["method"]["optimizer"]["lr"] == 0.5
    assert effective_spec(run, up_to_step=2)["method"]["optimizer"]["lr"] == 1e-6

    tell(next_attempt(run), metric_events(1, first=3))
    order.refresh_from_db()
    assert (order.acked_seq, order.outcome) == (None, None)
    assert [line["id"] for line in waiting_lines(run.pk)] == [1]
    assert effective_spec(run) == run.spec


def test_the_tab_shows_knobs_and_what_became_of_orders(run: Run, ada: User, ben: User, client: Client) -> None:
    client.force_login(ada)
    part = reverse("run_part", args=[run.pk, "steer"])
    assert 'name="path" value="method.loss.kl_coef"' in client.get(part).text
    headers = {"HX-Request": "true"}
    page = client.post(reverse("turn_knob", args=[run.pk]), {"path": LR, "value": "0.5"}, headers=headers).text
    assert "0.5 is asked for" in page
    page = client.post(reverse("turn_knob", args=[run.pk]), {"path": LR, "value": "much"}, headers=headers).text
    assert "must be a number" in page
    tell(run, [answer(1, 1)])
    page = client.get(part).text
    assert "The run began with 1e-06" in page
    assert "Done." in page
    client.force_login(ben)
    assert "editors of the workspace may turn them" in client.get(part).text
    assert selectors.marks(run) == [
        {"step": 2, "kind": "change", "text": "Ada: Done."},
    ]
