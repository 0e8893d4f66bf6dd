"""How fast and how faithfully a run's events reach those who watch: ``python -m bench.live``.

A writer process appends events to ``events.jsonl`` as a training process does, the workers' own relay moves them to a
Postgres of this benchmark, a real ASGI server sends them to 20 websockets and to one Chromium. Every viewer keeps what it
holds by the rules of the page's script; 20 times a random one loses its connection, and one of them stays away for a while. At
the end each must hold exactly what the database holds. Latency counts from the time the writer put into the event to the arrival
at the socket, and in the browser to the frame after the one in which the line stands in the document. The server's memory is
read every five seconds; it is flat if the last third of the time needs no more than the one before. A second page, Home, lies
open meanwhile: what it receives is counted, and what the run page receives once nothing is written any more.

    python -m bench.live                                                      one minute
    python -m bench.live --minutes 10                                         the soak
    python -m bench.live --viewers 200 --steps-per-s 5 --minutes 10 --out bench/results/live_200.json     200 viewers, 20 events/s
"""

import argparse
import asyncio
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import websockets

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "live.json"
SETTLE_S = 15.0
AWAY_S = 60.0
IDLE_S = 20.0
COME_S = 8.0
PER_PERSON = 50
"""Sockets that one person opens here; the server lets nobody have many more."""
MEMORY_EVERY_S = 5.0
SAMPLE_TURNS = 12


def write_events(path: Path, seconds: float, steps_per_s: float) -> int:
    """What the training process does: whole lines, flushed; a metric event, two samples and a log line a step."""
    rng, seq, step, end = random.Random(1), 0, 0, time.time() + seconds
    turn = {"role": "solver", "text": "Working: 12 + 30 = 42. <answer>42</answer> " * 4, "rewards": {"judge": 0.9}}
    with path.open("a", encoding="utf-8") as file:
        while time.time() < end:
            step += 1
            values = {f"reward_term/term_{n:02d}": rng.random() for n in range(30)}
            values |= {"reward/solver": rng.random(), "tokens/sampled_per_s": 5000.0}
            data: list[tuple[str, dict[str, Any]]] = [("metric", {"values": values})]
            for n in range(2):
                title = f"What is {step} + {n}?"
                data.append(("sample", {"episode": f"{step}-{n}", "title": title, "turns": [turn] * SAMPLE_TURNS}))
            data.append(("log", {"level": "info", "text": f"tick {step}"}))
            for kind, body in data:
                seq += 1
                file.write(json.dumps({"seq": seq, "kind": kind, "step": step, "t": time.time(), "data": body}) + "\n")
            file.flush()
            time.sleep(1 / steps_per_s * rng.uniform(0.7, 1.3))
    return seq


