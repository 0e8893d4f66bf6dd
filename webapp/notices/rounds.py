"""The doctor's rounds: runs at work are looked at now and then, and whoever started one that looks unwell hears of it."""

import logging

from django.db import transaction
from django.urls import reverse

from webapp.experiments.choices import HELD
from webapp.experiments.models import Run
from webapp.notices.choices import NoticeKind
from webapp.notices.services import News, tell_about_run
from webapp.telemetry.doctor import diagnose

logger = logging.getLogger(__name__)

MAX_RUNS = 200


def visit_runs() -> int:
    """Look at every run at work; returns how many people were told something new. Each disease of a run is told once.

    A run whose lines cannot be read does not keep the others from being looked at.
    """
    runs = Run.objects.filter(status__in=sorted(HELD), last_step__gt=0, experiment__is_rehearsal=False)
    told = 0
    for run in runs.select_related("experiment__workspace", "created_by").order_by("created_at")[:MAX_RUNS]:
        try:
            told += _visit(run)
        except (ValueError, LookupError):
            logger.exception("doctor.failed", extra={"run": str(run.pk)})
    return told


def _visit(run: Run) -> int:
    told = 0
    for found in diagnose(run):
        news = News(
            kind=NoticeKind.ALERT,
            key=f"alert:{run.pk}:{found.disease}",
            title=f"{run.experiment.name}, run {run.number}: {found.title[:1].lower()}{found.title[1:]}",
            text=f"{found.words} Since step {found.since:,}.",
            url=reverse("run", args=[run.pk]) + "#doctor",
            run=run,
        )
        with transaction.atomic():
            told += tell_about_run(run, news, by=None)
    return told
