"""Claiming: one run goes to one worker, into slots that are free, in the order of the queue."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from tests.workers.conftest import MakeRun, MakeWorker
from webapp.accounts.models import User
from webapp.experiments.choices import RunStatus
from webapp.experiments.models import Run
from webapp.experiments.selectors import waiting_reason
from webapp.fleet import services as fleet
from webapp.fleet.models import Slot, SlotHealth, Worker
from webapp.workspaces.models import AuditEvent
from webapp.workspaces.selectors import PermissionDenied


def test_a_claim_takes_run_and_slot_together(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run, worker = make_run(), make_worker()
    claim = fleet.claim_run(worker=worker)
    assert claim is not None
    run.refresh_from_db()
    slot = Slot.objects.get()
    assert (claim.run_id, claim.token, claim.attempt) == (run.pk, 1, 1)
    assert (run.status, run.lease_token, run.attempt, run.worker) == ("claimed", 1, 1, worker)
    assert (slot.run, slot.lease_token) == (run, 1)
    assert [t.to_status for t in run.transitions.all()] == ["claimed"]


def test_nothing_is_claimed_without_a_free_slot(make_run: MakeRun, make_worker: MakeWorker) -> None:
    make_run(), make_run()
    worker = make_worker(cpus=1)
    assert fleet.claim_run(worker=worker) is not None
    assert fleet.claim_run(worker=worker) is None


def test_priority_comes_first_then_age(make_run: MakeRun, make_worker: MakeWorker) -> None:
    old, young, urgent = make_run(), make_run(), make_run(priority=5)
    worker = make_worker(cpus=3)
    claims = [fleet.claim_run(worker=worker) for _ in range(3)]
    assert [claim.run_id for claim in claims if claim] == [urgent.pk, old.pk, young.pk]


def test_a_run_that_waits_for_its_next_attempt_lets_others_pass(make_run: MakeRun, make_worker: MakeWorker) -> None:
    make_run(not_before=timezone.now() + timedelta(hours=1))
    ready = make_run(not_before=timezone.now() - timedelta(seconds=1))
    worker = make_worker(cpus=2)
    claim = fleet.claim_run(worker=worker)
    assert claim is not None
    assert claim.run_id == ready.pk
    assert fleet.claim_run(worker=worker) is None


def test_gpu_runs_take_gpus_and_cpu_runs_take_cpu_slots(make_run: MakeRun, make_worker: MakeWorker) -> None:
    too_large, pair, plain = make_run(num_gpus=4), make_run(num_gpus=2), make_run()
    worker = make_worker(cpus=1, gpus=3)
    first, second = fleet.claim_run(worker=worker), fleet.claim_run(worker=worker)
    assert first is not None
    assert second is not None
    assert (first.run_id, first.gpu_uuids) == (pair.pk, ("GPU-0", "GPU-1"))
    assert (second.run_id, second.gpu_uuids) == (plain.pk, ())
    assert fleet.claim_run(worker=worker) is None
    too_large.refresh_from_db()
    assert too_large.status == RunStatus.QUEUED


def test_a_worker_without_cpu_slots_leaves_cpu_runs_alone(make_run: MakeRun, make_worker: MakeWorker) -> None:
    make_run()
    assert fleet.claim_run(worker=make_worker(cpus=0, gpus=1)) is None


@pytest.mark.parametrize("health", [SlotHealth.DRAINING, SlotHealth.STUCK])
def test_a_slot_that_is_not_well_is_not_handed_out(make_run: MakeRun, make_worker: MakeWorker, health: str) -> None:
    make_run()
    worker = make_worker()
    Slot.objects.update(health=health)
    assert fleet.claim_run(worker=worker) is None


def test_a_run_whose_last_process_may_live_is_not_started_beside_it(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run = make_run()
    Slot.objects.filter(worker=make_worker("stuck")).update(run=run, lease_token=1)
    assert fleet.claim_run(worker=make_worker("free")) is None
    Slot.objects.filter(run=run).update(run=None)
    assert fleet.claim_run(worker=Worker.objects.get(name="free")) is not None


def test_a_draining_worker_takes_nothing_until_it_is_undrained(
    make_run: MakeRun, make_worker: MakeWorker, ada: User
) -> None:
    make_run()
    worker = make_worker()
    with pytest.raises(PermissionDenied, match="Only operators"):
        fleet.drain(actor=ada, worker_id=worker.pk)
    ada.is_staff = True
    fleet.drain(actor=ada, worker_id=worker.pk)
    assert fleet.claim_run(worker=worker) is None
    fleet.undrain(actor=ada, worker_id=worker.pk)
    assert fleet.claim_run(worker=worker) is not None
    assert list(AuditEvent.objects.order_by("pk").values_list("action", flat=True)) == [
        "worker.drained",
        "worker.undrained",
    ]


def test_earlier_attempts_count_towards_the_time_limit(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run, worker = make_run(), make_worker()
    claim = fleet.claim_run(worker=worker)
    assert claim is not None
    run.transitions.update(at=timezone.now() - timedelta(seconds=100))
    outcome = fleet.Outcome(to=RunStatus.QUEUED, reason="shut down")
    fleet.finish_run(run_id=run.pk, token=claim.token, outcome=outcome)
    again = fleet.claim_run(worker=worker)
    assert again is not None
    assert again.seconds_used == pytest.approx(100, abs=30)


NUM_WORKERS, NUM_RUNS = 16, 200


def claim_everything(worker: Worker, *, start: threading.Barrier) -> list[str]:
    try:
        start.wait()
        taken = []
        while claim := fleet.claim_run(worker=worker):
            taken.append(str(claim.run_id))
        return taken
    finally:
        connection.close()


def claim_without_lock(worker: Worker, *, start: threading.Barrier) -> list[str]:
    """Read, think, save: what happens when nothing locks the row."""
    try:
        start.wait()
        taken = []
        while run := Run.objects.filter(status="queued").order_by("created_at").first():
            time.sleep(0.002)
            Run.objects.filter(pk=run.pk).update(status="claimed", worker=worker, lease_token=run.lease_token + 1)
            taken.append(str(run.pk))
        return taken
    finally:
        connection.close()


def race(claimer, workers: list[Worker]) -> Counter[str]:
    start = threading.Barrier(len(workers))
    with ThreadPoolExecutor(len(workers)) as pool:
        taken = pool.map(lambda worker: claimer(worker, start=start), workers)
        return Counter(run for runs in taken for run in runs)


@pytest.mark.django_db(transaction=True)
def test_sixteen_workers_share_two_hundred_runs_without_a_double(make_run: MakeRun, make_worker: MakeWorker) -> None:
    runs = [make_run() for _ in range(NUM_RUNS)]
    workers = [make_worker(f"worker-{number}", cpus=NUM_RUNS) for number in range(NUM_WORKERS)]
    claims = race(claim_everything, workers)
    assert claims == Counter(str(run.pk) for run in runs)
    assert set(Run.objects.values_list("status", "attempt", "lease_token")) == {("claimed", 1, 1)}
    assert Slot.objects.exclude(run=None).count() == NUM_RUNS


@pytest.mark.django_db(transaction=True)
def test_control_without_the_lock_runs_are_claimed_twice(make_run: MakeRun, make_worker: MakeWorker) -> None:
    for _ in range(40):
        make_run()
    claims = race(claim_without_lock, [make_worker(f"worker-{number}") for number in range(NUM_WORKERS)])
    assert max(claims.values()) > 1


@pytest.mark.django_db(transaction=True)
def test_one_worker_that_claims_from_many_processes_never_fills_a_slot_twice(
    make_run: MakeRun, make_worker: MakeWorker
) -> None:
    for _ in range(20):
        make_run()
    worker = make_worker(cpus=5)
    claims = race(claim_everything, [worker] * 8)
    assert len(claims) == 5
    assert sorted(Slot.objects.values_list("run_id", flat=True)) == sorted(
        Run.objects.filter(status="claimed").values_list("pk", flat=True)
    )


def test_a_person_has_only_so_many_runs_at_work(
    make_run: MakeRun, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.fleet.quota.RUNS_PER_PERSON", 2)
    first, second, third = make_run(), make_run(), make_run()
    others = make_run(created_by=User.objects.create_user("zoe@example.org"))
    worker = make_worker(cpus=4)
    claimed = [fleet.claim_run(worker=worker) for _ in range(4)]
    assert [claim and claim.run_id for claim in claimed] == [first.pk, second.pk, others.pk, None]
    assert waiting_reason(third) == (
        "waits until another run of the same person ends; 2 runs at a time is the most for one here"
    )
    Run.objects.filter(pk=first.pk).update(status="failed", finished_at=timezone.now())
    claim = fleet.claim_run(worker=worker)
    assert claim is not None and claim.run_id == third.pk


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_keep_to_the_limit(
    make_run: MakeRun, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.fleet.quota.RUNS_PER_PERSON", 1)
    for _ in range(6):
        make_run()
    workers = [make_worker(name) for name in ("alpha", "beta", "gamma")]

    def claim(worker: Worker) -> object:
        try:
            return fleet.claim_run(worker=worker)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        assert sum(claimed is not None for claimed in pool.map(claim, workers)) == 1
