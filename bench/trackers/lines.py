"""The lines of the table that are measured: each asks one tracker one thing and gives its figures."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

from bench import browsing
from bench.trackers.base import COMPARED, LIVE, MILLION, ClientProcess, Tracker, Unavailable

STEPS, METRICS = 10_000, 10
RUNS, RUN_STEPS, CHARTS = 50, 1000, 4
TOLD_S = 8.0
"""Longer than this nobody tells a run where only the rate is asked for."""
MILLION_METRICS = 60
MILLION_FILL_S = 75.0
PAGE_S = 90.0
IDLE_S = 20.0
DRIPS, DRIP_S, LONG_DRIPS = 20, 1.2, 60
POLL_S = 0.05
WARM_UP_S = 60.0

Figures = dict[str, Any]


def told(tracker: Tracker, number: int) -> Figures:
    """A run told call by call: what a call costs its program, and what storing it costs everybody."""
    found = _told(tracker, f"calls-{number}", bulk=False)
    calls = found["steps"]
    figures: Figures = {
        "call_cpu_us": round(1e6 * found["cpu_s"] / calls, 1),
        "call_blocks_p50_us": round(found["call_p50_us"], 1),
        "call_blocks_p99_us": round(found["call_p99_us"], 1),
        "calls": calls,
        "points_per_cpu_s": _rate(found),
    }
    if tracker.has_bulk:
        figures["points_per_cpu_s"] = _rate(_told(tracker, f"bulk-{number}", bulk=True))
    return figures


def _told(tracker: Tracker, name: str, *, bulk: bool) -> Figures:
    with tracker.client() as client:
        client.run(
            "told", f"{name}-first", steps=20, metrics=METRICS, limit_s=TOLD_S, bulk=bulk
        )  # what loads at first use
        before = tracker.server_cpu_s()
        found = client.run("told", name, steps=STEPS, metrics=METRICS, limit_s=TOLD_S, bulk=bulk)
        return found | {"server_cpu_s": tracker.server_cpu_s() - before}


def _rate(found: Figures) -> int:
    return round(METRICS * found["steps"] / (found["cpu_s"] + found["server_cpu_s"]))


def query(tracker: Tracker) -> Figures:
    before = tracker.server_cpu_s()
    size, points = tracker.compare_query()
    return {"cpu_s": round(tracker.server_cpu_s() - before, 3), "kilobytes": round(size / 1000, 1), "points": points}


def compare(tracker: Tracker) -> Figures:
    """Four charts of all runs, until the browser rests."""
    return _opened(tracker, COMPARED, CHARTS)


def million(tracker: Tracker) -> Figures:
    """The page of a run of a million points, until the browser rests."""
    return _opened(tracker, MILLION, 2)


def _opened(tracker: Tracker, project: str, charts: int) -> Figures:
    server = tracker.server_cpu_s()
    with browsing.tab(height=1400, cookies=tracker.cookies) as tab:
        tab.begin()
        tab.page.goto(tracker.page(project), wait_until="commit")
        is_at_rest = tab.rest(PAGE_S, until=f"{tracker.draws} >= {charts}")
        cost = tab.cost()
        drawn = int(tab.page.evaluate(tracker.draws))
        return cost | {
            "server_cpu_s": round(tracker.server_cpu_s() - server, 2),
            "heap_mb": tab.heap_mb,
            "charts": drawn,
            "rests": is_at_rest,
        }


def fill_million(tracker: Tracker, known: Figures) -> None:
    """Store a run of a million points, unless what ``told`` found says that it takes too long."""
    needed_s = 1e6 / known["points_per_cpu_s"] if "points_per_cpu_s" in known else 0.0
    if needed_s > MILLION_FILL_S:
        raise Unavailable(f"storing a million points takes it {needed_s / 60:.1f} CPU-minutes")
    steps = -(-1_000_000 // MILLION_METRICS)
    with tracker.client() as client:
        how = {"metrics": MILLION_METRICS, "limit_s": 3 * MILLION_FILL_S, "bulk": tracker.has_bulk}
        done = client.run(MILLION, "long", steps=steps, **how)["steps"]
    if done < steps:
        raise Unavailable(f"it had stored {done:,} of {steps:,} steps after {3 * MILLION_FILL_S:.0f} s")


def live(tracker: Tracker) -> Figures:
    """A run that is being told: what its open page costs while nothing is new, and how long a value takes to be seen."""
    with tracker.client(BENCH_FLUSH="1") as client:
        run = str(client.ask(do="begin", project=LIVE, name="run")["id"])
        for step in range(3):
            client.ask(do="one", step=step, metrics=METRICS)
        _wait(tracker, run, step=2)
        with browsing.tab(height=1000, cookies=tracker.cookies) as tab:
            if tracker.before_page:
                tab.page.add_init_script(tracker.before_page)
            tab.page.goto(tracker.page(LIVE), wait_until="commit")
            tab.rest(PAGE_S / 2, until=f"{tracker.draws} >= 1")
            tab.begin()
            tab.page.wait_for_timeout(1000 * IDLE_S)
            idle = tab.cost()
            figures: Figures = {
                "idle_bytes_per_s": round(idle["bytes"] / IDLE_S),
                "idle_requests": idle["requests"],
                "idle_browser_cpu_s": idle["browser_cpu_s"],
            }
            if tracker.shown_step:
                tab.page.evaluate(_WATCH % tracker.shown_step)
            told_at, in_api = _drip(tracker, client, run, tab)
            figures |= {"api": _delays(told_at, in_api)}
            if tracker.shown_step:
                figures |= {"page": _delays(told_at, tab.page.evaluate("window.seenSteps"))}
        client.ask(do="end")
        return figures


_WATCH = """() => {
    window.seenSteps = [];
    let last = -1;
    const look = () => {
        const step = %s;
        if (step > last) {
            last = step;
            requestAnimationFrame(() => setTimeout(() => window.seenSteps.push([step, Date.now() / 1000])));
        }
        requestAnimationFrame(look);
    };
    look();
}"""
"""Notes when a step stands on the page: after the frame that follows its drawing."""


def _drip(
    tracker: Tracker, client: ClientProcess, run: str, tab: browsing.Tab
) -> tuple[dict[int, float], list[tuple[int, float]]]:
    """When each step was told, and when the API first told it; a page that renews itself seldom gets more steps."""
    told_at: dict[int, float] = {}
    in_api: list[tuple[int, float]] = []
    known = 2
    for step in range(3, 3 + (LONG_DRIPS if tracker.renews_seldom else DRIPS)):
        told_at[step] = client.ask(do="one", step=step, metrics=METRICS)["t"]
        until = time.time() + DRIP_S * (0.75 + 0.5 * (step * 7 % 10) / 10)
        while time.time() < until:
            if known < step and (last := tracker.last_step(run)) > known:
                known = last
                in_api.append((last, time.time()))
            tab.page.wait_for_timeout(1000 * POLL_S)
    until = time.time() + (35 if tracker.renews_seldom else 8)
    while time.time() < until and known < step:
        known = max(known, tracker.last_step(run))
        in_api.append((known, time.time()))
        tab.page.wait_for_timeout(1000 * POLL_S)
    tab.page.wait_for_timeout(1000 * max(0.0, until - time.time()))
    return told_at, in_api


def _delays(told_at: dict[int, float], seen: Sequence[Sequence[float]]) -> Figures:
    """From the call to the first sight of that step or a later one; what was never seen is counted apart."""
    firsts = [next((at for last, at in seen if last >= step), None) for step in told_at]
    delays = [at - told for at, told in zip(firsts, told_at.values(), strict=True) if at is not None]
    if len(delays) < 2:
        return {"seen": len(delays), "told": len(told_at)}
    cuts = statistics.quantiles(delays, n=100, method="inclusive")
    return {"p50_s": round(cuts[49], 2), "p95_s": round(cuts[94], 2), "seen": len(delays), "told": len(told_at)}


def _wait(tracker: Tracker, run: str, *, step: int) -> None:
    until = time.time() + WARM_UP_S
    while tracker.last_step(run) < step:
        if time.time() > until:
            raise TimeoutError(f"its server did not tell the first steps within {WARM_UP_S:.0f} s")
        time.sleep(0.2)
