"""A newcomer's way from the sign-in page to a shared finding, driven in a real browser: ``python -m bench.journey`` while ``make up`` runs.

Creates an account, composes Multi-Agent Evolve with a frozen judge and two seeds, watches, pauses, answers the most disputed verdict
against the judge, goes on and sees it count, runs the same with a verifier, compares both, and shares a report that a browser without an
account then reads. Nothing is prepared and nothing skipped; every step is photographed into ``docs/screenshots`` as ``journey-1.png`` and
so on. It fails where a page does not do what its words say, or reports an error.

``tests/browser/test_journey.py`` goes the same way with a smaller model.
"""

import argparse
import os
import re
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from bench.screenshots import OUT, packed

PATIENCE_MS = 600_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run: ``Plan(steps=60)``."""

    steps: int = 60
    verifier_steps: int = 60
    settings: Mapping[str, str] = field(default_factory=dict)
    """Other fields of the form to fill in, by their ids."""
    is_endless: bool = False
    """Whether the first runs are stopped once they have shown what is to be seen, instead of left to end."""


class Journey:
    """One person's browser, and the pictures of the way; without ``out`` none are taken."""

    def __init__(self, browser: Browser, site: str, plan: Plan, *, out: Path | None) -> None:
        self.browser, self.site, self.plan, self.out = browser, site, plan, out
        context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        self.page = context.new_page()
        self.page.set_default_timeout(60_000)
        self.problems: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: dialog.accept())
        self._number = 0

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def shoot(self, words: str, page: Page | None = None) -> None:
        self._number += 1
        if self.out is None:
            return
        page = page or self.page
        page.wait_for_timeout(700)
        path = self.out / f"journey-{self._number}.png"
        path.write_bytes(packed(page.screenshot(animations="disabled")))
        print(f"{self._number}. {words}", flush=True)

    def expect_status(self, status: str) -> None:
        badge = self.page.locator("#head [data-status]").first
        expect(badge).to_have_attribute("data-status", status, timeout=PATIENCE_MS)

    def walk(self) -> None:
        """The whole way."""
        sign_up(self)
        first_experiment(self)
        first, second = watch(self)
        overrule(self, first)
        if self.plan.is_endless:  # the other seed has had its slot meanwhile
            stop(self, second)
        see_it_count(self, first)
        if self.plan.is_endless:
            stop(self, first)
        second_experiment(self, first)
        compare(self)
        share(self)


def sign_up(way: Journey) -> None:
    page = way.page
    page.goto(way.site)
    page.get_by_role("link", name="Create an account").click()
    password = secrets.token_urlsafe(12)
    page.get_by_label("Email").fill(f"newcomer-{secrets.token_hex(4)}@example.org")
    for entry in page.locator("input[type=password]").all():
        entry.fill(password)
    page.get_by_role("button", name="Create the account").click()
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()
    way.shoot("Signed up: Home says what to do first")


def compose(way: Journey, judge: str, *, name: str, steps: int, seeds: int) -> None:
    """Choose the judge in the drawing, the seeds and a name, and launch."""
    page = way.page
    page.locator("#node-judge").click()
    page.locator("#f-method-judge-kind").select_option(judge)
    if way.plan.settings:
        page.get_by_label("All settings").check(force=True)
    page.get_by_role("group", name="Show the settings as").get_by_text("Form", exact=True).click()
    for place, value in {"f-name": name, "f-steps": str(steps), **way.plan.settings}.items():
        page.locator(f"#{place}").fill(value)
    if seeds > 1:
        page.locator("#seeds").fill(str(seeds))
    expect(page.locator("#compose-check")).to_contain_text("ready to launch")
    page.get_by_role("group", name="Show the settings as").get_by_text("Drawing", exact=True).click()


def first_experiment(way: Journey) -> None:
    page = way.page
    page.locator(".guide__step").first.get_by_role("link").click()
    page.get_by_role("link", name="Starter demo").first.click()
    compose(way, "frozen", name="Frozen judge", steps=way.plan.steps, seeds=2)
    way.shoot("Composed: a frozen judge, two seeds, the cost beside it")
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url("**/experiments/**")


