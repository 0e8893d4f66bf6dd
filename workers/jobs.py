"""The lane for jobs: one at a time on each worker, beside the runs and without any of their slots.

The lane lives in a Celery pool process. Its child, ``python -m training_core job --stay``, loads weights and carries jobs out; it
stays for a minute after the last one, so that whoever goes on talking is answered at once. On a worker whose operator
sets ``KUMITE_JOBS_GPU`` the child has that GPU, which is then offered to no run; else it works on the CPU, at a lower
priority than runs.
"""

import fcntl
import json
import logging
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone
from redis import Redis, RedisError

from webapp.env import env_bool, env_int, env_str
from webapp.experiments.doorbell import JOBS_CHANNEL
from webapp.fleet import timing
from webapp.fleet.models import Worker
from webapp.fleet.processes import kill_marked
from webapp.jobs import choices
from webapp.jobs import services as jobs
from webapp.jobs.choices import FILES_KEPT_HOURS, JobKind, JobStatus
from webapp.jobs.folders import job_folder, jobs_folder, root_folder
from webapp.jobs.models import Job
from webapp.jobs.services import JobClaim, JobLost
from webapp.outages import DATABASE_AWAY
from workers import lifecycle
from workers.output import OutputLog
from workers.process import Child, environment

logger = logging.getLogger(__name__)

_LOOK_S = 0.02
"""How often a short job's outcome is looked for; longer ones are looked at less often."""
_MAX_LOOK_S = 0.25
_OUTPUT_BYTES = 2**20


def keep_lane(worker: Worker) -> None:
    """Carry out jobs until none is left and the child has been idle for a minute; returns at once where a lane is open."""
    if not env_bool("KUMITE_JOBS", True):
        return
    with _alone(worker) as alone:
        if alone:
            Lane(worker).run()