class Viewer:
    """One page: what it holds, how late it came, how often it was cut off."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.url, self.headers = url, headers
        self.held, self.attempt = array("q"), 0
        self.delays_s = array("d")
        self.catch_up_s: list[float] = []
        self.return_s: list[float] = []
        """How long it took to hold what the others held, counted from when the network was back."""
        self.away_s = 0.0
        self.missed = 0
        self.others: list[Viewer] = []
        self.num_cuts = self.num_wrong = self.num_bytes = 0
        self.connection: Any = None

    async def watch(self) -> None:
        """Follow for ever; come back after every loss, as the script does, with a jittered wait. People do not come all at once."""
        await asyncio.sleep(random.uniform(0, COME_S))
        while True:
            if self.away_s:
                await asyncio.sleep(self.away_s)
                self.missed = max(len(each.held) for each in self.others)
            after, lost_at = self.held[-1] if self.held else 0, time.time()
            try:
                async with websockets.connect(
                    f"{self.url}?after={after}&attempt={self.attempt}",
                    additional_headers=self.headers,
                    max_size=None,
                    open_timeout=60,
                ) as self.connection:
                    await self._follow(lost_at)
            except (OSError, websockets.WebSocketException):
                await asyncio.sleep(0.5 * random.uniform(0.5, 1.5))

    async def _follow(self, lost_at: float) -> None:
        is_live = False
        async for text in self.connection:
            now, self.num_bytes = time.time(), self.num_bytes + len(text)
            message = json.loads(text)
            if message["type"] == "reset":
                self.held = array("q", (seq for seq in self.held if seq <= message["after"]))
            if message["type"] != "events":
                continue
            for event in message["events"]:
                self.num_wrong += event["seq"] != (self.held[-1] if self.held else 0) + 1
                self.held.append(event["seq"])
                self.attempt = event["attempt"]
                if is_live:
                    self.delays_s.append(now - event["t"])
            if not is_live and self.num_cuts:
                self.catch_up_s.append(now - lost_at)
            is_live = True
            if self.away_s and len(self.held) >= self.missed:
                self.return_s.append(now - lost_at)
                self.away_s = 0.0

    async def cut(self, away_s: float = 0.0) -> None:
        """The network goes away without a word."""
        if self.connection is not None:
            self.num_cuts += 1
            self.away_s = away_s
            self.connection.transport.abort()


class Memory(threading.Thread):
    """The resident memory of the ASGI server, in MiB, as time goes by."""

    def __init__(self) -> None:
        super().__init__(name="memory", daemon=True)
        below = psutil.Process().children(recursive=True)
        self.server = next(each for each in below if "uvicorn" in each.cmdline())
        self.is_over, self.mib = threading.Event(), list[float]()
        self.cpu_s = 0.0

    def run(self) -> None:
        begin = sum(self.server.cpu_times()[:2])
        while not self.is_over.wait(MEMORY_EVERY_S):
            self.mib.append(round(self.server.memory_info().rss / 2**20, 1))
        self.cpu_s = sum(self.server.cpu_times()[:2]) - begin

    def told(self) -> dict[str, Any]:
        """The series, and by how much the mean of its last third is above that of the third before."""
        third = len(self.mib) // 3
        found: dict[str, Any] = {"mib": self.mib, "every_s": MEMORY_EVERY_S, "cpu_s": round(self.cpu_s, 1)}
        if third:
            before, last = statistics.fmean(self.mib[-2 * third : -third]), statistics.fmean(self.mib[-third:])
            found["growth_of_last_third"] = round(last / before - 1, 4)
        return found


class Relaying(threading.Thread):
    """The supervisor's relay loop, as in ``workers.supervisor``."""

    def __init__(self, claim: Any, path: Path) -> None:
        super().__init__(name="relay", daemon=True)
        from workers.relay import Relay

        self.relay, self.is_over = Relay(claim, path), threading.Event()

    def run(self) -> None:
        from django.db import connection

        from webapp.fleet import timing

        while not self.is_over.wait(timing.RELAY_S):
            self.relay.pump()
        self.relay.finish()
        connection.close()


@dataclass
class Browsed:
    """What the browser saw: lines with the time, errors, bytes per second."""

    seen: list[Any] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    wire: dict[str, float] = field(default_factory=dict)


class Wire:
    """What a page receives, as the browser's own debugger counts it; messages of sockets by their length before packing."""

    def __init__(self, session: Any) -> None:
        self.num_bytes = 0
        session.send("Network.enable")
        session.on("Network.loadingFinished", lambda event: self._add(event["encodedDataLength"]))
        session.on("Network.webSocketFrameReceived", lambda event: self._add(len(event["response"]["payloadData"])))

    def _add(self, num_bytes: float) -> None:
        self.num_bytes += int(num_bytes)


