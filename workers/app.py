"""The Celery application. Its messages only say that there may be work; Postgres knows which."""

import logging
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")  # Django's checks would import every page into every worker

import django

django.setup()

from celery import Celery  # noqa: E402
from django.conf import settings  # noqa: E402

from webapp.fleet import timing  # noqa: E402
from workers import lifecycle  # noqa: E402

app = Celery("kumite", include=["workers.tasks"])
app.conf.update(
    broker_url=settings.CELERY_BROKER_URL,
    broker_transport_options=settings.CELERY_BROKER_TRANSPORT_OPTIONS,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    result_backend=None,
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    # A doorbell is acknowledged before the run it leads to begins, so Redis can never deliver a long run twice.
    task_acks_late=False,
    task_reject_on_worker_lost=False,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_max_tasks_per_child=200,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    # The schedule is fixed intervals: nothing to remember on disk, nothing a SIGKILL could damage.
    beat_scheduler="celery.beat:Scheduler",
    beat_schedule={
        "doorbell": {
            "task": "workers.tasks.doorbell",
            "schedule": timing.DOORBELL_S,
            "options": {"expires": timing.DOORBELL_S},
        },
        "deliver": {
            "task": "workers.tasks.deliver",
            "schedule": timing.DELIVER_S,
            "options": {"expires": timing.DELIVER_S},
        },
        "jobs": {
            "task": "workers.tasks.jobs",
            "schedule": timing.DOORBELL_S,
            "options": {"expires": timing.DOORBELL_S},
        },
        "reap": {"task": "workers.tasks.reap", "schedule": timing.REAPER_S, "options": {"expires": timing.REAPER_S}},
        "visit": {"task": "workers.tasks.visit", "schedule": timing.VISIT_S, "options": {"expires": timing.VISIT_S}},
        "tidy": {"task": "workers.tasks.tidy", "schedule": timing.TIDY_S, "options": {"expires": timing.TIDY_S}},
    },
)
lifecycle.connect()

for _name in ("celery.beat", "celery.worker.strategy", "celery.app.trace"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # ticks every few seconds are no news
