"""From the list of runs to a comparison that a colleague opens by its link."""

import re

from playwright.sync_api import Browser, expect

from tests.browser.conftest import DESKTOP, Visit
from tests.factories import mae_events, make_experiment, make_run, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.workspaces.models import Workspace


def _runs(workspace: Workspace, ada: User) -> None:
    for name, lr in (("Careful", 0.0001), ("Bold", 0.001)):
        experiment = make_experiment(workspace, ada, name=name, method={"name": "mae", "optimizer": {"lr": lr}})
        for seed in range(2):
            run = make_run(experiment, "succeeded")
            Run.objects.filter(pk=run.pk).update(spec={**experiment.spec, "seed": seed})
            tell(run, mae_events(20, seed=seed, per_step=1))


def test_three_runs_are_chosen_compared_saved_and_opened_by_a_colleague(
    visit: Visit, browser: Browser, site: str, workspace: Workspace, ada: User, ben: User
) -> None:
    _runs(workspace, ada)
    page = visit.sign_in(ada).goto("/runs/")
    tray = page.get_by_role("region", name="Chosen runs")
    expect(tray).to_be_hidden()
    page.keyboard.press("j")
    for _ in range(3):
        page.keyboard.press("x")
        page.keyboard.press("j")
    expect(tray.get_by_text("3 runs chosen")).to_be_visible()
    page.get_by_label("Search").fill("Bold")
    expect(page.get_by_role("checkbox", name=re.compile("^Choose (?!all)"))).to_have_count(2)
    expect(tray.get_by_text("3 runs chosen")).to_be_visible()
    visit.expect_accessible()
    tray.get_by_role("button", name="Compare").click()

    page.wait_for_url("**/compare/?run=*")
    drawn = page.locator("[data-charts] .js-plotly-plot")
    expect(drawn.first).to_be_visible()
    expect(page.get_by_text("Seeds of one setting are one line")).to_be_visible()
    expect(page.get_by_role("rowheader", name="Learning rate")).to_be_visible()
    expect(page.get_by_text("One seed says nothing about noise")).to_be_visible()
    page.get_by_label("Every run").check(force=True)
    page.get_by_placeholder("Find").fill("^reward/s")
    page.get_by_role("checkbox", name="reward/solver").check()
    expect(page.locator('[data-metric="reward/solver"] .js-plotly-plot .scatterlayer .trace')).to_have_count(3)
    page.locator("[data-run]").first.hover()
    expect(page.locator('[data-metric="reward/solver"] .is-pointed')).to_have_count(1)
    visit.expect_accessible()

    page.locator("summary", has_text="Views").click()
    page.get_by_label("Save this view as").fill("Bold against careful")
    page.get_by_role("button", name="Save view").click()
    link = re.search(r"/views/[0-9a-f-]+/", page.locator("#messages").inner_text())
    assert link
    theirs = Visit(browser.new_context(viewport=DESKTOP, reduced_motion="reduce"), site)  # type: ignore[arg-type]
    page = theirs.sign_in(ben).goto(link[0])
    expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()
    expect(page.locator('[data-metric="reward/solver"] .js-plotly-plot .scatterlayer .trace')).to_have_count(3)
    expect(page.get_by_label("Every run")).to_be_checked()
    page.locator("summary", has_text="Views").click()
    expect(page.get_by_role("link", name="Bold against careful")).to_be_visible()
    expect(page.get_by_role("button", name="Save view")).to_have_count(0)
    theirs.context.close()
    theirs.expect_no_problems()
