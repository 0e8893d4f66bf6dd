"""Workers enter and leave; names, slots and GPUs belong to one living process each."""

import os
import stat
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from tests.workers.conftest import MakeRun, MakeWorker
from webapp.accounts.models import User
from webapp.experiments.choices import RunStatus
from webapp.experiments.models import Run
from webapp.fleet import devices, timing
from webapp.fleet import services as fleet
from webapp.fleet.models import Slot, Worker
from webapp.fleet.selectors import WorkerState, fleet_overview

NVIDIA_SMI = """#!/bin/sh
echo "0, GPU-aaa, NVIDIA H200, 143771"
echo "1, GPU-bbb, NVIDIA H200, 143771"
"""


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose driver lists two GPUs."""
    program = tmp_path / "nvidia-smi"
    program.write_text(NVIDIA_SMI)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def register(name: str = "alpha") -> Worker:
    return fleet.register_worker(name=name, pid=os.getpid())


def test_a_worker_offers_its_cpu_slots_and_gpus(db: None, two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUMITE_CPU_SLOTS", "2")
    worker = register()
    slots = worker.slots.order_by("kind", "index").values_list("kind", "index", "device_uuid", "memory_mib")
    assert list(slots) == [
        ("cpu", 0, "", 0),
        ("cpu", 1, "", 0),
        ("gpu", 0, "GPU-aaa", 143771),
        ("gpu", 1, "GPU-bbb", 143771),
    ]
    assert worker.facts["gpus"] == ["NVIDIA H200", "NVIDIA H200"]


@pytest.mark.parametrize(("visible", "indices"), [("1", [1]), ("GPU-aaa", [0]), ("", []), ("0,1", [0, 1])])
def test_only_visible_gpus_are_offered(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch, visible: str, indices: list[int]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [offer.index for offer in devices.offers() if offer.kind == "gpu"] == indices


def test_a_gpu_is_offered_by_one_living_worker_only(db: None, two_gpus: None) -> None:
    assert register("alpha").slots.filter(kind="gpu").count() == 2
    assert register("beta").slots.filter(kind="gpu").count() == 0


def test_a_living_worker_keeps_its_name(db: None) -> None:
    assert [register().name, register().name] == ["alpha", "alpha-2"]


def test_a_dead_workers_name_is_taken_over_and_its_run_goes_back_at_once(
    make_run: MakeRun, make_worker: MakeWorker
) -> None:
    run = make_run()
    dead = make_worker("alpha", pid=2**22 - 1, start_ticks=1)
    assert fleet.claim_run(worker=dead) is not None
    Run.objects.filter(pk=run.pk).update(status=RunStatus.RUNNING)
    again = register("alpha")
    run.refresh_from_db()
    assert again.pk == dead.pk
    assert (run.status, run.failed_attempts) == (RunStatus.QUEUED, 1)
    assert Slot.objects.get().run is None
    assert not fleet.beat(worker=dead)
    assert fleet.beat(worker=again)


def test_fewer_slots_after_a_restart_take_the_others_away(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUMITE_CPU_SLOTS", "3")
    worker = register()
    Worker.objects.update(pid=2**22 - 1)
    monkeypatch.setenv("KUMITE_CPU_SLOTS", "1")
    assert register().pk == worker.pk
    assert Slot.objects.count() == 1


def test_a_worker_long_gone_is_forgotten(make_worker: MakeWorker) -> None:
    long_ago = timezone.now() - timedelta(seconds=timing.WORKER_FORGOTTEN_S + 60)
    make_worker("gone", host="elsewhere")
    make_worker("here")
    Worker.objects.filter(name="gone").update(last_beat_at=long_ago)
    fleet.reap()
    assert [worker.name for worker in Worker.objects.all()] == ["here"]


def test_the_overview_shows_workers_queue_and_runs_to_those_who_may_see_them(
    make_run: MakeRun, make_worker: MakeWorker, cyn: User
) -> None:
    running, waiting, wide = make_run(priority=1), make_run(), make_run(num_gpus=8)
    worker = make_worker("busy")
    make_worker("lost", host="elsewhere", last_beat_at=timezone.now() - timedelta(minutes=5))
    make_worker("stopped", stopped_at=timezone.now())
    assert fleet.claim_run(worker=worker) is not None
    mine = fleet_overview(running.created_by)
    assert {view.worker.name: view.state for view in mine.workers} == {
        "busy": WorkerState.BUSY,
        "lost": WorkerState.LOST,
        "stopped": WorkerState.STOPPED,
    }
    assert [run.pk for run in mine.running] == [running.pk]
    assert [(view.position, view.run) for view in mine.queue] == [(1, waiting), (2, wide)]
    assert "free slot" in mine.queue[0].reason
    assert "8 GPUs" in mine.queue[1].reason
    assert (mine.num_slots, mine.num_free_slots) == (1, 0)
    busy = next(view for view in mine.workers if view.worker.name == "busy")
    assert (busy.slots[0].label, busy.slots[0].run) == ("CPU 0", running)

    foreign = fleet_overview(cyn)
    assert foreign.running == []
    assert foreign.num_running == 1
    assert [view.run for view in foreign.queue] == [None, None]
    assert [(slot.is_taken, slot.run) for view in foreign.workers for slot in view.slots if slot.is_taken] == [
        (True, None)
    ]
    cyn.is_staff = True
    assert [run.pk for run in fleet_overview(cyn).running] == [running.pk]


def test_workers_never_load_torch() -> None:
    import subprocess

    code = "import sys, workers.app, workers.tasks; print(sorted(m for m in sys.modules if m.split('.')[0] in "
    code += "{'torch', 'transformers', 'peft', 'vllm'}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_a_gpu_kept_for_jobs_is_offered_to_no_run(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("1", "GPU-bbb"):
        monkeypatch.setenv("KUMITE_JOBS_GPU", name)
        assert [offer.device_uuid for offer in devices.offers() if offer.kind == "gpu"] == ["GPU-aaa"]
