"""How a process ended decides what becomes of its run."""

from typing import Any

import pytest

from webapp.experiments.choices import FailureKind, RunStatus
from workers.outcomes import Ending, StopReason, outcome_of

FAILED = {"phase": "failed", "text": "It broke.", "failure": "crash", "traceback": "Traceback ..."}


def end(exit_status: int, stop: StopReason | None = None, *, fenced: bool = False, output: str = "", **state: Any):
    ending = Ending(
        exit_status=exit_status, stop=stop, was_fenced=fenced, state=state or None, output=output, last_step=1200
    )
    return outcome_of(ending)


@pytest.mark.parametrize(
    ("exit_status", "stop", "to", "counts"),
    [
        (0, None, RunStatus.SUCCEEDED, False),
        (0, StopReason.CANCEL, RunStatus.SUCCEEDED, False),
        (3, StopReason.CANCEL, RunStatus.CANCELLED, False),
        (-9, StopReason.CANCEL, RunStatus.CANCELLED, False),
        (3, StopReason.PAUSE, RunStatus.PAUSED, False),
        (-9, StopReason.PAUSE, RunStatus.PAUSED, False),
        (3, StopReason.DRAIN, RunStatus.QUEUED, False),
        (3, StopReason.DEADLINE, RunStatus.TIMED_OUT, False),
        (-9, StopReason.HANG, RunStatus.QUEUED, True),
        (3, None, RunStatus.QUEUED, False),
        (-9, None, RunStatus.QUEUED, True),
        (137, None, RunStatus.QUEUED, True),
        (-11, None, RunStatus.QUEUED, True),
        (1, None, RunStatus.FAILED, False),
        (1, StopReason.CANCEL, RunStatus.FAILED, False),
        (2, None, RunStatus.FAILED, False),
        (77, None, RunStatus.FAILED, False),
    ],
)
def test_every_ending_leads_somewhere(exit_status: int, stop: StopReason | None, to: RunStatus, counts: bool) -> None:
    outcome = end(exit_status, stop)
    assert (outcome.to, outcome.counts) == (to, counts)
    assert outcome.reason.endswith((".", "ended with exit code 77."))


def test_a_fenced_child_goes_on_later_without_counting() -> None:
    outcome = end(-9, fenced=True)
    assert (outcome.to, outcome.counts) == (RunStatus.QUEUED, False)
    assert "could not reach the database" in outcome.reason


def test_a_crash_keeps_its_traceback_and_sentence() -> None:
    outcome = end(1, **FAILED)
    assert (outcome.failure_kind, outcome.failure_text) == (FailureKind.CRASH, "It broke.")
    assert outcome.traceback == "Traceback ..."


def test_a_process_that_said_nothing_is_explained_by_what_it_printed() -> None:
    outcome = end(1, output="Traceback (most recent call last):\n  ...\nImportError: no module\n")
    assert (outcome.failure_kind, outcome.failure_text) == (FailureKind.CRASH, "ImportError: no module")
    assert "most recent call last" in outcome.traceback


@pytest.mark.parametrize("kind", ["spec", "model", "data", "judge", "diverged", "out_of_memory"])
def test_the_kind_of_failure_is_taken_from_the_process(kind: str) -> None:
    assert end(2 if kind in {"spec", "model", "data"} else 1, **{**FAILED, "failure": kind}).failure_kind == kind


def test_an_unknown_kind_reads_as_a_crash() -> None:
    assert end(1, **{**FAILED, "failure": "gremlins"}).failure_kind == FailureKind.CRASH


def test_a_killed_process_says_that_memory_may_have_ended() -> None:
    outcome = end(-9)
    assert outcome.failure_kind == FailureKind.OUT_OF_MEMORY
    assert outcome.failure_text == (
        "The system killed the process at step 1,200 (SIGKILL), most often because memory ran out."
    )


def test_a_segmentation_fault_is_a_crash_that_is_tried_again() -> None:
    outcome = end(-11)
    assert (outcome.failure_kind, outcome.counts) == (FailureKind.CRASH, True)
    assert "SIGSEGV" in outcome.failure_text


@pytest.mark.parametrize(
    "outcome",
    [
        end(1, **{**FAILED, "failure": "disk_full", "text": "Cannot write."}),
        end(1, output="OSError: [Errno 28] No space left on device"),
    ],
)
def test_a_full_disk_pauses_the_run(outcome: Any) -> None:
    assert outcome.to == RunStatus.PAUSED
    assert outcome.reason.startswith("The disk is full. Free some space, then resume the run.")
