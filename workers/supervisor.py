"""One attempt of a run: start its process, keep its lease, relay its events, forward what people ask, see it end.

The supervisor lives in a Celery pool process and never trains. ``LeaseLost`` anywhere ends the child first and writes
nothing; a database that cannot be reached is waited for, until the fence cuts.
"""

import json
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection

from training_core.spec.io import SpecError, dump_yaml, parse_spec
from webapp.experiments.choices import FailureKind, RunStatus
from webapp.experiments.holds import hold_at_once
from webapp.fleet import services as fleet
from webapp.fleet import timing
from webapp.fleet.folders import run_folder, unfinished_checkpoints
from webapp.fleet.leases import LeaseLost
from webapp.fleet.processes import kill_run
from webapp.fleet.services import Claim, Control, Outcome
from webapp.orders.selectors import waiting_lines
from webapp.outages import DATABASE_AWAY
from webapp.workspaces.vault import secrets_of_run
from workers import lifecycle
from workers.fence import Fence
from workers.outcomes import Ending, StopReason, outcome_of
from workers.output import OutputLog
from workers.process import Child, training_argv, training_environment
from workers.redaction import Redactor
from workers.relay import Relay
from workers.rendezvous import meeting_point

logger = logging.getLogger(__name__)
_T = TypeVar("_T")

IDLE_CPU_SHARE = 0.02
"""A process that uses less than this share of a core while it says nothing is taken for hanging."""
IDLE_BYTES = 2**20
"""... unless it wrote more than this, as a slow download does."""
SILENCE_FACTOR = 6
"""However busy, a process silent for so many stall times is taken for hanging: deadlocked GPU kernels spin."""


def supervise(claim: Claim) -> None:
    """Carry out one claimed run until its process has ended and its outcome is written."""
    folder = run_folder(claim.run_id)
    try:
        _prepare(folder, claim)
    except SpecError as error:
        _finish(claim, Outcome(to=RunStatus.FAILED, reason=str(error), failure_kind=FailureKind.SPEC))
        return
    except OSError as error:
        reason = f"The run's folder cannot be written: {error.strerror}. Mend that, then resume the run."
        _finish(claim, Outcome(to=RunStatus.PAUSED, reason=reason))
        return
    if claim.num_hosts > 1:
        claim = replace(claim, rendezvous=meeting_point())
    with _heed_sigterm() as was_terminated:
        Supervisor(claim, folder, is_leaving=lambda: was_terminated() or lifecycle.is_shutting_down()).run()


