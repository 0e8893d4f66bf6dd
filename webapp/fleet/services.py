"""Every write about workers, slots and leases.

Only the database's clock is used, and whatever a worker writes about a run carries the token of its lease.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.http import Http404

from webapp.accounts.models import User
from webapp.experiments import doorbell
from webapp.experiments.choices import HELD, FailureKind, RunStatus, TransitionActor
from webapp.experiments.models import Run
from webapp.experiments.services import transition
from webapp.fleet import devices, quota, timing
from webapp.fleet.folders import remove_unfinished_checkpoints
from webapp.fleet.hosts import assemble, free_slots
from webapp.fleet.leases import LeaseLost, lock_leased_run
from webapp.fleet.models import Slot, SlotHealth, SlotKind, Worker
from webapp.fleet.processes import Machine, ProcessId, identify, kill_run, this_machine
from webapp.sources.services import keep_code
from webapp.telemetry.lines import safe_text
from webapp.workspaces.selectors import PermissionDenied
from webapp.workspaces.services import record

__all__ = [
    "Claim",
    "Control",
    "LeaseLost",
    "Outcome",
    "beat",
    "claim_run",
    "drain",
    "finish_run",
    "is_awaited",
    "join_run",
    "mark_joined",
    "mark_running",
    "mark_started",
    "open_rendezvous",
    "reap",
    "reap_machine",
    "register_worker",
    "release",
    "renew_lease",
    "undrain",
    "unregister_worker",
]

_REAPER_LOCK = 0x6B756D697465  # any fixed number, the same in every process


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A run that this worker, and nobody else, may carry out until its lease ends; or this host's part of such a run."""

    run_id: UUID
    token: int
    attempt: int
    spec: dict[str, Any]
    gpu_uuids: tuple[str, ...]
    last_seq: int
    """Events up to this one are stored."""
    last_step: int
    checkpoint_requests: int
    seconds_used: float
    """Time earlier attempts had a slot, for ``resources.max_hours``."""
    num_hosts: int = 1
    host_rank: int = 0
    """0 holds the lease, relays the events and ends the run; the others keep step with it."""
    rendezvous: str = ""
    """``address:port`` where the hosts meet."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """What people asked of a running run."""

    cancel: bool
    pause: bool
    checkpoint_requests: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended.

    Example: ``Outcome(to=RunStatus.QUEUED, reason="killed by the system", counts=True, failure_kind=...)``.
    """

    to: RunStatus
    """QUEUED means that the run goes on later."""
    reason: str
    counts: bool = False
    """The attempt was lost. Too many of them without a new checkpoint in between, and the run fails."""
    failure_kind: FailureKind | None = None
    failure_text: str = ""
    traceback: str = ""


# Workers


def register_worker(*, name: str, pid: int) -> Worker:
    """Enter this worker process and its slots; a dead worker's name is taken over, a living one's is not.

    1. end what dead workers of this machine left, 2. take the first free name of name, name-2, ..., 3. renew the slots.
    """
    process = identify(pid)
    if process is None:
        raise ValueError(f"no process has the pid {pid}")
    reap_machine()
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:  # two workers that start at once take turns
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_REAPER_LOCK + 1])
        machine = this_machine()
        offered = _not_offered_elsewhere(devices.offers(), machine)
        values = {
            "host": machine.host,
            "boot_id": machine.boot_id,
            "pid": process.pid,
            "start_ticks": process.start_ticks,
            "facts": devices.facts(offered),
            "draining": False,
            "started_at": Now(),
            "last_beat_at": Now(),
            "stopped_at": None,
        }
        worker, _ = Worker.objects.update_or_create(name=_free_name(name), defaults=values)
        kept = [_renew_slot(worker, offer).pk for offer in offered]
        worker.slots.filter(run=None).exclude(pk__in=kept).delete()
    worker.refresh_from_db()
    return worker


def unregister_worker(*, worker: Worker) -> None:
    """The worker ended in good order."""
    _same_process(worker).update(stopped_at=Now())


def beat(*, worker: Worker) -> bool:
    """Sign of life; False if the worker was forgotten or its name has gone to another process."""
    return bool(_same_process(worker).update(last_beat_at=Now(), stopped_at=None))


def _same_process(worker: Worker) -> QuerySet[Worker]:
    return Worker.objects.filter(pk=worker.pk, pid=worker.pid, start_ticks=worker.start_ticks)


