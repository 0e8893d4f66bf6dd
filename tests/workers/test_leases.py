"""Leases end, runs come back, and whoever lost a lease changes nothing any more."""

import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from tests.workers.conftest import MakeRun, MakeWorker, expire
from webapp.experiments import services as experiments
from webapp.experiments.choices import FailureKind, RunStatus
from webapp.experiments.models import Run
from webapp.fleet import services as fleet
from webapp.fleet import timing
from webapp.fleet.folders import run_folder
from webapp.fleet.leases import LeaseLost
from webapp.fleet.models import Slot, SlotHealth, Worker
from webapp.fleet.processes import MARK, ProcessId, identify, lease_mark
from webapp.fleet.services import Claim, Outcome

Sleeper = Callable[..., subprocess.Popen[bytes]]


def started(run: Run, worker: Worker, child: ProcessId | None = None) -> Claim:
    claim = fleet.claim_run(worker=worker)
    assert claim is not None
    gone = ProcessId(pid=2**22 - 1, start_ticks=1)
    fleet.mark_started(run_id=run.pk, token=claim.token, child=child or gone)
    fleet.mark_running(run_id=run.pk, token=claim.token)
    run.refresh_from_db()
    return claim


def test_a_run_passes_through_its_states_once(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run = make_run()
    claim = started(run, make_worker())
    fleet.mark_running(run_id=run.pk, token=claim.token)
    fleet.finish_run(run_id=run.pk, token=claim.token, outcome=Outcome(to=RunStatus.SUCCEEDED, reason="Finished."))
    run.refresh_from_db()
    transitions = run.transitions.order_by("version").values_list("version", "to_status")
    assert list(transitions) == [(1, "claimed"), (2, "starting"), (3, "running"), (4, "succeeded")]
    assert run.finished_at is not None
    assert run.started_at is not None
    assert Slot.objects.get().run is None


def test_a_renewed_lease_is_not_reaped(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run = make_run()
    claim = started(run, make_worker())
    expire(run)
    fleet.renew_lease(run_id=run.pk, token=claim.token)
    assert fleet.reap() == 0


def test_renewing_tells_what_people_asked_for(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run = make_run()
    claim = started(run, make_worker())
    control = fleet.renew_lease(run_id=run.pk, token=claim.token)
    assert control == fleet.Control(cancel=False, pause=False, checkpoint_requests=0)
    experiments.request_checkpoint(actor=run.created_by, run_id=run.pk)
    experiments.request_pause(actor=run.created_by, run_id=run.pk)
    control = fleet.renew_lease(run_id=run.pk, token=claim.token)
    assert control == fleet.Control(cancel=False, pause=True, checkpoint_requests=1)


@pytest.mark.django_db(transaction=True)
def test_a_worker_frozen_in_a_transaction_loses_its_lock_with_its_lease(
    make_run: MakeRun, make_worker: MakeWorker
) -> None:
    run = make_run()
    started(run, make_worker())
    expire(run)
    with closing(psycopg.connect(**connection.get_connection_params())) as frozen:
        shown = frozen.execute("SHOW idle_in_transaction_session_timeout").fetchone()
        assert shown == ("5min",)
        frozen.execute("SET idle_in_transaction_session_timeout = '1s'")
        frozen.commit()
        frozen.execute("SELECT 1 FROM experiments_run WHERE id = %s FOR UPDATE", [run.pk])
        assert fleet.reap() == 0
        deadline = time.monotonic() + 60
        while not fleet.reap():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            frozen.execute("SELECT 1")
    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED


def test_an_expired_lease_sends_the_run_back_with_a_wait(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run = make_run()
    started(run, make_worker())
    expire(run)
    assert fleet.reap() == 1
    run.refresh_from_db()
    assert (run.status, run.failed_attempts, run.worker) == (RunStatus.QUEUED, 1, None)
    assert run.not_before is not None
    assert 0 < (run.not_before - timezone.now()).total_seconds() <= timing.BACKOFF_S
    assert "goes on from its last checkpoint" in run.phase_text
    assert Slot.objects.get().run is None


def test_too_many_lost_attempts_fail_the_run_with_a_sentence(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run, worker = make_run(max_attempts=2), make_worker()
    for _ in range(2):
        Run.objects.filter(pk=run.pk).update(not_before=None)
        started(run, worker)
        expire(run)
        fleet.reap()
    run.refresh_from_db()
    assert (run.status, run.failure_kind) == (RunStatus.FAILED, FailureKind.LOST_WORKER)
    assert run.failure_text == "The worker stopped answering at step 0."


def test_a_claim_that_never_started_is_not_counted(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run = make_run()
    assert fleet.claim_run(worker=make_worker()) is not None
    run.refresh_from_db()
    wait = run.lease_expires_at - timezone.now()
    assert wait == pytest.approx(timedelta(seconds=timing.CLAIM_DEADLINE_S), abs=timedelta(seconds=30))
    expire(run)
    fleet.reap()
    run.refresh_from_db()
    assert (run.status, run.failed_attempts, run.not_before) == (RunStatus.QUEUED, 0, None)


@pytest.mark.parametrize(
    ("ask", "end"), [(experiments.request_cancel, RunStatus.CANCELLED), (experiments.request_pause, RunStatus.PAUSED)]
)
def test_what_was_asked_of_a_run_holds_when_its_worker_is_lost(
    make_run: MakeRun, make_worker: MakeWorker, ask: Callable[..., Run], end: RunStatus
) -> None:
    run = make_run(max_attempts=1)
    started(run, make_worker())
    ask(actor=run.created_by, run_id=run.pk)
    expire(run)
    fleet.reap()
    run.refresh_from_db()
    assert run.status == end


def test_a_stale_token_changes_nothing(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run = make_run()
    old = started(run, make_worker())
    expire(run)
    fleet.reap()
    Run.objects.filter(pk=run.pk).update(not_before=None)
    new = started(run, make_worker("beta"))
    done = Outcome(to=RunStatus.SUCCEEDED, reason="Finished.")
    before = Run.objects.values().get(pk=run.pk)
    for write in (
        lambda: fleet.finish_run(run_id=run.pk, token=old.token, outcome=done),
        lambda: fleet.renew_lease(run_id=run.pk, token=old.token),
        lambda: fleet.mark_running(run_id=run.pk, token=old.token),
        lambda: fleet.mark_started(run_id=run.pk, token=old.token, child=ProcessId(pid=1, start_ticks=1)),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert Run.objects.values().get(pk=run.pk) == before
    assert fleet.release(run_id=run.pk, token=old.token) == 0
    assert Slot.objects.get(run=run).lease_token == new.token


def test_control_without_the_token_a_stale_finish_ends_the_attempt_of_another(
    make_run: MakeRun, make_worker: MakeWorker
) -> None:
    run = make_run()
    started(run, make_worker())
    expire(run)
    fleet.reap()
    Run.objects.filter(pk=run.pk).update(not_before=None)
    started(run, make_worker("beta"))
    unfenced = Run.objects.filter(pk=run.pk, status=RunStatus.RUNNING)
    assert unfenced.update(status=RunStatus.SUCCEEDED, finished_at=timezone.now()) == 1


def test_a_second_finish_is_refused(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run = make_run()
    claim = started(run, make_worker())
    done = Outcome(to=RunStatus.SUCCEEDED, reason="Finished.")
    fleet.finish_run(run_id=run.pk, token=claim.token, outcome=done)
    with pytest.raises(LeaseLost):
        fleet.finish_run(run_id=run.pk, token=claim.token, outcome=done)
    assert run.transitions.filter(to_status="succeeded").count() == 1


def test_the_reaper_kills_the_child_of_a_silent_supervisor_and_all_it_started(
    make_run: MakeRun, make_worker: MakeWorker, sleeper: Sleeper
) -> None:
    run = make_run()
    mark = {MARK: lease_mark(run.pk, 1)}
    daemon = "import subprocess, sys, time; code = 'import time; time.sleep(600)'; "
    daemon += "p = subprocess.Popen([sys.executable, '-c', code], start_new_session=True, stdout=subprocess.DEVNULL); "
    child = sleeper(daemon + "print(p.pid, flush=True); time.sleep(600)", **mark)
    bystander = sleeper(**{MARK: lease_mark(run.pk, 2)})
    assert child.stdout is not None
    grandchild = identify(int(child.stdout.readline()))
    assert grandchild is not None
    started(run, make_worker(), identify(child.pid))
    expire(run)
    fleet.reap()
    assert child.wait(60) == -9
    assert not grandchild.is_alive
    assert bystander.poll() is None
    assert Slot.objects.get().run is None


def test_a_recycled_pid_is_left_alone(make_run: MakeRun, make_worker: MakeWorker, sleeper: Sleeper) -> None:
    run, other = make_run(), sleeper()
    identity = identify(other.pid)
    assert identity is not None
    started(run, make_worker(), ProcessId(pid=other.pid, start_ticks=identity.start_ticks - 1))
    expire(run)
    assert fleet.reap() == 1
    assert other.poll() is None


def test_slots_of_a_living_foreign_machine_wait_for_that_machine(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run = make_run()
    far = make_worker("far", host="elsewhere", boot_id="b")
    started(run, far)
    expire(run)
    assert fleet.reap() == 1
    slot = Slot.objects.get()
    assert (slot.run, slot.health) == (run, SlotHealth.DRAINING)
    Run.objects.filter(pk=run.pk).update(not_before=None)
    assert fleet.claim_run(worker=make_worker("near")) is None
    Worker.objects.filter(pk=far.pk).update(last_beat_at=timezone.now() - timedelta(minutes=5))
    fleet.reap()
    assert Slot.objects.get(worker=far).run is None
    assert fleet.claim_run(worker=Worker.objects.get(name="near")) is not None


def test_half_written_checkpoints_of_a_dead_attempt_are_removed(
    make_run: MakeRun, make_worker: MakeWorker, tmp_path: Path, settings: Any
) -> None:
    settings.ARTIFACTS_DIR = tmp_path
    run = make_run()
    started(run, make_worker())
    checkpoints = run_folder(run.pk) / "checkpoints"
    (checkpoints / ".tmp-000010").mkdir(parents=True)
    (checkpoints / "step-000005").mkdir()
    expire(run)
    fleet.reap()
    assert [path.name for path in checkpoints.iterdir()] == ["step-000005"]


def test_a_requeued_run_frees_the_slot_of_its_old_attempt(
    make_run: MakeRun, make_worker: MakeWorker, sleeper: Sleeper
) -> None:
    run, child = make_run(), sleeper()
    started(run, make_worker(), identify(child.pid))
    run.created_by.is_staff = True
    experiments.requeue(actor=run.created_by, run_id=run.pk)
    fleet.reap_machine()
    assert child.wait(60) == -9
    assert Slot.objects.get().run is None


def test_waits_grow_fourfold_and_are_bounded() -> None:
    assert [timing.backoff_s(n) for n in (1, 2, 3, 9)] == [10, 40, 160, timing.MAX_BACKOFF_S]


def test_an_uncounted_end_goes_back_at_once(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run = make_run(max_attempts=1)
    claim = started(run, make_worker())
    outcome = Outcome(to=RunStatus.QUEUED, reason="The worker was shut down.")
    fleet.finish_run(run_id=run.pk, token=claim.token, outcome=outcome)
    run.refresh_from_db()
    assert (run.status, run.failed_attempts, run.not_before) == (RunStatus.QUEUED, 0, None)


def test_whatever_a_process_printed_last_can_be_stored(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run = make_run()
    claim = started(run, make_worker())
    outcome = Outcome(to=RunStatus.FAILED, reason="a\0b", failure_text="c\0d\ud800", traceback="e\0")
    fleet.finish_run(run_id=run.pk, token=claim.token, outcome=outcome)
    run.refresh_from_db()
    assert (run.failure_text, run.traceback) == ("c\u2400d\ufffd", "e\u2400")


def test_a_pause_ends_paused_and_may_be_resumed(make_run: MakeRun, make_worker: MakeWorker) -> None:
    run = make_run()
    claim = started(run, make_worker())
    fleet.finish_run(run_id=run.pk, token=claim.token, outcome=Outcome(to=RunStatus.PAUSED, reason="Disk is full."))
    run.refresh_from_db()
    assert (run.status, run.phase_text) == (RunStatus.PAUSED, "Disk is full.")
    experiments.request_resume(actor=run.created_by, run_id=run.pk)
    assert fleet.claim_run(worker=Worker.objects.get()) is not None
