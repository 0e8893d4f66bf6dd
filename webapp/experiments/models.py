"""Experiments and their runs. Only ``services.py`` writes the tables; only ``selectors.py`` reads for a person."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.utils import timezone

from webapp.experiments.choices import HELD, TERMINAL, FailureKind, RunStatus, TransitionActor
from webapp.workspaces.models import Workspace

EXTERNAL = "external"
"""Stands for the method of runs that happen elsewhere and only tell their numbers."""


class ExperimentQuerySet(models.QuerySet["Experiment"]):
    def visible_to(self, user: object) -> "ExperimentQuerySet":
        return self.filter(workspace__in=Workspace.objects.visible_to(user))


class Experiment(models.Model):
    """A validated spec in a workspace, together with the runs made from it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="experiments")
    name = models.CharField(max_length=120)
    method = models.CharField(max_length=40)
    """Slug of the method, copied out of the spec for filtering."""
    spec = models.JSONField()
    """The resolved ExperimentSpec, every default written out."""
    parent = models.ForeignKey("Run", null=True, blank=True, on_delete=models.SET_NULL, related_name="clones")
    """The run this experiment was cloned from."""
    fork_step = models.BigIntegerField(null=True, blank=True)
    """The step of the parent's checkpoint that the runs begin from; None where they begin anew."""
    template_version = models.ForeignKey(
        "TemplateVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="experiments"
    )
    """The team template it was composed from."""
    is_rehearsal = models.BooleanField(default=False)
    """A short trial of a form before its launch: in no list, and removed after a day."""
    is_example = models.BooleanField(default=False)
    """Recorded elsewhere and laid out to be looked at; nothing goes on from it, and it can be taken away."""
    rehearsed = models.JSONField(null=True, blank=True)
    """What the rehearsal before the launch found; see ``webapp.experiments.rehearsals.Finding``."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = ExperimentQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "-created_at"])]

    def __str__(self) -> str:
        return self.name


QUEUE_ORDER = ("-priority", "placed_at", "pk")
"""Highest priority first, then by place: the order in which workers look at waiting runs."""


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, user: object) -> "RunQuerySet":
        return self.filter(experiment__workspace__in=Workspace.objects.visible_to(user))

    def in_queue_order(self) -> "RunQuerySet":
        return self.order_by(*QUEUE_ORDER)


class Run(models.Model):
    """One execution of an experiment's spec. Postgres is its only truth; the lease token fences every worker write."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="runs")
    number = models.PositiveIntegerField()
    """1, 2, 3 inside the experiment."""
    spec = models.JSONField()
    """The spec with this run's seed and overrides."""
    overrides = models.JSONField(default=dict)
    """What a sweep changes for this run: ``{"method.optimizer.lr": 0.001}``; the seed is not among them."""
    status = models.CharField(max_length=12, choices=RunStatus.choices, default=RunStatus.QUEUED)
    status_version = models.PositiveIntegerField(default=0)
    priority = models.SmallIntegerField(default=0)
    placed_at = models.DateTimeField(default=timezone.now)
    """Its place among waiting runs of its priority: the earlier, the sooner. Changes when an operator moves the run."""
    num_gpus = models.PositiveSmallIntegerField(default=0)
    """On each host."""
    num_hosts = models.PositiveSmallIntegerField(default=1)
    not_before = models.DateTimeField(null=True, blank=True)

    attempt = models.PositiveSmallIntegerField(default=0)
    """Counts claims; a new attempt may rewrite the events after its checkpoint."""
    failed_attempts = models.PositiveSmallIntegerField(default=0)
    """Attempts lost to dead workers or kills since the last new checkpoint; pauses and drains do not count."""
    max_attempts = models.PositiveSmallIntegerField(default=3)
    lease_token = models.BigIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    worker = models.ForeignKey("fleet.Worker", null=True, blank=True, on_delete=models.SET_NULL, related_name="runs")
    """Who holds the lease; workers on further hosts hold slots only."""
    rendezvous = models.CharField(max_length=160, blank=True)
    """``address:port`` at which the hosts of this attempt meet; empty until the first of them is ready."""

    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    pause_requested_at = models.DateTimeField(null=True, blank=True)
    checkpoint_requests = models.PositiveIntegerField(default=0)
    """How often a checkpoint was asked for; the supervisor forwards each increase."""

    phase_text = models.CharField(max_length=300, blank=True)
    phase_fraction = models.FloatField(null=True, blank=True)
    last_seq = models.BigIntegerField(default=0)
    """Events 1..last_seq are stored."""
    last_step = models.BigIntegerField(default=0)
    total_steps = models.BigIntegerField()
    headline = models.JSONField(default=list)
    """Up to 60 [step, value] points of the method's headline metric, for sparklines."""
    failure_kind = models.CharField(max_length=20, choices=FailureKind.choices, blank=True)
    failure_text = models.TextField(blank=True)
    traceback = models.TextField(blank=True)

    code = models.JSONField(default=dict, blank=True)
    """Which code its newest attempt was carried out with; see ``webapp.sources.services.keep_code``."""
    heard_at = models.DateTimeField(null=True, blank=True)
    """When the program of a run that happens elsewhere was last heard of; None for runs of workers. See ``contact.py``."""
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    """Words of the team by which runs are found again, sorted."""
    archived_at = models.DateTimeField(null=True, blank=True)
    """Archived runs keep their address and are left out of lists."""

    idempotency_key = models.CharField(max_length=80, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["experiment", "number"], name="run_number_once"),
            models.UniqueConstraint(
                fields=["created_by", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="run_idempotency_key_once",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=sorted(TERMINAL)) | Q(finished_at__isnull=False),
                name="run_terminal_has_end",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=sorted(HELD)) | Q(lease_token__gt=0), name="run_held_has_token"
            ),
            models.CheckConstraint(condition=Q(status__in=RunStatus.values), name="run_status_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-priority", "placed_at"], condition=Q(status="queued"), name="run_queue"),
            models.Index(fields=["lease_expires_at"], condition=Q(status__in=sorted(HELD)), name="run_leases"),
            GinIndex(fields=["tags"], name="run_tags"),
        ]

    def __str__(self) -> str:
        return f"{self.experiment} #{self.number}"

    @property
    def is_terminal(self) -> bool:
        return RunStatus(self.status) in TERMINAL


