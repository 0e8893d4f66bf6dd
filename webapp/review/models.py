"""What people say of runs: verdicts on judged turns, comments, marks on samples. Only ``services.py`` writes the tables."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs.models import Job
from webapp.orders.models import RunOrder
from webapp.workspaces.models import Workspace

PERSON = settings.AUTH_USER_MODEL


class Label(models.TextChoices):
    RIGHT = "right", "Right"
    WRONG = "wrong", "Wrong"
    UNCLEAR = "unclear", "Unclear"


class Verdict(models.Model):
    """What one person says of one judged turn. It keeps what was judged, for a later attempt may rewrite the sample."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="verdicts")
    episode = models.CharField(max_length=120)
    turn = models.PositiveIntegerField()
    """The judged turn, by its place in the sample."""
    step = models.BigIntegerField()
    by = models.ForeignKey(PERSON, null=True, on_delete=models.SET_NULL, related_name="+")
    label = models.CharField(max_length=8, choices=Label.choices)
    note = models.TextField(blank=True)
    saw_judge = models.BooleanField()
    """Whether the judge's word was on the page before the person answered."""
    at = models.DateTimeField(auto_now_add=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    order = models.ForeignKey(RunOrder, null=True, on_delete=models.SET_NULL, related_name="+")
    """The order to the run that this verdict became, if it differs from the judge's and the run was at work."""

    subject = models.CharField(max_length=120)
    """What the judge was asked: ``mae/answer``."""
    judge = models.CharField(max_length=160)
    """Which judge it was: ``frozen, starter``."""
    judge_value = models.FloatField()
    """The mean of its scores, 0 to 1."""
    question = models.TextField()
    answer = models.TextField(blank=True)
    """Empty where the question itself was judged."""
    truth = models.BooleanField(null=True)
    """What the verifier knew."""

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run", "episode", "turn", "by"], condition=Q(withdrawn_at=None), name="verdict_once"
            ),
            models.CheckConstraint(condition=Q(label__in=Label.values), name="verdict_label_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["run", "episode"], name="verdict_by_sample"),
            models.Index(fields=["by", "-at"], name="verdict_by_person"),
        ]

    def __str__(self) -> str:
        return f"{self.label}: {self.episode}"

    @property
    def judge_accepts(self) -> bool:
        return self.judge_value >= ACCEPT_AT

    @property
    def overrules(self) -> bool:
        """Whether the person says the opposite of the judge."""
        return self.label != Label.UNCLEAR and (self.label == Label.RIGHT) != self.judge_accepts

    @property
    def fate(self) -> str:
        """What the verdict did, in a sentence."""
        if self.label == Label.UNCLEAR:
            return "Nothing changes; others may be asked."
        if not self.overrules:
            return "The judge said the same. Both are in the calibration set."
        if self.order is None:
            return "The run could not learn from it, so it counts in the calibration set only."
        if self.order.is_waiting and not self.order.run.is_terminal:
            return "It is on its way into the run's next update, and in the calibration set."
        return f"{self.order.fate} It is in the calibration set."


ACCEPT_AT = 0.5
"""A judge's value from here on counts as acceptance."""


class Place(models.TextChoices):
    """What a comment or a mark stands at."""

    RUN = "run", "the run"
    SAMPLE = "sample", "a sample"
    TURN = "turn", "a turn"
    METRIC = "metric", "a point of a curve"


class Comment(models.Model):
    """A remark at a place of a run, or an answer to one."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="comments")
    place_kind = models.CharField(max_length=8, choices=Place.choices)
    place = models.CharField(max_length=200, blank=True)
    """Empty for the run, ``12-s3`` for a sample, ``12-s3:2`` for a turn, ``reward/solver@40`` for a point of a curve."""
    thread = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="replies")
    """The remark it answers."""
    text = models.TextField()
    by = models.ForeignKey(PERSON, null=True, on_delete=models.SET_NULL, related_name="+")
    mentions: "models.ManyToManyField[User, models.Model]" = models.ManyToManyField(PERSON, related_name="+")
    """Members who are named in the text with an @."""
    at = models.DateTimeField(auto_now_add=True)
    edited_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(place_kind__in=Place.values), name="comment_place_known")
        ]
        indexes: ClassVar = [models.Index(fields=["run", "place_kind", "place"], name="comment_by_place")]

    def __str__(self) -> str:
        return self.text[:60]


class MarkKind(models.TextChoices):
    PIN = "pin", "Pinned"
    FLAG = "flag", "Flagged"
    TAG = "tag", "Tagged"


class Mark(models.Model):
    """A sample that somebody pinned, flagged or tagged for the whole workspace."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="marks")
    episode = models.CharField(max_length=120)
    kind = models.CharField(max_length=4, choices=MarkKind.choices)
    tag = models.CharField(max_length=40, blank=True)
    by = models.ForeignKey(PERSON, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "episode", "kind", "tag"], name="mark_once"),
            models.CheckConstraint(condition=Q(kind__in=MarkKind.values), name="mark_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.tag or self.kind} on {self.episode}"


class Regrading(models.Model):
    """Answers that were given to a judge again, and for what: a run's newest samples, or a calibration set."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="regrading")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="regradings")
    run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.CASCADE, related_name="regradings")
    """Whose answers they are; None for a calibration set."""
    subject = models.CharField(max_length=120, blank=True)
    """The calibration set; empty for a run."""
    judge = models.CharField(max_length=200)
    """Who graded."""
    edited = models.BooleanField()
    """Whether its prompt was another than the method's own."""
    rubric_version = models.ForeignKey(
        "library.RubricVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="regradings"
    )
    """The version of the library whose text it was; None for the judge's own words and for words typed once."""
    num_items = models.PositiveIntegerField()
    by = models.ForeignKey(PERSON, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "-at"], name="regrading_by_time")]

    def __str__(self) -> str:
        return f"{self.judge} on {self.num_items} answers"