def browse(url: str, session: str, until: threading.Event, found: "Browsed") -> None:
    """One Chromium on the run's log, and on Home; notes when each line could be seen, and what came over the wire."""
    from playwright.sync_api import sync_playwright

    watch_lines = """() => {
        window.seen = [];
        new MutationObserver((records) => requestAnimationFrame(() => setTimeout(() => {
            for (const { addedNodes } of records) for (const node of addedNodes) {
                window.seen.push([node.textContent, Date.now()]);
            }
        }))).observe(document.getElementById("log-list"), { childList: true });
    }"""
    with sync_playwright() as playwright:
        chromium = os.environ.get("KUMITE_CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": "sessionid", "value": session, "url": url.partition("/runs/")[0]}])
        page = context.new_page()
        page.on("pageerror", lambda error: found.problems.append(str(error)))
        page.on("console", lambda said: found.problems.append(said.text) if said.type == "error" else None)
        page.goto(f"{url}#log")
        page.wait_for_selector("#link[data-link=live]")
        page.evaluate(watch_lines)
        home = context.new_page()
        home.goto(url.partition("/runs/")[0])
        home.wait_for_timeout(2000)
        at_home, at_run = Wire(context.new_cdp_session(home)), Wire(context.new_cdp_session(page))
        begin = time.time()
        page.bring_to_front()
        while not until.wait(0.2):
            page.wait_for_timeout(200)
        moving_s, moved = time.time() - begin, at_home.num_bytes
        page.wait_for_timeout(1000)
        quiet = at_run.num_bytes
        page.wait_for_timeout(IDLE_S * 1000)
        found.wire["home_while_the_run_moves"] = round(moved / moving_s)
        found.wire["run_page_idle"] = round((at_run.num_bytes - quiet) / IDLE_S)
        found.seen.extend((text, at_ms / 1000) for text, at_ms in page.evaluate("window.seen"))
        browser.close()


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Postgres, Redis and the ASGI server of this benchmark; gives the site's address."""
    from webapp.embedded import EmbeddedPostgres, EmbeddedRedis

    with ExitStack() as stack:
        for server in (EmbeddedPostgres(folder), EmbeddedRedis(folder)):
            server.start()
            stack.callback(server.stop)
            os.environ["DATABASE_URL" if isinstance(server, EmbeddedPostgres) else "REDIS_URL"] = server.url
        os.environ |= {
            "KUMITE_VAR": str(folder),
            "KUMITE_LOG_LEVEL": "WARNING",
            "KUMITE_STATIC_ROOT": str(folder / "s"),
        }
        os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("collectstatic", verbosity=0, interactive=False)
        port = _free_port()
        argv = [sys.executable, "-m", "uvicorn", "webapp.asgi:application", "--port", str(port)]
        web = subprocess.Popen([*argv, "--no-access-log", "--log-level", "warning"], cwd=ROOT)
        stack.callback(web.wait)
        stack.callback(web.terminate)
        _wait_for(port)
        yield f"http://127.0.0.1:{port}"


def make_run(num_people: int = 1) -> tuple[Any, list[str]]:
    """A run at work with its lease, and the sessions of those who may watch it."""
    from django.test import Client
    from django.utils import timezone

    from training_core.spec.experiment import ExperimentSpec
    from webapp.accounts.models import User
    from webapp.experiments.models import Run
    from webapp.experiments.services import create_experiment
    from webapp.workspaces.models import Membership
    from webapp.workspaces.services import create_workspace

    people = [User.objects.create_user(f"viewer{number}@example.org") for number in range(num_people)]
    spec = ExperimentSpec(name="Live", steps=100_000, method={"name": "mae"})
    workspace = create_workspace(name="Bench", owner=people[0])
    Membership.objects.bulk_create(Membership(workspace=workspace, user=user) for user in people[1:])
    experiment = create_experiment(actor=people[0], workspace=workspace, spec=spec)
    experiment.runs.update(status="running", lease_token=1, attempt=1, started_at=timezone.now())
    sessions = []
    for user in people:
        client = Client()
        client.force_login(user)
        sessions.append(client.cookies["sessionid"].value)
    return Run.objects.get(experiment=experiment), sessions


