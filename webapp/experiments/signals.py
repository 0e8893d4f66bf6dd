"""What other apps may hear of experiments; each is sent inside the transaction of the change."""

from django.dispatch import Signal

run_moved = Signal()
"""A run took another state: ``run``, ``to``, ``actor`` (a person or None), ``actor_kind``."""
