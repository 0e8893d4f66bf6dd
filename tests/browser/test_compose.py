"""The compose page as a person uses it, from the gallery to several runs of one experiment."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from webapp.accounts.models import User
from webapp.experiments.models import Experiment, Run
from webapp.workspaces.models import Workspace


def show(page: Page, view: str) -> None:
    page.get_by_role("group", name="Show the settings as").get_by_text(view, exact=True).click()


def test_from_the_gallery_over_the_drawing_to_several_runs(visit: Visit, ada: User, workspace: Workspace) -> None:
    page = visit.sign_in(ada).goto("/compose/")
    check = page.locator("#compose-check")

    # 1. The gallery is searched, a preset chosen.
    page.get_by_label("Search methods").press_sequentially("judge proposer")
    expect(page.locator(".method-card:visible")).to_have_count(1)
    page.get_by_role("article").filter(visible=True).get_by_role("link", name="Starter demo").click()
    expect(check).to_contain_text("Valid, ready to launch")

    # 2. A box opens its settings and only those; what differs and what is wrong is marked in the drawing.
    expect(page.get_by_label("Steps", exact=True)).to_be_visible()
    judge = page.locator("#node-judge")
    judge.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#opened-title")).to_be_focused()
    expect(page.get_by_label("Steps", exact=True)).to_be_hidden()
    page.locator("#f-method-judge-kind").select_option("frozen")
    expect(judge).to_have_attribute("aria-label", "Judge, role; weights: frozen start; 1 changed")
    page.keyboard.press("Escape")
    expect(judge).to_be_focused()
    page.locator("#node-rewards").click()
    weight = page.get_by_label("Weight of quality")
    weight.fill("3")
    expect(page.locator("#f-method-w_quality-error")).to_have_text("must be at most 1 (you wrote '3')")
    expect(page.locator("#node-rewards")).to_have_attribute("aria-label", re.compile("1 to correct"))
    visit.expect_accessible()
    weight.fill("0.4")
    expect(check).to_contain_text("Valid, ready to launch")

    # 3. Another task brings its own inputs, and closes the judge that could not work with it.
    page.get_by_role("navigation", name="Groups of settings").get_by_text("Task", exact=True).click()
    expect(page.locator("#task-preview tbody tr")).to_have_count(10)
    page.locator("#f-task-kind").select_option("jsonl")
    expect(page.locator("#f-task-path-error")).to_contain_text("must not be empty")
    page.get_by_label("Path", exact=True).fill("/data/questions.jsonl")
    expect(page.locator("#f-method-judge-kind option[value=verifier]")).to_be_disabled()
    expect(page.locator("#task-preview")).to_contain_text("Only files below")
    page.locator("#f-task-kind").select_option("arithmetic")
    expect(page.get_by_label("Max digits")).to_have_value("3")

    # 4. Form and YAML stay in step; an error names its line and holds the launch back.
    page.get_by_label("All settings").check(force=True)
    show(page, "Form")
    page.get_by_label("Engine", exact=True).select_option("vllm")
    page.get_by_label("Number of servers").fill("2")
    expect(check).to_contain_text("num_servers needs servers, but placement is in_process; set placement to server")
    check.get_by_role("link", name="Engine").click()
    expect(page.get_by_label("Engine", exact=True)).to_be_focused()
    page.get_by_label("Engine", exact=True).select_option("transformers")
    page.get_by_label("Steps", exact=True).fill("77")
    show(page, "YAML")
    text = page.get_by_label("Spec as YAML")
    expect(text).to_have_value(re.compile(r"^steps: 77$", re.MULTILINE))
    good = re.sub(r"^steps: 77$", "steps: 41", text.input_value(), flags=re.MULTILINE)
    text.fill(good.replace("w_quality: 0.4", "w_quality: 4"))
    line = good.split("\n").index("  w_quality: 0.4") + 1
    expect(page.locator("#yaml-errors")).to_contain_text(f"Line {line}: method.w_quality: must be at most 1")
    expect(page.get_by_role("button", name="Launch")).to_be_disabled()
    page.get_by_role("link", name=f"Line {line}").click()
    assert page.evaluate("getSelection().toString()") in {"  w_quality: 4", ""}
    text.fill(good)
    expect(page.locator("#f-steps")).to_have_value("41")
    show(page, "Drawing")

    # 5. Seeds and a sweep are one experiment.
    page.get_by_role("textbox", name="Seeds").fill("2")
    page.get_by_label("Knob 1", exact=True).select_option("method.optimizer.lr")
    page.get_by_label("Values of knob 1").fill("1e-3, 3e-4")
    expect(check).to_contain_text("Valid, ready to launch: 4 runs")
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url(re.compile(r"/experiments/[0-9a-f-]{36}/$"))
    experiment = Experiment.objects.get()
    assert (experiment.spec["steps"], experiment.spec["method"]["judge"]) == (41, {"kind": "frozen"})
    assert [run.spec["seed"] for run in Run.objects.order_by("number")] == [0, 1, 0, 1]


def test_composing_fits_a_thumb(phone: Visit, ada: User, workspace: Workspace) -> None:
    page = phone.sign_in(ada).goto("/compose/?method=spiral")
    page.locator("#node-player_1").tap()
    expect(page.locator("#opened-title")).to_have_text("Player 1")
    expect(page.locator("#f-method-opponent-kind")).to_be_visible()
    phone.expect_no_sideways_scroll()
