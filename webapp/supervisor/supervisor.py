"""Starts everything in order, tends it, and stops it in the opposite order."""

import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import psutil

from webapp.embedded import EmbeddedPostgres, EmbeddedRedis, EmbeddedServerError
from webapp.supervisor import programs
from webapp.supervisor.children import Child, Program, rotate_logs
from webapp.supervisor.progress import Progress

_TEND_EVERY_S = 0.5
_WEB_LIMIT_S = 90.0


class StopRequested(BaseException):
    """Ctrl-C, SIGTERM or a closed terminal; no error, so that nothing catches it by accident."""


class Supervisor:
    """``with Supervisor(...) as site: site.start_servers(); ...; site.watch()`` leaves no process behind."""

    def __init__(self, *, base_dir: Path, var_dir: Path, progress: Progress) -> None:
        self.var_dir = var_dir
        self.log_dir = var_dir / "log"
        self.progress = progress
        self._base_dir = base_dir
        self._servers: list[EmbeddedPostgres | EmbeddedRedis] = []
        self._children: list[Child] = []
        self._is_stopping = False
        self._is_in_hurry = False

    def __enter__(self) -> "Supervisor":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        rotate_logs(self.log_dir)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopping = True
        self.stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._is_stopping:
            self._is_in_hurry = True
            return
        self._is_stopping = True
        raise StopRequested

    # -- start

    def start_servers(self, *, own_postgres: bool, own_redis: bool) -> None:
        """The embedded servers that are not replaced by ``DATABASE_URL`` and ``REDIS_URL``."""
        if own_postgres:
            self._start_server("Postgres", EmbeddedPostgres(self.var_dir))
        if own_redis:
            self._start_server("Redis", EmbeddedRedis(self.var_dir))

    def _start_server(self, name: str, server: EmbeddedPostgres | EmbeddedRedis) -> None:
        with self.progress.stage(f"Starting {name}"):
            if server.running():
                # A killed supervisor's server is on its way out; ours must be our own child.
                self.progress.detail("waiting for the previous one to end")
                server.stop()
            self._servers.append(server)
            server.start()

    def start_children(self, *, host: str, port: int) -> str:
        """Web, worker and beat; returns the address once the site answers."""
        env = {"KUMITE_VAR": str(self.var_dir), "PYTHONUNBUFFERED": "1"}
        for program in (programs.web(host=host, port=port, env=env), programs.worker(env=env), programs.beat(env=env)):
            self._start_child(program)
        address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104
        with self.progress.stage("Opening the site"):
            self._wait_until_open(address)
        return address

    def _start_child(self, program: Program) -> None:
        child = Child(program, log_dir=self.log_dir, cwd=self._base_dir)
        self._children.append(child)
        child.start()

    def _wait_until_open(self, address: str) -> None:
        deadline = time.monotonic() + _WEB_LIMIT_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{address}/healthz/", timeout=5):  # noqa: S310  -- our own address
                    return
            except (urllib.error.URLError, OSError):
                self.tend()
                time.sleep(0.2)
        log = self.log_dir / "web.log"
        raise EmbeddedServerError(f"The site did not answer within {_WEB_LIMIT_S:.0f} s. {log} says why.")

    # -- watch

    def tend(self) -> None:
        """Restart what died and say so."""
        for server in self._servers:
            if server.has_died():
                name = type(server).__name__.removeprefix("Embedded")
                self.progress.say(f"{name} ended unexpectedly; starting it again. Its log: {server.log_path}")
                server.start()
        for child in self._children:
            if news := child.tend():
                self.progress.say(news)

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Tend everything until a signal comes, or until the condition holds."""
        while not until():
            self.tend()
            time.sleep(_TEND_EVERY_S)

    # -- stop

    def stop(self) -> None:
        if self._children:
            with self.progress.stage("Stopping the site and the worker (Ctrl-C again ends them at once)"):
                self._stop_children()
        for server in reversed(self._servers):
            name = type(server).__name__.removeprefix("Embedded")
            with self.progress.stage(f"Stopping {name}"):
                server.stop()
        self._children, self._servers = [], []

    def _stop_children(self) -> None:
        for child in self._children:
            child.ask_to_stop()
        asked = time.monotonic()
        while not self._is_in_hurry:
            waited = time.monotonic() - asked
            slow = [child for child in self._children if child.is_alive() and waited < child.program.patience_s]
            if not slow:
                break
            self.progress.detail("waiting for " + ", ".join(child.program.name for child in slow))
            time.sleep(0.1)
        for child in self._children:
            child.finish()
        for stray in psutil.Process(os.getpid()).children(recursive=True):
            if not any(server.process and stray.pid == server.process.pid for server in self._servers):
                self._end_stray(stray)

    def _end_stray(self, stray: psutil.Process) -> None:
        """Grandchildren of a server belong to it; anything else of ours ends here."""
        servers = {server.process.pid for server in self._servers if server.process}
        try:
            if not servers & {parent.pid for parent in stray.parents()}:
                stray.kill()
        except psutil.NoSuchProcess:
            pass


def free_port(host: str, first: int = 8000) -> int:
    """The first port from ``first`` on that nobody listens on."""
    for port in range(first, first + 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise EmbeddedServerError(f"No port from {first} to {first + 199} is free. Choose one with --port.")
