"""The run page in a browser: live updates, reading in peace, zoom, hostile text."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.factories import START_T, mae_events, make_experiment, make_run, metric_events, next_attempt, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.services import create_share_link, request_pause
from webapp.workspaces.models import Workspace

XSS = [
    "<script>window.hit = 1</script>",
    "</script><script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "<svg onload=window.hit=1>",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    '"><b onmouseover=window.hit=1>',
    "javascript:window.hit=1",
    "<a href='javascript:window.hit=1'>click</a>",
    "<style>@import 'javascript:window.hit=1'</style>",
    "<math><mtext></table><img src=x onerror=window.hit=1>",
    "{{constructor.constructor('window.hit=1')()}}",
    "<details open ontoggle=window.hit=1>",
    "<!--<img src='--><img src=x onerror=window.hit=1//'>",
    "<template><script>window.hit=1</script></template>",
    "\u202egnp.exe\u0000 <b>bold</b>",
]


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada))


def open_run(visit: Visit, run: Run, user: User) -> Page:
    page = visit.sign_in(user).goto(f"/runs/{run.pk}/")
    expect(page.locator("#link")).to_have_attribute("data-link", "live")
    return page


def sample(seq: int, title: str, **more: Any) -> dict[str, Any]:
    turns = [{"role": "solver", "text": f"the text of {title}", "correct": True, "rewards": {"judge": 1.0}}]
    data = {"episode": f"1-{seq}", "title": title, "turns": turns, **more}
    return {"seq": seq, "kind": "sample", "step": 1, "t": START_T + seq, "data": data}


def test_what_the_run_says_appears_without_reloading(visit: Visit, run: Run, ada: User) -> None:
    page = open_run(visit, run, ada)
    expect(page.locator("#curves-empty")).to_be_visible()
    expect(page.get_by_text("the model is loading")).to_be_visible()
    tell(run, mae_events(12))
    expect(page.locator("[data-word=progress]")).to_have_text("Step 12 of 60")
    expect(page.locator("#chart-0 .js-plotly-plot, #chart-0 [data-plot].js-plotly-plot")).to_be_visible()
    expect(page.locator("#curves-empty")).to_be_hidden()
    expect(page.locator("#chart-0 [data-now='eval/accuracy_sampled']")).to_have_text(re.compile(r"0\.\d"))
    expect(page.locator("#sample-list > li")).to_have_count(24)
    expect(page.locator("[data-vital]").first).to_be_visible()
    page.locator("#tab-log").click()
    expect(page.locator("#log-list > li").first).to_contain_text("Loading the starter model")
    page.locator("#tab-checkpoints").click()
    expect(page.locator("#checkpoints")).to_contain_text("checkpoints/step-000010")
    page.locator("#tab-evaluation").click()
    expect(page.locator("#evaluation")).to_contain_text("Held-out items")


def test_a_phase_is_told_while_there_is_nothing_to_draw(visit: Visit, run: Run, ada: User) -> None:
    page = open_run(visit, run, ada)
    data = {"phase": "preparing", "text": "Teaching the starter model", "fraction": 0.4}
    tell(run, [{"seq": 1, "kind": "state", "step": 0, "t": START_T, "data": data}])
    expect(page.locator("#curves-phase")).to_have_text("Teaching the starter model")
    expect(page.locator("#curves-progress")).to_have_attribute("value", "0.4")


def test_the_buttons_follow_the_state(visit: Visit, run: Run, ada: User) -> None:
    page = open_run(visit, run, ada)
    request_pause(actor=ada, run_id=run.pk)
    expect(page.locator("#head [data-status]")).to_have_text("Pausing")
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()


def test_pausing_and_sharing_by_their_buttons_and_the_rest_in_a_menu(visit: Visit, run: Run, ada: User) -> None:
    page = open_run(visit, run, ada)
    more = page.locator("#controls summary", has_text="More")
    more.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Begin a report about it")).to_be_visible()
    assert visit.axe_findings("#controls") == []
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Save a checkpoint after this step")).to_be_hidden()
    assert Run.objects.get().checkpoint_requests == 1
    more.press("Enter")
    page.keyboard.press("Escape")
    expect(more).to_be_focused()
    expect(page.get_by_role("link", name="Metrics as CSV")).to_be_hidden()
    page.get_by_role("button", name="Share").click()
    link = page.get_by_label("Anybody with this link can watch the run").input_value()
    assert re.fullmatch(rf"{visit.site}/s/[\w-]+/", link)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#head [data-status]")).to_have_text("Pausing")


def test_the_stream_holds_still_while_somebody_reads(visit: Visit, run: Run, ada: User) -> None:
    tell(run, [sample(1, "first"), sample(2, "second")])
    page = open_run(visit, run, ada)
    rows = page.locator("#sample-list > li")
    rows.nth(1).locator("summary").click()
    expect(rows.nth(1)).to_contain_text("the text of first")
    before = rows.nth(1).bounding_box()
    tell(run, [sample(3, "third"), sample(4, "fourth")])
    expect(page.locator("#samples-new")).to_have_text("2 new samples")
    expect(rows).to_have_count(2)
    assert (rows.nth(1).bounding_box() or {})["x"] == (before or {})["x"]
    page.locator("#samples-new").click()
    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text("fourth")
    expect(rows.nth(3)).to_contain_text("the text of first")


def test_the_stream_can_be_frozen_and_let_go(visit: Visit, run: Run, ada: User) -> None:
    page = open_run(visit, run, ada)
    page.locator("#freeze").click()
    page.mouse.move(5, 5)
    tell(run, [sample(1, "first")])
    expect(page.locator("#samples-new")).to_have_text("1 new sample")
    expect(page.locator("#sample-list > li")).to_have_count(0)
    page.locator("#freeze").click()
    expect(page.locator("#sample-list > li")).to_have_count(1)


def test_samples_are_walked_and_opened_by_keyboard(visit: Visit, run: Run, ada: User) -> None:
    tell(run, [sample(n, f"question {n}") for n in range(1, 5)])
    page = open_run(visit, run, ada)
    page.locator("#sample-list summary").first.focus()
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#sample-list > li").nth(2)).to_contain_text("the text of question 2")


def test_samples_are_filtered_and_searched(visit: Visit, run: Run, ada: User) -> None:
    tell(run, mae_events(10))
    page = open_run(visit, run, ada)
    page.locator("#sample-show").select_option("rejected")
    expect(page.locator("#sample-list > li").first).to_contain_text("rejected")
    page.locator("#sample-show").select_option("all")
    page.locator("#sample-text").fill("no such words")
    expect(page.locator("#samples-empty")).to_contain_text("No sample matches")


def test_answers_are_chips_and_practice_waits_behind_its_own(visit: Visit, run: Run, ada: User) -> None:
    turn = {"role": "solver", "text": "text", "parsed": "17", "reward": 0.5, "num_tokens": 4}
    verdict = {"role": "judge", "text": "text", "parsed": "9", "parent": 0, "correct": False}
    answered = {"turns": [{**turn, "correct": False}, verdict, {**turn, "parsed": "19", "correct": True}]}
    practised = {"turns": [{"role": "judge", "text": "text", "reward": 1.0}], "practice": True}
    tell(run, [sample(1, "asked", **answered), sample(2, "rehearsed", **practised)])
    page = open_run(visit, run, ada)
    rows = page.locator("#sample-list > li")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("1 of 2 right")
    expect(rows.first.locator(".answer-chip")).to_have_text([re.compile("17.*0.50.*9.*4"), re.compile("19.*0.50.*4")])
    tell(run, [sample(3, "rehearsed again", **practised)])
    practice = page.locator("#sample-kinds label", has=page.locator("[value=practice]"))
    expect(practice).to_have_text(re.compile(r"Practice\s+2"))
    expect(rows).to_have_count(1)
    practice.click()
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("judge practice")
    page.locator("#sample-kinds label", has_text="Everything").click()
    expect(rows.locator(".sample-row__title")).to_have_text(["asked", "rehearsed again", "rehearsed"])
    tell(run, [sample(4, "asked late", **answered)])
    page.mouse.move(5, 5)
    page.locator("#freeze").focus()
    expect(rows.locator(".sample-row__title")).to_have_text(["asked late", "asked", "rehearsed again", "rehearsed"])
    visit.expect_accessible()


def test_a_zoom_survives_new_points(visit: Visit, run: Run, ada: User) -> None:
    tell(run, metric_events(40))
    page = open_run(visit, run, ada)
    drawing = page.locator("#chart-1 .nsewdrag").first
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 45, steps=6)
    page.mouse.up()
    expect(page.locator("#reset-zoom")).to_be_visible()
    page.mouse.move(5, 5)  # legends tell the values under the pointer while it is on a chart
    zoomed = page.evaluate("document.querySelector('#chart-1 [data-plot]').layout.xaxis.range")
    tell(run, metric_events(15, first=41))
    expect(page.locator("#chart-1 [data-now='reward/solver']")).to_have_text("5.5")
    after = page.evaluate("document.querySelector('#chart-1 [data-plot]').layout.xaxis.range")
    assert after == pytest.approx(zoomed)
    page.locator("#reset-zoom").click()
    expect(page.locator("#reset-zoom")).to_be_hidden()


def test_a_zoom_shows_every_point_and_the_address_keeps_how_curves_look(visit: Visit, run: Run, ada: User) -> None:
    tell(run, metric_events(2000))
    page = open_run(visit, run, ada)
    plot = "document.querySelector('#chart-1 [data-plot]')"
    page.locator("#chart-1 .scatterlayer .js-line").first.scroll_into_view_if_needed()
    solver = page.evaluate(f"{plot}.data.findIndex((trace) => trace.meta === 'reward/solver')")
    assert page.evaluate(f"{plot}.data[{solver}].x.length") == 501
    assert page.evaluate(f"{plot}.data[{solver - 1}].fill") == "toself"
    page.locator("#x-axis").select_option("time")
    page.locator("#log-values").check()
    expect(page).to_have_url(re.compile(r"\?x=time&log=1$"))
    page.goto(f"{page.url.partition('?')[0]}?x=time&steps=500-599")
    expect(page.locator("#x-axis")).to_have_value("time")
    expect(page.locator("#reset-zoom")).to_be_visible()
    page.locator("#chart-1 summary").click()
    expect(page.locator("#chart-1 tbody tr")).to_have_count(100)
    assert page.evaluate(f"{plot}.data.find((trace) => trace.meta === 'reward/solver').y[0]") == 50
    # The newest value, though the zoom ends before it.
    expect(page.locator("#chart-1 [data-now='reward/solver']")).to_have_text("200")
    page.locator("#x-axis").select_option("tokens")
    expect(page.locator("#x-axis")).to_have_value("step")
    tell(run, metric_events(1, first=2001))
    expect(page.locator("#chart-1 [data-now='reward/solver']")).to_have_text("200")


def test_a_line_grows_while_it_is_watched(visit: Visit, run: Run, ada: User) -> None:
    tell(run, metric_events(60))
    page = open_run(visit, run, ada)
    line = page.locator("#chart-1 .scatterlayer .js-line").first
    line.scroll_into_view_if_needed()
    before = line.get_attribute("d")
    tell(run, metric_events(10, first=61))
    expect(line).not_to_have_attribute("d", before or "")
    drawn = page.evaluate("document.querySelector('#chart-1 [data-plot]').data[1].x.at(-1)")
    assert drawn == 70


def test_a_chart_is_also_a_table(visit: Visit, run: Run, ada: User) -> None:
    tell(run, metric_events(3))
    page = open_run(visit, run, ada)
    page.locator("#chart-1 summary").click()
    expect(page.locator("#chart-1 tbody tr")).to_have_count(3)
    expect(page.locator("#chart-1 tbody tr").first).to_contain_text("0.3")


def test_where_the_time_of_a_step_goes_is_told_while_it_goes(visit: Visit, run: Run, ada: User) -> None:
    page = open_run(visit, run, ada)
    tell(run, [timed(1, rollout=2.0, update=1.0)])
    chart = page.get_by_role("figure", name="Where a step's time goes")
    chart.scroll_into_view_if_needed()
    expect(chart.locator("[data-words]")).to_have_text("Lately a step took 3 s: 67% play, 33% update.")
    expect(chart.locator(".line-key:visible")).to_have_text(["Play 2 s", "Update 1 s"])
    tell(run, [timed(step, rollout=2.0, decode=1.5, update=1.0, backward=0.98) for step in range(2, 13)])
    words = "Lately a step took 3 s: 50% writing completions, 33% backward pass, 17% scoring and the rest of play, 1% everything else."
    expect(chart.locator("[data-words]")).to_have_text(words)
    expect(chart.locator(".line-key:visible")).to_have_count(4)
    expect(chart.locator("[data-split] > span")).to_have_count(4)
    chart.get_by_role("button", name="Backward pass").click()
    expect(chart.get_by_role("button", name="Backward pass")).to_have_attribute("aria-pressed", "false")
    chart.locator("summary").click()
    expect(chart.locator("tbody tr")).to_have_count(12)
    visit.expect_accessible()


def test_charts_of_what_seldom_happens_come_when_it_does(visit: Visit, run: Run, ada: User) -> None:
    tell(run, [{**timed(1, rollout=1.0), "data": {"values": {"time/rollout_s": 1.0, "staleness/mean": 0.0}}}])
    page = open_run(visit, run, ada)
    age = page.locator("figure", has_text="Age of the samples")
    expect(page.get_by_role("figure", name="Where a step's time goes")).to_be_visible()
    expect(age).to_be_hidden()
    expect(page.get_by_role("heading", name="Sampler and learner")).to_be_hidden()
    tell(run, [{**timed(2), "data": {"values": {"staleness/mean": 1.0, "mismatch/kl": 0.001}}}])
    age.scroll_into_view_if_needed()
    expect(age.locator(".js-plotly-plot")).to_be_visible()
    expect(page.locator("figure", has_text="Mismatch").locator("[data-now]")).to_have_text("0.001")
    expect(page.locator("figure", has_text="Largest ratio")).to_be_hidden()


def timed(step: int, **seconds: float) -> dict[str, Any]:
    """A step of which the seconds of some parts are known."""
    values = {f"time/{part}_s": value for part, value in seconds.items()}
    return {"seq": step, "kind": "metric", "step": step, "t": START_T + step, "data": {"values": values}}


def test_a_click_on_a_point_shows_the_samples_of_its_step(visit: Visit, run: Run, ada: User) -> None:
    tell(run, mae_events(6))
    page = open_run(visit, run, ada)
    drawing = page.locator("#chart-1 .nsewdrag").first
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 20)
    expect(page.locator("#chart-1 .hoverlayer > *").first).to_be_attached()
    page.mouse.down()
    page.mouse.up()
    expect(page.locator("#sample-step")).to_have_text("step 6 ×")
    expect(page.locator("#sample-list > li")).to_have_count(2)


def test_after_losing_its_socket_the_page_catches_up(visit: Visit, run: Run, ada: User) -> None:
    tell(run, metric_events(5))
    page = open_run(visit, run, ada)
    visit.context.set_offline(True)
    page.evaluate("for (const plot of [1]) window.dispatchEvent(new Event('offline'))")
    tell(run, metric_events(5, first=6))
    visit.context.set_offline(False)
    expect(page.locator("html")).to_have_attribute("data-after", "10")
    assert page.evaluate("document.querySelector('#chart-1 [data-plot]').data[1].x.length") == 10


def test_a_rewritten_run_is_read_again(visit: Visit, run: Run, ada: User) -> None:
    tell(run, [*metric_events(9), sample(10, "of the lost attempt")])
    page = open_run(visit, run, ada)
    next_attempt(run)
    tell(run, [*metric_events(2, first=6), sample(8, "of the new attempt")])
    expect(page.locator("html")).to_have_attribute("data-after", "8")
    expect(page.locator("#sample-list > li")).to_have_count(1)
    expect(page.locator("#sample-list > li")).to_contain_text("of the new attempt")
    expect(page.locator("#chart-1 [data-now='reward/solver']")).to_have_text("0.7")


def test_hostile_text_is_shown_and_never_run(visit: Visit, workspace: Workspace, ada: User) -> None:
    run = make_run(make_experiment(workspace, ada, name="".join(XSS)[:110].replace("\u0000", "")))
    half = len(XSS) // 2
    tell(run, [sample(seq, text) for seq, text in enumerate(XSS[:half], start=1)])
    page = open_run(visit, run, ada)
    page.mouse.move(5, 5)
    later = [sample(seq, text, facts={text: text}) for seq, text in enumerate(XSS[half:], start=half + 1)]
    tell(run, later)
    logs = [{"level": "error", "text": text} for text in XSS]
    tell(
        run,
        [{"seq": len(XSS) + n, "kind": "log", "step": 1, "t": START_T, "data": log} for n, log in enumerate(logs, 1)],
    )
    rows = page.locator("#sample-list > li")
    expect(rows).to_have_count(len(XSS))
    for place in range(len(XSS)):
        rows.nth(place).locator("summary").first.click()
    expect(rows.first.locator(".turn__text")).to_contain_text("the text of")
    expect(page.locator("#sample-list")).to_contain_text(XSS[0])
    page.locator("#tab-log").click()
    expect(page.locator("#log-list")).to_contain_text(XSS[2])
    page.wait_for_timeout(300)
    assert page.evaluate("window.hit") is None


def test_the_shared_page_follows_the_run_without_an_account(visit: Visit, run: Run, ada: User) -> None:
    tell(run, mae_events(3))
    _, secret = create_share_link(actor=ada, run_id=run.pk)
    page = visit.goto(f"/s/{secret}/")
    expect(page.locator("#link")).to_have_attribute("data-link", "live")
    tell(run, metric_events(1, first=run.last_seq + 1))
    expect(page.locator("html")).to_have_attribute("data-after", str(run.last_seq))
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    page.locator("#sample-list summary").first.click()
    expect(page.locator("#sample-list .turn").first).to_be_visible()
    visit.expect_accessible()


def test_the_page_fits_a_phone(phone: Visit, run: Run, ada: User) -> None:
    tell(run, mae_events(12))
    page = open_run(phone, run, ada)
    phone.expect_no_sideways_scroll()
    page.get_by_text("Samples", exact=True).first.click()
    page.locator("#sample-list summary").first.click()
    expect(page.locator("#sample-list .turn").first).to_be_visible()
    phone.expect_no_sideways_scroll()
    phone.expect_accessible()
    for tab in ("judge", "evaluation", "doctor", "timeline", "log", "spec"):
        page.locator(f"#tab-{tab}").click()
        phone.expect_no_sideways_scroll()


def test_a_tab_has_an_address_of_its_own(visit: Visit, run: Run, ada: User) -> None:
    visit.sign_in(ada).goto(f"/runs/{run.pk}/#log")
    expect(visit.page.locator("#log")).to_be_visible()
    expect(visit.page.locator("#live")).to_be_hidden()
    visit.page.keyboard.press("Tab")
    visit.page.locator("#tab-log").focus()
    visit.page.keyboard.press("ArrowRight")
    expect(visit.page.locator("#spec")).to_be_visible()
    assert visit.page.url.endswith("#spec")


def test_a_point_of_a_curve_is_commented_on_where_it_is(visit: Visit, run: Run, ada: User) -> None:
    tell(run, mae_events(12))
    page = open_run(visit, run, ada)
    chart = page.locator("#chart-0")
    expect(chart.locator(".js-plotly-plot")).to_be_visible()
    chart.get_by_role("button", name="Comment on").focus()
    page.keyboard.press("Enter")
    box = page.locator("#point")
    expect(box.get_by_role("heading")).to_have_text(re.compile(r"^eval/accuracy_sampled at step \d+$"))
    expect(box.get_by_label("Your comment")).to_be_focused()
    page.keyboard.type("Why this rise?")
    box.get_by_label("Your comment").evaluate("field => { field.style.height = '9rem' }")  # its corner is dragged
    with page.expect_response(lambda answer: answer.url.endswith("/remarks/")):
        box.get_by_role("button", name="Comment", exact=True).click()
    expect(box.locator(".thread")).to_contain_text("Why this rise?")
    visit.expect_accessible()
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    marked = "() => document.querySelector('#chart-0 [data-plot]').data.at(-1).text?.[0] ?? ''"
    page.wait_for_function(f"({marked})().startsWith('1 comment,')")