class Supervisor:
    """Watches one child. Every method runs in the main thread of its process."""

    def __init__(self, claim: Claim, folder: Path, *, is_leaving: Callable[[], bool]) -> None:
        self.claim, self.folder = claim, folder
        self._is_leaving = is_leaving
        self._secrets = secrets_of_run(claim.run_id)
        redactor = Redactor(self._secrets)
        self._relay = Relay(claim, folder / "events.jsonl", redactor=redactor)
        self._output = OutputLog(folder / "output.log", redactor=redactor)
        self._stop: StopReason | None = None
        self._stop_asked_at = 0.0
        self._was_terminated = False
        self._num_commands = 0
        self._orders_sent: set[int] = set()
        self._checkpoints_asked = claim.checkpoint_requests
        self._is_marked_running = False
        self._polled_at = 0.0
        self._stall_cpu_s, self._stall_bytes = 0.0, 0
        self._stall_moved_at = 0.0

    def run(self) -> None:
        argv = training_argv(self.folder, self.claim)
        self._started_at = time.monotonic()
        env = training_environment(self.claim) | self._secrets
        self._child = Child(argv, env=env, cwd=settings.BASE_DIR, output=self._output)
        self._fence = Fence(limit_s=timing.FENCE_S, cut=self._child.kill)
        try:
            self._until_known(self._mark_started)
            if self.claim.num_hosts > 1:
                self._until_known(self._open_rendezvous)
            while self._child.poll() is None:
                self._tick()
                self._child.wait(timing.RELAY_S)
            self._conclude()
        except LeaseLost:
            logger.warning("lease.lost", extra={"run": str(self.claim.run_id), "attempt": self.claim.attempt})
            self._child.kill()
            if self._end_everything():
                fleet.release(run_id=self.claim.run_id, token=self.claim.token)
        finally:
            self._child.kill()
            self._fence.close()

    # While it runs

    def _tick(self) -> None:
        if time.monotonic() - self._polled_at >= timing.CONTROL_POLL_S:
            self._polled_at = time.monotonic()
            if (control := _tolerating_outage(self._renew)) is not None:
                self._obey(control)
            _tolerating_outage(self._forward_orders)
            _tolerating_outage(self._hold_checkpoints)
        _tolerating_outage(self._relay.pump)
        if self._relay.has_begun and not self._is_marked_running:
            _tolerating_outage(self._mark_running)
        if self._is_leaving():
            self._ask_to_stop(StopReason.DRAIN, "the worker is shutting down")
        self._watch_deadline()
        self._watch_progress()
        self._press()

    def _mark_started(self) -> None:
        fleet.mark_started(run_id=self.claim.run_id, token=self.claim.token, child=self._child.id)
        self._fence.renewed()

    def _open_rendezvous(self) -> None:
        fleet.open_rendezvous(run_id=self.claim.run_id, token=self.claim.token, rendezvous=self.claim.rendezvous)

    def _mark_running(self) -> None:
        fleet.mark_running(run_id=self.claim.run_id, token=self.claim.token)
        self._is_marked_running = True

    def _renew(self) -> Control:
        control = fleet.renew_lease(run_id=self.claim.run_id, token=self.claim.token)
        self._fence.renewed()
        return control

    def _obey(self, control: Control) -> None:
        if control.cancel:
            self._ask_to_stop(StopReason.CANCEL, "stopped on request")
        elif control.pause:
            self._ask_to_stop(StopReason.PAUSE, "paused on request")
        if control.checkpoint_requests > self._checkpoints_asked:
            self._checkpoints_asked = control.checkpoint_requests
            self._command("checkpoint", "asked for")

    def _forward_orders(self) -> None:
        """Pass on each order once. One that another attempt passed on is passed on again until the run has answered it."""
        for order in waiting_lines(self.claim.run_id):
            if order["id"] not in self._orders_sent and self._write(order):
                self._orders_sent.add(order["id"])

    def _hold_checkpoints(self) -> None:
        """Tell the run which of its checkpoints others count on. A full disk is no reason to stop it."""
        hold_at_once(self.claim.run_id)

    def _watch_deadline(self) -> None:
        max_hours = self.claim.spec["resources"]["max_hours"]
        used_s = self.claim.seconds_used + time.monotonic() - self._started_at
        if max_hours is not None and used_s > max_hours * 3600:
            self._ask_to_stop(StopReason.DEADLINE, f"reached the time limit of {max_hours:g} hours")

    def _watch_progress(self) -> None:
        """Judge by progress, not by age: a slow step computes, a download writes, a deadlock mostly sleeps."""
        if self._stall_moved_at != self._relay.moved_at:
            self._stall_moved_at = self._relay.moved_at
            self._stall_cpu_s, self._stall_bytes = self._child.cpu_s(), self._child.bytes_written()
        silent_s = time.monotonic() - self._relay.moved_at
        if self._stop is not None or silent_s < timing.STALL_S:
            return
        computes = self._child.cpu_s() - self._stall_cpu_s >= IDLE_CPU_SHARE * silent_s
        is_idle = not computes and self._child.bytes_written() - self._stall_bytes < IDLE_BYTES
        if is_idle or silent_s > SILENCE_FACTOR * timing.STALL_S:
            self._child.dump_stacks()
            self._ask_to_stop(StopReason.HANG, f"no progress for {silent_s:.0f} s")

    # Stopping

    def _ask_to_stop(self, reason: StopReason, text: str) -> None:
        order = list(StopReason)
        if self._stop is not None and order.index(reason) <= order.index(self._stop):
            return
        self._stop, self._stop_asked_at = reason, time.monotonic()
        self._command("pause" if reason == StopReason.PAUSE else "stop", text)

    def _press(self) -> None:
        """The ladder: a command, SIGTERM after half the grace, SIGKILL after all of it."""
        if self._stop is None:
            return
        waited_s = time.monotonic() - self._stop_asked_at
        grace_s = timing.PAUSE_GRACE_S if self._stop == StopReason.PAUSE else timing.STOP_GRACE_S
        if waited_s > grace_s / 2 and not self._was_terminated and self._stop != StopReason.PAUSE:
            self._was_terminated = True
            self._child.terminate()
        if waited_s > grace_s and (waited_s > timing.CHECKPOINT_GRACE_S or not self._is_saving()):
            self._child.kill()

    def _is_saving(self) -> bool:
        return bool(unfinished_checkpoints(self.claim.run_id))

    def _command(self, command: str, reason: str) -> None:
        self._num_commands += 1
        if not self._write({"id": self._num_commands, "command": command, "reason": reason}):
            self._child.terminate()  # a full disk must not keep a run from stopping

    def _write(self, line: dict[str, Any]) -> bool:
        """One more line for the child to read between its steps; False where the disk does not take it."""
        try:
            with (self.folder / "control.jsonl").open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(line)}\n")
        except OSError:
            return False
        return True

    # The end

    def _conclude(self) -> None:
        exit_status = self._child.poll()
        assert exit_status is not None
        is_gone = self._end_everything()
        self._output.close()
        self._until_known(self._relay.finish)
        ending = Ending(
            exit_status=exit_status,
            stop=self._stop or self._own_time_limit(exit_status),
            was_fenced=self._fence.is_cut,
            state=self._relay.last_state,
            output=self._output.tail(),
            last_step=self._relay.last_step,
        )
        outcome = outcome_of(ending)
        self._until_known(lambda: _finish(self.claim, outcome, child_gone=is_gone))

    def _own_time_limit(self, exit_status: int) -> StopReason | None:
        """The process keeps its time limit itself too, and may be a moment earlier than its supervisor."""
        max_hours = self.claim.spec["resources"]["max_hours"]
        used_s = self.claim.seconds_used + time.monotonic() - self._started_at
        is_over = exit_status == 3 and max_hours is not None and used_s >= max_hours * 3600
        return StopReason.DEADLINE if is_over else None

    def _end_everything(self) -> bool:
        """No process of this attempt may outlive it."""
        return kill_run(self.claim.run_id, self.claim.token, self._child.id)

    def _until_known(self, action: Callable[[], object]) -> None:
        """Write something that must not be lost: wait for the database as long as the lease could be alive."""
        deadline = time.monotonic() + timing.LEASE_S
        while True:
            try:
                action()
                return
            except DATABASE_AWAY:
                connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)


