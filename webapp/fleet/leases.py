"""The lease on a run: who may write about it. Every write of a worker passes through ``lock_leased_run``."""

from uuid import UUID

from webapp.experiments.choices import HELD
from webapp.experiments.models import Run


class LeaseLost(Exception):
    """The run was given to somebody else, or ended, while this worker thought it held it. Nothing was written."""

    def __init__(self, run_id: UUID, token: int) -> None:
        super().__init__(f"lease {token} on run {run_id} is no longer valid")


def lock_leased_run(run_id: UUID, token: int) -> Run:
    """The run, locked until the transaction ends; raises ``LeaseLost`` unless this token still holds it."""
    run = Run.objects.select_for_update(of=("self",)).filter(pk=run_id, lease_token=token, status__in=HELD).first()
    if run is None:
        raise LeaseLost(run_id, token)
    return run
