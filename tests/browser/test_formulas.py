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