@transaction.atomic(durable=True)
def drain(*, actor: User, worker_id: UUID) -> Worker:
    """Let a worker finish what it has and take nothing new."""
    return _set_draining(actor, worker_id, draining=True)


@transaction.atomic(durable=True)
def undrain(*, actor: User, worker_id: UUID) -> Worker:
    """Let a worker take runs again."""
    transaction.on_commit(doorbell.ring)
    return _set_draining(actor, worker_id, draining=False)


def _set_draining(actor: User, worker_id: UUID, *, draining: bool) -> Worker:
    if not actor.is_staff:
        raise PermissionDenied("Only operators of this installation may drain a worker.")
    worker = Worker.objects.select_for_update().filter(pk=worker_id).first()
    if worker is None:
        raise Http404("There is no such worker; it may have been gone for more than a day.")
    if worker.draining == draining:
        return worker
    worker.draining = draining
    worker.save(update_fields=["draining"])
    record(actor=actor, action="worker.drained" if draining else "worker.undrained", obj=worker)
    return worker


def _free_name(wanted: str) -> str:
    """The wanted name, or with a number behind it if a living worker has it."""
    names = [wanted, *(f"{wanted}-{number}" for number in range(2, 1000))]
    taken = {worker.name for worker in Worker.objects.filter(name__startswith=wanted) if _may_live(worker)}
    return next(name for name in names if name not in taken)


def _may_live(worker: Worker) -> bool:
    if _on(worker, this_machine()):
        return ProcessId(pid=worker.pid, start_ticks=worker.start_ticks).is_alive
    return Worker.objects.living().filter(pk=worker.pk).exists()


def _on(worker: Worker, machine: Machine) -> bool:
    return worker.host == machine.host and worker.boot_id == machine.boot_id


def _not_offered_elsewhere(offered: list[devices.Offer], machine: Machine) -> list[devices.Offer]:
    """A GPU belongs to the first living worker of the machine that offers it."""
    neighbours = Worker.objects.filter(host=machine.host, boot_id=machine.boot_id, stopped_at=None)
    living = [worker.pk for worker in neighbours if _may_live(worker)]
    taken = set(Slot.objects.filter(worker__in=living, kind=SlotKind.GPU).values_list("device_uuid", flat=True))
    return [offer for offer in offered if offer.kind == SlotKind.CPU or offer.device_uuid not in taken]


def _renew_slot(worker: Worker, offer: devices.Offer) -> Slot:
    values = {"device_uuid": offer.device_uuid, "memory_mib": offer.memory_mib}
    slot, _ = Slot.objects.update_or_create(worker=worker, kind=offer.kind, index=offer.index, defaults=values)
    return slot


# Claim and lease


@transaction.atomic(durable=True)
def claim_run(*, worker: Worker) -> Claim | None:
    """Take the first queued run that fits this worker's free slots: run and slots in one transaction.

    The worker's row is locked so that its own claims take turns; other workers' claims pass by through SKIP LOCKED.
    """
    ready = Worker.objects.select_for_update(no_key=True).filter(pk=worker.pk, draining=False, stopped_at=None)
    if not ready.exists():
        return None
    found = _first_that_fits(worker)
    if found is None:
        return None
    run, hosts = found
    run.lease_token, run.attempt, run.worker = run.lease_token + 1, run.attempt + 1, worker
    run.phase_text, run.phase_fraction, run.not_before, run.rendezvous = "", None, None, ""
    run.code = keep_code(run.spec["method"]["name"])
    changed = ["lease_token", "attempt", "worker", "phase_text", "phase_fraction", "not_before", "rendezvous", "code"]
    run.save(update_fields=changed)
    _extend_lease(run, timing.CLAIM_DEADLINE_S)
    for rank, slots in enumerate(hosts):
        taken = Slot.objects.filter(pk__in=[slot.pk for slot in slots])
        taken.update(run=run, lease_token=run.lease_token, host_rank=rank)
    seconds_used = _seconds_used(run)
    transition(run, RunStatus.CLAIMED, actor_kind=TransitionActor.WORKER, reason=f"claimed by {worker.name}")
    return _claim(run, hosts[0], seconds_used=seconds_used)


def _claim(run: Run, slots: list[Slot], *, seconds_used: float = 0.0, host_rank: int = 0) -> Claim:
    return Claim(
        run_id=run.pk,
        token=run.lease_token,
        attempt=run.attempt,
        spec=run.spec,
        gpu_uuids=tuple(slot.device_uuid for slot in slots if slot.kind == SlotKind.GPU),
        last_seq=run.last_seq,
        last_step=run.last_step,
        checkpoint_requests=run.checkpoint_requests,
        seconds_used=seconds_used,
        num_hosts=run.num_hosts,
        host_rank=host_rank,
        rendezvous=run.rendezvous,
    )


