"""The command palette finds what a person may see, and nothing else."""

import pytest

from tests.factories import make_experiment, make_run

pytestmark = pytest.mark.django_db


def titles(client, text):
    return [hit["title"] for hit in client.get("/find/", {"q": text}).json()["hits"]]


def test_words_lead_to_pages_runs_experiments_and_methods(client, workspace, ada):
    run = make_run(make_experiment(workspace, ada), "running")
    client.force_login(ada)
    assert "Home" in titles(client, "")
    assert titles(client, "first light")[:2] == ["First light, run 1", "First light"]
    assert titles(client, "light 1") == ["First light, run 1"]
    assert "Compose SPIRAL" in titles(client, "spiral")
    assert titles(client, "no such thing") == []
    hits = client.get("/find/", {"q": "first light"}).json()["hits"]
    assert hits[0]["url"] == f"/runs/{run.pk}/"


def test_an_outsider_finds_no_foreign_run(client, workspace, ada, cyn):
    make_run(make_experiment(workspace, ada), "running")
    client.force_login(cyn)
    assert titles(client, "first light") == []


def test_only_operators_are_led_to_the_fleet(client, ada, olga):
    client.force_login(ada)
    assert titles(client, "fleet") == []
    client.force_login(olga)
    assert titles(client, "fleet") == ["Fleet"]
