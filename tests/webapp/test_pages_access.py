"""Who may see which page: ada owns, ben looks, cyn is outside, and anonymous people are asked to sign in."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import get_resolver, reverse

from tests.factories import make_experiment, make_run
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.fleet.models import Worker
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(ada: User, workspace: Workspace) -> Run:
    return make_run(make_experiment(workspace, ada), "running")


@pytest.fixture
def people(ada: User, ben: User, cyn: User) -> dict[str, Client]:
    clients = {name: Client() for name in ("ada", "ben", "cyn", "anonymous")}
    for name, user in (("ada", ada), ("ben", ben), ("cyn", cyn)):
        clients[name].force_login(user)
    return clients


PAGES = {
    "/": {"ada": 200, "ben": 200, "cyn": 200, "anonymous": 302},
    "/methods/": {"ada": 200, "ben": 200, "cyn": 200, "anonymous": 302},
    "/methods/mae/": {"ada": 200, "ben": 200, "cyn": 200, "anonymous": 302},
    "/methods/nothing/": {"ada": 404, "ben": 404, "cyn": 404, "anonymous": 302},
    "/compose/": {"ada": 200, "ben": 200, "cyn": 200, "anonymous": 302},
    "/compose/?clone={run}": {"ada": 200, "ben": 200, "cyn": 404, "anonymous": 302},
    "/compose/?clone=nonsense": {"ada": 404, "ben": 404, "cyn": 404, "anonymous": 302},
    "/compose/?method=nothing": {"ada": 404, "ben": 404, "cyn": 404, "anonymous": 302},
    "/compose/?preset=nothing": {"ada": 404, "ben": 404, "cyn": 404, "anonymous": 302},
    "/experiments/": {"ada": 302, "ben": 302, "cyn": 302, "anonymous": 302},
    "/runs/": {"ada": 200, "ben": 200, "cyn": 200, "anonymous": 302},
    "/experiments/{experiment}/": {"ada": 200, "ben": 200, "cyn": 404, "anonymous": 302},
    "/workspaces/new/": {"ada": 200, "ben": 200, "cyn": 200, "anonymous": 302},
    "/workspaces/dojo/": {"ada": 200, "ben": 200, "cyn": 404, "anonymous": 302},
    "/accounts/me/": {"ada": 200, "ben": 200, "cyn": 200, "anonymous": 302},
    "/fleet/": {"ada": 404, "ben": 404, "cyn": 404, "anonymous": 302},
}


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("person", ["ada", "ben", "cyn", "anonymous"])
def test_page_answers_each_person_as_they_deserve(people: dict[str, Client], run: Run, path: str, person: str) -> None:
    response = people[person].get(path.format(run=run.pk, experiment=run.experiment_id))
    assert response.status_code == PAGES[path][person]


DEEDS: dict[str, tuple[str, dict[str, str], dict[str, int]]] = {
    "launch again": ("/experiments/{experiment}/launch/", {}, {"ada": 302, "ben": 403, "cyn": 404, "anonymous": 302}),
    "archive": ("/experiments/{experiment}/archive/", {}, {"ada": 302, "ben": 403, "cyn": 404, "anonymous": 302}),
    "pause": ("/runs/{run}/pause/", {}, {"ada": 302, "ben": 403, "cyn": 404, "anonymous": 302}),
    "stop": ("/runs/{run}/stop/", {}, {"ada": 302, "ben": 403, "cyn": 404, "anonymous": 302}),
    "checkpoint": ("/runs/{run}/checkpoint/", {}, {"ada": 302, "ben": 403, "cyn": 404, "anonymous": 302}),
    "share": ("/runs/{run}/share/", {}, {"ada": 302, "ben": 403, "cyn": 404, "anonymous": 302}),
    "switch": ("/workspaces/switch/", {"workspace": "dojo"}, {"ada": 302, "ben": 302, "cyn": 404, "anonymous": 302}),
    "add": (
        "/workspaces/dojo/members/",
        {"email": "cyn@example.org", "role": "viewer"},
        {"ada": 302, "ben": 403, "cyn": 404, "anonymous": 302},
    ),
    "drain": ("/fleet/workers/{worker}/drain/", {}, {"ada": 404, "ben": 404, "cyn": 404, "anonymous": 302}),
    "requeue": ("/fleet/runs/{run}/requeue/", {}, {"ada": 404, "ben": 404, "cyn": 404, "anonymous": 302}),
}


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("person", ["ada", "ben", "cyn", "anonymous"])
def test_deed_is_granted_by_role_and_hidden_from_outsiders(
    people: dict[str, Client], run: Run, deed: str, person: str
) -> None:
    path, data, expected = DEEDS[deed]
    address = path.format(run=run.pk, experiment=run.experiment_id, worker=uuid4())
    assert people[person].post(address, data).status_code == expected[person]


def test_nothing_that_changes_something_answers_a_get(people: dict[str, Client], run: Run) -> None:
    addresses = [path.format(run=run.pk, experiment=run.experiment_id, worker=uuid4()) for path, _, _ in DEEDS.values()]
    assert {people["ada"].get(address).status_code for address in addresses if "fleet" not in address} == {405}


def test_outsiders_404_is_the_same_as_for_what_never_was(people: dict[str, Client], run: Run) -> None:
    foreign = people["cyn"].get(f"/experiments/{run.experiment_id}/")
    missing = people["cyn"].get(f"/experiments/{uuid4()}/")
    assert foreign.content == missing.content


def test_operator_sees_the_fleet_with_runs_of_every_workspace(run: Run, cyn: User, client: Client) -> None:
    cyn.is_staff = True
    cyn.save()
    client.force_login(cyn)
    page = client.get("/fleet/").content.decode()
    assert "First light #1" in page
    assert f'href="/runs/{run.pk}/"' not in page  # she does not belong there, so the link would lead nowhere


def test_every_page_of_ours_is_named_in_this_table() -> None:
    ours = {"home", "gallery", "method", "compose", "runs", "experiment", "workspace", "account", "fleet"}
    assert ours <= {name for name in get_resolver().reverse_dict if isinstance(name, str)}


def test_viewer_sees_no_controls_that_he_may_not_use(people: dict[str, Client], run: Run) -> None:
    experiment = people["ben"].get(f"/experiments/{run.experiment_id}/").content.decode()
    workspace = people["ben"].get("/workspaces/dojo/").content.decode()
    assert "Launch again" not in experiment
    assert "Add a person" not in workspace


def test_a_404_and_a_403_come_in_the_style_of_the_house(people: dict[str, Client], run: Run) -> None:
    assert b"There is nothing here" in people["ada"].get("/nowhere/").content
    refused = people["ben"].post(f"/runs/{run.pk}/stop/").content
    assert b"Ask one of its owners" in refused


def test_pages_of_one_workspace_do_not_show_those_of_another(people: dict[str, Client], run: Run, ada: User) -> None:
    from webapp.workspaces.services import create_workspace

    create_workspace(name="Elsewhere", owner=ada)
    ada_client = people["ada"]
    ada_client.post("/workspaces/switch/", {"workspace": "elsewhere"})
    assert b"First light" not in ada_client.get("/runs/").content
    ada_client.post("/workspaces/switch/", {"workspace": "dojo"})
    assert b"First light" in ada_client.get("/runs/").content


def test_strict_content_policy_stands_on_every_page(people: dict[str, Client], run: Run) -> None:
    policies = {
        people["ada"].get(path).headers["Content-Security-Policy"] for path in ("/", "/compose/", "/methods/mae/")
    }
    assert len(policies) == 1
    assert "unsafe" not in policies.pop()


@pytest.mark.parametrize("path", ["/", "/compose/", "/runs/", "/methods/mae/", "/accounts/me/", "/accounts/login/"])
def test_no_page_carries_inline_code_or_styles(people: dict[str, Client], run: Run, path: str) -> None:
    import re

    person = people["anonymous" if "login" in path else "ada"]
    page = person.get(path).content.decode()
    assert re.findall(r"<[^>]*\s(?:style|on[a-z]+)=", page) == []
    assert re.findall(r"<script(?![^>]*\b(?:src|type=\"application/json\"))[^>]*>", page) == []


def test_fleet_actions_change_what_they_say(run: Run, ada: User, client: Client) -> None:
    from django.utils import timezone

    ada.is_staff = True
    ada.save()
    client.force_login(ada)
    worker = Worker.objects.create(
        name="w", host="h", boot_id="b", pid=1, start_ticks=1, last_beat_at=timezone.now(), facts={}
    )
    client.post(reverse("worker_action", args=[worker.pk, "drain"]))
    client.post(reverse("fleet_run_action", args=[run.pk, "requeue"]))
    client.post(reverse("fleet_run_action", args=[run.pk, "priority"]), {"priority": "7"})
    worker.refresh_from_db()
    run.refresh_from_db()
    assert (worker.draining, run.status, run.priority) == (True, "queued", 7)


@pytest.mark.parametrize(
    ("priority", "sentence"), [("x", "whole number between -100 and 100"), ("999", "between -100 and 100")]
)
def test_wrong_priority_is_refused_in_words(run: Run, ada: User, client: Client, priority: str, sentence: str) -> None:
    ada.is_staff = True
    ada.save()
    client.force_login(ada)
    response = client.post(reverse("fleet_run_action", args=[run.pk, "priority"]), {"priority": priority}, follow=True)
    assert sentence in response.content.decode()


def test_empty_places_say_what_to_do_next(cyn: User, client: Client) -> None:
    client.force_login(cyn)
    assert b"You have no workspace yet" in client.get("/").content
    client.post("/workspaces/new/", {"name": "Mine"})
    assert b"The mat is empty" in client.get("/").content
    assert b"No runs yet" in client.get("/runs/").content


def test_hostile_names_are_shown_as_text(people: dict[str, Client], workspace: Workspace, ada: User) -> None:
    name = "<img src=x onerror=alert(1)>\"'"
    experiment = make_experiment(workspace, ada, name=name)
    make_run(experiment, "running", phase_text="<b>phase</b>", headline=[[0, 0.1], [1, 0.2]])
    ada.display_name = "<i>ada</i>"
    ada.save()
    for path in (
        "/",
        "/runs/",
        "/runs/?group=1",
        "/runs/?view=tree",
        f"/compare/?run={Run.objects.get().pk}",
        f"/experiments/{experiment.pk}/",
        "/workspaces/dojo/",
    ):
        page = people["ada"].get(path).content.decode()
        assert "<img src=x" not in page
        assert "<i>ada" not in page
        assert "<b>phase" not in page


def test_controls_answer_htmx_with_their_fragment_and_others_with_a_redirect(
    people: dict[str, Client], run: Run
) -> None:
    plain = people["ada"].post(f"/runs/{run.pk}/pause/")
    assert plain.headers["Location"] == f"/runs/{run.pk}/"
    fragment = people["ada"].post(f"/runs/{run.pk}/resume/", headers={"HX-Request": "true"})
    assert fragment.status_code == 200
    assert b"<html" not in fragment.content


def test_share_tells_the_link_once(people: dict[str, Client], run: Run) -> None:
    answer = people["ada"].post(f"/runs/{run.pk}/share/", follow=True).content.decode()
    assert "/s/" in answer
    assert "shown only now" in answer


def test_double_click_on_launch_again_starts_one_run(people: dict[str, Client], run: Run) -> None:
    data: dict[str, Any] = {"seed": "5", "idempotency_key": "abc"}
    locations = {
        people["ada"].post(f"/experiments/{run.experiment_id}/launch/", data).headers["Location"] for _ in range(2)
    }
    assert len(locations) == 1
    assert run.experiment.runs.count() == 2


def test_wrong_seed_is_refused_in_words(people: dict[str, Client], run: Run) -> None:
    page = people["ada"].post(f"/experiments/{run.experiment_id}/launch/", {"seed": "-1"}, follow=True).content.decode()
    assert "A seed is at least 0." in page
    assert run.experiment.runs.count() == 1