def _first_that_fits(worker: Worker) -> tuple[Run, list[list[Slot]]] | None:
    """The first run of the queue for which there are slots now, and its slots on each host, this worker's first."""
    free = free_slots(worker)
    cpus, gpus = (sum(slot.kind == kind for slot in free) for kind in (SlotKind.CPU, SlotKind.GPU))
    passed_by: list[UUID] = []
    while run := _next_in_queue(least_gpus=0 if cpus else 1, most_gpus=gpus, without=passed_by):
        if (hosts := assemble(run, worker, free)) and quota.takes_room(run):
            return run, hosts
        passed_by.append(run.pk)
    return None


def _next_in_queue(*, least_gpus: int, most_gpus: int, without: list[UUID]) -> Run | None:
    """A run that still occupies a slot has a process somewhere and waits, as does one whose owner has as many at work as one may."""
    queue = Run.objects.filter(
        Q(not_before=None) | Q(not_before__lte=Now()),
        ~Exists(Slot.objects.filter(run=OuterRef("pk"))),
        status=RunStatus.QUEUED,
        num_gpus__range=(least_gpus, most_gpus),
    ).exclude(pk__in=without)
    queue = queue.exclude(experiment__is_rehearsal=False, created_by__in=quota.people_at_their_limit())
    return queue.select_related("experiment").select_for_update(skip_locked=True, of=("self",)).in_queue_order().first()


def _seconds_used(run: Run) -> float:
    """How long the run was held by workers so far."""
    used, since = 0.0, None
    for status, at in run.transitions.order_by("version").values_list("to_status", "at"):
        if status in HELD:
            since = since or at
        elif since is not None:
            used, since = used + (at - since).total_seconds(), None
    return used


@transaction.atomic(durable=True)
def mark_started(*, run_id: UUID, token: int, child: ProcessId) -> None:
    """The run's process exists: remember who it is, and let the lease run from now on."""
    run = lock_leased_run(run_id, token)
    _note_child(run_id, token, 0, child)
    _extend_lease(run, timing.LEASE_S)
    if run.status == RunStatus.CLAIMED:
        transition(run, RunStatus.STARTING, actor_kind=TransitionActor.WORKER)


def _note_child(run_id: UUID, token: int, host_rank: int, child: ProcessId) -> None:
    mine = Slot.objects.filter(run_id=run_id, lease_token=token, host_rank=host_rank)
    mine.update(child_pid=child.pid, child_start_ticks=child.start_ticks)


@transaction.atomic(durable=True)
def open_rendezvous(*, run_id: UUID, token: int, rendezvous: str) -> None:
    """The first host of the run is ready at ``address:port``; wakes the workers of the others. Raises ``LeaseLost``."""
    run = lock_leased_run(run_id, token)
    run.rendezvous = rendezvous
    run.save(update_fields=["rendezvous"])
    others = Slot.objects.filter(run=run, lease_token=token, host_rank__gt=0)
    for worker_id in others.values_list("worker_id", flat=True).distinct():
        transaction.on_commit(partial(doorbell.ring, worker_id=worker_id))


def is_awaited(*, worker: Worker) -> bool:
    """Whether a run on several hosts waits for this worker to begin its part."""
    return _awaiting(worker).exists()


@transaction.atomic(durable=True)
def join_run(*, worker: Worker) -> Claim | None:
    """This worker's part of a run on several hosts, if one waits for it. Each part is handed out once."""
    Worker.objects.select_for_update(no_key=True).get(pk=worker.pk)
    slots = list(_awaiting(worker).select_related("run").order_by("run", "index"))
    if not slots:
        return None
    run, rank = slots[0].run, slots[0].host_rank
    assert run is not None
    slots = [slot for slot in slots if slot.run_id == run.pk]
    Slot.objects.filter(pk__in=[slot.pk for slot in slots]).update(joined_token=run.lease_token)
    return _claim(run, slots, host_rank=rank)


def _awaiting(worker: Worker) -> QuerySet[Slot]:
    parts = Slot.objects.filter(worker=worker, host_rank__gt=0, run__status__in=HELD, run__lease_token=F("lease_token"))
    return parts.exclude(joined_token=F("lease_token")).exclude(run__rendezvous="")


