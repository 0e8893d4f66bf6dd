"""What a tracker must answer to be measured: how it is installed, fed, served, asked and opened in a browser."""

import json
import os
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import httpx
import psutil

from bench.browsing import cpu_s

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "bench" / "trackers" / "clients"
INSTALL_S, START_S, ANSWER_S = 900, 120, 180
COMPARED, LIVE, MILLION = "compared", "live", "million"
"""Projects: many runs to compare, one run that is being told, one run with a million points."""


class Unavailable(Exception):
    """This tracker cannot be measured here, and why."""


def cache_folder() -> Path:
    """Where the peers' environments are kept, outside the repository and Kumite's own environment."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "kumite-bench"


def metric(place: int) -> str:
    """As the clients name it, see ``clients/workload.py``."""
    return f"group_{place // 4}/metric_{place % 4}"


class Tracker(ABC):
    """One tracker with data of its own under ``folder``; ``serve`` before asking it anything."""

    name: ClassVar[str]
    pins: ClassVar[tuple[str, ...]]
    """What pip installs."""
    commands: ClassVar[str]
    """What a person types until the first live chart."""
    has_bulk: ClassVar[bool] = False
    """Whether many steps at once go a faster way than the call of a training loop."""
    draws: ClassVar[str]
    """JavaScript: how many charts of the page hold lines."""
    shown_step: ClassVar[str] = ""
    """JavaScript: the last step a chart of the live page shows; empty where the page does not renew itself."""
    before_page: ClassVar[str] = ""
    """A script the live page needs so that ``shown_step`` can be told."""
    renews: ClassVar[str]
    """In words: how an open page learns of news."""
    renews_seldom: ClassVar[bool] = False
    """Whether it takes a page more than a few seconds to ask again."""
    remarks: ClassVar[Mapping[str, str]] = {}
    """By line of the table: what has to be said about the figure, or why there is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.slug
        self.folder.mkdir(parents=True)
        self.url = ""
        self.servers: list[psutil.Process] = []
        self.http = httpx.Client(timeout=ANSWER_S, headers={"Accept-Encoding": "gzip"})

    @property
    def slug(self) -> str:
        return self.name.lower()

    # -- environment

    @property
    def home(self) -> Path:
        return cache_folder() / self.slug

    @property
    def python(self) -> str:
        return str(self.home / "bin" / "python")

    def install(self) -> None:
        """Its own environment with exactly these versions; what is there already stays."""
        stamp = self.home / "pins.txt"
        wanted = "\n".join(self.pins)
        if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
            return
        print(f"installing {self.name} into {self.home}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(self.home)], check=True)
        pip = [
            str(self.home / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            *self.pins,
        ]
        done = subprocess.run(pip, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            raise Unavailable(f"pip could not install it: {done.stderr.strip().splitlines()[-1]}")
        stamp.write_text(wanted, encoding="utf-8")

    def footprint(self) -> dict[str, Any]:
        """Megabytes and packages of the environment, pip and its friends not counted."""
        site = next((self.home / "lib").glob("python3*/site-packages"))
        own = ("pip", "setuptools", "_distutils_hack", "__pycache__")
        sizes = (
            path.lstat().st_size
            for entry in site.iterdir()
            if entry.name.partition("-")[0] not in own
            for path in ([entry] if entry.is_file() else entry.rglob("*"))
        )
        packages = [path for path in site.glob("*.dist-info") if path.name.partition("-")[0] not in own]
        return {"megabytes": round(sum(sizes) / 1e6), "packages": len(packages)}

    @property
    def version(self) -> str:
        return self.pins[0].partition("==")[2]

    @property
    def environment(self) -> dict[str, str]:
        """What its processes need to know beside what they inherit."""
        return {}

    # -- client

    @contextmanager
    def client(self, **more: str) -> Iterator["ClientProcess"]:
        """A process of its own that tells numbers."""
        client = ClientProcess([self.python, str(CLIENTS / f"to_{self.slug}.py")], self.env(**more), self.folder)
        try:
            yield client
        finally:
            client.stop()

    def env(self, **more: str) -> dict[str, str]:
        quiet = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "PYTHONWARNINGS": "ignore"}
        return {**os.environ, **quiet, **self.environment, **more}

    # -- server

    def open(self) -> None:
        """Install it, and start what a client must find before it can tell anything."""
        self.install()

    @abstractmethod
    def serve(self) -> None:
        """Start what answers browsers."""

    def start(self, argv: list[str], port: int) -> str:
        """A server that answers at this port; gives its address."""
        log = self.folder / "server.log"
        with log.open("ab") as file:
            server = subprocess.Popen(
                argv, env=self.env(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        self.servers.append(psutil.Process(server.pid))
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + START_S
        while time.monotonic() < until:
            if server.poll() is not None:
                raise Unavailable(f"its server ended: {_last_line(log)}")
            try:
                httpx.get(url, timeout=10)
            except httpx.HTTPError:
                time.sleep(0.2)
                continue
            return url
        raise Unavailable(f"its server did not answer within {START_S} s")

    def stop(self) -> None:
        self.http.close()
        family = self._processes()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        _, left = psutil.wait_procs(family, timeout=10)
        for process in left:
            process.kill()
        self.servers.clear()

    def server_cpu_s(self) -> float:
        """CPU seconds of its servers and of all they started."""
        return cpu_s(self._processes())

    def _processes(self) -> list[psutil.Process]:
        found = []
        for root in self.servers:
            with suppress(psutil.NoSuchProcess):
                found += [*root.children(recursive=True), root]
        return found

    def ask(self, method: str, url: str, **how: Any) -> httpx.Response:
        answer = self.http.request(method, url, **how)
        answer.raise_for_status()
        return answer

    # -- questions

    def fill(self, num_runs: int, steps: int, num_metrics: int) -> None:
        """The runs to compare."""
        with self.client() as client:
            for number in range(num_runs):
                client.run(COMPARED, f"run-{number:02d}", steps=steps, metrics=num_metrics, limit_s=600, bulk=True)

    @abstractmethod
    def compare_query(self) -> tuple[int, int]:
        """Ask once for one metric of all compared runs, as the page does: bytes over the wire and points in the answer."""

    @abstractmethod
    def page(self, project: str) -> str:
        """Address of the page with the charts of a project."""

    @abstractmethod
    def last_step(self, run: str) -> int:
        """The last step the server tells of the live run, which its client calls so; -1 before the first."""

    @property
    def cookies(self) -> list[dict[str, str]]:
        return []


class ClientProcess:
    """A process that tells numbers, see ``clients/workload.py``."""

    def __init__(self, argv: list[str], env: Mapping[str, str], cwd: Path) -> None:
        self._log = cwd / "client.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, env=dict(env), cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self._answer()

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps(order) + "\n").encode())
        self._process.stdin.flush()
        return self._answer()

    def run(self, project: str, name: str, *, steps: int, metrics: int, limit_s: float, bulk: bool) -> dict[str, Any]:
        how = {"steps": steps, "metrics": metrics, "limit_s": limit_s, "bulk": bulk}
        return self.ask(do="run", project=project, name=name, **how)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Unavailable(f"its client ended: {_last_line(self._log)}")
        found: dict[str, Any] = json.loads(line)
        return found

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")[:300]
