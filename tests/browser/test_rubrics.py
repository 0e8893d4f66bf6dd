"""A rubric from its first words to a composition that uses it, and a dry run of reward weights on stored samples."""

from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.factories import mae_events, make_experiment, make_run, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs.models import Job
from webapp.review.pair_dry_runs import stored_pairs_in
from webapp.workspaces.models import Workspace


def open_box(page: Page, name: str) -> None:
    page.locator(f"#node-{name}").focus()
    page.keyboard.press("Enter")


def compared(run: Run) -> Job:
    """A dry run of a rubric that compares two answers, whose judge prefers what is shown first."""
    told = {"value": 0.5, "scores": [1.0, 0.0], "orders": [1.0, 0.0], "verdict": "<better>1</better>", "turned": "1"}
    return Job.objects.create(
        kind="rejudge",
        workspace=run.experiment.workspace,
        run=run,
        payload={"judge": {"name": "start"}, "asks": "pair"},
        note={"dry_run": {"run": str(run.pk)}},
        status="succeeded",
        finished_at=timezone.now(),
        result={"items": [{"id": pair.id, **told} for pair in stored_pairs_in(run)], "unreadable": 0.0},
    )


def test_a_rubric_is_written_tried_and_used(visit: Visit, phone: Visit, workspace: Workspace, ada: User) -> None:
    run = make_run(make_experiment(workspace, ada), "succeeded")
    tell(run, mae_events(4))
    page = visit.sign_in(ada).goto("/library/rubrics/")
    page.get_by_role("link", name="New rubric").first.click()
    page.locator("#begin").select_option("mae/answer/starter")
    page.get_by_role("button", name="Take its words").click()
    expect(page.locator("#rubric-text")).to_have_value("<|judge|>{answer}<|reply|>{question}<|go|>")
    page.locator("#rubric-name").fill("Terse")
    visit.expect_accessible()
    page.get_by_role("button", name="Keep it").click()
    page.locator("#rubric-text").fill("Grade {answer} to {question} with <score>")
    page.locator("#rubric-note").fill("in words")
    page.get_by_role("button", name="Save version 2").click()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#compare ins.piece").first).to_be_visible()
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("#dry-run")).to_contain_text("Waits for a worker")
    assert Job.objects.get().payload["template"] == "Grade {answer} to {question} with <score>"
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#dry-run")).to_contain_text("Nothing was judged anew")
    visit.expect_accessible()
    small = phone.sign_in(ada).goto(page.url.removeprefix(phone.site))
    expect(small.locator("#rubric-text")).to_be_visible()
    phone.expect_no_sideways_scroll()

    small = phone.goto(reverse("dry_run", args=[compared(run).pk]))
    expect(small.locator("#dry-run table")).to_contain_text("turns")
    phone.expect_no_sideways_scroll()
    phone.expect_accessible()

    page = visit.goto("/compose/?method=mae&preset=starter")
    open_box(page, "judge")
    page.locator("#f-method-judge_rubric").select_option("answer_rubric")
    page.get_by_label("Take the words of").select_option(label="Terse, version 2")
    expect(page.locator("#f-method-judge_rubric-text")).to_have_value("Grade {answer} to {question} with <score>")
    expect(page.locator("#compose-check")).to_contain_text("Terse")
    page.locator("#f-method-judge_rubric-text").fill("Grade {truth}")
    expect(page.locator("#compose-check")).to_contain_text("{truth} is not known here")
    page.locator("#f-method-judge_rubric").select_option("")
    expect(page.locator("#compose-check")).to_contain_text("Valid")
    open_box(page, "rewards")
    page.locator("#f-method-w_judge").fill("0.2")
    page.locator("#dry-run-panel summary").click()
    page.locator("#dry-kind").select_option("weights")
    page.locator("#dry-run-panel").get_by_role("button", name="Try it").click()
    expect(page.locator("#dry-run table")).to_contain_text("judge 0.20 ×")
    visit.expect_accessible()
