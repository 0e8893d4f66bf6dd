"""First steps on Home: ticked off by what was done, put away when asked, not shown to those who only read."""

import pytest

from tests.factories import mae_events, make_experiment, make_run, tell
from webapp.compare.guide import first_steps
from webapp.reports.services import create_report
from webapp.review.models import Verdict

pytestmark = pytest.mark.django_db


def done(user, workspace):
    return [step.is_done for step in first_steps(user, workspace)]


def test_steps_are_ticked_off_by_deeds(workspace, ada):
    assert done(ada, workspace) == [False] * 5
    assert [bool(step.url) for step in first_steps(ada, workspace)] == [True, False, False, False, False]
    run = make_run(make_experiment(workspace, ada), "running")
    assert done(ada, workspace) == [True, False, False, False, False]
    tell(run, mae_events(2))
    assert done(ada, workspace) == [True, True, False, False, False]
    said = {"subject": "mae/answer", "judge": "current", "judge_value": 1.0, "question": "1+1", "label": "right"}
    Verdict.objects.create(run=run, episode="1-0", turn=1, step=1, by=ada, saw_judge=False, **said)
    other = make_run(make_experiment(workspace, ada, name="Verifier"), "running")
    tell(other, mae_events(2))
    steps = first_steps(ada, workspace)
    assert [step.is_done for step in steps] == [True, True, True, True, False]
    assert str(run.pk) in steps[3].url
    assert str(other.pk) in steps[3].url
    create_report(actor=ada, workspace=workspace, title="Found", runs=[run])
    assert first_steps(ada, workspace) == []


def test_they_can_be_put_away_and_come_back(workspace, ada, ben, client):
    client.force_login(ada)
    assert "First steps" in client.get("/").content.decode()
    client.post("/first-steps/")
    assert "First steps" not in client.get("/").content.decode()
    client.post("/first-steps/", {"show": "1"})
    assert "First steps" in client.get("/").content.decode()
    client.force_login(ben)
    assert "First steps" not in client.get("/").content.decode()
