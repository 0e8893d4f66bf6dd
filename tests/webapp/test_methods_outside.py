"""A method in a folder of somebody's own stands in gallery, form and API like those that came along."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client

from tests.tutorial import quorum_known, write_method
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def page_of_ada(client: Client, ada: User, workspace: Workspace, tmp_path: Path) -> Iterator[Client]:
    write_method(tmp_path)
    client.force_login(ada)
    with quorum_known(tmp_path):
        yield client


def test_it_stands_in_the_gallery_and_has_a_page_without_a_paper(page_of_ada: Client) -> None:
    assert 'href="/methods/quorum/"' in page_of_ada.get("/methods/").content.decode()
    page = page_of_ada.get("/methods/quorum/").content.decode()
    assert "Answers to each question. More make the vote surer and cost more." in page
    assert "arXiv" not in page
    assert "The clipped policy loss" in page  # common formulas are there without a word of the card


def test_the_api_describes_it(page_of_ada: Client) -> None:
    detail = page_of_ada.get("/api/v1/methods/quorum/").json()
    assert detail["paper"] is None
    assert detail["knobs"]["properties"]["tries"]["minimum"] == 2


def test_its_form_launches_a_run(page_of_ada: Client) -> None:
    page = page_of_ada.get("/compose/?method=quorum&preset=starter").content.decode()
    assert 'name="method.tries"' in page
    sent = {"method": "quorum", "preset": "starter", "idempotency_key": "key", "action": "launch", "method.tries": "4"}
    assert page_of_ada.post("/compose/", sent).status_code == 302
    run = Run.objects.get()
    assert (run.experiment.method, run.experiment.spec["method"]["tries"]) == ("quorum", 4)
