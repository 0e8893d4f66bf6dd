"""Every page there is, in light on a desktop and in dark on a phone: no axe violation, no console error, no report of the
content security policy, no sideways scroll.

Pages are found through the table of permissions, which knows every address of the site: whatever answers ada with a whole
document is walked. A page without a row there fails the table's own test.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import NoReverseMatch, get_resolver, reverse
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE, Visit
from tests.factories import mae_events, make_experiment, make_run, tell, with_a_lenient_judge
from tests.webapp.test_permissions import ROWS, address_of, all_addresses
from tests.world import make_world
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.fleet.folders import run_folder
from webapp.library.datasets import save_dataset
from webapp.notices.choices import NoticeKind
from webapp.notices.models import Notice
from webapp.telemetry.tabs import TABS
from webapp.workspaces.models import Workspace

STATES = (
    "/runs/?view=tree",
    "/runs/?q=nothing",
    "/runs/RUN/?at=2",
    "/runs/OUTSIDE/",
    "/admin/",
    "/admin/experiments/run/",
    "/admin/experiments/run/RUN/change/",
    "/admin/accounts/user/add/",
)
"""Looks that a page has beside that of its row in the table, and some of the admin."""
PARTS = 3
"""So that no test takes long, and several are at work at once."""
LOOKS: tuple[tuple[Any, Any, tuple[str, ...]], ...] = (
    ("light", DESKTOP, ()),
    ("dark", PHONE, ("color-contrast", "scrollable-region-focusable", "target-size")),
)
"""Scheme, window and the rules of axe that can tell another thing than in the look before."""
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
WIDEST = """[...document.querySelectorAll('body *')]
    .filter((part) => part.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map((part) => part.outerHTML.slice(0, 120)).slice(0, 5)"""


@pytest.fixture
def world(ada: User, ben: User, workspace: Workspace, settings: Any, tmp_path: Path) -> dict[str, Any]:
    """One of everything, with what makes pages long: notices, versions, checkpoints, runs in every state."""
    settings.ARTIFACTS_DIR, settings.DATA_DIR = tmp_path / "artifacts", tmp_path / "data"
    world = make_world(ada=ada, ben=ben, workspace=workspace)
    run = Run.objects.get(pk=world["run"])
    run_folder(run.pk).joinpath("checkpoints").mkdir(parents=True)
    tell(
        run,
        [
            {**event, "seq": event["seq"] + run.last_seq}
            for event in with_a_lenient_judge(mae_events(40, seed=1), after=20)
        ],
    )
    for step in (10, 20, 30):
        folder = run_folder(run.pk) / "checkpoints" / f"step-{step:06d}"
        folder.mkdir()
        (folder / "manifest.json").write_text("{}")
    for lines in (b'{"question": "2+3", "answer": "5"}\n', b'{"question": "2+4", "answer": "6"}\n'):
        save_dataset(actor=ada, workspace=workspace, name="Sums of two", chunks=[lines], note="by hand")
    for number, kind in enumerate(NoticeKind.values * 3):
        told = {
            "title": f"Something {kind} happened to a run with a long name",
            "text": "What it means and what to do. " * 4,
        }
        Notice.objects.create(user=ada, kind=kind, url=f"/runs/{run.pk}/", run=run, key=str(number), **told)
    make_run(
        make_experiment(workspace, ada, name="Judge <b>gone</b> wrong " * 4),
        "failed",
        failure_text="The judge fell asleep.",
    )
    make_run(make_experiment(workspace, ada, name="x" * 110), "queued")
    ada.is_staff = ada.is_superuser = True
    ada.save()
    return world


def whole_pages(addresses: Iterable[str], client: Client) -> list[str]:
    """Those that answer with a whole document: no part of a page, no file, no redirect."""
    answers = [(address, client.get(address)) for address in dict.fromkeys(addresses)]
    return [address for address, answer in answers if _is_document(answer)]


def _is_document(answer: Any) -> bool:
    is_page = answer.status_code == 200 and not answer.streaming and not answer.headers.get("Content-Disposition")
    return is_page and answer.content.lstrip()[:9].lower() == b"<!doctype"


def addresses_of(world: dict[str, Any]) -> list[str]:
    """One of each name in the table, and what other packages and single pages add."""
    rows = {row.name: row for row in ROWS if row.verb == "get" and (row.ada == 200 or row.name == "fleet")}
    named = [address_of(row, world) for row in rows.values() if not row.name.startswith("api_")]
    keys = {"RUN": str(world["run"]), "OUTSIDE": str(world["outside"])}
    states = [re.sub("RUN|OUTSIDE", lambda key: keys[key[0]], state) for state in STATES]
    return [*named, *_foreign(), *states]


def _foreign() -> Iterator[str]:
    """Pages of allauth that need no argument."""
    for _, entry in all_addresses(get_resolver()):
        if entry.callback.__module__.startswith("allauth."):
            try:
                yield reverse(str(entry.name))
            except NoReverseMatch:
                continue


def look_at(visit: Visit, within: str = "") -> list[str]:
    """What is wrong with the page, or a part of it, once it has settled."""
    page, told = visit.page, []
    for scheme, size, rules in LOOKS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size(size)
        visit.settle()
        where = f"{page.url} {within} ({scheme}, {size['width']} px)"
        told += [f"{where}: {found}" for found in visit.axe_findings(within, rules)]
    if not visit.wait_until(FITS):  # charts take the new width in their own time
        told.append(f"{page.url} {within} is wider than a phone: {page.evaluate(WIDEST)}")
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    told += [f"{page.url} {within}: {problem}" for problem in visit.problems]
    visit.problems.clear()
    return told


def walk(visit: Visit, addresses: Iterable[str]) -> list[str]:
    told: list[str] = []
    for address in addresses:
        visit.goto(address)
        told += look_at(visit)
    return told


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_is_accessible_clean_and_fits(visit: Visit, world: dict[str, Any], ada: User, part: int) -> None:
    client, anonymous = Client(), Client()
    client.force_login(ada)
    addresses = addresses_of(world)[part::PARTS]
    inside = whole_pages(addresses, client)
    outside = whole_pages([address for address in addresses if address not in inside], anonymous)
    assert inside
    assert walk(visit, outside) == []
    visit.sign_in(ada)
    assert walk(visit, inside) == []


def test_every_tab_of_a_run_is_accessible_clean_and_fits(visit: Visit, world: dict[str, Any], ada: User) -> None:
    page = visit.sign_in(ada).goto(f"/runs/{world['run']}/")
    page.locator("#sample-list summary").first.click()
    expect(page.locator("#sample-list .turn").first).to_be_visible()
    told = look_at(visit, "#live")
    for tab in TABS:
        page.locator(f"#tab-{tab.slug}").click()
        told += look_at(visit, f"#{tab.slug}")
    assert told == []
