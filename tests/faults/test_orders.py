"""Orders on their whole way: from Postgres through the supervisor into a real run and back, with kills in between."""

import signal
from typing import Any

import pytest

from tests.factories import points_of
from tests.faults.conftest import Fleet
from webapp.experiments.models import Run
from webapp.orders import services as orders
from webapp.orders.models import RunOrder
from webapp.orders.selectors import effective_spec
from webapp.telemetry.models import Event

pytestmark = pytest.mark.fault


def newest_answer(run: Run) -> dict[str, Any]:
    """The newest answer that was judged and learnt from."""
    for event in Event.objects.filter(run=run, kind="sample").order_by("-seq"):
        for place, turn in enumerate(event.data["turns"]):
            if turn["role"] == "solver" and turn["trained"]:
                value = 0.0 if turn["rewards"]["judge"] > 0.5 else 1.0
                return {"episode": event.data["episode"], "turn": place, "value": value}
    raise AssertionError("no answer was judged")


def test_an_overruled_verdict_and_a_knob_reach_a_real_run_once_even_when_it_is_killed(fleet: Fleet) -> None:
    fleet.start_worker()
    run = fleet.launch(learner={"overrule_window": 64})
    ada = run.created_by
    assert ada is not None
    fleet.wait_for_step(run, 2)

    overruled = orders.overrule(actor=ada, run_id=run.pk, **newest_answer(run))
    knob = orders.turn_knob(actor=ada, run_id=run.pk, path="method.optimizer.lr", value=0.002)
    fleet.wait_for(lambda: not RunOrder.objects.filter(run=run, acked_seq=None).exists(), "both orders are answered")
    overruled.refresh_from_db()
    knob.refresh_from_db()
    assert overruled.is_obeyed and knob.is_obeyed
    assert overruled.outcome["before"] != overruled.outcome["after"]
    assert [step for step, _ in points_of(run, "overrule/rollouts")] == [overruled.outcome["update"]]

    orders.turn_knob(actor=ada, run_id=run.pk, path="method.optimizer.lr", value=0.004)
    fleet.child_of(run).send_signal(signal.SIGKILL)
    fleet.wait_for(lambda: Run.objects.get(pk=run.pk).attempt == 2, "it is taken up again")
    run.refresh_from_db()
    fleet.wait_for(lambda: not RunOrder.objects.filter(run=run, acked_seq=None).exists(), "every order is answered")
    fleet.wait_for_step(run, run.last_step + 3)
    answered = Event.objects.filter(run=run, kind="change").order_by("seq").values_list("data__order", flat=True)
    assert sorted(answered) == [1, 2, 3]
    assert [step for step, _ in points_of(run, "overrule/rollouts")] == [overruled.outcome["update"]]
    assert effective_spec(run)["method"]["optimizer"]["lr"] == 0.004
