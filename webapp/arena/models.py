"""Leagues: who meets whom at what, the meetings that were played, and what people who did not know the names preferred."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from webapp.arena.choices import Choice, EntrantKind
from webapp.experiments.models import Run
from webapp.jobs.models import Job
from webapp.workspaces.models import Workspace


class LeagueQuerySet(models.QuerySet["League"]):
    def visible_to(self, user: object) -> "LeagueQuerySet":
        return self.filter(workspace__in=Workspace.objects.visible_to(user))


class League(models.Model):
    """Players who meet at one contest."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="leagues")
    name = models.CharField(max_length=120)
    contest = models.JSONField()
    """A ``GameContest`` or ``QuestionContest`` of ``training_core.spec.jobs``."""
    sampling = models.JSONField()
    """How moves and answers are drawn: a ``SamplingSpec``."""
    runs = models.ManyToManyField(Run, related_name="leagues")
    """Runs whose checkpoints take part."""
    plays_when_idle = models.BooleanField(default=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = LeagueQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name

    @property
    def is_of_games(self) -> bool:
        return bool(self.contest["kind"] == "game")


class Entrant(models.Model):
    """One player: a checkpoint, frozen weights of it, what a run began with, or a rule."""

    league = models.ForeignKey(League, on_delete=models.CASCADE, related_name="entrants")
    kind = models.CharField(max_length=10, choices=EntrantKind.choices)
    name = models.CharField(max_length=200)
    run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    step = models.BigIntegerField(default=0)
    policy = models.CharField(max_length=80, default="main")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["league", "kind", "run", "step", "policy"], name="entrant_once", nulls_distinct=False
            ),
            models.UniqueConstraint(fields=["league", "name"], name="entrant_name_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Meeting(models.Model):
    """Two players meet a number of times; the job's result holds every game, as the first player sees it."""

    league = models.ForeignKey(League, on_delete=models.CASCADE, related_name="meetings")
    first = models.ForeignKey(Entrant, on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey(Entrant, on_delete=models.CASCADE, related_name="+")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="meeting")
    num_games = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(first=models.F("second")), name="meeting_of_two"),
        ]
        indexes: ClassVar = [models.Index(fields=["league", "first", "second"], name="meeting_by_pair")]

    def __str__(self) -> str:
        return f"{self.first} against {self.second}"


class Vote(models.Model):
    """What a person was shown, and what they preferred before they saw the names. Shown once, counted once."""

    meeting = models.ForeignKey(Meeting, on_delete=models.CASCADE, related_name="votes")
    game = models.PositiveSmallIntegerField()
    """Which game or question of the meeting."""
    voter = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    is_flipped = models.BooleanField()
    """Whether the first player stood on the right; drawn by chance when it was shown."""
    choice = models.CharField(max_length=5, choices=Choice.choices, blank=True)
    """Empty until the person has voted."""
    outcome = models.FloatField(null=True, blank=True)
    """Points the first player took by the rules, the verifier or the judge; kept with the vote to be compared with it."""
    shown_at = models.DateTimeField(auto_now_add=True)
    voted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["meeting", "game", "voter"], name="vote_once"),
            models.CheckConstraint(condition=Q(choice__in=["", *Choice.values]), name="vote_choice_known"),
        ]

    def __str__(self) -> str:
        return f"{self.choice or 'no vote'} on game {self.game}"

    @property
    def points(self) -> float | None:
        """Of the first player: 1, 1/2 or 0; None before the vote. Both bad is a draw."""
        if not self.choice:
            return None
        if self.choice in {Choice.TIE, Choice.BAD}:
            return 0.5
        return float((self.choice == Choice.LEFT) is not self.is_flipped)
