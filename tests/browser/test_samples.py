"""Understanding a sample, by hand: sums, tokens by keyboard, raw characters, addresses of turns, words, questions through time."""

import re
from pathlib import Path

from django.conf import LazySettings
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.factories import mae_events, make_experiment, make_run, tell
from training_core.play.records import Rollout
from training_core.play.requests import Completion
from training_core.play.step_log import StepLog
from training_core.spec.events import SampleData
from training_core.token_files import TokenFiles
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.services import create_share_link
from webapp.fleet.folders import run_folder
from webapp.telemetry.models import Event
from webapp.workspaces.models import Workspace


def told_run(workspace: Workspace, user: User) -> Run:
    """A short run that met one question again, with the tokens of one sample."""
    run = make_run(make_experiment(workspace, user))
    events = mae_events(6)
    first = next(event for event in events if event["kind"] == "sample")
    again = {**first, "seq": len(events) + 1, "step": 6, "data": {**first["data"], "episode": "6-s9"}}
    tell(run, [*events, again])
    return run


def keep_tokens(run: Run, event: Event) -> None:
    log, sample = StepLog(), SampleData.model_validate(event.data)
    log.samples.append(sample)
    for turn in (turn for turn in sample.turns if turn.role == "solver"):
        size, advantage = len(turn.text), turn.advantage
        said = Completion(
            text=turn.text,
            prompt_ids=(),
            token_ids=tuple(map(ord, turn.text)),
            logprobs=tuple(-0.04 * (place % 90) for place in range(size)),
            entropies=tuple(0.02 * (place % 70) for place in range(size)),
            ended=True,
        )
        rollout = Rollout(role="solver", group="g", completion=said, reward=1.0, turn=turn)
        rollout.learner_logprobs = tuple(value + 0.02 * (place % 30) - 0.3 for place, value in enumerate(said.logprobs))
        log.learn(rollout, train=True)
        turn.advantage = advantage
    run_folder(run.pk).mkdir(parents=True)
    TokenFiles(run_folder(run.pk), keep=9).write(event.step, log.batch(), chr)


def test_a_sample_is_understood_down_to_its_tokens_and_found_again(
    visit: Visit, phone: Visit, workspace: Workspace, ada: User, settings: LazySettings, tmp_path: Path
) -> None:
    settings.ARTIFACTS_DIR = tmp_path
    run = told_run(workspace, ada)
    event = run.events.filter(kind="sample").order_by("seq")[0]
    keep_tokens(run, event)
    page = visit.sign_in(ada).goto(f"/runs/{run.pk}/samples/{event.seq}/#turn-3")
    expect(page.locator("#turn-3")).to_be_focused()
    page.locator("#turn-3 .reckoning summary").click()
    expect(page.locator("#turn-3 .reckoning table")).to_contain_text("Advantage")

    page.get_by_role("button", name="Raw").click()
    expect(page.locator("#turn-3 [data-block]").first).to_contain_text("·+·")
    page.get_by_role("button", name="Raw").click()
    expect(page.locator("#turn-3 [data-block]").first).to_contain_text(" + ")

    page.get_by_role("button", name="Tokens").click()
    tokens = page.locator("#turn-3 [role=group][aria-label*=tokens]")
    tokens.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".token-now")).to_contain_text("token 2 of")
    expect(page.locator(".token-now")).to_contain_text("log-probability -0.04 nats")
    page.get_by_label("Shade by").select_option("ratio")
    expect(tokens.locator("[data-shade='-3']").first).to_be_visible()
    page.get_by_text("As a table").click()
    expect(page.locator(".token-table tbody tr").first).to_contain_text("2")
    visit.expect_accessible()

    # Words, filters with an address, and keys from sample to sample.
    page = visit.goto(f"/runs/{run.pk}/find/")
    page.get_by_label("Words").fill("ones first")
    page.get_by_label("Show").select_option("wrong")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".found mark").first).to_have_text("ones")
    assert "text=ones+first" in page.url
    visit.expect_accessible()
    page.locator(".found__title").first.click()
    expect(page.locator("[data-reading]")).to_be_visible()
    before = page.url
    page.keyboard.press("j")
    expect(page).not_to_have_url(before)
    expect(page).to_have_url(re.compile(r"/samples/\d+/\?show=wrong&text=ones\+first$"))

    # The same question through time, two answers word by word.
    page = visit.goto(f"/runs/{run.pk}/#groups")
    page.get_by_role("link", name=event.data["title"]).first.click()
    page.locator("input[name=left]").nth(0).check()
    page.locator("input[name=right]").nth(7).check()
    page.get_by_role("button", name="Compare left and right").click()
    expect(page.locator("#difference")).to_contain_text("Word by word")
    visit.expect_accessible()
    visit.expect_no_problems()

    # On a phone, with nothing but a share link.
    _, secret = create_share_link(actor=ada, run_id=run.pk)
    for path in (f"samples/{event.seq}/", "find/", "groups/"):
        page = phone.goto(f"/s/{secret}/{path}")
        phone.expect_no_sideways_scroll()
    page = phone.goto(f"/s/{secret}/samples/{event.seq}/#turn-3-token-4")
    expect(page.locator(".token-now")).to_contain_text("token 5 of")
    phone.expect_no_sideways_scroll()
    phone.expect_accessible()
    phone.expect_no_problems()
