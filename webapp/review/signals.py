"""What the app tells whoever wants to know, in the transaction of what happened."""

from django.dispatch import Signal

commented = Signal()
"""A comment was written; ``comment`` is its row, whose ``mentions`` are the people to tell."""
