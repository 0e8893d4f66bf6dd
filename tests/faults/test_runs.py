"""A run on a real worker: undisturbed, steered by people, and ended by its own faults."""

import signal
from itertools import pairwise

import pytest

from tests.factories import points_of
from tests.faults.conftest import Fleet, processes_of
from webapp.experiments import services as experiments
from webapp.experiments.choices import FailureKind
from webapp.experiments.models import Run
from webapp.fleet.folders import run_folder
from webapp.telemetry.models import Event

pytestmark = pytest.mark.fault


def numbers(run: Run) -> list[int]:
    return list(Event.objects.filter(run=run).order_by("seq").values_list("seq", flat=True))


def states(run: Run) -> list[str]:
    return list(run.transitions.order_by("version").values_list("to_status", flat=True))


def steps_with_metrics(run: Run) -> list[int]:
    return [step for step, _ in points_of(run, "reward/solver")]


def test_a_run_goes_through_its_states_and_people_steer_it(fleet: Fleet) -> None:
    fleet.start_worker()
    run = fleet.launch()
    ada = run.created_by
    assert ada is not None
    fleet.wait_for_step(run, 2)
    assert states(run) == ["claimed", "starting", "running"]

    experiments.request_checkpoint(actor=ada, run_id=run.pk)
    fleet.wait_for(lambda: Event.objects.filter(run=run, kind="checkpoint").exists(), "a checkpoint is saved")

    experiments.request_pause(actor=ada, run_id=run.pk)
    fleet.wait_for_status(run, "paused")
    paused_at = run.last_step
    assert processes_of(run) == []
    assert not run.slots.exists()
    assert Event.objects.filter(run=run, kind="checkpoint").latest("seq").step == paused_at

    experiments.request_resume(actor=ada, run_id=run.pk)
    fleet.wait_for_step(run, paused_at + 2)
    assert (run.attempt, run.failed_attempts) == (2, 0)

    experiments.request_cancel(actor=ada, run_id=run.pk)
    fleet.wait_for_status(run, "cancelled")
    assert processes_of(run) == []
    assert numbers(run) == list(range(1, run.last_seq + 1))
    assert all(later - earlier == 1 for earlier, later in pairwise(steps_with_metrics(run)))
    assert states(run)[3:] == [
        "pausing", "paused", "queued", "claimed", "starting", "running", "cancelling", "cancelled",
    ]  # fmt: skip


def test_a_killed_child_is_replaced_until_its_attempts_are_used_up(fleet: Fleet) -> None:
    fleet.start_worker()
    run = fleet.launch(steps=10)
    fleet.wait_for_step(run, 5)
    fleet.child_of(run).send_signal(signal.SIGKILL)
    fleet.wait_for(lambda: run.transitions.filter(to_status="queued").exists(), "the run goes back")
    assert "most often because memory ran out" in run.transitions.get(to_status="queued").reason
    fleet.wait_for_status(run, "succeeded")
    assert run.attempt == 2
    assert numbers(run) == list(range(1, run.last_seq + 1))
    assert steps_with_metrics(run) == list(range(1, 11))
    assert set(Event.objects.filter(run=run).values_list("attempt", flat=True)) == {1, 2}

    last_chance = fleet.launch()
    Run.objects.filter(pk=last_chance.pk).update(max_attempts=1)
    fleet.child_of(last_chance).send_signal(signal.SIGKILL)
    fleet.wait_for_status(last_chance, "failed")
    assert last_chance.failure_kind == FailureKind.OUT_OF_MEMORY
    assert "killed the process at step" in last_chance.failure_text
    assert not last_chance.slots.exists()


def test_a_crash_keeps_its_traceback_and_a_bad_model_its_sentence_and_neither_is_tried_again(fleet: Fleet) -> None:
    crashes = fleet.launch(steps=8)
    run_folder(crashes.pk).mkdir(parents=True)
    (run_folder(crashes.pk) / "checkpoints").write_text("a file where a folder belongs")
    without_model = fleet.launch(model={"source": "/no/such/folder"})
    fleet.start_worker()
    fleet.wait_for_status(crashes, "failed")
    assert (crashes.failure_kind, crashes.attempt) == (FailureKind.CRASH, 1)
    assert "Traceback (most recent call last)" in crashes.traceback
    assert "FileExistsError" in crashes.failure_text
    fleet.wait_for_status(without_model, "failed")
    assert (without_model.failure_kind, without_model.attempt) == (FailureKind.MODEL, 1)
    assert "/no/such/folder" in without_model.failure_text
