"""Rows for the worker tests: a workspace of ada's, runs in its queue, workers of this machine."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import dump_dict
from webapp.accounts.models import User
from webapp.experiments.models import Experiment, Run
from webapp.fleet.models import Slot, SlotKind, Worker
from webapp.fleet.processes import identify, this_machine
from webapp.workspaces.models import Membership, Workspace

MakeRun = Callable[..., Run]
MakeWorker = Callable[..., Worker]


@pytest.fixture
def experiment(db: None) -> Experiment:
    ada = User.objects.create_user(f"ada-{uuid.uuid4().hex[:6]}@example.org")
    workspace = Workspace.objects.create(name="Dojo", slug=f"dojo-{uuid.uuid4().hex[:6]}")
    Membership.objects.create(workspace=workspace, user=ada, role="owner")
    spec = dump_dict(ExperimentSpec(name="Tiny", steps=20, method={"name": "mae"}))
    return Experiment.objects.create(workspace=workspace, name="Tiny", method="mae", spec=spec, created_by=ada)


@pytest.fixture
def make_run(experiment: Experiment) -> MakeRun:
    def make(**fields: Any) -> Run:
        values = {"spec": experiment.spec, "total_steps": 20, "created_by": experiment.created_by, **fields}
        return Run.objects.create(experiment=experiment, number=experiment.runs.count() + 1, **values)

    return make


@pytest.fixture
def make_worker(db: None) -> MakeWorker:
    """A registered worker whose process is this test; ``cpus`` and ``gpus`` are its slots."""

    def make(name: str = "alpha", *, cpus: int = 1, gpus: int = 0, **fields: Any) -> Worker:
        me, machine = identify(os.getpid()), this_machine()
        assert me is not None
        values = {"host": machine.host, "boot_id": machine.boot_id, "pid": me.pid, "start_ticks": me.start_ticks}
        worker = Worker.objects.create(name=name, **{**values, "last_beat_at": timezone.now(), **fields})
        slots = [Slot(worker=worker, kind=SlotKind.CPU, index=index) for index in range(cpus)]
        slots += [Slot(worker=worker, kind=SlotKind.GPU, index=i, device_uuid=f"GPU-{i}") for i in range(gpus)]
        Slot.objects.bulk_create(slots)
        return worker

    return make


@pytest.fixture
def sleeper() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts processes that do nothing, in sessions of their own; whatever is left of them is killed afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str = "import time; time.sleep(600)", **env: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", code], start_new_session=True, env={**os.environ, **env}, stdout=subprocess.PIPE
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def expire(run: Run) -> None:
    """Let the lease of a run be over by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE experiments_run SET lease_expires_at = now() - interval '1 second' WHERE id = %s", [run.pk]
        )


def metric(seq: int, step: int, **values: float) -> dict[str, Any]:
    return {"seq": seq, "kind": "metric", "step": step, "t": 1769000000.0 + seq, "data": {"values": values}}


def log(seq: int, step: int, text: str) -> dict[str, Any]:
    return {"seq": seq, "kind": "log", "step": step, "t": 1769000000.0, "data": {"level": "info", "text": text}}


def write_lines(path: Path, events: list[dict[str, Any]], mode: str = "a") -> None:
    with path.open(mode, encoding="utf-8") as file:
        for event in events:
            file.write(json.dumps(event) + "\n")
