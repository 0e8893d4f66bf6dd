"""Runs that happen elsewhere and of which nothing is heard any more. Said of a run by its times, so a word from it takes it back."""

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from webapp.env import env_float
from webapp.experiments.choices import RunStatus
from webapp.experiments.models import EXTERNAL, Run

LOST_AFTER_S = env_float("KUMITE_LOST_CONTACT_S", 300)
"""Silence after which contact counts as lost. ``kumite.log`` sends a sign of life every minute."""


def lost_since(run: Run) -> datetime | None:
    """When the program of a run was last heard of, if that is too long ago; None while it speaks, and for runs of workers."""
    if run.status != RunStatus.RUNNING or run.heard_at is None or run.experiment.method != EXTERNAL:
        return None
    return run.heard_at if run.heard_at < _silent_before() else None


def has_lost_contact() -> Q:
    """The same for a list of runs."""
    return Q(experiment__method=EXTERNAL, status=RunStatus.RUNNING, heard_at__lt=_silent_before())


def _silent_before() -> datetime:
    return timezone.now() - timedelta(seconds=LOST_AFTER_S)