async def soak(
    viewers: list[Viewer], writer: "subprocess.Popen[bytes]", seconds: float, num_cuts: int, is_complete: Any
) -> None:
    """Let everybody watch, cut random ones off at random moments, one for long, and wait until all hold everything."""
    rng = random.Random(2)
    watching = [asyncio.create_task(viewer.watch()) for viewer in viewers]
    begin = time.time()
    cuts = [(rng.uniform(0.05, 0.95) * seconds, rng.choice(viewers[1:] or viewers), 0.0) for _ in range(num_cuts)]
    cuts.append((0.3 * seconds, viewers[0], min(AWAY_S, 0.3 * seconds)))
    for moment, viewer, away_s in sorted(cuts, key=lambda cut: cut[0]):
        await asyncio.sleep(max(0, begin + moment - time.time()))
        await viewer.cut(away_s)
    while writer.poll() is None:
        await asyncio.sleep(0.2)
    deadline = time.time() + SETTLE_S
    while time.time() < deadline and not await asyncio.to_thread(is_complete):
        await asyncio.sleep(0.2)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    seconds = options.minutes * 60
    with site(folder) as url:
        from webapp.fleet.services import Claim
        from webapp.telemetry.models import Event

        run, sessions = make_run(1 + options.viewers // PER_PERSON)
        session = sessions[0]
        path = folder / "events.jsonl"
        claim = Claim(
            run_id=run.pk,
            token=1,
            attempt=1,
            spec=run.spec,
            gpu_uuids=(),
            last_seq=0,
            last_step=0,
            checkpoint_requests=0,
            seconds_used=0.0,
        )
        relaying, browser_over = Relaying(claim, path), threading.Event()
        found = Browsed()
        browser = threading.Thread(
            target=browse, args=(f"{url}/runs/{run.pk}/", session, browser_over, found), daemon=True
        )
        headers = [{"Cookie": f"sessionid={each}", "Origin": url} for each in sessions]
        socket_url = f"{url.replace('http', 'ws')}/ws/runs/{run.pk}/"
        viewers = [Viewer(socket_url, headers[number % len(headers)]) for number in range(options.viewers)]
        for viewer in viewers:
            viewer.others = viewers
        memory = Memory()
        memory.start()
        relaying.start()
        if options.browser:
            browser.start()
            time.sleep(8)  # the page is open before the first event
        load_before = os.getloadavg()
        argv = [sys.executable, "-m", "bench.live", "--write", str(path), "--minutes", str(options.minutes)]
        writer = subprocess.Popen([*argv, "--steps-per-s", str(options.steps_per_s)], cwd=ROOT)

        def stored() -> list[int]:
            return list(Event.objects.filter(run=run).order_by("seq").values_list("seq", flat=True))

        def is_complete() -> bool:
            num_written = sum(1 for _ in path.open("rb"))
            return all(len(viewer.held) == num_written for viewer in viewers)

        asyncio.run(soak(viewers, writer, seconds, options.disconnects, is_complete))
        memory.is_over.set()
        memory.join(30)
        relaying.is_over.set()
        relaying.join(30)
        browser_over.set()
        if options.browser:
            browser.join(60 + IDLE_S)
        everything = stored()
        written = {f"tick {e['step']}": e["t"] for e in map(json.loads, path.open()) if e["kind"] == "log"}
    delays = [delay for viewer in viewers for delay in viewer.delays_s]
    lines = [(text.rpartition("tick ")[2], at) for text, at in found.seen]
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python -m bench.live --minutes {options.minutes:g} --viewers {options.viewers} --steps-per-s {options.steps_per_s:g}",
        "machine": machine() | {"load_before": load_before, "load_after": os.getloadavg()},
        "minutes": options.minutes,
        "viewers": options.viewers,
        "events": len(everything),
        "events_per_s": round(len(everything) / seconds, 1),
        "socket": quantiles(delays) | {"arrivals": len(delays)},
        "browser": quantiles([at - written[f"tick {n}"] for n, at in lines if f"tick {n}" in written])
        | {"lines": len(lines), "errors": found.problems},
        "disconnects": sum(viewer.num_cuts for viewer in viewers),
        "catch_up": quantiles([one for viewer in viewers for one in viewer.catch_up_s]),
        "out_of_order_or_doubled": sum(viewer.num_wrong for viewer in viewers),
        "return_after_long_absence_s": [round(one, 3) for viewer in viewers for one in viewer.return_s],
        "viewers_equal_to_database": sum(list(viewer.held) == everything for viewer in viewers),
        "events_without_gap": everything == list(range(1, len(everything) + 1)),
        "server_memory": memory.told(),
        "bytes_per_s_of_open_pages": found.wire,
        "kilobytes_per_s_and_viewer": round(sum(v.num_bytes for v in viewers) / len(viewers) / seconds / 1000, 2),
    }


def quantiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    found = {"p50_s": cuts[49], "p95_s": cuts[94], "p99_s": cuts[98], "max_s": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


def machine() -> dict[str, Any]:
    model = next((line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the web server did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--disconnects", type=int, default=20)
    parser.add_argument("--steps-per-s", type=float, default=1.0)
    parser.add_argument("--browser", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write_events(options.write, options.minutes * 60, options.steps_per_s)
        return
    with tempfile.TemporaryDirectory(prefix="kumite-live-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        result = measure(folder, options)
    print(json.dumps(result, indent=2))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if result["viewers_equal_to_database"] != options.viewers or result["out_of_order_or_doubled"]:
        sys.exit("a viewer does not hold what the database holds")


if __name__ == "__main__":
    main()
