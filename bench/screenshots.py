"""Draws the product's pages anew into ``docs/screenshots``: ``python -m bench.screenshots`` while ``make demo`` runs.

Signs in to the installation under ``var/`` as its first operator, takes the run with the most events, and photographs
every page on a desktop and a phone, light and dark; the doctor where a run has something wrong with it. ``--only`` takes some of them.
"""

import argparse
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "screenshots"
WINDOWS = {"desktop": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
EVERYWHERE = [("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("phone", "dark")]
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def look_up(name: str) -> tuple[dict[str, str], str]:
    """Pages of this installation by name, and a session of its first operator; a sentence where there is nothing."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    import django
    from django.db import OperationalError

    django.setup()
    from django.test import Client

    from webapp.accounts.models import User
    from webapp.experiments.models import Run
    from webapp.telemetry.doctor import diagnose

    try:
        operator = User.objects.filter(is_staff=True, is_active=True).order_by("pk").first()
        runs = Run.objects.select_related("experiment__workspace").filter(last_seq__gt=0)
        run = runs.filter(experiment__name__icontains=name).order_by("-last_seq").first()
    except OperationalError:
        sys.exit("No installation runs here. Start one with 'make demo', let its run learn a while, then try again.")
    if operator is None or run is None:
        sys.exit("There is no run to show yet. Start 'make demo', let its run learn a while, then try again.")
    client = Client()
    client.force_login(operator, backend="allauth.account.auth_backends.AuthenticationBackend")
    sample = run.events.filter(kind="sample").order_by("-seq").values_list("seq", flat=True).first()
    pages = {
        "home": "/",
        "methods": "/methods/",
        "method": f"/methods/{run.experiment.method}/",
        "compose": "/compose/",
        "runs": "/runs/",
        "experiment": f"/experiments/{run.experiment_id}/",
        "run": f"/runs/{run.pk}/",
        "run-evaluation": f"/runs/{run.pk}/#evaluation",
        "run-checkpoints": f"/runs/{run.pk}/#checkpoints",
        "run-rewards": f"/runs/{run.pk}/#rewards",
        "run-log": f"/runs/{run.pk}/#log",
        "run-spec": f"/runs/{run.pk}/#spec",
        "run-history": f"/runs/{run.pk}/#history",
        "sample": f"/runs/{run.pk}/samples/{sample}/",
        "fleet": "/fleet/",
        "workspace": f"/workspaces/{run.experiment.workspace.slug}/",
        "account": "/accounts/me/",
        "run-judge": f"/runs/{run.pk}/#judge",
        "review": "/review/",
        "library": "/library/",
        "library-checkpoints": "/library/checkpoints/",
        "library-datasets": "/library/datasets/",
        "notices": "/notices/",
        "reports": "/reports/",
        "passport": f"/runs/{run.pk}/passport/",
        "code": f"/runs/{run.pk}/code/",
    }
    ill = next((each for each in runs.order_by("-last_seq")[:40] if diagnose(each)), None)
    if ill is not None:
        pages["run-doctor"] = f"/runs/{ill.pk}/#doctor"
    return pages, client.cookies["sessionid"].value


def photograph(browser: Browser, site: str, pages: dict[str, str], session: str, out: Path) -> Iterator[Path]:
    for window, scheme in EVERYWHERE:
        context = browser.new_context(
            viewport=WINDOWS[window],  # type: ignore[arg-type]
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
            is_mobile=window == "phone",
            has_touch=window == "phone",
        )
        page = context.new_page()
        page.goto(f"{site}/accounts/login/")
        yield _shoot(page, out / f"sign-in-{window}-{scheme}.png")
        context.add_cookies([{"name": "sessionid", "value": session, "url": site}])
        for name, address in pages.items():
            page.goto("about:blank")  # an address that differs only behind # would not load anew
            page.goto(site + address)
            if name == "run":
                _let_it_draw(page)
            yield _shoot(page, out / f"{name}-{window}-{scheme}.png")
            if name == "run":
                _open_a_sample(page, is_phone=window == "phone")
                yield _shoot(page, out / f"run-sample-{window}-{scheme}.png")
        context.close()


def _let_it_draw(page: Page) -> None:
    page.wait_for_selector("#link[data-link=live]")
    page.wait_for_selector("[data-plot].js-plotly-plot")
    page.wait_for_timeout(1200)


def _open_a_sample(page: Page, *, is_phone: bool) -> None:
    if is_phone:
        page.locator(".live__switch label").nth(1).click()
    page.locator("#sample-list summary").first.click()
    page.wait_for_selector("#sample-list .turn")
    if is_phone:
        page.locator("#sample-list li").first.scroll_into_view_if_needed()


def _shoot(page: Page, path: Path) -> Path:
    expect(page.locator(".part-wait:visible")).to_have_count(0, timeout=60_000)  # tabs are read when they are opened
    page.wait_for_timeout(300)
    path.write_bytes(packed(page.screenshot(animations="disabled")))
    return path


def packed(png: bytes) -> bytes:
    """The same picture in fewer bytes: one image chunk at the highest compression, nothing that is not needed."""
    kept, image = [], b""
    for kind, data in _chunks(png):
        if kind == b"IDAT":
            image += data
        elif kind in {b"IHDR", b"PLTE", b"tRNS"}:
            kept.append(_chunk(kind, data))
    smaller = zlib.compress(zlib.decompress(image), 9)
    return b"".join([_PNG_HEAD, *kept, _chunk(b"IDAT", min(smaller, image, key=len)), _chunk(b"IEND", b"")])


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_PNG_HEAD)
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += 12 + length


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the installation answers")
    parser.add_argument("--run", default="", help="part of the experiment's name, where several have runs")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", nargs="+", default=[], metavar="PAGE", help="names of pages, as their pictures begin")
    options = parser.parse_args()
    pages, session = look_up(options.run)
    pages = {name: address for name, address in pages.items() if not options.only or name in options.only}
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    options.out.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("KUMITE_CHROMIUM", "/usr/bin/chromium")
    total = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for path in photograph(browser, options.url.rstrip("/"), pages, session, options.out):
            total += path.stat().st_size
            print(f"{path.name:36} {path.stat().st_size / 1024:7.0f} KiB")
        browser.close()
    print(f"{'together':36} {total / 1024:7.0f} KiB")


if __name__ == "__main__":
    main()
