"""The team's installation: the compose file's own commands against Postgres and Redis over TCP with passwords."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import redis
import yaml

from tests.faults.conftest import QUICK, tiny_spec
from tests.ports import free_port
from webapp.embedded import processes
from webapp.embedded.account import own_folder, unprivileged_account
from webapp.embedded.postgres import find_install
from webapp.embedded.redis import find_server

pytestmark = pytest.mark.fault

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
PASSWORD = "p@ss/word:with?signs"
LIMIT_S = 120.0

PREPARE = """
import json, sys
import django; django.setup()
from training_core.spec.io import parse_spec
from webapp.accounts.services import create_first_account
from webapp.experiments.services import create_experiment
from webapp.workspaces.services import create_workspace
ada = create_first_account(email="ada@example.org", password="correct horse battery")
dojo = create_workspace(name="Dojo", owner=ada)
create_experiment(actor=ada, workspace=dojo, spec=parse_spec(json.load(sys.stdin)))
"""


def wait_for(condition: Callable[[], Any], what: str, log: Path) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {LIMIT_S:.0f} s: {what}\n{log.read_text()[-3000:]}")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kumite-separate-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def servers(folder: Path) -> Iterator[dict[str, str]]:
    """``DATABASE_URL`` and ``REDIS_URL`` of servers that ask for passwords and listen on TCP only."""
    account, install, log = unprivileged_account(), find_install(), folder / "servers.log"
    home = own_folder(folder / "postgres", account)
    (secret := home / "password").write_text(PASSWORD)
    if account:
        os.chown(secret, *account)
    port, broker_port = free_port(), free_port()
    initdb = [install / "bin/initdb", "-D", home / "data", "-U", "kumite", "-A", "scram-sha-256", "--no-sync"]
    keep = {"log_path": log, "cwd": home}
    made = processes.spawn(
        [*initdb, "--pwfile", secret, "--wal-segsize=1"], death_signal=signal.SIGKILL, account=account, **keep
    )
    assert made.wait() == 0, log.read_text()
    options = ["-h", "127.0.0.1", "-p", str(port), "-c", "unix_socket_directories=", "-c", "fsync=off"]
    postgres = processes.spawn(
        [install / "bin/postgres", "-D", home / "data", *options], death_signal=signal.SIGINT, account=account, **keep
    )
    broker = processes.spawn(
        [find_server(), "--port", str(broker_port), "--requirepass", PASSWORD, "--save", ""],
        death_signal=signal.SIGTERM, log_path=log, cwd=folder,
    )  # fmt: skip
    database_url = f"postgresql://kumite:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/kumite"
    redis_url = f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{broker_port}/0"

    def database_is_made() -> bool:
        try:
            with psycopg.connect(database_url.removesuffix("kumite") + "postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE kumite")
        except psycopg.OperationalError:
            return False
        return True

    wait_for(database_is_made, "Postgres answers", log)
    yield {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    for server in (broker, postgres):
        server.terminate()
        server.wait(timeout=LIMIT_S)


@pytest.mark.timeout(400)
def test_the_compose_files_commands_work_against_separate_servers(
    folder: Path, servers: dict[str, str], tiny_model: Path
) -> None:
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(servers["REDIS_URL"].replace("redis://:", "redis://:wrong")).ping()
    log, port = folder / "programs.log", free_port()
    for name, value in servers.items():
        (folder / name).write_text(f"{value}\n")
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    environment = {
        **kept,
        **QUICK,
        "KUMITE_VAR": str(folder / "var"),
        "KUMITE_SECRET_KEY": "only for this test, and long enough to be taken for one",
        **{f"{name}_FILE": str(folder / name) for name in servers},
    }

    def command(service: str) -> list[str]:
        program, *arguments = COMPOSE["services"][service]["command"]
        assert program == "python"
        return [sys.executable, *(str(port) if argument == "8000" else argument for argument in arguments)]

    def spawn(service: str) -> "subprocess.Popen[bytes]":
        argv = command(service)
        return processes.spawn(argv, log_path=log, death_signal=signal.SIGKILL, env=environment, cwd=ROOT)

    def site_answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/accounts/login/", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def run_row() -> tuple[str, int]:
        with psycopg.connect(servers["DATABASE_URL"]) as connection:
            row = connection.execute("SELECT status, last_step FROM experiments_run").fetchone()
        assert row is not None
        return row[0], row[1]

    subprocess.run(command("migrate"), cwd=ROOT, env=environment, check=True, timeout=LIMIT_S, capture_output=True)
    spec = json.dumps(tiny_spec(tiny_model))
    environment["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
    subprocess.run(
        [sys.executable, "-c", PREPARE], cwd=ROOT, env=environment, input=spec, text=True, check=True, timeout=LIMIT_S
    )
    started = [spawn(service) for service in ("web", "beat", "worker")]
    try:
        wait_for(site_answers, "the site answers", log)
        wait_for(lambda: run_row()[1] >= 1, "the worker carries out the run", log)
        healthy = [sys.executable, *COMPOSE["services"]["worker"]["healthcheck"]["test"][2:]]
        assert subprocess.run(healthy, cwd=ROOT, env=environment, timeout=LIMIT_S, check=False).returncode == 0
    finally:
        for child in started:
            child.terminate()
        for child in started:
            child.wait(timeout=LIMIT_S)
    assert run_row()[0] == "queued", "a worker that is stopped gives its run back"
