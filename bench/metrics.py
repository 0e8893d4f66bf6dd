"""What metrics cost from the event to the screen: ``python -m bench.metrics``.

One run grows to ten metrics of a million points each, in a Postgres of its own. At every power of ten the ten lines are
asked for as the run page does, whole and zoomed, and the CPU time of the web process and of the server process of
Postgres is counted. Views should cost the same at every length; ingest counts the upkeep of the coarser levels. Then a
Chromium that knows nothing opens the run's page with all ten charts in its window, and zooms into a tenth of the run.
"""

import argparse
import json
import math
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench import browsing
from bench.figure import Line, Panel, write
from bench.live import site

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "metrics.json"
FIGURE = HERE.parent / "docs" / "metrics.svg"
NAMES = [f"bench/line_{place}" for place in range(10)]
BATCH = 1000
PIXELS = 600
VIEWS = 12
PAGES = 3
PAGE_S = 60.0
DRAWN = f"document.querySelectorAll('#curves .js-plotly-plot .js-line').length >= {len(NAMES)}"
ZOOM = """([first, last]) => {
    Plotly.relayout(document.querySelector(".js-plotly-plot"), { "xaxis.range[0]": first, "xaxis.range[1]": last });
}"""


class Meter:
    """CPU seconds of this process and of the Postgres process that serves it."""

    def __init__(self) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            self._server = psutil.Process(cursor.fetchone()[0])

    def read(self) -> float:
        theirs = self._server.cpu_times()
        return time.process_time() + theirs.user + theirs.system


def grow(run: Any, meter: Meter, first: int, last: int) -> float:
    """Store events ``first..last``; gives the CPU seconds that storing took."""
    from webapp.telemetry.services import store_events

    spent = 0.0
    for begin in range(first, last + 1, BATCH):
        text = json.dumps([event(seq) for seq in range(begin, min(begin + BATCH, last + 1))])
        before = meter.read()
        store_events(run_id=run.pk, token=1, attempt=1, events=json.loads(text))
        spent += meter.read() - before
    return spent


def event(seq: int) -> dict[str, Any]:
    values = {name: (seq * (31 + place)) % 9973 / 9973 for place, name in enumerate(NAMES)}
    return {"seq": seq, "kind": "metric", "step": seq, "t": 1769000000.0 + seq, "data": {"values": values}}


def view(client: Any, run: Any, meter: Meter, **window: int) -> tuple[float, int]:
    """CPU seconds and bytes of one answer with all lines."""
    before = meter.read()
    answer = client.get(
        f"/runs/{run.pk}/series/", {"name": NAMES, "pixels": PIXELS, **window}, HTTP_ACCEPT_ENCODING="gzip"
    )
    assert answer.status_code == 200
    return meter.read() - before, len(answer.content)


def open_page(url: str, run: Any, session: str, length: int) -> dict[str, float]:
    """What the run's page costs the browser until it rests, and a zoom into a tenth of the run after that."""
    with browsing.tab(height=2600, cookies=[{"name": "sessionid", "value": session, "url": url}]) as tab:
        tab.begin()
        tab.page.goto(f"{url}/runs/{run.pk}/", wait_until="commit")
        if not tab.rest(PAGE_S, until=DRAWN):
            raise RuntimeError(f"the page is not at rest after {PAGE_S:.0f} s: {tab.problems}")
        page, heap = tab.cost(), tab.heap_mb
        tab.begin()
        tab.page.evaluate(ZOOM, [int(0.45 * length), int(0.55 * length)])
        tab.rest(PAGE_S)
        zoom = tab.cost()
    assert not tab.problems, tab.problems
    opened = {"page_cpu_s": page["browser_cpu_s"], "page_kb": page["bytes"] / 1000, "page_heap_mb": heap}
    return opened | {"page_zoom_cpu_s": zoom["browser_cpu_s"], "page_zoom_kb": zoom["bytes"] / 1000}


