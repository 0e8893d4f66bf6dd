"""The scrubber: every part of the run page shows one step, by pointer, keys, address and play."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.factories import START_T, mae_events, make_experiment, make_run, metric_events, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.services import create_share_link
from webapp.workspaces.models import Workspace


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada))


def change(seq: int, step: int) -> dict[str, Any]:
    data = {"order": 1, "command": "knob", "by": "Ada", "what": "method.optimizer.lr", "before": 0.1, "after": 0.05}
    data |= {"obeyed": True, "text": "step size halved"}
    return {"seq": seq, "kind": "change", "step": step, "t": START_T + 99, "data": data}


def test_a_moment_is_shown_shared_left_and_played(visit: Visit, run: Run, ada: User) -> None:
    tell(run, mae_events(30))
    _, secret = create_share_link(actor=ada, run_id=run.pk)
    page = visit.sign_in(ada).goto(f"/runs/{run.pk}/?at=10")
    place = page.locator("#scrub-place")
    expect(place).to_contain_text("Step 10 of 60")
    expect(page.locator("#sample-list > li")).to_have_count(2)
    expect(page.locator("#chart-0 .chart__cursor").first).to_be_visible()
    then = page.locator("[data-vital='eval/accuracy_sampled'] [data-vital-part=now]").inner_text()
    # Keys move the whole page, and the address with it.
    page.locator("#scrub-range").focus()
    page.keyboard.press("ArrowRight")
    expect(place).to_contain_text("Step 11 of 60")
    expect(page.locator("#sample-step")).to_have_text("step 11 ×")
    page.wait_for_url("**/?at=11")
    # From mark to mark, also one that comes while the page is open; what comes does not move a page that looks back.
    page.locator("#scrub-after").click()
    expect(place).to_contain_text("Step 20 of 60")
    tell(run, [change(run.last_seq + 1, 25), *metric_events(1, first=run.last_seq + 2)])
    expect(page.locator("#scrub-count")).to_have_text("4 marks")
    expect(place).to_contain_text("Step 20 of")
    page.locator(".scrubber__list summary").click()
    page.locator("#scrub-list").get_by_role("link", name="Change: Ada: step size halved, step 25").click()
    expect(place).to_contain_text("Step 25 of")
    # Back to now.
    page.locator("#scrub-live").click()
    expect(page.locator("#sample-step")).to_be_hidden()
    expect(page.locator("#scrub-live")).to_be_hidden()
    expect(page.locator("[data-vital='eval/accuracy_sampled'] [data-vital-part=now]")).not_to_have_text(then)
    # Played as a film from a link without an account.
    page = visit.goto(f"/s/{secret}/?at=28")
    page.locator("#scrub-speed").select_option("16")
    page.get_by_role("button", name="Play from here").click()
    expect(page.get_by_role("button", name="Play from here")).to_be_visible()
    expect(page.locator("#scrub-place")).not_to_contain_text("Step 28 of")
    expect(page.locator("#sample-step")).to_be_visible()
    expect(page.locator("#sample-list[aria-busy]")).to_have_count(0)
    visit.expect_accessible()
