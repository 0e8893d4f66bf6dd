"""What people ask of runs at work. Only ``services.py`` writes the table."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from webapp.experiments.models import Run


class OrderKind(models.TextChoices):
    OVERRULE = "overrule", "Verdict overruled"
    KNOB = "knob", "Knob turned"
    QUESTION = "question", "Pool changed"


class RunOrder(models.Model):
    """One order to one run. It counts as given until a ``change`` event of the run answers it."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="orders")
    number = models.PositiveIntegerField()
    """1, 2, 3 inside the run; the ``id`` of ``training_core.spec.orders``."""
    kind = models.CharField(max_length=10, choices=OrderKind.choices)
    payload = models.JSONField()
    """The order without id, name and command."""
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    idempotency_key = models.CharField(max_length=80, blank=True)
    acked_seq = models.BigIntegerField(null=True, blank=True)
    """The event that answered it; empty again when a later attempt of the run drops that event."""
    outcome = models.JSONField(null=True, blank=True)
    """The answer: ``training_core.spec.events.ChangeData``."""

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "number"], name="order_number_once"),
            models.UniqueConstraint(
                fields=["run", "by", "idempotency_key"], condition=~Q(idempotency_key=""), name="order_key_once"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["run"], condition=Q(acked_seq=None), name="order_waiting")]

    def __str__(self) -> str:
        return f"order {self.number} to {self.run}"

    @property
    def line(self) -> dict[str, Any]:
        """The order as the run reads it."""
        by = str(self.by)[:120] if self.by else ""
        return {"id": self.number, "command": self.kind, "by": by, **self.payload}

    @property
    def is_waiting(self) -> bool:
        return self.acked_seq is None

    @property
    def is_obeyed(self) -> bool:
        return bool(self.outcome and self.outcome["obeyed"])

    @property
    def fate(self) -> str:
        """What became of it, in one sentence."""
        if self.outcome:
            return str(self.outcome["text"])
        if self.run.is_terminal:
            return "The run ended before it came to this."
        return "Waits for the run's next step."