def measure(largest: int, url: str) -> list[dict[str, float]]:
    from django.test import Client

    from webapp.accounts.models import User
    from webapp.external.services import begin_external_run
    from webapp.workspaces.services import create_workspace

    ada = User.objects.create_user("ada@example.org")
    workspace = create_workspace(name="Bench", owner=ada)
    run = begin_external_run(actor=ada, workspace=workspace, project="Metrics", key="bench")
    client, meter, rng = Client(), Meter(), random.Random(1)
    client.force_login(ada)
    view(client, run, meter)
    rows, stored = [], 0
    length = 1000
    while length <= largest:
        spent = grow(run, meter, stored + 1, length)
        views = [view(client, run, meter) for _ in range(VIEWS)]
        zooms = []
        for _ in range(VIEWS):
            width = int(length * 10 ** -rng.uniform(0, 3)) + 10
            begin = rng.randrange(max(1, length - width))
            zooms.append(view(client, run, meter, x_from=begin, x_to=begin + width))
        session = client.cookies["sessionid"].value
        pages = [open_page(url, run, session, length) for _ in range(PAGES)]
        row = {
            "points": length * len(NAMES),
            "ingest_points_per_cpu_s": (length - stored) * len(NAMES) / spent,
            "view_cpu_ms": 1000 * sorted(cost for cost, _ in views)[VIEWS // 2],
            "zoom_cpu_ms": 1000 * sorted(cost for cost, _ in zooms)[VIEWS // 2],
            "worst_zoom_cpu_ms": 1000 * max(cost for cost, _ in zooms),
            "view_kb": views[0][1] / 1000,
            **{key: sorted(one[key] for one in pages)[PAGES // 2] for key in pages[0]},
        }
        print("  ".join(f"{key} {value:,.1f}" for key, value in row.items()), flush=True)
        rows.append(row)
        stored, length = length, length * 10
    return rows


def client_cost(calls: int = 20_000) -> float:
    """CPU microseconds of one call of ``kumite.log`` with ten values, its thread's work with it, while no server answers."""
    from kumite.recorder import Recorder, Target

    values = {name: 0.5 + place for place, name in enumerate(NAMES)}
    with tempfile.TemporaryDirectory() as folder:
        target = Target(url="http://127.0.0.1:9", token="none")
        recorder = Recorder(target, {"project": "bench"}, folder=folder)
        before = time.process_time()
        for step in range(calls):
            recorder.log(values, step)
        recorder.finish(timeout_s=0.1)
        return 1e6 * (time.process_time() - before) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000, help="length of the run at the end")
    parser.add_argument(
        "--save", action="store_true", help=f"record the figures in {RESULTS.name} and draw {FIGURE.name}"
    )
    options = parser.parse_args()
    os.environ |= {"KUMITE_ALLOWED_HOSTS": "testserver,127.0.0.1", "DJANGO_ALLOW_ASYNC_UNSAFE": "true"}
    with tempfile.TemporaryDirectory(prefix="kumite-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        with site(folder) as url:
            rows = measure(options.steps, url)
        call_us = client_cost()
        print(f"client call {call_us:.1f} us")
    if options.save:
        found = {"cores": os.cpu_count(), "pixels": PIXELS, "client_call_cpu_us": call_us, "rows": rows}
        RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        draw(rows)


def draw(rows: list[dict[str, float]]) -> None:
    """Cost of a view and rate of ingest over the points there are, by powers of ten."""
    blue, orange = "#0072b2", "#d55e00"

    def line(key: str, colour: str, dash: str = "", scale: float = 1.0) -> Line:
        return Line(
            points=[(math.log10(row["points"]) - 4, row[key] * scale) for row in rows], colour=colour, dash=dash
        )

    views = [line("view_cpu_ms", blue), line("zoom_cpu_ms", orange, "5 3")]
    seen = [("whole run, ten lines", blue, ""), ("zoom, ten lines", orange, "5 3")]
    stored = [line("ingest_points_per_cpu_s", blue, scale=1e-3)]
    panels = [
        Panel(title="CPU milliseconds of a view", lines=views, legend=seen, top=None),
        Panel(
            title="CPU seconds of the browser",
            lines=[line("page_cpu_s", blue), line("page_zoom_cpu_s", orange, "5 3")],
            legend=[("opening the page", blue, ""), ("zoom", orange, "5 3")],
            top=None,
        ),
        Panel(
            title="Thousand points stored a CPU-s",
            lines=stored,
            legend=[("with coarser levels", blue, "")],
            top=None,
        ),
    ]
    description = "What ten lines cost the server and the browser, and how fast points are stored, over the number of points in the run."
    write(FIGURE, panels, x_label="points in the run: 10,000 and so many zeros more", description=description)


if __name__ == "__main__":
    main()
