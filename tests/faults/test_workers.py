"""Workers that die, freeze, leave, lose Redis or the database: nothing is lost, nothing is doubled."""

import signal
from collections.abc import Iterable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from django.db import connection

from tests.faults.conftest import Fleet, processes_of
from training_core.run_folder import read_events
from training_core.runner import Run as LibraryRun
from training_core.spec.events import deterministic
from training_core.spec.io import parse_spec
from webapp.embedded import EmbeddedRedis
from webapp.experiments.models import Run
from webapp.experiments.services import request_cancel
from webapp.fleet.folders import run_folder
from webapp.fleet.models import Slot
from webapp.fleet.processes import identify
from webapp.telemetry.models import Event

pytestmark = pytest.mark.fault


def assert_whole(run: Run, *, steps: int) -> None:
    """Finished, every event once, in the database as in the file, no step missing, nothing left over."""
    assert (run.status, run.last_step) == ("succeeded", steps)
    stored = list(Event.objects.filter(run=run).order_by("seq").values("seq", "kind", "step", "data"))
    written = list(read_events(run_folder(run.pk)))
    assert [event["seq"] for event in stored] == list(range(1, len(written) + 1))
    assert [(event["kind"], event["step"]) for event in stored] == [(e["kind"], e["step"]) for e in written]
    assert played(stored) == list(range(1, steps + 1))
    assert processes_of(run) == []
    assert not Slot.objects.filter(run=run).exists()


def played(events: list[dict[str, Any]]) -> list[int]:
    return [e["step"] for e in events if e["kind"] == "metric" and "reward/solver" in e["data"]["values"]]