def _prepare(folder: Path, claim: Claim) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "control.jsonl").unlink(missing_ok=True)  # commands to an earlier process
    (folder / "spec.yaml").write_text(dump_yaml(parse_spec(claim.spec)), encoding="utf-8")


def _finish(claim: Claim, outcome: Outcome, *, child_gone: bool = True) -> None:
    run = fleet.finish_run(run_id=claim.run_id, token=claim.token, outcome=outcome, child_gone=child_gone)
    logger.info("run.finished", extra={"run": str(claim.run_id), "status": run.status, "reason": outcome.reason})


def _tolerating_outage(action: Callable[[], _T]) -> _T | None:
    """The run goes on while the database is away: events wait in the file, and the fence counts the seconds."""
    try:
        return action()
    except DATABASE_AWAY:
        logger.warning("database.unreachable", exc_info=True)
        connection.close()
        return None


@contextmanager
def _heed_sigterm() -> Iterator[Callable[[], bool]]:
    """SIGTERM sets a flag and nothing more: raised inside a commit it would leave the outcome of it unknown."""
    flag = False

    def remember(_number: int, _frame: FrameType | None) -> None:
        nonlocal flag
        flag = True

    previous = signal.signal(signal.SIGTERM, remember)
    try:
        yield lambda: flag
    finally:
        signal.signal(signal.SIGTERM, previous)
