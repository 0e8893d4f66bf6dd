"""One host's part of a run that several hosts carry out together.

The worker at host rank 0 supervises the run: it holds the lease, relays events and decides how the run ends. A member
starts its own processes, keeps them only while that lease lives, and gives its slots back when they are gone.
"""

import logging

from django.conf import settings
from django.db import connection

from webapp.experiments.choices import FailureKind, RunStatus
from webapp.fleet import services as fleet
from webapp.fleet import timing
from webapp.fleet.folders import run_folder
from webapp.fleet.leases import LeaseLost
from webapp.fleet.processes import kill_run
from webapp.fleet.services import Claim, Outcome
from webapp.outages import DATABASE_AWAY
from webapp.workspaces.vault import secrets_of_run
from workers import lifecycle
from workers.fence import Fence
from workers.output import OutputLog
from workers.process import Child, training_argv, training_environment
from workers.redaction import Redactor

logger = logging.getLogger(__name__)


def assist(claim: Claim) -> None:
    """Carry out this host's part until its process has ended or the run's lease has."""
    folder = run_folder(claim.run_id)
    if not (folder / "spec.yaml").is_file():
        _refuse(claim)
        return
    secrets = secrets_of_run(claim.run_id)
    output = OutputLog(folder / f"output-{claim.host_rank}.log", redactor=Redactor(secrets))
    env = training_environment(claim) | secrets
    child = Child(training_argv(folder, claim), env=env, cwd=settings.BASE_DIR, output=output)
    fence = Fence(limit_s=timing.FENCE_S, cut=child.kill)
    try:
        fleet.mark_joined(claim=claim, child=child.id)
        while child.wait(timing.CONTROL_POLL_S) is None:
            _keep_step(claim, child, fence)
    except LeaseLost:
        logger.info("member.released", extra={"run": str(claim.run_id), "host_rank": claim.host_rank})
        _end(child)
    finally:
        child.kill()
        fence.close()
        output.close()
        if kill_run(claim.run_id, claim.token, child.id, host_rank=claim.host_rank):
            fleet.release(run_id=claim.run_id, token=claim.token, host_rank=claim.host_rank)


def _keep_step(claim: Claim, child: Child, fence: Fence) -> None:
    if lifecycle.is_shutting_down():
        child.terminate()  # its ranks tell the others, and the run goes on later from a checkpoint
    try:
        fleet.control_of(run_id=claim.run_id, token=claim.token)
        fence.renewed()
    except DATABASE_AWAY:
        logger.warning("database.unreachable", exc_info=True)
        connection.close()


def _end(child: Child) -> None:
    """The run is over: its processes are about to end by themselves; what stays is ended."""
    if child.wait(timing.STOP_GRACE_S / 4) is None:
        child.terminate()
        child.wait(timing.STOP_GRACE_S / 4)


def _refuse(claim: Claim) -> None:
    """The files of the run are not on this host."""
    text = (
        f"Worker {lifecycle.this_worker().name} does not see the run's folder; runs on several hosts need KUMITE_ARTIFACTS "
        "on a volume that all of them share."
    )
    logger.error("member.no_folder", extra={"run": str(claim.run_id), "folder": str(run_folder(claim.run_id))})
    try:
        outcome = Outcome(to=RunStatus.FAILED, reason=text, failure_kind=FailureKind.SPEC, failure_text=text)
        fleet.finish_run(run_id=claim.run_id, token=claim.token, outcome=outcome, child_gone=False)
    except LeaseLost:
        pass
    fleet.release(run_id=claim.run_id, token=claim.token, host_rank=claim.host_rank)