@contextmanager
def _alone(worker: Worker) -> Iterator[bool]:
    """Whether this process is the worker's lane; the kernel forgets the claim when the process ends, however it ends."""
    with Path(gettempdir(), f"kumite-jobs-{worker.pk}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


class Lane:
    """Jobs one after the other, all in one child as long as it lives. Runs in the main thread of its process."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._mark = f"jobs/{worker.pk}"
        self._child: Child | None = None
        self._idle_since = 0.0

    def run(self) -> None:
        sweep_folders()
        try:
            with _ears() as hear:
                while not lifecycle.is_shutting_down():
                    claim = self._claim()
                    if claim is not None:
                        self._carry_out(claim)
                        self._idle_since = time.monotonic()
                    elif self._child is None or time.monotonic() - self._idle_since > choices.KEEP_WARM_S:
                        return
                    else:
                        hear()
        finally:
            self._end_child()

    def _claim(self) -> JobClaim | None:
        try:
            return jobs.claim_job(worker=self._worker)
        except DATABASE_AWAY:
            connection.close()
            return None

    def _carry_out(self, claim: JobClaim) -> None:
        folder = job_folder(claim.job_id)
        facts = {"job": str(claim.job_id), "kind": claim.kind, "attempt": claim.attempt}
        logger.info("job.claimed", extra=facts)
        kept = False
        try:
            kept = self._conclude(claim, folder)
        except JobLost:
            logger.warning("job.lost", extra=facts)
            self._end_child()
        except OSError as error:
            jobs.finish_job(claim=claim, error=f"The worker cannot write its files: {error.strerror}.")
        finally:
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _conclude(self, claim: JobClaim, folder: Path) -> bool:
        """See the job through and write what became of it; whether its folder holds a file to keep."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        told = {"kind": claim.kind, "payload": claim.payload, "root": str(root_folder())}
        (folder / "job.json").write_text(json.dumps(told), encoding="utf-8")
        ending = self._watch(claim, folder)
        outcome = _read(folder / "outcome.json")
        if outcome is not None and "result" in outcome:
            _until_known(lambda: jobs.finish_job(claim=claim, result=outcome["result"]))
            return claim.kind == JobKind.EXPORT
        if outcome is not None:
            _until_known(lambda: jobs.finish_job(claim=claim, error=str(outcome["error"])))
        elif ending == "cancelled":
            _until_known(lambda: jobs.drop_job(claim=claim))
        elif ending == "too long":
            minutes = claim.time_limit_s / 60
            _until_known(lambda: jobs.finish_job(claim=claim, error=f"It took longer than {minutes:g} minutes."))
        else:
            leaving = ending == "leaving"
            why = (
                "The worker was shut down." if leaving else "Its process was killed, most often because memory ran out."
            )
            _until_known(lambda: jobs.hand_back(claim=claim, why=why, counts=not leaving))
        return False

    def _watch(self, claim: JobClaim, folder: Path) -> str:
        """Until there is an outcome ("done"), or why there will be none: cancelled, too long, leaving, died. Raises ``JobLost``."""
        child = self._ready_child()
        started = renewed = known = time.monotonic()
        if not child.tell(str(folder)):
            return self._give_up("died")
        look_s = _LOOK_S
        while not (folder / "outcome.json").exists():
            if child.wait(look_s) is not None and not (folder / "outcome.json").exists():
                return self._give_up("died")
            look_s = min(_MAX_LOOK_S, look_s * 1.1)
            now = time.monotonic()
            if now - started > claim.time_limit_s:
                return self._give_up("too long")
            if lifecycle.is_shutting_down():
                return self._give_up("leaving")
            if now - renewed < timing.CONTROL_POLL_S:
                continue
            renewed = now
            asked_to_stop = self._renew(claim, folder)
            if asked_to_stop is not None:
                known = now
            if asked_to_stop:
                return self._give_up("cancelled")
            if now - known > timing.FENCE_S:  # somebody else may have the job soon
                raise JobLost
        return "done"

    def _renew(self, claim: JobClaim, folder: Path) -> bool | None:
        """Whether somebody asked to stop; None where the database cannot be reached. Raises ``JobLost``."""
        progress = _read(folder / "progress.json") or {}
        try:
            goes_on = jobs.keep_job(
                claim=claim, progress=progress.get("fraction"), text=str(progress.get("text") or "Loading")
            )
        except DATABASE_AWAY:
            logger.warning("database.unreachable", exc_info=True)
            connection.close()
            return None
        return not goes_on

    def _give_up(self, why: str) -> str:
        self._end_child()
        return why

    def _ready_child(self) -> Child:
        if self._child is None or self._child.poll() is not None:
            self._end_child()
            threads = env_int("KUMITE_JOBS_THREADS", 1)
            gpu = env_str("KUMITE_JOBS_GPU", "")
            jobs_folder().mkdir(parents=True, exist_ok=True)
            argv = [sys.executable, "-m", "training_core", "job", "--stay", "--threads", str(threads)]
            self._child = Child(
                argv,
                env=environment(mark=self._mark, gpus=[gpu] if gpu else [], threads=threads) | _memory_limit(),
                cwd=settings.BASE_DIR,
                output=OutputLog(jobs_folder() / f"{self._worker.pk}.log", max_bytes=_OUTPUT_BYTES),
                listens=True,
            )
            self._child.give_way()
        return self._child

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.kill()
            kill_marked(self._mark, self._child.id)
            self._child = None


def sweep_folders() -> None:
    """Remove what killed workers left behind, and exported files whose time is over."""
    if not jobs_folder().is_dir():
        return
    for folder in jobs_folder().iterdir():
        if folder.is_dir() and not _is_needed(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def _is_needed(name: str) -> bool:
    try:
        job_id = UUID(name)
    except ValueError:
        return True  # not ours
    job = Job.objects.filter(pk=job_id).only("status", "kind", "finished_at").first()
    if job is None or job.finished_at is None:
        return job is not None
    hours = (timezone.now() - job.finished_at).total_seconds() / 3600
    return job.kind == JobKind.EXPORT and job.status == JobStatus.SUCCEEDED and hours < FILES_KEPT_HOURS


@contextmanager
def _ears() -> Iterator[Any]:
    """A function that waits up to a second for news of a job; without Redis it only waits."""
    try:
        with Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2) as client, client.pubsub() as ears:
            ears.subscribe(JOBS_CHANNEL)

            def hear() -> None:
                try:
                    ears.get_message(ignore_subscribe_messages=True, timeout=1.0)
                except (RedisError, OSError):
                    time.sleep(1.0)

            yield hear
    except (RedisError, OSError):
        yield lambda: time.sleep(1.0)


def _memory_limit() -> dict[str, str]:
    limit = env_str("KUMITE_JOBS_MEMORY_MIB", "")
    return {"KUMITE_JOBS_MEMORY_MIB": limit} if limit else {}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _until_known(write: Any) -> None:
    """An outcome must not be lost: wait for the database as long as the lease could be alive."""
    deadline = time.monotonic() + timing.LEASE_S
    while True:
        try:
            write()
            return
        except DATABASE_AWAY:
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
