"""Lines that people draw: who is told that a run crossed one, when, and only once."""

from typing import Any

import pytest
from django.test import Client

from tests.factories import START_T, make_experiment, make_run, tell
from tests.webapp.test_api import Script, error_of
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.notices.models import AlertRule, Notice
from webapp.notices.rounds import visit_runs
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db
METRIC = "eval/greedy_accuracy"


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada))


def measured(run: Run, *values: float) -> None:
    """The metric at every second step; steps between tell of something else."""
    after = run.last_seq
    events: list[dict[str, Any]] = []
    for place, value in enumerate(values):
        for name, told in ((METRIC, value), ("reward/solver", 0.5)):
            seq = after + len(events) + 1
            data = {"values": {name: told}}
            events.append({"seq": seq, "kind": "metric", "step": after + place + 1, "t": START_T + seq, "data": data})
    tell(run, events)
    run.refresh_from_db()


def rule(user: User, **fields: Any) -> AlertRule:
    drawn = {"metric": METRIC, "side": "below", "threshold": 0.3, "lasting": 2, **fields}
    return AlertRule.objects.create(user=user, **drawn)


def told(user: User) -> list[str]:
    return list(Notice.objects.filter(user=user, key__startswith="rule:").values_list("title", flat=True))


def test_a_line_is_crossed_once_it_lasts_and_told_once(run: Run, ada: User) -> None:
    rule(ada)
    measured(run, 0.5, 0.29)
    assert (visit_runs(), told(ada)) == (0, [])
    measured(run, 0.31, 0.28)
    assert (visit_runs(), told(ada)) == (0, [])
    measured(run, 0.25)
    assert visit_runs() == 1
    assert told(ada) == [f"First light, run 1: {METRIC} is below 0.3"]
    assert Notice.objects.get().text == "At steps 6 to 9: 0.28, 0.25. You asked to be told."
    measured(run, 0.2)
    assert visit_runs() == 0


def test_a_value_on_the_line_has_not_crossed_it(run: Run, ada: User) -> None:
    rule(ada, side="above", threshold=0.5, lasting=1)
    measured(run, 0.5)
    assert visit_runs() == 0
    measured(run, 0.500001)
    assert visit_runs() == 1


def test_scope_and_membership_say_whose_runs_count(
    run: Run, ada: User, ben: User, cyn: User, workspace: Workspace
) -> None:
    other = make_run(make_experiment(workspace, ada))
    rule(ben)  # ben's own runs, of which this is none
    rule(ben, scope="workspaces", threshold=0.4)
    rule(cyn, scope="workspaces")  # no member here
    rule(ada, run=other)
    measured(run, 0.2, 0.2)
    assert visit_runs() == 1
    assert (told(ben), told(cyn), told(ada)) == ([f"First light, run 1: {METRIC} is below 0.4"], [], [])


def test_a_run_that_ended_between_two_rounds_is_looked_at_once_more(workspace: Workspace, ada: User) -> None:
    run = make_run(make_experiment(workspace, ada), "succeeded")
    rule(ada)
    measured(run, 0.1, 0.1)
    assert visit_runs() == 1


def test_lines_are_drawn_and_removed_on_the_page_of_notices(client: Client, run: Run, ada: User, cyn: User) -> None:
    client.force_login(ada)
    asked = {"metric": METRIC, "side": "below", "threshold": "0.3", "lasting": "3", "scope": "mine", "run": str(run.pk)}
    page = client.post("/notices/rules/", asked, follow=True).content.decode()
    assert "You will be told of eval/greedy_accuracy below 0.3 for 3 measurements." in page
    drawn = AlertRule.objects.get()
    assert (drawn.run, drawn.user) == (run, ada)
    for field, wrong, sentence in (
        ("threshold", "low", "at a number, not at &#x27;low&#x27;"),
        ("threshold", "nan", "at a number"),
        ("lasting", "0", "from 1 to 100"),
        ("metric", " ", "Name the metric"),
        ("side", "beside", "above or below"),
    ):
        answer = client.post("/notices/rules/", {**asked, field: wrong})
        assert (answer.status_code, sentence in answer.content.decode()) == (422, True), field
    client.post(f"/notices/rules/{drawn.pk}/remove/")
    assert not AlertRule.objects.exists()
    client.force_login(cyn)  # a run she may not see is none she can draw a line for
    assert client.post("/notices/rules/", asked).status_code == 422
    assert not AlertRule.objects.exists()


def test_a_script_draws_lists_and_removes_lines_and_channels(ada: User, ben: User, run: Run, settings: Any) -> None:
    settings.WEBHOOK_PRIVATE = True
    api, other = Script(ada), Script(ben)
    drawn = api("post", "alert-rules/", {"metric": METRIC, "side": "below", "threshold": 0.3, "run": str(run.pk)})
    assert (drawn.status_code, drawn.json()["lasting"], drawn.json()["run"]) == (201, 3, str(run.pk))
    assert [each["id"] for each in api("get", "alert-rules/").json()] == [drawn.json()["id"]]
    assert other("get", "alert-rules/").json() == []
    assert other("delete", f"alert-rules/{drawn.json()['id']}/").status_code == 404
    body = {"metric": METRIC, "side": "beside", "threshold": "inf", "lasting": 0}
    wrong = error_of(api("post", "alert-rules/", body))[2]
    assert [each["path"] for each in wrong] == ["side", "threshold", "lasting"]
    assert api("delete", f"alert-rules/{drawn.json()['id']}/").status_code == 204

    hook = {"kind": "webhook", "address": "http://127.0.0.1:9/chat", "kinds": ["failed", "alert"]}
    made = api("post", "channels/", hook).json()
    assert (made["scope"], made["kinds"], len(made["signing_key"])) == ("mine", ["alert", "failed"], 48)
    (listed,) = api("get", "channels/").json()
    assert (listed["address"], "signing_key" in listed) == (hook["address"], False)
    assert "already" in error_of(api("post", "channels/", hook))[1]
    assert api("delete", f"channels/{made['id']}/").status_code == 204

    measured(run, 0.2, 0.2)
    rule(ada)
    visit_runs()
    (told_of,) = api("get", "notices/?unread=true").json()["results"]
    assert (told_of["kind"], told_of["run"]) == ("alert", str(run.pk))
    assert api("post", "notices/read/", {"up_to": told_of["id"]}).status_code == 204
    assert api("get", "notices/?unread=true").json()["results"] == []