def mark_joined(*, claim: Claim, child: ProcessId) -> None:
    """This host's process of the run exists."""
    _note_child(claim.run_id, claim.token, claim.host_rank, child)


@transaction.atomic(durable=True)
def mark_running(*, run_id: UUID, token: int) -> None:
    """The model is ready and self-play has begun."""
    run = lock_leased_run(run_id, token)
    if run.status == RunStatus.STARTING:
        transition(run, RunStatus.RUNNING, actor_kind=TransitionActor.WORKER)


def renew_lease(*, run_id: UUID, token: int) -> Control:
    """Keep the run for another lease and hear what people ask of it; raises ``LeaseLost``."""
    held = Run.objects.filter(pk=run_id, lease_token=token, status__in=HELD)
    if not held.update(lease_expires_at=Now() + timedelta(seconds=timing.LEASE_S)):
        raise LeaseLost(run_id, token)
    return control_of(run_id=run_id, token=token)


def control_of(*, run_id: UUID, token: int) -> Control:
    """What people ask of the run; raises ``LeaseLost``."""
    run = Run.objects.filter(pk=run_id, lease_token=token, status__in=HELD).first()
    if run is None:
        raise LeaseLost(run_id, token)
    return Control(
        cancel=run.cancel_requested_at is not None,
        pause=run.pause_requested_at is not None,
        checkpoint_requests=run.checkpoint_requests,
    )


def release(*, run_id: UUID, token: int, host_rank: int = 0) -> int:
    """Give back one host's slots of an attempt. Only for somebody who has seen that its processes there are gone."""
    slots = Slot.objects.filter(run_id=run_id, lease_token=token, host_rank=host_rank)
    return slots.update(run=None, host_rank=0, child_pid=None, child_start_ticks=None, health=SlotHealth.OK)


@transaction.atomic(durable=True)
def finish_run(*, run_id: UUID, token: int, outcome: Outcome, child_gone: bool = True) -> Run:
    """The attempt has ended: bring the run to its next state and give back its slots; raises ``LeaseLost``."""
    run = lock_leased_run(run_id, token)
    if child_gone:
        release(run_id=run_id, token=token)
    else:
        Slot.objects.filter(run=run, lease_token=token, host_rank=0).update(health=SlotHealth.DRAINING)
    return _conclude(run, outcome, TransitionActor.WORKER)


def _conclude(run: Run, outcome: Outcome, actor_kind: TransitionActor) -> Run:
    """Write the end of an attempt. The caller holds the run's lock."""
    if outcome.counts:
        run.failed_attempts += 1
    to = _destination(run, outcome)
    reason = safe_text(outcome.reason)
    run.lease_expires_at = None
    run.phase_text, run.phase_fraction = "", None
    if to in {RunStatus.QUEUED, RunStatus.PAUSED}:
        run.worker = None
        run.phase_text = reason[:300]
        if to == RunStatus.QUEUED and outcome.counts:
            wait = timedelta(seconds=timing.backoff_s(run.failed_attempts))
            Run.objects.filter(pk=run.pk).update(not_before=Now() + wait)
    if to == RunStatus.PAUSED:
        run.pause_requested_at = None
    if to == RunStatus.FAILED:
        run.failure_kind = outcome.failure_kind or FailureKind.CRASH
        run.failure_text = safe_text(outcome.failure_text or reason)
        run.traceback = safe_text(outcome.traceback)
    run.save(
        update_fields=[
            "failed_attempts",
            "lease_expires_at",
            "worker",
            "phase_text",
            "phase_fraction",
            "pause_requested_at",
            "failure_kind",
            "failure_text",
            "traceback",
        ]
    )
    if to == RunStatus.PAUSED and run.status != RunStatus.PAUSING:
        transition(run, RunStatus.PAUSING, actor_kind=actor_kind)
    return transition(run, to, actor_kind=actor_kind, reason=reason)


def _destination(run: Run, outcome: Outcome) -> RunStatus:
    """What people asked for comes first; then too many lost attempts win over trying again."""
    if outcome.to not in {RunStatus.QUEUED, RunStatus.PAUSED}:
        return outcome.to
    if run.cancel_requested_at is not None or run.status == RunStatus.CANCELLING:
        return RunStatus.CANCELLED
    if run.pause_requested_at is not None:
        return RunStatus.PAUSED
    if outcome.counts and run.failed_attempts >= run.max_attempts:
        return RunStatus.FAILED
    return outcome.to


