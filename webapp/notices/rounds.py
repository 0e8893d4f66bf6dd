"""The rounds: runs at work are looked at now and then. Who started one that looks unwell hears of it, and who drew a line it crosses."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from webapp.experiments.choices import HELD
from webapp.experiments.models import Run
from webapp.fleet import timing
from webapp.notices import rules
from webapp.notices.choices import NoticeKind
from webapp.notices.services import News, tell_about_run
from webapp.telemetry.doctor import diagnose

logger = logging.getLogger(__name__)

MAX_RUNS = 200


def visit_runs() -> int:
    """Look at every run at work, and once more after its end; returns how many people were told something new.

    Each disease of a run is told once, and so is each rule that it breaks.

    A run whose lines cannot be read does not keep the others from being looked at.
    """
    just_now = timezone.now() - timedelta(seconds=2 * timing.VISIT_S)
    runs = Run.objects.filter(Q(status__in=sorted(HELD)) | Q(finished_at__gte=just_now))
    runs = runs.filter(last_step__gt=0, experiment__is_rehearsal=False, experiment__is_example=False)
    told = 0
    for run in runs.select_related("experiment__workspace", "created_by").order_by("created_at")[:MAX_RUNS]:
        try:
            told += _visit(run) + rules.apply(run)
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
