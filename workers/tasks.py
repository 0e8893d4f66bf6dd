"""The tasks: look for runs and for jobs, look for the dead, send what people should know, and throw away what nobody needs."""

import logging

from webapp.arena.services import play_when_idle
from webapp.experiments import doorbell as bell
from webapp.experiments.rehearsal_services import remove_old_rehearsals
from webapp.fleet import services as fleet
from webapp.jobs.services import reap_jobs
from webapp.notices.rounds import visit_runs
from webapp.notices.services import deliver_due
from workers import lifecycle
from workers.app import app
from workers.jobs import keep_lane
from workers.member import assist
from workers.supervisor import supervise

logger = logging.getLogger(__name__)


@app.task(name="workers.tasks.doorbell", ignore_result=True)
def doorbell() -> None:
    """Carry out queued runs, and parts of runs, until none fits. Rung too often or too seldom, the outcome is the same."""
    worker = lifecycle.this_worker()
    while not lifecycle.is_shutting_down():
        claim = fleet.join_run(worker=worker) or fleet.claim_run(worker=worker)
        if claim is None:
            return
        bell.ring()  # another slot may be free for the next run in the queue
        facts = {"run": str(claim.run_id), "attempt": claim.attempt, "host_rank": claim.host_rank}
        logger.info("run.claimed", extra=facts)
        if claim.host_rank == 0:
            supervise(claim)
        else:
            assist(claim)


@app.task(name="workers.tasks.deliver", ignore_result=True, time_limit=300)
def deliver() -> None:
    """Send the notices that are due."""
    deliver_due()


@app.task(name="workers.tasks.visit", ignore_result=True, time_limit=300)
def visit() -> None:
    """Let the doctor look at the runs at work."""
    visit_runs()


@app.task(name="workers.tasks.jobs", ignore_result=True)
def jobs() -> None:
    """Carry out jobs, one at a time on this machine's worker, until there are none and the job process has cooled down."""
    play_when_idle()
    keep_lane(lifecycle.this_worker())


@app.task(name="workers.tasks.reap", ignore_result=True, time_limit=120)
def reap() -> None:
    """Take runs and jobs back from workers that no longer answer."""
    if ended := fleet.reap():
        logger.warning("leases.expired", extra={"runs": ended})
    if moved := reap_jobs():
        logger.warning("leases.expired", extra={"jobs": moved})


@app.task(name="workers.tasks.tidy", ignore_result=True, time_limit=600)
def tidy() -> None:
    """Remove rehearsals of yesterday."""
    if removed := remove_old_rehearsals():
        logger.info("rehearsals.removed", extra={"count": removed})
