"""Real Celery workers with shortened intervals, a tiny random model, and ways to hurt them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings as live_settings
from django.db import connection

from tests.tiny_model import make_tiny_model
from training_core.spec.io import parse_spec
from webapp.accounts.models import User
from webapp.embedded.processes import spawn
from webapp.experiments.choices import TERMINAL
from webapp.experiments.models import Run
from webapp.experiments.services import create_experiment
from webapp.fleet.folders import run_folder
from webapp.fleet.processes import MARK
from webapp.workspaces.models import Workspace
from workers.commands import worker_argv

# Intervals are short; limits stay long, lest a busy machine be taken for a broken one.
QUICK = {
    "KUMITE_HEARTBEAT_S": "0.5",
    "KUMITE_LEASE_S": "40",
    "KUMITE_FENCE_S": "30",
    "KUMITE_CLAIM_DEADLINE_S": "120",
    "KUMITE_DOORBELL_S": "1",
    "KUMITE_REAPER_S": "1",
    "KUMITE_CONTROL_POLL_S": "0.2",
    "KUMITE_RELAY_S": "0.1",
    "KUMITE_STOP_GRACE_S": "60",
    "KUMITE_BACKOFF_S": "0.1",
    "KUMITE_IDLE_TRANSACTION_S": "5",
}
PATIENCE_S = 120.0
"""For one condition; slow machines that do other things besides are no reason to fail."""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def tiny_spec(folder: Path, **changes: Any) -> dict[str, Any]:
    """Seconds of work on one core: steps are quick and checkpoints frequent."""
    return {
        "name": "Tiny",
        "seed": 1,
        "steps": 400,
        "model": {"source": str(folder)},
        "evaluation": {"every": 1000, "num_items": 4},
        "checkpoint": {"every": 3, "keep": 3},
        "method": {
            "name": "mae",
            "batch_per_role": 2,
            "probe_items": 0,
            "quality_samples": 1,
            "difficulty_samples": 1,
            "seed_pairs": True,
            "sampling": {"max_tokens": 8},
            "optimizer": {"kind": "adamw", "lr": 1e-3},
        },
        **changes,
    }


@dataclass
class Fleet:
    """Workers of this test; ``logs`` is where to look when it fails."""

    model: Path
    logs: Path
    environment: dict[str, str]
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_worker(self, name: str = "one", **environment: str) -> subprocess.Popen[bytes]:
        worker = spawn(
            worker_argv(name=name, beat=True),
            log_path=self.logs / f"{name}.log",
            death_signal=signal.SIGKILL,
            env={**self.environment, **environment},
        )
        self.workers[name] = worker
        return worker

    def launch(self, **changes: Any) -> Run:
        ada, _ = User.objects.get_or_create(email="ada@example.org")
        dojo, is_new = Workspace.objects.get_or_create(slug="dojo", defaults={"name": "Dojo"})
        if is_new:
            dojo.memberships.create(user=ada, role="owner")
        spec = parse_spec(tiny_spec(self.model, **changes))
        return create_experiment(actor=ada, workspace=dojo, spec=spec).runs.get()

    def wait_for(self, condition: Callable[[], Any], what: str, *, patience_s: float = PATIENCE_S) -> Any:
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.1)
        logs = "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in self.logs.glob("*.log"))
        runs = list(Run.objects.values("status", "attempt", "last_step", "last_seq", "phase_text", "failure_text"))
        raise AssertionError(f"not within {patience_s:.0f} s: {what}\n{runs}\n{logs}")

    def wait_for_status(self, run: Run, *statuses: str) -> Run:
        def arrived() -> bool:
            run.refresh_from_db()
            return run.status in statuses or (run.status in TERMINAL and pytest.fail(self._surprise(run, statuses)))

        self.wait_for(arrived, f"the run is {' or '.join(statuses)}")
        return run

    def wait_for_step(self, run: Run, step: int) -> Run:
        def arrived() -> bool:
            run.refresh_from_db()
            return run.last_step >= step or (run.status in TERMINAL and pytest.fail(self._surprise(run, (step,))))

        self.wait_for(arrived, f"the run is at step {step}")
        return run

    def _surprise(self, run: Run, wanted: tuple[Any, ...]) -> str:
        output = (run_folder(run.pk) / "output.log").read_text(errors="replace")[-2000:]
        return f"the run is {run.status} instead of {wanted}: {run.failure_text}\n{run.traceback}\n{output}"

    def child_of(self, run: Run) -> psutil.Process:
        """The training process of the run's present attempt."""

        def find() -> psutil.Process | None:
            return next((p for p in processes_of(run) if "training_core" in " ".join(p.cmdline())), None)

        return self.wait_for(find, "the training process runs")

    def supervisor_of(self, run: Run) -> psutil.Process:
        parent = self.child_of(run).parent()
        assert parent is not None
        return parent

    def stop_all(self) -> None:
        for worker in self.workers.values():
            descendants = psutil.Process(worker.pid).children(recursive=True) if worker.poll() is None else []
            for process in [*descendants, worker]:
                try:
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                except (psutil.NoSuchProcess, ProcessLookupError):
                    continue
            psutil.wait_procs(descendants, timeout=60)
            worker.wait()


def processes_of(run: Run) -> list[psutil.Process]:
    """Every living process that carries a lease mark of the run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK, "").startswith(f"{run.pk}/") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture
def fleet(transactional_db: None, tiny_model: Path, tmp_path: Path, settings: Any) -> Iterator[Fleet]:
    settings.ARTIFACTS_DIR = tmp_path / "artifacts"
    fleet = Fleet(model=tiny_model, logs=tmp_path, environment=environment_of(tmp_path / "artifacts"))
    yield fleet
    fleet.stop_all()


def environment_of(artifacts: Path) -> dict[str, str]:
    """What a worker needs to work for this test's database."""
    url = f"postgresql://{connection.settings_dict['USER']}@/{connection.settings_dict['NAME']}"
    return {
        **os.environ,
        **QUICK,
        "DATABASE_URL": f"{url}?host={connection.settings_dict['HOST']}",
        "REDIS_URL": live_settings.REDIS_URL,
        "KUMITE_ARTIFACTS": str(artifacts),
    }
