"""``kumite up`` as a person meets it: killed at any point it starts again, and it leaves no process behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.ports import free_port

pytestmark = pytest.mark.fault

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120.0
OPEN = "Kumite is open"


class Installation:
    """One ``var/`` and the supervisor that works on it."""

    def __init__(self, var_dir: Path) -> None:
        self.var_dir = var_dir
        self._log = var_dir.with_name(f"{var_dir.name}.out")

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "webapp.cli.main", *arguments]
        return subprocess.run(
            argv, cwd=ROOT, env=self._env(), capture_output=True, text=True, timeout=LIMIT_S, check=False
        )

    def start(self) -> None:
        self.port = free_port()
        argv = [sys.executable, "-m", "webapp.cli.main", "up", "--port", str(self.port)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(argv, cwd=ROOT, env=self._env(), stdout=log, stderr=log)

    def _env(self) -> dict[str, str]:
        hidden = ("DATABASE_URL", "REDIS_URL", "PYTEST_", "KUMITE_TEST_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        return {**kept, "KUMITE_VAR": str(self.var_dir), "PYTHONUNBUFFERED": "1"}

    def output(self) -> str:
        return self._log.read_text()

    def wait_for(self, text: str) -> None:
        def has_come() -> bool:
            assert self.process.poll() is None, f"it ended early:\n{self.output()}"
            return text in self.output()

        self.until(has_come)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen in time:\n{self.output()}"
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz/", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def processes(self) -> list[psutil.Process]:
        """Everything alive that was started for this installation."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                mine = process.environ().get("KUMITE_VAR") == str(self.var_dir)
                named = any(str(self.var_dir) in part for part in process.cmdline())
                if (mine or named) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def child(self, *words: str) -> psutil.Process:
        return next(process for process in self.processes() if set(words) <= set(process.cmdline()))


@pytest.fixture
def installation() -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="kumite-up-"))
    folder.chmod(0o711)
    installed = Installation(folder / "var")
    yield installed
    for process in installed.processes():
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(installed.processes(), timeout=LIMIT_S)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(600)
def test_up_survives_sigkill_at_every_stage_and_ctrl_c_leaves_no_process(installation: Installation) -> None:
    stages = ("Starting Postgres", "ok  Starting Postgres", "Bringing the tables up to date", "Opening the site", OPEN)
    for stage in stages:
        installation.start()
        installation.wait_for(stage)
        installation.process.send_signal(signal.SIGKILL)
        installation.process.wait()
    installation.start()
    installation.wait_for(OPEN)
    assert installation.answers()

    installation.process.send_signal(signal.SIGINT)
    assert installation.process.wait(timeout=LIMIT_S) == 0
    assert installation.output().rstrip().endswith("Kumite is down.")
    installation.until(lambda: installation.processes() == [])


@pytest.mark.timeout(600)
def test_up_restarts_what_dies_and_refuses_a_second_one(installation: Installation) -> None:
    assert installation.command("status").returncode == 3
    installation.start()
    installation.wait_for(OPEN)
    first_account = installation.var_dir / "first-account.txt"
    assert first_account.stat().st_mode & 0o777 == 0o600

    second = installation.command("up")
    assert f"Kumite already runs here at http://127.0.0.1:{installation.port}" in second.stdout
    assert "/accounts/link/" in second.stdout
    status = installation.command("status")
    assert status.returncode == 0
    assert f"http://127.0.0.1:{installation.port}" in status.stdout

    installation.child("uvicorn").kill()
    installation.wait_for("web was ended by SIGKILL; starting it again")
    installation.until(installation.answers)
    pid_file = installation.var_dir / "postgres" / "data" / "postmaster.pid"
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
    installation.wait_for("Postgres ended unexpectedly; starting it again")
    installation.until(installation.answers)

    assert installation.command("down").returncode == 0
    assert installation.process.wait(timeout=LIMIT_S) == 0
    installation.until(lambda: installation.processes() == [])
