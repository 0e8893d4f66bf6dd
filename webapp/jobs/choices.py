"""Kinds and states of a job, and the limits they live in."""

from django.db.models import IntegerChoices, TextChoices

from webapp.env import env_float, env_int


class JobKind(TextChoices):
    SAY = "say", "Playground"
    MATCH = "match", "Match"
    REJUDGE = "rejudge", "Grading again"
    EXPORT = "export", "Export"


class JobStatus(TextChoices):
    QUEUED = "queued", "Waiting"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Stopped"


class Rank(IntegerChoices):
    """Who goes first: somebody waits in front of the screen, somebody asked, nobody asked."""

    AT_ONCE = 0
    ASKED = 1
    IDLE = 2


ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})

TIME_LIMIT_S = {JobKind.SAY: 300.0, JobKind.MATCH: 1800.0, JobKind.REJUDGE: 1800.0, JobKind.EXPORT: 3600.0}
MAX_ATTEMPTS = 3
MAX_PAYLOAD_BYTES = 4 * 2**20

PER_PERSON = env_int("KUMITE_JOBS_PER_PERSON", 8)
"""Jobs that one person may have waiting or running at a time."""
KEEP_WARM_S = env_float("KUMITE_JOBS_KEEP_WARM_S", 60)
"""How long a worker's job process stays, with its weights in memory, when there is nothing to do."""
KEPT_DAYS = env_int("KUMITE_JOBS_KEPT_DAYS", 30)
"""Ended jobs are forgotten after so many days, unless a league is made of them."""
FILES_KEPT_HOURS = env_int("KUMITE_JOBS_FILES_KEPT_HOURS", 24)
"""Exported files can be downloaded for so long."""