class RunTransition(models.Model):
    """One state change. (run, version) is unique, so a transition happens once or not at all."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="transitions")
    version = models.PositiveIntegerField()
    from_status = models.CharField(max_length=12)
    to_status = models.CharField(max_length=12)
    actor_kind = models.CharField(max_length=8, choices=TransitionActor.choices)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    reason = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "version"], name="transition_version_once")]

    def __str__(self) -> str:
        return f"{self.from_status} to {self.to_status}"


class ShareLink(models.Model):
    """A read-only link to one run for people without an account. Only the hash of its secret is stored."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="share_links")
    digest = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=8)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"share link {self.prefix}…"


class TemplateQuerySet(models.QuerySet["Template"]):
    def visible_to(self, user: object) -> "TemplateQuerySet":
        return self.filter(workspace__in=Workspace.objects.visible_to(user))


class Template(models.Model):
    """A starting point that a team keeps: a name for specs that are saved one after the other."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="templates")
    name = models.CharField(max_length=80)
    method = models.CharField(max_length=40)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    """Set while it is not offered; its versions stay, because runs were made from them."""

    objects = TemplateQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workspace", "name"], condition=Q(retired_at=None), name="template_name_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TemplateVersion(models.Model):
    """One saved state of a template; never changed afterwards."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    """1, 2, 3 inside the template."""
    spec = models.JSONField()
    """The resolved ExperimentSpec, every default written out."""
    note = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["template", "number"], name="template_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.template}, version {self.number}"
