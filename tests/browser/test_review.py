"""Taking part in a run in a browser: reviewing by keys and thumbs, steering, commenting."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.factories import START_T, make_experiment, make_run, tell
from tests.webapp.test_review import answer, sample
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.orders.models import RunOrder
from webapp.review.models import Verdict
from webapp.workspaces.models import Workspace


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    run = make_run(make_experiment(workspace, ada))
    tell(
        run,
        [
            sample(1, 1, "1-s0", answer("7", [10], correct=True)),
            sample(2, 2, "2-s0", answer("<b>8</b>", [10], correct=False), answer("9", [10, 1], correct=False)),
        ],
    )
    return run


def test_one_reviews_by_keys_and_the_answer_reaches_the_run(visit: Visit, run: Run, ada: User) -> None:
    page = visit.sign_in(ada).goto("/review/")
    ask = page.locator(".ask")
    expect(page.locator("[data-place]")).to_have_text("1 of 3")
    expect(ask).to_have_attribute("data-turn", "1")  # the judge is farthest from the truth
    expect(ask.get_by_text("<b>8</b>", exact=True)).to_be_visible()
    expect(ask.locator("[data-judge] p").first).to_be_hidden()
    page.keyboard.press("e")
    page.keyboard.type("Eight is one too many")
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    expect(ask.locator(".notice")).to_contain_text("You said wrong and overruled the judge.")
    expect(ask.locator(".notice")).to_contain_text("on its way into the run's next update")
    expect(page.locator("#review-side")).to_contain_text("1 answer of yours")
    verdict = Verdict.objects.get()
    assert (verdict.note, verdict.saw_judge) == ("Eight is one too many", False)
    assert RunOrder.objects.get().payload == {"episode": "2-s0", "turn": 1, "value": 0.0}

    page.keyboard.press("j")
    expect(ask).not_to_have_attribute("data-answered", "")
    page.keyboard.press("1")
    expect(ask.locator(".notice")).to_be_visible()
    expect(page.locator("[data-place]")).to_have_text("2 of 3, 1 still to answer")
    page.keyboard.press("z")
    expect(ask.locator(".notice")).to_have_count(0)
    page.keyboard.press("k")
    expect(ask.locator(".notice")).to_contain_text("You said wrong")
    page.get_by_text("Show the judge before I answer").click()
    page.keyboard.press("j")
    expect(ask.get_by_role("button", name="Agree")).to_be_visible()
    page.reload()
    expect(ask.get_by_role("button", name="Agree")).to_be_visible()
    assert Verdict.objects.filter(withdrawn_at=None).count() == 1
    visit.expect_accessible()

    change = {"order": 1, "command": "overrule", "by": "Ada", "what": "turn 1 of 2-s0", "before": 1.0, "after": 0.5}
    change |= {"obeyed": True, "update": 3, "text": "The reward went from 1 to 0.5 and reached the update of step 3."}
    tell(run, [{"seq": 3, "kind": "change", "step": 3, "t": START_T, "data": change}])
    page = visit.goto(f"/runs/{run.pk}/samples/2/")
    expect(page.locator(".people__said")).to_contain_text("reached the update of step 3")
    page.locator(".marks").get_by_role("button", name="Pin", exact=True).click()
    expect(page.get_by_role("button", name="Pinned")).to_have_attribute("aria-pressed", "true")
    page.locator(".comments__new summary").click()
    page.get_by_label("Your comment").fill("Look at this, @ben")
    page.locator(".comments__new").get_by_role("button", name="Comment").click()
    expect(page.locator(".comment__text")).to_have_text("Look at this, @ben")
    visit.expect_accessible()

    page = visit.goto(f"/runs/{run.pk}/#steer")
    rate = page.get_by_label("Learning rate", exact=True)
    rate.fill("0.5")
    rate.press("Enter")
    expect(page.get_by_text("0.5 is asked for")).to_be_visible()
    expect(page.locator(".orders")).to_contain_text("reached the update of step 3")
    visit.expect_accessible()
    page.get_by_role("tab", name="Notes").click()
    expect(page.locator(".marked")).to_contain_text("Pinned")
    visit.expect_accessible()
    page = visit.goto("/review/sets/")
    expect(page.get_by_role("row", name="mae/answer")).to_be_visible()
    visit.expect_accessible()
    page = visit.goto("/review/again/")
    expect(page.get_by_label("The judge's prompt")).to_be_visible()
    visit.expect_accessible()


def test_one_reviews_with_a_thumb(phone: Visit, run: Run, ada: User) -> None:
    page = phone.sign_in(ada).goto("/review/")
    expect(page.locator("[data-place]")).to_have_text("1 of 3")
    phone.expect_no_sideways_scroll()
    page.get_by_role("button", name="Wrong", exact=True).tap()
    expect(page.locator(".ask .notice")).to_contain_text("overruled the judge")
    page.get_by_role("button", name="Next").tap()
    expect(page.locator(".ask .notice")).to_have_count(0)
    for path in (f"/runs/{run.pk}/#steer", f"/runs/{run.pk}/samples/2/", "/review/sets/", "/review/again/"):
        phone.goto(path)
        phone.expect_no_sideways_scroll()
