"""The pages as a person uses them: composing, launching, finding things, by mouse, keyboard and thumb."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.conftest import PASSWORD
from tests.factories import make_experiment, make_run
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.workspaces.models import Workspace

HEADLINE = [[step, 0.4 + step / 100] for step in range(0, 40, 2)]
LONG = "A very long name that somebody gave an experiment because they wanted to remember every single detail_" * 1


@pytest.fixture
def run(ada: User, workspace: Workspace) -> Run:
    make_run(make_experiment(workspace, ada, name=LONG[:120]), "queued")
    failed = make_experiment(workspace, ada, name="Judge <b>gone</b> wrong")
    make_run(failed, "failed", headline=HEADLINE[:5], failure_text="The judge could no longer tell right from wrong.")
    return make_run(make_experiment(workspace, ada), "running", headline=HEADLINE, last_step=38)


def test_signing_in_by_keyboard_alone(visit: Visit, ada: User, workspace: Workspace) -> None:
    page = visit.goto("/accounts/login/")
    visit.expect_accessible()
    page.get_by_label("Email").focus()
    page.keyboard.type(ada.email)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Dojo")


def test_choice_of_colour_scheme_stays(visit: Visit, ada: User, workspace: Workspace) -> None:
    page = visit.sign_in(ada).goto("/")
    light = page.evaluate("getComputedStyle(document.body).color")
    page.get_by_role("button", name="Dark", exact=True).click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).color") != light
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("button", name="Dark", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Auto", exact=True).click()
    expect(page.locator("html")).not_to_have_attribute("data-theme", "dark")


def test_keyboard_reaches_the_page_past_the_rail_and_closes_menus(
    visit: Visit, ada: User, workspace: Workspace
) -> None:
    page = visit.sign_in(ada).goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    switcher = page.locator(".switcher > summary")
    switcher.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="New workspace")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="New workspace")).to_be_hidden()
    expect(switcher).to_be_focused()


def test_searching_narrows_the_list_while_typing_and_keeps_the_address(visit: Visit, run: Run, ada: User) -> None:
    page = visit.sign_in(ada).goto("/runs/")
    expect(page.get_by_role("row")).to_have_count(4)
    page.get_by_label("Search").fill("gone")
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("link", name="Judge <b>gone</b> wrong")).to_be_visible()
    assert "q=gone" in page.url
    page.get_by_label("Search").fill("nothing like this")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()


def test_lists_follow_what_happens_without_reloading(visit: Visit, run: Run, ada: User) -> None:
    page = visit.sign_in(ada).goto("/")
    expect(page.get_by_text("step 38 of 60")).to_be_visible()
    Run.objects.filter(pk=run.pk).update(last_step=39)
    expect(page.get_by_text("step 39 of 60")).to_be_visible(timeout=20_000)


def test_question_before_an_act_that_cannot_be_undone(visit: Visit, run: Run, ada: User) -> None:
    page = visit.sign_in(ada).goto("/workspaces/dojo/")
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="Remove Ben").click()
    assert "Remove Ben?" in asked[0]
    expect(page.get_by_role("button", name="Remove Ben")).to_be_visible()


def test_bar_at_the_bottom_leads_everywhere_on_a_phone(phone: Visit, run: Run, ada: User) -> None:
    page = phone.sign_in(ada).goto("/")
    phone.expect_accessible()
    for name, path in (
        ("Compose", "/compose/"),
        ("Runs", "/runs/"),
        ("Arena", "/arena/"),
        ("Review", "/review/"),
        ("More", "/accounts/me/"),
    ):
        page.get_by_role("navigation", name="Main").get_by_role("link", name=name).tap()
        page.wait_for_url("**" + path)
        phone.expect_no_sideways_scroll()


def test_missing_page_is_in_the_house_style(visit: Visit, ada: User, workspace: Workspace) -> None:
    page = visit.sign_in(ada).goto("/nowhere/")
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    visit.expect_accessible()
    assert len(visit.problems) == 1  # the browser reports the answer itself
    assert "404" in visit.problems.pop()
