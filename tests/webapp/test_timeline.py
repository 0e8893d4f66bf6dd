"""The timeline: bars where each part of a step began, and how far play and update overlap."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import START_T, make_experiment, make_run, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.telemetry.timeline import Spell, overlap_s, timeline
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada))


def step(number: int) -> dict[str, Any]:
    """A step of 4 seconds: play 2.5, update 1, publish 0.5."""
    begin = START_T + 4 * (number - 1)
    values = {"time/rollout_at_s": begin, "time/rollout_s": 2.5, "time/update_at_s": begin + 2.5, "time/update_s": 1.0}
    values |= {"time/publish_at_s": begin + 3.5, "time/publish_s": 0.5}
    values |= {"tokens/share_solver": 0.6, "tokens/share_judge": 0.4}
    return {"seq": number, "kind": "metric", "step": number, "t": begin + 4, "data": {"values": values}}


def test_bars_stand_where_each_part_began(run: Run) -> None:
    tell(run, [step(1), step(2)])
    found = timeline(run)
    assert found is not None
    assert found["span"] == 8.0
    lanes = {lane["name"]: [(bar.x, bar.width) for bar in lane["bars"]] for lane in found["lanes"]}
    # 1000 units are 8 seconds: 2.5 s of play are 312.5, of which the Solver has six tenths.
    assert lanes["rollout"] == [(0, 187.5), (187.5, 125), (500, 187.5), (687.5, 125)]
    assert lanes["update"] == [(312.5, 125), (812.5, 125)]
    assert "evaluate" not in lanes
    assert found["words"] == "A step holds 4 s of work: play 62%, update 25%, new weights to the sampler 12%."
    assert [role["title"] for role in found["roles"]] == ["Solver", "Judge"]


def test_it_shows_the_steps_before_the_moment(run: Run) -> None:
    tell(run, [step(n) for n in range(1, 31)])
    now, then = timeline(run), timeline(run, at=20)
    assert now is not None
    assert then is not None
    assert (now["first"], now["last"]) == (19, 30)
    assert (then["first"], then["last"]) == (9, 20)


def test_play_beside_the_update_is_counted_once() -> None:
    ahead = [
        Spell(step=1, began={"rollout": 0.0, "update": 2.0}, seconds={"rollout": 2.0, "update": 1.5}),
        Spell(step=2, began={"rollout": 2.0, "update": 4.0}, seconds={"rollout": 2.0, "update": 1.5}),
    ]
    assert overlap_s(ahead) == 0.75  # the play of step 2 lies over all 1.5 s of the first update


def test_the_tab_says_why_it_is_empty(run: Run, ada: User, client: Client) -> None:
    client.force_login(ada)
    part = reverse("run_part", args=[run.pk, "timeline"])
    assert "No step yet" in client.get(part).content.decode()
    tell(run, [step(1)])
    html = client.get(part).content.decode()
    assert "Step 1: play 2.5 s, 60% of the tokens by the Solver" in html
    assert html.count("<rect") == 4
