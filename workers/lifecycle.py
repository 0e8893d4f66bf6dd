"""Birth, heartbeat and end of a worker process.

The main process registers itself before it forks, beats from a thread, and tells its pool processes through one shared
byte that it is shutting down. The thread holds a lock while it works, and no fork happens meanwhile, so that no child
inherits a connection or a lock in mid-use. A worker listens to the queue all share and to one of its own.
"""

import ctypes
import logging
import mmap
import os
import signal
import threading
import time
from typing import Any

from celery import signals
from django.db import DatabaseError, OperationalError, connections

from webapp.experiments import doorbell
from webapp.fleet import services as fleet
from webapp.fleet import timing
from webapp.fleet.models import SlotKind, Worker

logger = logging.getLogger(__name__)

SHORT_TASK_PROCESSES = 2
"""Supervisors never occupy more processes than there are slots, so doorbell and reaper always find one of these."""
JOB_PROCESSES = 1
"""One more for jobs, which are carried out one at a time beside the runs."""
_DATABASE_WAIT_S = 60.0
_PR_SET_PDEATHSIG = 1

_shutting_down = mmap.mmap(-1, 1)
"""Shared with every process forked later."""
_quiet = threading.Lock()
_stopped = threading.Event()
_worker: Worker | None = None


def connect() -> None:
    """Listen to Celery's signals; called once, when the application is made."""
    signals.worker_init.connect(_register)
    signals.worker_ready.connect(_start_heartbeat)
    signals.worker_shutting_down.connect(_announce_shutdown)
    signals.worker_shutdown.connect(_unregister)
    signals.beat_embedded_init.connect(_die_with_parent)
    os.register_at_fork(before=_quiet.acquire, after_in_parent=_quiet.release, after_in_child=_quiet.release)


def this_worker() -> Worker:
    """The row of the worker this process belongs to."""
    if _worker is None:
        raise RuntimeError("this process is not a worker; start one with: python -m workers worker")
    return _worker


def is_shutting_down() -> bool:
    return _shutting_down[0] != 0


def _register(sender: Any, **_: Any) -> None:
    global _worker  # noqa: PLW0603  # set once, before the pool is forked
    _worker = _register_when_database_answers(name=sender.hostname)
    slots = list(_worker.slots.all())
    connections.close_all()
    sender.concurrency = len(slots) + SHORT_TASK_PROCESSES + JOB_PROCESSES
    sender.app.amqp.queues.select_add(doorbell.worker_queue(_worker.pk))
    gpus = sum(slot.kind == SlotKind.GPU for slot in slots)
    logger.info("worker.registered name=%s cpu_slots=%d gpu_slots=%d", _worker.name, len(slots) - gpus, gpus)


def _register_when_database_answers(*, name: str) -> Worker:
    deadline = time.monotonic() + _DATABASE_WAIT_S
    while True:
        try:
            return fleet.register_worker(name=name, pid=os.getpid())
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            logger.warning("worker.waits_for_database")
            connections.close_all()
            time.sleep(1)


def _start_heartbeat(**_: Any) -> None:
    threading.Thread(target=_beat_forever, name="heartbeat", daemon=True).start()


def _beat_forever() -> None:
    while not _stopped.wait(timing.HEARTBEAT_S):
        with _quiet:
            known = _beat_once()
        if not known:  # forgotten after a long silence; a fresh process registers anew
            logger.error("worker.forgotten")
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _beat_once() -> bool:
    try:
        known = fleet.beat(worker=this_worker())
        fleet.reap_machine()
        if fleet.is_awaited(worker=this_worker()):
            doorbell.ring(worker_id=this_worker().pk)  # a lost message must not keep the other hosts waiting
    except Exception:  # whatever it was, the next beat may succeed, and a worker without a heart would be lost
        logger.exception("worker.beat_missed")
        return True
    finally:
        connections.close_all()
    return known


def _announce_shutdown(**_: Any) -> None:
    _shutting_down[0] = 1


def _unregister(**_: Any) -> None:
    _stopped.set()
    with _quiet:
        try:
            fleet.unregister_worker(worker=this_worker())
        except DatabaseError:
            logger.warning("worker.unregister_failed", exc_info=True)
        finally:
            connections.close_all()


def _die_with_parent(**_: Any) -> None:
    """A clock embedded in a worker must not outlive it and ring beside its successor's."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)
