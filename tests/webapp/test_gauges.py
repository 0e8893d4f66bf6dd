"""The gauges for Prometheus: read back with its own parser."""

from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from tests.factories import make_experiment, make_run, metric_events, tell
from webapp.accounts.models import User
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db


def read(client: Client, token: str) -> dict[tuple[str, ...], float]:
    answer = client.get("/metrics/", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_gauges_tell_what_the_house_does(client: Client, settings: Any, workspace: Workspace, ada: User) -> None:
    settings.METRICS_TOKEN = "open sesame"
    before = read(client, "open sesame")
    assert before["kumite_runs", "queued"] == before["kumite_queue_oldest_seconds",] == 0
    experiment = make_experiment(workspace, ada)
    running = make_run(experiment, "running")
    make_run(experiment, "queued"), make_run(experiment, "queued")
    tell(running, metric_events(5))
    now = read(client, "open sesame")
    assert (now["kumite_runs", "running"], now["kumite_runs", "queued"], now["kumite_runs", "failed"]) == (1, 2, 0)
    assert (now["kumite_events",], now["kumite_slots", "cpu", "true"], now["kumite_jobs", "running"]) == (5, 0, 0)
    assert now["kumite_queue_oldest_seconds",] > 0
    assert now["kumite_database_bytes",] > 1_000_000


def test_only_who_holds_the_token_reads_them(client: Client, settings: Any) -> None:
    assert client.get("/metrics/").status_code == 404
    settings.METRICS_TOKEN = "open sesame"
    for headers in ({}, {"Authorization": "Bearer open"}, {"Authorization": "open sesame"}):
        assert client.get("/metrics/", headers=headers).status_code == 401
