"""Every write to orders: people give them, runs answer them."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.http import Http404
from pydantic import ValidationError

from training_core.spec.events import EventKind
from training_core.spec.io import parse_spec
from training_core.spec.live import turned
from training_core.spec.orders import ORDER
from webapp.accounts.models import User
from webapp.experiments.choices import RunStatus
from webapp.experiments.models import EXTERNAL, Run
from webapp.orders.models import OrderKind, RunOrder
from webapp.orders.selectors import effective_spec, keeps_pool, orders_of, why_no_corrections
from webapp.telemetry.lines import Line
from webapp.workspaces.selectors import require_edit
from webapp.workspaces.services import record

MAX_KEY = 80


class OrderImpossible(ValueError):
    """The run cannot take this order; the message says why in one sentence."""


@transaction.atomic
def overrule(
    *, actor: User, run_id: UUID, episode: str, turn: int, value: float | None, idempotency_key: str = ""
) -> RunOrder:
    """Let the run learn that a judged turn is worth ``value``, 0 to 1; None takes that back."""
    run = _lock_run(actor, run_id)
    payload = {"episode": episode, "turn": turn, "value": value}
    if earlier := _earlier(actor, run, OrderKind.OVERRULE, payload, idempotency_key):
        return earlier
    if reason := why_no_corrections(run.spec):
        raise OrderImpossible(reason)
    return _give(actor, run, OrderKind.OVERRULE, payload, idempotency_key)


@transaction.atomic
def turn_knob(*, actor: User, run_id: UUID, path: str, value: Any, idempotency_key: str = "") -> RunOrder:
    """Change a live field of the run's spec from its next step on; raises ``SpecError`` for what the spec does not take."""
    run = _lock_run(actor, run_id)
    payload = {"path": path, "value": value}
    if earlier := _earlier(actor, run, OrderKind.KNOB, payload, idempotency_key):
        return earlier
    _check_going(run)
    if _method(run) == EXTERNAL:
        raise OrderImpossible("This run happens elsewhere, so nobody here can change what it does.")
    turned(parse_spec(effective_spec(run)), path, value)
    return _give(actor, run, OrderKind.KNOB, payload, idempotency_key)


@transaction.atomic
def change_pool(
    *, actor: User, run_id: UUID, action: str, question: str, answer: str | None = None, idempotency_key: str = ""
) -> RunOrder:
    """Take a bad question out of the run's pool for good, or add one."""
    run = _lock_run(actor, run_id)
    payload = {"action": action, "question": question.strip(), "answer": answer}
    if earlier := _earlier(actor, run, OrderKind.QUESTION, payload, idempotency_key):
        return earlier
    if not keeps_pool(_method(run)):
        raise OrderImpossible("This method keeps no pool of questions.")
    return _give(actor, run, OrderKind.QUESTION, payload, idempotency_key)


def acknowledge(run: Run, lines: Iterable[Line]) -> None:
    """Note which orders these events answer. Called in the transaction that stores them."""
    for line in lines:
        if line.kind == EventKind.CHANGE:
            RunOrder.objects.filter(run=run, number=line.data["order"]).update(acked_seq=line.seq, outcome=line.data)


def forget_answers(run: Run, *, from_seq: int) -> None:
    """The events from here on are dropped, so the orders they answered wait again."""
    RunOrder.objects.filter(run=run, acked_seq__gte=from_seq).update(acked_seq=None, outcome=None)


def _earlier(actor: User, run: Run, kind: OrderKind, payload: dict[str, Any], key: str) -> RunOrder | None:
    """What the person's key ordered before; asking again is not an error, asking for something else is."""
    if len(key) > MAX_KEY:
        raise OrderImpossible(f"An idempotency key has at most {MAX_KEY} characters, this one has {len(key)}.")
    earlier = orders_of(run).filter(by=actor, idempotency_key=key).first() if key else None
    if earlier is not None and (earlier.kind, earlier.payload) != (kind, payload):
        raise OrderImpossible(f"The idempotency key {key!r} already gave another order. Use a new key.")
    return earlier


def _give(actor: User, run: Run, kind: OrderKind, payload: dict[str, Any], key: str) -> RunOrder:
    _check_going(run)
    last = RunOrder.objects.filter(run=run).aggregate(last=Max("number"))["last"]
    number = (last or 0) + 1
    order = RunOrder(run=run, number=number, kind=kind, payload=payload, by=actor, idempotency_key=key)
    try:
        ORDER.validate_python(order.line)
    except ValidationError as error:
        raise OrderImpossible(str(error.errors()[0]["msg"])) from error
    order.save()
    detail = {"number": order.number, **payload}
    record(actor=actor, action=f"run.{kind}_ordered", obj=run, workspace=run.experiment.workspace, detail=detail)
    return order


def _lock_run(actor: User, run_id: UUID) -> Run:
    """The run, locked so that its orders are numbered in turn: 404 for outsiders, 403 for viewers."""
    visible = Run.objects.visible_to(actor).select_related("experiment__workspace")
    run = visible.select_for_update(of=("self",)).filter(pk=run_id).first()
    if run is None:
        raise Http404("There is no such run, or it belongs to a workspace you are not a member of.")
    require_edit(actor, run.experiment.workspace)
    return run


def _check_going(run: Run) -> None:
    if run.is_terminal or run.status == RunStatus.CANCELLING:
        raise OrderImpossible("This run has ended, so nothing can be changed in it. Clone it to go further.")


def _method(run: Run) -> str:
    return str(run.spec["method"]["name"])
