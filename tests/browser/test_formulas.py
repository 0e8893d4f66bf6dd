"""Formulas in what models write: set where they can be, and harmless whatever they are."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.factories import START_T, make_experiment, make_run, tell
from webapp.accounts.models import User
from webapp.workspaces.models import Workspace

KIND = r"So $x^2 + \frac{1}{2}$, \(a_1\) and \[\sum_{i=1}^n i = \frac{n(n+1)}{2}\] for $5 and $6."
HOSTILE = r"""$\href{javascript:alert(1)}{x}$ $\htmlStyle{position:fixed}{y}$ $\colorbox{red}{z}$ $\def\a{\a\a}\a$
$\includegraphics{//e.org/x}$ <img src=x onerror=alert(1)> $\text{<img src=x onerror=alert(1)> style="color:red"}$
$\rule{9999em}{9999em}$ $\frac{1$"""


def sample(seq: int, text: str) -> dict[str, object]:
    turn = {"role": "solver", "text": text, "parsed": "1"}
    data = {
        "episode": f"{seq}-s0",
        "title": f"What is $x_{seq}$?" if "$" in text else "1+1",
        "turns": [turn],
        "facts": {},
    }
    return {"seq": seq, "kind": "sample", "step": seq, "t": START_T + seq, "data": data}


def test_formulas_are_set_when_they_are_seen_and_hostile_ones_do_nothing(
    visit: Visit, workspace: Workspace, ada: User
) -> None:
    run = make_run(make_experiment(workspace, ada))
    tell(run, [sample(1, "plain"), sample(2, KIND), sample(3, HOSTILE)])
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    page = visit.sign_in(ada).goto(f"/runs/{run.pk}/samples/1/")
    expect(page.locator("[data-reading]")).to_be_visible()
    assert not [url for url in asked if "katex" in url]  # nothing to set, nothing loaded

    page = visit.goto(f"/runs/{run.pk}/samples/2/")
    block = page.locator("[data-block]")
    expect(block.locator("math")).to_have_count(3)
    expect(block.locator("mfrac")).to_have_count(2)
    expect(block).to_contain_text("for $5 and $6.")
    expect(page.locator("h1 math")).to_have_count(1)
    page.get_by_role("button", name="Raw").click()
    expect(block).to_contain_text(r"$x^2·+·\frac{1}{2}$")
    page.get_by_role("button", name="Raw").click()
    expect(block.locator("math")).to_have_count(3)
    visit.expect_accessible()

    page = visit.goto(f"/runs/{run.pk}/samples/3/")
    block = page.locator("[data-block]")
    expect(block.locator("math").first).to_be_visible()
    assert block.locator("img, a, [style], [href], [id], annotation").count() == 0
    expect(block).to_contain_text(r"$\def\a{\a\a}\a$")  # what cannot be set stays as it was written
    expect(block).to_contain_text(r"$\frac{1$")
    expect(block).to_contain_text(r"$\href{javascript:alert(1)}{x}$ $\htmlStyle{position:fixed}{y}$")
    expect(block).to_contain_text("<img src=x onerror=alert(1)>")
    visit.expect_no_sideways_scroll()


def numbers(seq: int, *, quality: float, reward: float) -> dict[str, object]:
    terms = {"quality": quality, "difficulty": 0.42, "format": 1.0}
    values = {f"reward_term/proposer_{term}": value for term, value in terms.items()} | {"reward/proposer": reward}
    return {"seq": seq, "kind": "metric", "step": seq, "t": START_T + seq, "data": {"values": values}}


def test_the_formulas_of_a_run_follow_its_numbers(visit: Visit, phone: Visit, workspace: Workspace, ada: User) -> None:
    run = make_run(make_experiment(workspace, ada))
    tell(run, [numbers(1, quality=0.71, reward=0.76)])
    page = visit.sign_in(ada).goto(f"/runs/{run.pk}/#rewards")
    paid = page.get_by_role("region", name="What the Proposer is paid")
    expect(paid.locator(".equation__formula math msub")).to_have_count(4)  # R_P and three weights
    expect(paid).to_contain_text("0.76 was measured, but the formula gives 0.71: 0.05 too much.")
    tell(run, [numbers(2, quality=0.80, reward=0.74)])
    expect(paid).to_contain_text("0.74 was measured: it agrees.")
    expect(paid.locator(".equation__numbers math")).to_contain_text("0.333⋅0.8+0.333⋅0.42+0.333⋅1=0.74")
    assert page.locator("[data-math]:not(:has(math))").count() == 0  # nothing is left as it was written
    visit.expect_accessible()

    page = phone.sign_in(ada).goto(f"/runs/{run.pk}/?at=1#rewards")
    paid = page.get_by_role("region", name="What the Proposer is paid")
    expect(paid).to_contain_text("0.05 too much")
    phone.expect_no_sideways_scroll()
    phone.expect_accessible()

    page = phone.goto("/methods/mae/")
    expect(page.locator(".equation", has_text="How hard a question is").first.locator("math").first).to_be_visible()
    phone.expect_no_sideways_scroll()
    phone.expect_accessible()
