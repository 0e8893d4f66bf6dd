"""From how a process ended to what becomes of its run, with the sentence a person reads."""

import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from webapp.experiments.choices import FailureKind, RunStatus
from webapp.fleet.services import Outcome

EXIT_SUCCEEDED, EXIT_CRASHED, EXIT_UNUSABLE, EXIT_STOPPED, EXIT_PEER_LOST = 0, 1, 2, 3, 4
MAX_TRACEBACK = 20_000
_GOES_ON = "It goes on from its last checkpoint."


class StopReason(StrEnum):
    """Why a supervisor asked its child to stop; earlier ones give way to later ones."""

    PAUSE = "pause"
    DRAIN = "drain"
    DEADLINE = "deadline"
    HANG = "hang"
    CANCEL = "cancel"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What the supervisor knows when the process is gone."""

    exit_status: int
    """As from Popen: negative for a signal."""
    stop: StopReason | None
    was_fenced: bool
    state: dict[str, Any] | None
    """The last state event the process itself wrote."""
    output: str
    """The end of what it printed."""
    last_step: int


def outcome_of(ending: Ending) -> Outcome:
    """What becomes of the run. Crashes repeat themselves and are not tried again; kills and lost workers are."""
    status = _status(ending.exit_status)
    if status == EXIT_SUCCEEDED:
        return Outcome(to=RunStatus.SUCCEEDED, reason=_said(ending) or "Finished.")
    if ending.was_fenced:
        return Outcome(to=RunStatus.QUEUED, reason=f"The worker could not reach the database for too long. {_GOES_ON}")
    if status in {EXIT_CRASHED, EXIT_UNUSABLE}:
        return _failure(ending, status)
    if ending.stop is not None or status == EXIT_STOPPED:
        return _stopped(ending)
    if status == EXIT_PEER_LOST:
        return _peer_lost(ending)
    return _killed(ending, -status) if status < 0 else _failure(ending, status)


def _status(exit_status: int) -> int:
    """Shells report a signal as 128 + n."""
    return 128 - exit_status if exit_status > 128 else exit_status


def _stopped(ending: Ending) -> Outcome:
    at = f"at step {ending.last_step:,}"
    match ending.stop:
        case None:
            return Outcome(to=RunStatus.QUEUED, reason=f"The process was stopped from outside {at}. {_GOES_ON}")
        case StopReason.CANCEL:
            return Outcome(to=RunStatus.CANCELLED, reason=f"Stopped on request {at}.")
        case StopReason.PAUSE:
            return Outcome(to=RunStatus.PAUSED, reason=f"Paused {at}.")
        case StopReason.DEADLINE:
            return Outcome(to=RunStatus.TIMED_OUT, reason=f"Reached its time limit {at}.")
        case StopReason.DRAIN:
            return Outcome(to=RunStatus.QUEUED, reason=f"The worker was shut down {at}. {_GOES_ON}")
        case StopReason.HANG:
            return Outcome(
                to=RunStatus.QUEUED,
                reason=f"No progress since step {ending.last_step:,}, so the process was ended. {_GOES_ON}",
                counts=True,
                failure_kind=FailureKind.HANG,
                failure_text=f"The process stopped making progress at step {ending.last_step:,}.",
                traceback=ending.output[-MAX_TRACEBACK:],
            )


def _killed(ending: Ending, number: int) -> Outcome:
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL:
        kind = FailureKind.OUT_OF_MEMORY
        what = (
            f"The system killed the process at step {ending.last_step:,} ({name}), most often because memory ran out."
        )
    else:
        kind = FailureKind.CRASH
        what = f"The process died at step {ending.last_step:,} of {name}."
    return Outcome(
        to=RunStatus.QUEUED,
        reason=f"{what} {_GOES_ON}",
        counts=True,
        failure_kind=kind,
        failure_text=what,
        traceback=ending.output[-MAX_TRACEBACK:],
    )


def _peer_lost(ending: Ending) -> Outcome:
    what = _said(ending) or f"The run's processes lost one another at step {ending.last_step:,}."
    return Outcome(
        to=RunStatus.QUEUED,
        reason=f"{what} {_GOES_ON}",
        counts=True,
        failure_kind=FailureKind.LOST_WORKER,
        failure_text=what,
        traceback=ending.output[-MAX_TRACEBACK:],
    )


def _failure(ending: Ending, status: int) -> Outcome:
    state = ending.state or {}
    kind = _kind(state.get("failure"), ending.output, status)
    text = _said(ending) if state.get("failure") else ""
    if kind == FailureKind.DISK_FULL:
        return Outcome(
            to=RunStatus.PAUSED, reason=f"The disk is full. Free some space, then resume the run. {text}".strip()
        )
    return Outcome(
        to=RunStatus.FAILED,
        reason=text or f"The process ended with exit code {status}.",
        failure_kind=kind,
        failure_text=text
        or _last_line(ending.output)
        or f"The process ended with exit code {status} and said nothing.",
        traceback=str(state.get("traceback") or ending.output)[-MAX_TRACEBACK:],
    )


def _kind(said: Any, output: str, status: int) -> FailureKind:
    if said in FailureKind.values:
        return FailureKind(said)
    if "No space left on device" in output:
        return FailureKind.DISK_FULL
    if "MemoryError" in output:
        return FailureKind.OUT_OF_MEMORY
    return FailureKind.SPEC if status == EXIT_UNUSABLE else FailureKind.CRASH


def _said(ending: Ending) -> str:
    return str((ending.state or {}).get("text") or "")


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else ""
