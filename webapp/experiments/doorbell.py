"""Wake-ups through Redis. Nothing here is the truth: a lost call costs a moment of liveness and is never an error.

Workers look for work by themselves every few seconds and pages ask for what they missed, so both functions may
fail quietly.
"""

import json
import logging
from functools import cache
from typing import Any
from uuid import UUID

from celery import Celery
from django.conf import settings
from kombu.exceptions import KombuError
from redis import Redis, RedisError

logger = logging.getLogger(__name__)

DOORBELL_TASK = "workers.tasks.doorbell"
JOBS_TASK = "workers.tasks.jobs"
JOBS_CHANNEL = "kumite:jobs"
"""On which a worker that waits with its job process warm hears of the next job."""
TIMEOUT_S = 2.0


def run_channel(run_id: UUID | str) -> str:
    """The Redis channel on which a run's news are announced."""
    return f"kumite:run:{run_id}"


def worker_queue(worker_id: UUID) -> str:
    """The Celery queue that one worker alone listens to, beside the one all share."""
    return f"kumite.worker.{worker_id}"


def ring(*, worker_id: UUID | None = None) -> None:
    """Tell the workers, or one of them, that there may be work."""
    _send(DOORBELL_TASK, None if worker_id is None else worker_queue(worker_id))


def ring_for_jobs() -> None:
    """Tell the workers that there may be a job: those that wait for one, and those that would have to start first."""
    try:
        _redis().publish(JOBS_CHANNEL, "")
    except (RedisError, OSError) as error:
        logger.warning("doorbell.unpublished", extra={"error": repr(error)})
    _send(JOBS_TASK, None)


def _send(task: str, queue: str | None) -> None:
    try:
        _producer().send_task(task, ignore_result=True, retry=False, expires=60, queue=queue)
    except (KombuError, RedisError, OSError) as error:
        logger.warning("doorbell.unheard", extra={"error": repr(error)})


def publish(run_id: UUID | str, payload: dict[str, Any]) -> None:
    """Tell the pages that watch a run that there is something new to read."""
    try:
        _redis().publish(run_channel(run_id), json.dumps(payload))
    except (RedisError, OSError) as error:
        logger.warning("doorbell.unpublished", extra={"run": str(run_id), "error": repr(error)})


@cache
def _producer() -> Celery:
    """A Celery app that only sends: the tasks live in a package the web never imports."""
    app = Celery("kumite-doorbell", set_as_current=False)
    app.conf.update(
        broker_url=settings.CELERY_BROKER_URL,
        broker_transport_options=settings.CELERY_BROKER_TRANSPORT_OPTIONS,
        broker_connection_timeout=TIMEOUT_S,
        task_ignore_result=True,
    )
    return app


@cache
def _redis() -> "Redis[bytes]":
    return Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