def watch(way: Journey) -> tuple[str, str]:
    """Open the run of the first seed and wait until it learns; gives the addresses of both runs."""
    page = way.page
    runs = page.locator("a[href^='/runs/']").filter(has_text=re.compile(r"\d"))
    first, second = (f"{way.site}{runs.nth(place).get_attribute('href')}" for place in (-1, 0))
    page.goto(first)
    page.wait_for_selector("#sample-list summary", timeout=PATIENCE_MS)
    page.wait_for_selector("[data-plot].js-plotly-plot")
    if way.out:
        page.wait_for_timeout(4000)  # for curves worth a picture
    way.shoot("Watched: curves, questions, answers and verdicts as they come")
    return first, second


def overrule(way: Journey, run: str) -> None:
    """Pause to read in peace, then answer the most disputed verdict against the judge."""
    page = way.page
    page.get_by_role("button", name="Pause").click()
    way.expect_status("paused")
    page.goto(f"{way.site}/review/?of={run.rstrip('/').rpartition('/')[2]}")
    expect(page.locator(".ask")).to_be_visible()
    way.shoot("Reviewed: the most instructive verdict first, the judge hidden")
    page.get_by_text("Show the judge before I answer").click()
    expect(page.get_by_role("button", name="Overrule")).to_be_visible()
    page.keyboard.press("2")
    expect(page.locator(".ask .notice")).to_contain_text("overruled the judge")
    way.shoot("Overruled: the page says what becomes of it")


def see_it_count(way: Journey, run: str) -> None:
    """Let the run go on, and see the reward change and which update learnt from it."""
    page = way.page
    page.goto(run)
    page.get_by_role("button", name="Resume").click()
    page.goto(f"{run}#steer")
    counted = re.compile(r"The reward went from \S+ to \S+ and reached the update of step \d+")
    expect(page.locator("#steer")).to_contain_text(counted, timeout=PATIENCE_MS)
    way.shoot("On the run: the order, and the update that learnt from it")


def stop(way: Journey, run: str) -> None:
    """Stop a run that has told something."""
    page = way.page
    page.goto(run)
    page.wait_for_selector("#sample-list summary", timeout=PATIENCE_MS)
    page.get_by_role("button", name="Stop").click()
    way.expect_status("cancelled")


def second_experiment(way: Journey, run: str) -> None:
    page = way.page
    page.goto(run)
    page.get_by_role("link", name="Clone").click()
    compose(way, "verifier", name="Verifier", steps=way.plan.verifier_steps, seeds=1)
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url("**/runs/**")
    way.expect_status("succeeded")


def compare(way: Journey) -> None:
    page = way.page
    page.goto(f"{way.site}/runs/")
    addresses = {link.get_attribute("href") for link in page.locator("a[href^='/runs/']").all()}
    runs = [href.strip("/").rpartition("/")[2] for href in sorted(a for a in addresses if a and a.count("-") == 4)]
    page.goto(f"{way.site}/compare/?" + "&".join(f"run={run}" for run in runs))
    page.wait_for_selector(".js-plotly-plot")
    expect(page.get_by_role("heading", name="More than noise?")).to_be_visible()
    if way.out:
        page.wait_for_timeout(2000)
    way.shoot("Compared: mean and band of the seeds, and whether it is more than noise")


def share(way: Journey) -> None:
    page = way.page
    page.get_by_role("button", name="Report").click()
    page.get_by_label("Title").fill("A frozen judge against a verifier")
    page.get_by_role("button", name="Save").last.click()
    page.get_by_role("button", name="Share").click()
    address = page.locator("#share-url").input_value()
    way.shoot("Reported: curves, scores, settings and passports under one title")
    stranger = way.browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    stranger.goto(address)
    expect(stranger.get_by_role("heading", name="A frozen judge against a verifier")).to_be_visible()
    way.shoot("Shared: read on a phone, without an account", stranger)
    stranger.context.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the installation answers")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    chromium = os.environ.get("KUMITE_CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        way = Journey(browser, options.url.rstrip("/"), Plan(), out=options.out)
        way.walk()
        browser.close()
    print(f"{time.monotonic() - begin:.0f} s; problems told by the browser: {way.problems or 'none'}")
    return 1 if way.problems else 0


if __name__ == "__main__":
    sys.exit(main())