def facts(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a seed fixes. A checkpoint is announced again after it was resumed from."""
    return [found for event in events if event["kind"] != "checkpoint" and (found := deterministic(event))]


def weights(folder: Path) -> bytes:
    newest = max((folder / "checkpoints").glob("step-*"))
    return (newest / "policy" / "model.safetensors").read_bytes()


def kill_worker(fleet: Fleet, run: Run, name: str) -> None:
    """SIGKILL to the main process; everything below it has to end by itself."""
    child = identify(fleet.child_of(run).pid)
    assert child is not None
    worker = fleet.workers[name]
    below = psutil.Process(worker.pid).children(recursive=True)
    worker.kill()
    worker.wait()
    fleet.wait_for(lambda: not child.is_alive, "the training process dies with its worker")
    _, alive = psutil.wait_procs(below, timeout=60)
    assert alive == []


def test_a_run_whose_worker_is_killed_three_times_equals_one_left_alone(fleet: Fleet, tmp_path: Path) -> None:
    run = fleet.launch(steps=12)
    fleet.start_worker("worker-0")
    for number, step in enumerate((2, 5, 8)):
        fleet.wait_for_step(run, step)
        kill_worker(fleet, run, f"worker-{number}")
        fleet.start_worker(f"worker-{number + 1}")
        fleet.wait_for(lambda n=number: Run.objects.get(pk=run.pk).attempt > n + 1, "another worker takes the run")
    alone = LibraryRun(parse_spec(run.spec), tmp_path / "alone")
    assert alone.execute() == "succeeded"
    fleet.wait_for_status(run, "succeeded")
    assert run.attempt == 4
    assert_whole(run, steps=12)
    stored = Event.objects.filter(run=run).order_by("seq").values("kind", "step", "data")
    assert facts(stored) == facts(alone.events())
    assert weights(run_folder(run.pk)) == weights(alone.folder)


def test_a_frozen_supervisor_loses_its_run_and_cannot_write_when_it_wakes(fleet: Fleet) -> None:
    fleet.start_worker("one", KUMITE_LEASE_S="8", KUMITE_FENCE_S="5")
    run = fleet.launch(steps=10)
    fleet.wait_for_step(run, 2)
    supervisor, child = fleet.supervisor_of(run), identify(fleet.child_of(run).pid)
    assert child is not None
    with closing(psycopg.connect(**connection.get_connection_params())) as ours:
        ours.execute("SELECT 1 FROM experiments_run WHERE id = %s FOR UPDATE", [run.pk])
        fleet.wait_for(lambda: num_waiting(ours) > 0, "the supervisor wants to write")
        supervisor.send_signal(signal.SIGSTOP)
    # Now it is in the middle of a transaction and has the run locked.
    fleet.wait_for(lambda: Run.objects.get(pk=run.pk).lease_token == 2, "the run is claimed again")
    assert not child.is_alive
    supervisor.send_signal(signal.SIGCONT)
    fleet.wait_for_status(run, "succeeded")
    assert_whole(run, steps=10)
    assert b"lease.lost" in (fleet.logs / "one.log").read_bytes()
    assert run.transitions.filter(to_status="succeeded").count() == 1


def num_waiting(ours: "psycopg.Connection[Any]") -> int:
    with connection.cursor() as cursor:
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
        cursor.execute(blocked, [ours.info.backend_pid])
        return int(cursor.fetchone()[0])


def test_two_workers_after_the_same_runs_never_work_on_one_together(fleet: Fleet) -> None:
    runs = [fleet.launch(steps=2) for _ in range(2)]
    fleet.start_worker("one")
    fleet.start_worker("two")
    seen: dict[Any, set[int]] = {run.pk: set() for run in runs}

    def all_done() -> bool:
        for run in runs:
            alive = {p.pid for p in processes_of(run)}
            assert len(alive) <= 1
            seen[run.pk] |= alive
        return all(status == "succeeded" for status in Run.objects.values_list("status", flat=True))

    fleet.wait_for(all_done, "all runs are done")
    assert [len(pids) for pids in seen.values()] == [1, 1]
    assert set(Run.objects.values_list("attempt", "lease_token")) == {(1, 1)}


def test_a_worker_asked_to_leave_saves_its_run_and_hands_it_on(fleet: Fleet) -> None:
    leaving = fleet.start_worker("one")
    run = fleet.launch(steps=400)
    fleet.wait_for_step(run, 2)
    leaving.terminate()
    fleet.wait_for(lambda: leaving.poll() is not None, "the worker ends")
    run.refresh_from_db()
    assert (run.status, run.failed_attempts, run.not_before) == ("queued", 0, None)
    assert "shut down" in run.phase_text
    assert Event.objects.filter(run=run, kind="checkpoint").latest("seq").step == run.last_step
    assert processes_of(run) == []
    stopped_at = run.last_step
    fleet.start_worker("two")
    fleet.wait_for_step(run, stopped_at + 1)
    steps = played(list(Event.objects.filter(run=run).order_by("seq").values("kind", "step", "data")))
    assert all(later - earlier == 1 for earlier, later in pairwise(steps))


def test_redis_and_every_database_connection_may_go_during_a_run(fleet: Fleet, tmp_path: Path) -> None:
    redis = EmbeddedRedis(tmp_path / "redis", is_durable=False)
    redis.start()
    try:
        fleet.start_worker("one", REDIS_URL=redis.url)
        run = fleet.launch(steps=12)
        fleet.wait_for_step(run, 2)
        redis.stop()
        drop_connections()
        fleet.wait_for_step(run, 5)
        waiting = fleet.launch(steps=1)
        redis.start()
        fleet.wait_for_status(run, "succeeded")
        assert run.attempt == 1
        assert_whole(run, steps=12)
        fleet.wait_for_status(waiting, "succeeded")
    finally:
        redis.stop()


def drop_connections() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )


def test_a_run_that_hangs_is_ended_and_tried_again_and_one_that_does_not_listen_is_killed(fleet: Fleet) -> None:
    # A process that is stopped in the middle of a checkpoint is given the time for it.
    fleet.start_worker("one", KUMITE_STALL_S="8", KUMITE_STOP_GRACE_S="2", KUMITE_CHECKPOINT_GRACE_S="4")
    run = fleet.launch(steps=200)
    fleet.wait_for_step(run, 1)
    fleet.child_of(run).send_signal(signal.SIGSTOP)
    fleet.wait_for(lambda: run.transitions.filter(to_status="queued").exists(), "the run is taken for hanging")
    assert "No progress since step" in run.transitions.get(to_status="queued").reason
    fleet.wait_for(lambda: Event.objects.filter(run=run, attempt=2).exists(), "it is tried again")

    fleet.child_of(run).send_signal(signal.SIGSTOP)
    assert run.created_by is not None
    request_cancel(actor=run.created_by, run_id=run.pk)
    fleet.wait_for_status(run, "cancelled")  # which itself fails after a while
    assert processes_of(run) == []
