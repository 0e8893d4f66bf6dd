"""What a Prometheus server asks for: ``/metrics/``, for whoever holds the token that the installation was given."""

import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_GET
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from webapp.experiments.choices import RunStatus
from webapp.experiments.models import Run
from webapp.fleet.models import Slot, SlotKind, Worker
from webapp.jobs.choices import ENDED, JobStatus
from webapp.jobs.models import Job
from webapp.notices.choices import DeliveryStatus
from webapp.notices.models import Delivery


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Every gauge as it stands now. Without ``KUMITE_METRICS_TOKEN`` there is no such page."""
    if not settings.METRICS_TOKEN:
        raise Http404("There is no such page.")
    given = request.headers.get("Authorization", "")
    if not constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}"):
        return HttpResponse("The token is missing or wrong.\n", status=401, content_type="text/plain")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_House())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _House:
    """Read from the database at each call, so that all web processes tell the same."""

    def collect(self) -> Iterator[Metric]:
        runs = Run.objects.filter(experiment__is_rehearsal=False)
        queued = runs.filter(status=RunStatus.QUEUED).aggregate(since=Min("created_at"))["since"]
        living = Worker.objects.living().filter(stopped_at=None)
        yield _by("kumite_runs", "Runs by state.", "state", _counts(runs, "status"), RunStatus.values)
        waited = (timezone.now() - queued).total_seconds() if queued else 0.0
        yield GaugeMetricFamily("kumite_queue_oldest_seconds", "How long the longest waiting run has waited.", waited)
        yield GaugeMetricFamily("kumite_workers", "Workers that give signs of life.", living.count())
        yield GaugeMetricFamily(
            "kumite_workers_draining", "Of them, those that take nothing new.", living.filter(draining=True).count()
        )
        yield _slots(living)
        jobs = _counts(Job.objects.exclude(status__in=ENDED), "status")
        yield _by("kumite_jobs", "Jobs that wait or are at work.", "state", jobs, sorted({*JobStatus.values} - ENDED))
        due = Delivery.objects.filter(status=DeliveryStatus.DUE)
        yield GaugeMetricFamily("kumite_deliveries_due", "E-mails and webhooks on their way.", due.count())
        stored = runs.aggregate(events=Sum("last_seq"))["events"] or 0
        yield GaugeMetricFamily("kumite_events", "Events that the runs have told.", stored)
        yield GaugeMetricFamily("kumite_database_bytes", "Size of the database.", _database_bytes())
        free = shutil.disk_usage(settings.ARTIFACTS_DIR).free if settings.ARTIFACTS_DIR.exists() else 0
        yield GaugeMetricFamily("kumite_artifacts_free_bytes", "Free space where runs keep their files.", free)


def _counts(rows: QuerySet[Any], field: str) -> dict[str, int]:
    return dict(rows.order_by().values_list(field).annotate(count=Count("pk")))


def _by(name: str, words: str, label: str, counts: dict[str, int], known: list[str]) -> Metric:
    """A line for each known value, so that a count which falls to nothing is told as 0."""
    family = GaugeMetricFamily(name, words, labels=[label])
    for value in known:
        family.add_metric([str(value)], counts.get(value, 0))
    return family


def _slots(living: QuerySet[Worker]) -> Metric:
    family = GaugeMetricFamily("kumite_slots", "Slots of living workers.", labels=["kind", "taken"])
    slots = Slot.objects.filter(worker__in=living).values_list("kind", "run_id")
    counts = Counter((kind, run is not None) for kind, run in slots)
    for kind in SlotKind.values:
        for taken in (False, True):
            family.add_metric([kind, str(taken).lower()], counts[kind, taken])
    return family


def _database_bytes() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])
