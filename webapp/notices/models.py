"""Notices to people and their way out of the house: an outbox in the database, sent by the workers' clock."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from webapp.experiments.models import Run
from webapp.notices.choices import ChannelKind, DeliveryStatus, NoticeKind, Scope, Side


class Notice(models.Model):
    """One thing one person should know: ``Notice(kind="failed", title="First run, run 2, has failed", url="/runs/…/")``."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=12, choices=NoticeKind.choices)
    title = models.CharField(max_length=200)
    text = models.CharField(max_length=500, blank=True)
    url = models.CharField(max_length=300)
    """Where it leads, inside the site."""
    run = models.ForeignKey(Run, null=True, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=120)
    """What it is about, so that the same thing is told once: ``run:<id>:<version>``."""
    is_listed = models.BooleanField(default=True)
    """Whether it stands in the person's own list; a channel with a wider scope may carry what the list leaves out."""
    created_at = models.DateTimeField(auto_now_add=True)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "key"], name="notice_once")]
        indexes: ClassVar = [models.Index(fields=["user", "-id"], condition=Q(is_listed=True), name="notice_list")]

    def __str__(self) -> str:
        return self.title


class Channel(models.Model):
    """A way to reach a person outside the site."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="channels")
    kind = models.CharField(max_length=8, choices=ChannelKind.choices)
    address = models.CharField(max_length=500)
    """An e-mail address or the URL of a webhook."""
    secret = models.CharField(max_length=64, blank=True)
    """With which a webhook's messages are signed; shown to its owner alone."""
    kinds = models.JSONField(default=list)
    """The kinds of notices it carries."""
    scope = models.CharField(max_length=12, choices=Scope.choices, default=Scope.MINE)
    created_at = models.DateTimeField(auto_now_add=True)
    last_error = models.CharField(max_length=300, blank=True)
    """Why the newest message could not be sent; empty once one was."""

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "kind", "address"], name="channel_once"),
            models.CheckConstraint(condition=Q(kind__in=ChannelKind.values), name="channel_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.address}"


class AlertRule(models.Model):
    """A line that a metric must not cross: ``AlertRule(metric="eval/greedy_accuracy", side="below", threshold=0.3, lasting=3)``."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="alert_rules")
    metric = models.CharField(max_length=80)
    side = models.CharField(max_length=8, choices=Side.choices)
    threshold = models.FloatField()
    lasting = models.PositiveSmallIntegerField(default=3)
    """So many measurements in a row must lie beyond the line."""
    scope = models.CharField(max_length=12, choices=Scope.choices, default=Scope.MINE)
    run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    """The only run that is looked at; None for all that the scope names."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(side__in=Side.values), name="alert_rule_side_known"),
            models.CheckConstraint(condition=Q(lasting__gte=1), name="alert_rule_lasts"),
        ]

    def __str__(self) -> str:
        lasting = f" for {self.lasting} measurements" if self.lasting > 1 else ""
        return f"{self.metric} {self.side} {self.threshold:g}{lasting}"


class Delivery(models.Model):
    """One notice through one channel."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    status = models.CharField(max_length=8, choices=DeliveryStatus.choices, default=DeliveryStatus.DUE)
    num_tries = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["notice", "channel"], name="delivery_once")]
        indexes: ClassVar = [models.Index(fields=["next_at"], condition=Q(status="due"), name="delivery_due")]

    def __str__(self) -> str:
        return f"{self.notice} by {self.channel}"
