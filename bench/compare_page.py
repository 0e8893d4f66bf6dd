"""What the Compare page costs: fifty runs, four charts, a thousand steps: ``python -m bench.compare_page``.

A Postgres of this benchmark holds fifty finished runs of ten settings, stored by the workers' own path. One Chromium opens the
page with all of them drawn as a line each, and once more as means over seeds. Counted are CPU seconds of every browser process
from the request to the last chart, bytes over the wire, the heap after a collection, CPU seconds of the web server, and what
goes over the wire while nothing changes.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

from bench import browsing
from bench.browsing import cpu_s
from bench.live import site
from bench.machine import describe

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "compare.json"
METRICS = ("reward/solver", "reward/proposer", "entropy/solver", "kl/policy")
IDLE_S = 30
SETTLE_MS = 1500


def make_runs(num_runs: int, steps: int, seeds: int) -> tuple[list[str], str]:
    """Runs of ``num_runs / seeds`` experiments that have told every metric at every step, and a session of their owner."""
    from django.test import Client
    from django.utils import timezone

    from training_core.spec.experiment import ExperimentSpec
    from webapp.accounts.models import User
    from webapp.experiments.models import Run
    from webapp.experiments.services import create_experiment, launch_run
    from webapp.telemetry.services import pack_metrics, store_events
    from webapp.workspaces.services import create_workspace

    ada = User.objects.create_user("ada@example.org")
    workspace = create_workspace(name="Bench", owner=ada)
    rng, ids = random.Random(1), []
    for number in range(num_runs // seeds):
        spec = ExperimentSpec(name=f"Setting {number}", steps=steps, method={"name": "mae"})
        experiment = create_experiment(actor=ada, workspace=workspace, spec=spec)
        for _ in range(seeds - 1):
            launch_run(actor=ada, experiment=experiment)
        for run in experiment.runs.all():
            held = {"status": "running", "lease_token": 1, "attempt": 1, "started_at": timezone.now()}
            Run.objects.filter(pk=run.pk).update(**held, lease_expires_at=timezone.now() + timedelta(hours=1))
            events = list(_events(rng, steps))
            for begin in range(0, len(events), 500):
                store_events(run_id=run.pk, token=1, attempt=1, events=events[begin : begin + 500])
            pack_metrics(run_id=run.pk, token=1)
            Run.objects.filter(pk=run.pk).update(status="succeeded", finished_at=timezone.now())
            ids.append(str(run.pk))
    client = Client()
    client.force_login(ada)
    return ids, client.cookies["sessionid"].value


def _events(rng: random.Random, steps: int) -> Iterator[dict[str, Any]]:
    level = dict.fromkeys(METRICS, 0.5)
    for step in range(1, steps + 1):
        level = {name: value + rng.gauss(0, 0.02) for name, value in level.items()}
        yield {"seq": step, "kind": "metric", "step": step, "t": 1.79e9 + step, "data": {"values": level}}


def _server() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "uvicorn" in " ".join(one.cmdline())]


ALL_DRAWN = """([charts, lines]) => {
    const drawn = [...document.querySelectorAll("[data-charts] .js-plotly-plot")];
    return drawn.length === charts && drawn.every((plot) => plot.querySelectorAll(".scatterlayer .js-line").length >= lines);
}"""


def open_page(url: str, session: str, query: str, num_lines: int) -> dict[str, Any]:
    """The page opened once by a browser that knows nothing of it."""
    server = _server()
    with browsing.tab(cookies=[{"name": "sessionid", "value": session, "url": url}]) as tab:
        server_before = cpu_s(server)
        tab.begin()
        tab.page.goto(f"{url}/compare/?{query}")
        tab.page.wait_for_function(ALL_DRAWN, arg=[len(METRICS), num_lines], timeout=300_000)
        tab.page.wait_for_timeout(SETTLE_MS)
        opened = tab.cost() | {"server_cpu_s": round(cpu_s(server) - server_before, 2), "heap_mb": tab.heap_mb}
        opened["megabytes"] = round(opened.pop("bytes") / 1e6, 3)
        tab.begin()
        tab.page.wait_for_timeout(IDLE_S * 1000)
        idle = tab.cost()
    return opened | {
        "idle_bytes_per_s": round(idle["bytes"] / IDLE_S, 1),
        "idle_browser_cpu_s": idle["browser_cpu_s"],
        "errors": tab.problems,
    }


def series_cost(url: str, session: str, ids: list[str]) -> dict[str, Any]:
    """One metric of all runs, asked for ten times: CPU seconds of the server and bytes, each time."""
    import urllib.request

    server = _server()
    query = urlencode([*(("run", run) for run in ids), ("metric", METRICS[0]), ("pixels", "250")])
    request = urllib.request.Request(f"{url}/compare/lines/?{query}", headers={"Cookie": f"sessionid={session}"})
    sizes, before = [], cpu_s(server)
    for _ in range(10):
        with urllib.request.urlopen(request) as answer:
            sizes.append(len(answer.read()))
    return {"server_cpu_s": round((cpu_s(server) - before) / 10, 3), "megabytes": round(max(sizes) / 1e6, 3)}


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    with site(folder) as url:
        ids, session = make_runs(options.runs, options.steps, options.seeds)
        named = [*(("run", run) for run in ids), ("all", "1"), *(("metric", name) for name in METRICS)]
        load = os.getloadavg()[0]
        each = [open_page(url, session, urlencode([*named, ("by", "run")]), len(ids)) for _ in range(options.repeats)]
        means = [open_page(url, session, urlencode(named), len(ids) // options.seeds) for _ in range(options.repeats)]
        one_metric = series_cost(url, session, ids)
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python -m bench.compare_page --runs {options.runs} --steps {options.steps} --repeats {options.repeats}",
        "machine": describe() | {"load_before": round(load, 1)},
        "runs": options.runs,
        "steps": options.steps,
        "charts": len(METRICS),
        "every_run_a_line": each,
        "means_over_seeds": means,
        "series_of_one_metric": one_metric,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kumite-compare-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        result = measure(folder, options)
    print(json.dumps(result, indent=2))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if any(page["errors"] for page in (*result["every_run_a_line"], *result["means_over_seeds"])):
        sys.exit("the page reported errors")


if __name__ == "__main__":
    main()
