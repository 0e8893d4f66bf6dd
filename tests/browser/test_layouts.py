"""Games, pairs and trees in a browser: stepped through by keys and buttons, on a desktop and on a phone."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.factories import make_experiment, make_run, tell
from tests.shapes import evaluation_event, league, preference_pair, sample_event, search_tree, tic_tac_toe
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.workspaces.models import Workspace

XSS = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
GAME, PAIR, TREE = 3, 2, 1
"""Where they stand in the stream, newest first, below the hostile one."""


def told_run(workspace: Workspace, user: User) -> Run:
    run = make_run(make_experiment(workspace, user))
    scene = {"grid": [[XSS, "X"]], "facts": {XSS: XSS}}
    hostile = [
        {"role": XSS, "text": XSS, "parsed": XSS, "scene": scene, "value": 0.5, "parent": n or None} for n in (0, 0)
    ]
    samples = [
        tic_tac_toe(),
        preference_pair("He has 12 + 7 = 19", "He has 12 - 7 = 5"),
        search_tree(),
        {"episode": "1-9", "title": XSS, "turns": hostile, "layout": "game", "facts": {"result": XSS}},
    ]
    tell(run, [sample_event(seq, data) for seq, data in enumerate(samples, start=1)])
    tell(run, [evaluation_event(5, league(["random", "step 20", "step 40"]), step=40)])
    return run


def test_games_and_trees_are_walked_by_keys_and_pairs_stand_side_by_side(
    visit: Visit, phone: Visit, workspace: Workspace, ada: User
) -> None:
    run = told_run(workspace, ada)
    page = visit.sign_in(ada).goto(f"/runs/{run.pk}/")
    rows = page.locator("#sample-list > li")
    for place in (GAME, PAIR, TREE, 0):
        rows.nth(place).locator("summary").first.click()

    game = rows.nth(GAME)
    expect(game.locator(".position:visible")).to_have_count(1)
    game.get_by_role("button", name="Next move").click()
    expect(game.locator("[data-place]")).to_have_text("Move 2 of 7")
    game.locator(".move").nth(1).focus()
    page.keyboard.press("End")
    expect(game.locator(".move").nth(6)).to_be_focused()
    expect(game.locator(".position:visible .board td[data-marked]")).to_have_text("X")
    expect(game.get_by_role("button", name="Next move")).to_have_attribute("aria-disabled", "true")

    tree = rows.nth(TREE)
    expect(tree.locator(".turn:visible")).to_contain_text("dogs bark. cats purr. i like both.")
    tree.locator(".node").nth(4).focus()
    page.keyboard.press("ArrowLeft")
    expect(tree.locator(".node").nth(2)).to_be_focused()
    expect(tree.locator(".turn:visible")).to_contain_text("and so do you")
    tree.locator(".node").nth(3).click()
    expect(tree.locator(".turn:visible")).to_have_count(1)
    expect(tree.locator(".turn:visible")).to_contain_text("Dogs bark.")

    chosen, rejected = (rows.nth(PAIR).locator(f".pair__side--{side}") for side in ("chosen", "rejected"))
    expect(chosen.locator("ins")).to_have_text(["+", "19"])
    expect(rejected.locator("del")).to_have_text(["-", "5"])
    assert (chosen.bounding_box() or {})["y"] == (rejected.bounding_box() or {})["y"]
    visit.expect_accessible()

    page.locator("#tab-evaluation").click()
    page.locator("#evaluation").get_by_role("link", name="League").click()
    expect(page.locator("#league .league tbody th")).to_have_text(["step 40", "step 20", "random"])
    visit.expect_accessible()
    assert page.evaluate("window.hit") is None

    small = phone.sign_in(ada).goto(f"/runs/{run.pk}/samples/3/")
    expect(small.locator(".tree__drawing")).to_be_hidden()
    expect(small.locator(".turn:visible")).to_have_count(7)
    phone.expect_no_sideways_scroll()
    small = phone.goto(f"/runs/{run.pk}/samples/1/")
    small.get_by_role("button", name="Last move").click()
    expect(small.locator(".position:visible .board td[data-marked]")).to_have_text("X")
    phone.expect_no_sideways_scroll()
    phone.expect_accessible()