# Reaper


def reap() -> int:
    """End every lease that ran out, wherever it was held, and forget workers long gone; returns the runs it moved."""
    with _single_reaper() as alone:
        if not alone:
            return 0
        ended = sum(_expire(run_id) for run_id in _expired().values_list("pk", flat=True))
        _sweep_slots()
        Worker.objects.exclude(runs__status__in=HELD).filter(last_beat_at__lt=_ago(timing.WORKER_FORGOTTEN_S)).delete()
        return ended


def reap_machine() -> int:
    """What only this machine can know: which of its workers and children are dead, and how to kill a leftover."""
    machine = this_machine()
    local = Worker.objects.filter(host=machine.host, boot_id=machine.boot_id)
    for worker in local.filter(stopped_at=None):
        if not ProcessId(pid=worker.pid, start_ticks=worker.start_ticks).is_alive:
            Run.objects.filter(worker=worker, status__in=HELD).update(lease_expires_at=Now())
            Worker.objects.filter(pk=worker.pk, pid=worker.pid).update(stopped_at=Now())
    ended = sum(_expire(run_id) for run_id in _expired().filter(worker__in=local).values_list("pk", flat=True))
    _sweep_slots()
    return ended


def _expired() -> QuerySet[Run]:
    return Run.objects.filter(status__in=HELD, lease_expires_at__lte=Now())


@transaction.atomic(durable=True)
def _expire(run_id: UUID) -> bool:
    """Take one run from its silent worker. Its lock is held meanwhile, so the worker cannot come back in between."""
    run = _expired().select_for_update(skip_locked=True, of=("self",)).filter(pk=run_id).first()
    if run is None:
        return False
    slots = Slot.objects.select_related("worker").filter(run=run, lease_token=run.lease_token)
    for slot in slots:
        if not _on(slot.worker, this_machine()):
            continue
        if not kill_run(run.pk, run.lease_token, _child_of(slot), host_rank=slot.host_rank):
            slots.update(health=SlotHealth.DRAINING)
            return False  # the next attempt must not write beside a process of this one
        release(run_id=run.pk, token=run.lease_token, host_rank=slot.host_rank)
    remove_unfinished_checkpoints(run.pk)
    _conclude(run, _lost(run), TransitionActor.REAPER)
    return True


def _lost(run: Run) -> Outcome:
    if run.status == RunStatus.CLAIMED:
        return Outcome(to=RunStatus.QUEUED, reason="The worker took the run but never started it.")
    return Outcome(
        to=RunStatus.QUEUED,
        reason="The worker stopped answering. The run goes on from its last checkpoint on the next free slot.",
        counts=True,
        failure_kind=FailureKind.LOST_WORKER,
        failure_text=f"The worker stopped answering at step {run.last_step:,}.",
    )


def _sweep_slots() -> None:
    """Free slots whose attempt is over once its processes are gone; what will not die is marked, never handed out."""
    over = Slot.objects.select_related("worker").filter(run__isnull=False)
    for slot in over.exclude(run__lease_token=F("lease_token"), run__status__in=HELD):
        if _on(slot.worker, this_machine()):
            gone = kill_run(slot.run_id, slot.lease_token, _child_of(slot), host_rank=slot.host_rank, wait_s=1.0)
        else:
            gone = not _may_live(slot.worker)  # its children died with it; a living one sweeps its own slots
        mine = Slot.objects.filter(pk=slot.pk, lease_token=slot.lease_token)
        if gone:
            mine.update(run=None, host_rank=0, child_pid=None, child_start_ticks=None, health=SlotHealth.OK)
        else:
            mine.update(health=SlotHealth.STUCK if slot.health == SlotHealth.DRAINING else SlotHealth.DRAINING)


def _child_of(slot: Slot) -> ProcessId | None:
    if slot.child_pid is None or slot.child_start_ticks is None:
        return None
    return ProcessId(pid=slot.child_pid, start_ticks=slot.child_start_ticks)


@contextmanager
def _single_reaper() -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_REAPER_LOCK])
        alone = bool(cursor.fetchone()[0])
    try:
        yield alone
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_REAPER_LOCK])


def _extend_lease(run: Run, seconds: float) -> None:
    Run.objects.filter(pk=run.pk).update(lease_expires_at=Now() + timedelta(seconds=seconds))


def _ago(seconds: float) -> Any:
    return Now() - timedelta(seconds=seconds)
