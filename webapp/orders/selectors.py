"""Orders as pages and supervisors read them. The run comes from ``run_for``; nothing here widens what is seen."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from training_core.methods.base import SelfPlay
from training_core.methods.registry import find_method
from training_core.spec.io import dump_dict, parse_spec
from training_core.spec.live import with_values
from webapp.experiments.models import EXTERNAL, Run
from webapp.orders.models import OrderKind, RunOrder


def orders_of(run: Run) -> QuerySet[RunOrder]:
    """Every order to the run, newest first."""
    return RunOrder.objects.filter(run=run).select_related("by", "run").order_by("-number")


def waiting_lines(run_id: UUID) -> list[dict[str, Any]]:
    """Orders without an answer as the run reads them, oldest first."""
    waiting = RunOrder.objects.filter(run_id=run_id, acked_seq=None).select_related("by").order_by("number")
    return [order.line for order in waiting]


def changed_knobs(run: Run, *, up_to_step: int | None = None) -> list[tuple[str, Any]]:
    """The knobs that were turned, in order; with ``up_to_step`` only those in force after that step."""
    turned = RunOrder.objects.filter(run=run, kind=OrderKind.KNOB, outcome__obeyed=True).order_by("acked_seq")
    answers: list[dict[str, Any]] = [order.outcome for order in turned if order.outcome]
    return [(each["what"], each["after"]) for each in answers if up_to_step is None or each["update"] <= up_to_step]


def effective_spec(run: Run, *, up_to_step: int | None = None) -> dict[str, Any]:
    """The run's spec with what people changed while it ran; what a clone or a fork begins with."""
    knobs = changed_knobs(run, up_to_step=up_to_step)
    return dump_dict(with_values(parse_spec(run.spec), knobs)) if knobs else dict(run.spec)


def why_no_corrections(spec: dict[str, Any]) -> str:
    """Why overruling a verdict would change nothing in a run of this spec, in one sentence; empty where it counts."""
    if spec["method"]["name"] == EXTERNAL:
        return "This run happens elsewhere, so nobody here can change what it learns."
    return find_method(spec["method"]["name"]).why_uncorrectable(parse_spec(spec))


def keeps_pool(method: str) -> bool:
    """Whether the method has a pool of questions that people may change."""
    return method != EXTERNAL and find_method(method).add_question is not SelfPlay.add_question
