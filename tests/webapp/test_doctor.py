"""The doctor on the page: a sick run is told with proofs and a knob, a healthy one is not bothered."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import START_T, mae_events, make_experiment, make_run, tell, with_a_lenient_judge
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.services import create_share_link
from webapp.notices.models import Notice
from webapp.notices.rounds import visit_runs
from webapp.telemetry.doctor import alerts, diagnose, propose
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada))


def inflated(steps: int) -> list[dict[str, Any]]:
    """A run whose judge gives more and more from half way on, with a sample a step."""
    events = [event for event in mae_events(steps) if event["kind"] in {"metric", "sample"}]
    with_a_lenient_judge(events, after=steps // 2)
    return [{**event, "seq": seq, "t": START_T + seq} for seq, event in enumerate(events, start=1)]


def test_a_healthy_run_is_not_bothered(run: Run) -> None:
    tell(run, mae_events(60))
    assert diagnose(run) == []
    assert alerts(run) == []


def test_a_run_that_has_said_nothing_is_not_bothered(run: Run) -> None:
    assert diagnose(run) == []


def test_a_judge_that_drifts_is_named_with_proofs_samples_and_a_knob(run: Run, ada: User, client: Client) -> None:
    tell(run, inflated(40))
    assert [found.disease for found in diagnose(run)] == ["judge_inflation", "lenient_judge"]
    client.force_login(ada)
    html = client.get(reverse("run_part", args=[run.pk, "doctor"])).content.decode()
    assert "The judge is no longer worth its word" in html
    assert html.count('class="proof"') == 6
    assert f"/runs/{run.pk}/samples/" in html
    assert "current <span" in html
    assert "<strong>frozen</strong>" in html
    assert f"clone={run.pk}&amp;set=method.judge%3D%7B%22kind%22%3A+%22frozen%22%7D" in html
    marks = client.get(reverse("run_doctor", args=[run.pk])).json()["alerts"]
    assert {mark["kind"] for mark in marks} == {"alert"}
    assert 20 < marks[0]["step"] < 30


def test_compose_begins_with_the_change_and_tells_one_that_does_not_fit(run: Run, ada: User, client: Client) -> None:
    client.force_login(ada)
    compose, clone = reverse("compose"), {"clone": str(run.pk)}
    html = client.get(compose, {**clone, "set": 'method.judge={"kind": "frozen"}'}).content.decode()
    assert "method.judge" in html
    assert "does not fit this run" not in html
    plain = client.get(compose, clone).content.decode()
    assert html.count("frozen") > plain.count("frozen")
    for wrong in ("method.judge=", "method.nothing.here=1", "steps=-3"):
        assert "does not fit this run" in client.get(compose, {**clone, "set": wrong}).content.decode()


def test_whoever_holds_a_link_sees_the_finding_and_no_way_to_compose(run: Run, ada: User, client: Client) -> None:
    tell(run, inflated(40))
    _, secret = create_share_link(actor=ada, run_id=run.pk)
    html = client.get(reverse("share_part", args=[secret, "doctor"])).content.decode()
    assert "The judge is no longer worth its word" in html
    assert str(run.pk) not in html
    assert "/compose/" not in html


def test_a_knob_that_is_turned_already_is_not_proposed(workspace: Workspace, ada: User) -> None:
    run = make_run(make_experiment(workspace, ada, method={"name": "mae", "judge": {"kind": "frozen"}}))
    tell(run, inflated(40))
    assert next(propose(run, found) for found in diagnose(run)) is None
    proposal = propose(run, diagnose(run)[1])
    assert proposal is not None
    assert (proposal.path, proposal.before, proposal.after) == ("method.judge_temperature", "empty", "0")


def test_whoever_started_a_run_that_looks_unwell_hears_of_each_disease_once(run: Run, ada: User) -> None:
    assert visit_runs() == 0
    tell(run, inflated(40))
    assert visit_runs() == 2
    assert visit_runs() == 0
    told = Notice.objects.filter(user=ada, kind="alert").order_by("pk")
    assert told[0].title == "First light, run 1: the judge is no longer worth its word"
    assert told[0].url == f"/runs/{run.pk}/#doctor"
