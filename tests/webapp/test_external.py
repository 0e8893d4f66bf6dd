"""Runs that happen elsewhere: told by a program, looked at like others, and never taken by a worker."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import points_of
from webapp.accounts.models import User
from webapp.experiments.contact import LOST_AFTER_S, lost_since
from webapp.experiments.models import Run
from webapp.experiments.services import TransitionRefused, request_cancel, request_pause
from webapp.external.services import add_values, begin_external_run, end_silent_run, finish_external_run
from webapp.fleet.models import Slot, SlotKind, Worker
from webapp.fleet.services import claim_run, reap
from webapp.telemetry.state import run_state
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def outside(workspace: Workspace, ada: User) -> Run:
    return begin_external_run(actor=ada, workspace=workspace, project="Bench", name="a", config={"lr": 1}, key="k1")


def rows(first: int, last: int) -> list[dict[str, Any]]:
    return [
        {"step": n, "t": 1769000000.0 + n, "values": {"train/loss": n / 8, "plain": 1.0}}
        for n in range(first, last + 1)
    ]


def test_the_same_key_begins_one_run_and_the_same_rows_are_stored_once(
    outside: Run, workspace: Workspace, ada: User
) -> None:
    again = begin_external_run(actor=ada, workspace=workspace, project="Bench", name="a", key="k1")
    other = begin_external_run(actor=ada, workspace=workspace, project="Bench", name="a", key="k2")
    assert again == outside
    assert (other.experiment, other.number) == (outside.experiment, 2)
    assert add_values(actor=ada, run_id=outside.pk, seq=1, rows=rows(1, 5)) == 5
    assert add_values(actor=ada, run_id=outside.pk, seq=1, rows=rows(1, 5)) == 5
    assert add_values(actor=ada, run_id=outside.pk, seq=4, rows=rows(4, 8)) == 8
    assert points_of(outside, "train/loss") == [(n, n / 8) for n in range(1, 9)]
    with pytest.raises(ValueError, match="event 20 came, but events are stored only up to 8"):
        add_values(actor=ada, run_id=outside.pk, seq=20, rows=rows(20, 21))


def test_steps_never_go_back(outside: Run, ada: User) -> None:
    add_values(actor=ada, run_id=outside.pk, seq=1, rows=[*rows(7, 7), *rows(3, 3)])
    assert [step for step, _ in points_of(outside, "plain")] == [7, 7]


def test_no_worker_takes_it_and_nobody_steers_it(outside: Run, ada: User) -> None:
    worker = Worker.objects.create(name="w", host="h", boot_id="b", pid=1, start_ticks=1, last_beat_at=timezone.now())
    Slot.objects.create(worker=worker, kind=SlotKind.CPU, index=0)
    assert claim_run(worker=worker) is None
    reap()
    outside.refresh_from_db()
    assert outside.status == "running"
    for ask in (request_pause, request_cancel):
        with pytest.raises(TransitionRefused, match="happens elsewhere"):
            ask(actor=ada, run_id=outside.pk)
    finish_external_run(actor=ada, run_id=outside.pk)
    assert finish_external_run(actor=ada, run_id=outside.pk).status == "succeeded"
    assert add_values(actor=ada, run_id=outside.pk, seq=1, rows=rows(1, 2)) == 0


def test_its_pages_show_a_chart_for_each_metric(outside: Run, ada: User, client: Client) -> None:
    add_values(actor=ada, run_id=outside.pk, seq=1, rows=rows(1, 300))
    finish_external_run(actor=ada, run_id=outside.pk)
    client.force_login(ada)
    page = client.get(reverse("run", args=[outside.pk]))
    html = page.content.decode()
    assert [group["name"] for group in page.context["config"]["groups"]] == ["Metrics", "Train"]
    assert "Run from outside" in html
    assert "?clone=" not in html
    addresses = [reverse("experiment", args=[outside.experiment_id]), reverse("runs"), reverse("home")]
    addresses += [f"{reverse('compare')}?run={outside.pk}", reverse("run_series", args=[outside.pk])]
    addresses += [reverse("run_part", args=[outside.pk, tab["slug"]]) for tab in tabs_of(page)]
    assert {address: client.get(address).status_code for address in addresses} == dict.fromkeys(addresses, 200)
    refused = client.post(reverse("launch_again", args=[outside.experiment_id]))
    assert refused.status_code < 500
    assert Run.objects.count() == 1


def tabs_of(page: Any) -> list[dict[str, str]]:
    return [{"slug": tab.slug} for tab in page.context["tabs"]]


def test_a_silent_program_loses_contact_and_speaking_again_takes_it_back(
    outside: Run, ada: User, client: Client
) -> None:
    client.force_login(ada)
    pages = [reverse("runs"), reverse("home"), reverse("run", args=[outside.pk])]
    lost = f"{reverse('runs')}?status=lost"
    assert not any("Lost contact</span>" in client.get(page).text for page in pages)
    assert "Bench/a" not in client.get(lost).text
    with pytest.raises(TransitionRefused, match="heard of a moment ago"):
        end_silent_run(actor=ada, run_id=outside.pk)

    Run.objects.filter(pk=outside.pk).update(heard_at=timezone.now() - timedelta(seconds=LOST_AFTER_S + 1))
    assert all("Lost contact</span>" in client.get(page).text for page in pages)
    assert "Bench/a" in client.get(lost).text
    assert " left" not in run_state(outside)["time"]
    told = client.get(f"/api/v1/runs/{outside.pk}/").json()
    assert told["status"] == "running"
    assert told["lost_contact_since"] is not None

    assert add_values(actor=ada, run_id=outside.pk, seq=1, rows=[]) == 0
    outside.refresh_from_db()
    assert lost_since(outside) is None
    assert client.get(f"/api/v1/runs/{outside.pk}/").json()["lost_contact_since"] is None

    Run.objects.filter(pk=outside.pk).update(heard_at=timezone.now() - timedelta(seconds=LOST_AFTER_S + 1))
    client.post(reverse("end_outside", args=[outside.pk]))
    outside.refresh_from_db()
    assert outside.status == "cancelled"
    assert add_values(actor=ada, run_id=outside.pk, seq=1, rows=rows(1, 2)) == 0


def test_a_page_that_waits_for_news_hears_of_silence(outside: Run, ada: User, client: Client) -> None:
    client.force_login(ada)
    before = client.get(reverse("home")).context["mark"]
    assert client.get(f"{reverse('home')}?mark={before}").status_code == 204
    Run.objects.filter(pk=outside.pk).update(heard_at=timezone.now() - timedelta(seconds=LOST_AFTER_S + 1))
    assert client.get(f"{reverse('home')}?mark={before}").status_code == 200
