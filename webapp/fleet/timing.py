"""Every duration of claims, leases and supervision, in seconds; each can be set through the environment.

Read the names through the module (``timing.LEASE_S``), so that a test may shorten them.
"""

from django.core.exceptions import ImproperlyConfigured

from webapp.env import env_float

HEARTBEAT_S = env_float("KUMITE_HEARTBEAT_S", 5)
"""Between two signs of life of a worker; each also looks for dead processes of its machine."""
LEASE_S = env_float("KUMITE_LEASE_S", 45)
"""A lease that was not renewed for so long is over and the run goes back to the queue."""
FENCE_S = env_float("KUMITE_FENCE_S", 30)
"""A supervisor that could not renew for so long ends its own child, before anybody else may start the run again."""
CLAIM_DEADLINE_S = env_float("KUMITE_CLAIM_DEADLINE_S", 60)
"""A run that was claimed but whose process never started goes back to the queue after this."""
DOORBELL_S = env_float("KUMITE_DOORBELL_S", 10)
"""Workers look for work this often even when nobody rang."""
REAPER_S = env_float("KUMITE_REAPER_S", 15)
VISIT_S = env_float("KUMITE_VISIT_S", 60)
"""How often the doctor looks at the runs at work."""
DELIVER_S = env_float("KUMITE_DELIVER_S", 10)
"""How often notices that are due are sent by e-mail and webhook."""
CONTROL_POLL_S = env_float("KUMITE_CONTROL_POLL_S", 1)
"""How often a supervisor renews its lease and looks for pause, checkpoint and stop."""
RELAY_S = env_float("KUMITE_RELAY_S", 0.25)
"""How often new events are moved to the database."""
STOP_GRACE_S = env_float("KUMITE_STOP_GRACE_S", 20)
"""From a polite stop to SIGKILL."""
CHECKPOINT_GRACE_S = env_float("KUMITE_CHECKPOINT_GRACE_S", 60)
"""The same while a checkpoint is being written."""
PAUSE_GRACE_S = env_float("KUMITE_PAUSE_GRACE_S", 600)
"""A pause may wait for a long step to end: nothing is gained by losing the step."""
STALL_S = env_float("KUMITE_STALL_S", 600)
"""A run without any new event for so long is taken for hanging."""
BACKOFF_S = env_float("KUMITE_BACKOFF_S", 10)
"""Wait before the first retry; each further one waits four times as long."""
MAX_BACKOFF_S = env_float("KUMITE_MAX_BACKOFF_S", 600)
WORKER_FORGOTTEN_S = env_float("KUMITE_WORKER_FORGOTTEN_S", 86_400)
"""A worker that has been gone for so long is taken off the Fleet page."""
TIDY_S = env_float("KUMITE_TIDY_S", 3600)
"""How often what is kept for a day only is looked for."""

if FENCE_S >= LEASE_S:
    raise ImproperlyConfigured(
        f"KUMITE_FENCE_S ({FENCE_S:g}) must be smaller than KUMITE_LEASE_S ({LEASE_S:g}): "
        "a worker has to end its child before another worker may start the run again"
    )


def backoff_s(failed_attempts: int) -> float:
    """Wait before the next attempt after so many lost ones: 10, 40, 160 ... seconds."""
    return min(MAX_BACKOFF_S, BACKOFF_S * 4.0 ** (failed_attempts - 1))
