"""How many runs one person may have at work, so that a sweep of sixty-four leaves room for a colleague's one run."""

from django.db.models import Count, QuerySet

from webapp.accounts.models import User
from webapp.env import env_int
from webapp.experiments.choices import HELD
from webapp.experiments.models import Run

RUNS_PER_PERSON = env_int("KUMITE_RUNS_PER_PERSON", 0)
"""Runs of one person that workers carry out at a time, rehearsals apart; 0 for any number."""


def people_at_their_limit() -> QuerySet[Run, int]:
    """Keys of the people who have as many runs at work as one may have."""
    at_work = Run.objects.filter(status__in=HELD, experiment__is_rehearsal=False, created_by__isnull=False)
    if not RUNS_PER_PERSON:
        at_work = at_work.none()
    counted = at_work.order_by().values("created_by").annotate(num_runs=Count("pk"))
    return counted.filter(num_runs__gte=RUNS_PER_PERSON).values_list("created_by", flat=True)


def takes_room(run: Run) -> bool:
    """Whether the run's owner may have it at work now; holds the owner until the claim is written.

    Two workers that claim runs of the same person at the same moment would both count before either writes: the second one finds the owner
    held and leaves the run for its next look.
    """
    if not RUNS_PER_PERSON or run.created_by_id is None or run.experiment.is_rehearsal:
        return True
    owner = User.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=run.created_by_id).first()
    return owner is not None and not people_at_their_limit().filter(created_by=owner).exists()


def sentence() -> str:
    """Why a run waits whose owner has all that one may have."""
    runs = "run" if RUNS_PER_PERSON == 1 else "runs"
    return (
        f"waits until another run of the same person ends; {RUNS_PER_PERSON} {runs} at a time is the most for one here"
    )
