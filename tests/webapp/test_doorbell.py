"""Wake-ups reach Redis, and nothing breaks or waits long while it is away."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from redis import Redis

from training_core.spec.experiment import ExperimentSpec
from webapp.accounts.models import User
from webapp.experiments import doorbell, services
from webapp.experiments.models import Run
from webapp.workspaces.models import Workspace

QUEUE = "kumite:celery:celery"


@pytest.fixture
def redis() -> Iterator[Any]:
    client = Redis.from_url(django_settings.REDIS_URL, decode_responses=True)
    client.delete(QUEUE)
    yield client
    client.delete(QUEUE)


@pytest.fixture
def redis_away(settings: Any) -> Iterator[None]:
    settings.REDIS_URL = "redis://127.0.0.1:1"
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1"
    doorbell._producer.cache_clear()
    doorbell._redis.cache_clear()
    yield
    doorbell._producer.cache_clear()
    doorbell._redis.cache_clear()


def test_ringing_puts_one_message_before_the_workers(redis: Any) -> None:
    doorbell.ring()
    (message,) = redis.lrange(QUEUE, 0, -1)
    headers = json.loads(message)["headers"]
    assert (headers["task"], headers["ignore_result"]) == ("workers.tasks.doorbell", True)


@pytest.mark.django_db
def test_a_created_run_rings_once_it_is_committed(
    redis: Any, ada: User, workspace: Workspace, spec: ExperimentSpec, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        services.create_experiment(actor=ada, workspace=workspace, spec=spec)
        assert redis.llen(QUEUE) == 0
    assert redis.llen(QUEUE) == 1


@pytest.mark.django_db
def test_a_resumed_run_rings(
    redis: Any, ada: User, run_in: Callable[..., Run], django_capture_on_commit_callbacks: Any
) -> None:
    run = run_in("paused")
    with django_capture_on_commit_callbacks(execute=True):
        services.request_resume(actor=ada, run_id=run.pk)
    assert redis.llen(QUEUE) == 1


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("redis_away")
def test_without_redis_wake_ups_are_lost_quietly_and_soon(caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    doorbell.ring()
    doorbell.publish("00000000-0000-4000-8000-000000000000", {"seq": 1})
    assert time.monotonic() - began < 20
    assert [record.message for record in caplog.records if record.name == doorbell.__name__] == [
        "doorbell.unheard",
        "doorbell.unpublished",
    ]


@pytest.mark.timeout(60)
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis_away")
def test_without_redis_a_run_is_created_all_the_same(ada: User, workspace: Workspace, spec: ExperimentSpec) -> None:
    assert services.create_experiment(actor=ada, workspace=workspace, spec=spec).runs.count() == 1
