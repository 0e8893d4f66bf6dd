"""What people are told about, and how."""

from django.db.models import TextChoices


class NoticeKind(TextChoices):
    ENDED = "ended", "A run has ended"
    FAILED = "failed", "A run has failed"
    PAUSED = "paused", "A run paused by itself"
    MENTION = "mention", "Somebody mentioned you"
    ALERT = "alert", "A run looks unwell"
    TEST = "test", "A trial message"


class ChannelKind(TextChoices):
    EMAIL = "email", "E-mail"
    WEBHOOK = "webhook", "Webhook"


class Scope(TextChoices):
    MINE = "mine", "my runs"
    WORKSPACES = "workspaces", "all runs of my workspaces"


class Side(TextChoices):
    ABOVE = "above", "above"
    BELOW = "below", "below"


class DeliveryStatus(TextChoices):
    DUE = "due", "On its way"
    SENT = "sent", "Sent"
    GIVEN_UP = "given_up", "Given up"
