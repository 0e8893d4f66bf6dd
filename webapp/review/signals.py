"""What the app tells whoever wants to know. Receivers are called once the change is committed."""

from django.dispatch import Signal

commented = Signal()
"""A comment was written; ``comment`` is its row, whose ``mentions`` are the people to tell."""
