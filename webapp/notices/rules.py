"""Lines that people draw for metrics, and telling them of the runs that cross one."""

import math

from django.db import transaction
from django.db.models import Q
from django.http import Http404
from django.urls import reverse

from training_core.spec.events import EventKind
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.notices.choices import NoticeKind, Scope, Side
from webapp.notices.models import AlertRule
from webapp.notices.services import News, tell
from webapp.pages.tags import number
from webapp.telemetry.models import Event

MAX_RULES, MAX_LASTING = 50, 100


@transaction.atomic(durable=True)
def add_rule(
    *, user: User, metric: str, side: str, threshold: str, lasting: str, scope: str, run: Run | None = None
) -> AlertRule:
    """Draw a line. Raises ``ValueError`` with a sentence for a line that cannot be drawn."""
    metric = metric.strip()
    if not 0 < len(metric) <= 80:
        raise ValueError(
            "Name the metric, in at most 80 characters, as its curve is named: eval/greedy_accuracy, for example."
        )
    if side not in Side.values or scope not in Scope.values:
        raise ValueError(f"A rule is {' or '.join(Side.values)} a value, of {' or '.join(Scope.values)}.")
    if user.alert_rules.count() >= MAX_RULES:
        raise ValueError(f"You have {MAX_RULES} rules, which is the most. Remove one first.")
    return AlertRule.objects.create(
        user=user,
        metric=metric,
        side=side,
        threshold=_threshold(threshold),
        lasting=_lasting(lasting),
        scope=scope,
        run=run,
    )


@transaction.atomic(durable=True)
def remove_rule(*, user: User, rule_id: int) -> None:
    removed, _ = AlertRule.objects.filter(user=user, pk=rule_id).delete()
    if not removed:
        raise Http404("You have no such rule.")


def apply(run: Run) -> int:
    """Tell everybody whose line the run has crossed by now; returns how many did not know."""
    members = Q(user__memberships__workspace=run.experiment.workspace, user__is_active=True)
    of_scope = Q(run=None) & (Q(scope=Scope.WORKSPACES) | Q(scope=Scope.MINE, user=run.created_by_id))
    told = 0
    for rule in AlertRule.objects.filter(members, Q(run=run) | of_scope).select_related("user"):
        if crossed := _crossed(rule, run):
            with transaction.atomic():
                told += tell([rule.user], _news(rule, run, crossed))
    return told


def _crossed(rule: AlertRule, run: Run) -> list[tuple[int, float]]:
    """The newest measurements, oldest first, if all lie beyond the line; else nothing."""
    rows = Event.objects.filter(run=run, kind=EventKind.METRIC, data__values__has_key=rule.metric).order_by("-seq")
    newest = [(step, values[rule.metric]) for step, values in rows.values_list("step", "data__values")[: rule.lasting]]
    if len(newest) < rule.lasting:
        return []
    beyond = [value is not None and _is_beyond(rule, value) for _, value in newest]
    return newest[::-1] if all(beyond) else []


def _is_beyond(rule: AlertRule, value: float) -> bool:
    return value > rule.threshold if rule.side == Side.ABOVE else value < rule.threshold


def _news(rule: AlertRule, run: Run, crossed: list[tuple[int, float]]) -> News:
    values = ", ".join(number(value) for _, value in crossed[-5:])
    steps = f"steps {crossed[0][0]:,} to {crossed[-1][0]:,}" if len(crossed) > 1 else f"step {crossed[0][0]:,}"
    return News(
        kind=NoticeKind.ALERT,
        key=f"rule:{rule.pk}:{run.pk}",
        title=f"{run.experiment.name}, run {run.number}: {rule.metric} is {rule.side} {number(rule.threshold)}",
        text=f"At {steps}: {'… ' if len(crossed) > 5 else ''}{values}. You asked to be told.",
        url=reverse("run", args=[run.pk]),
        run=run,
    )


def _threshold(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"The line must lie at a number, not at {text[:20]!r}.")
    return value


def _lasting(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LASTING):
        raise ValueError(f"How many measurements in a row: a whole number from 1 to {MAX_LASTING}, not {text[:20]!r}.")
    return int(text)
