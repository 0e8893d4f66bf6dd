"""Comments and marks as pages read them. The run comes from ``run_for``; nothing here widens what is seen."""

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch

from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.review.models import Comment, Mark, Place
from webapp.telemetry.models import Sample
from webapp.workspaces.models import Workspace

_MENTION = re.compile(r"(?<![\w@.])@([\w.+-]{1,60})")


@dataclass(frozen=True, kw_only=True)
class Thread:
    """A remark with its answers: ``Thread(comment=..., replies=[...], where="sample 12-s3", seq=412)``."""

    comment: Comment
    replies: list[Comment]
    where: str
    """The place in words; empty for the run itself."""
    seq: int | None
    """The sample's number, where it is there."""


def threads_at(run: Run, place_kind: str, place: str) -> list[Thread]:
    """The remarks at one place, oldest first."""
    return _threads(run, place_kind=place_kind, place=place)


def remarks_on_curves(run: Run) -> list[dict[str, Any]]:
    """Points of curves that somebody said something at: ``{"metric": "reward/solver", "step": 40, "number": 2}``."""
    said = Comment.objects.filter(run=run, place_kind=Place.METRIC, deleted_at=None).order_by("place")
    places: dict[str, int] = defaultdict(int)
    for place in said.values_list("place", flat=True):
        places[place] += 1
    points = [(*place.rpartition("@")[::2], number) for place, number in places.items()]
    return [{"metric": metric, "step": int(step), "number": number} for metric, step, number in points]


def threads_of(run: Run) -> list[Thread]:
    """Every remark on the run, newest first."""
    return _threads(run)[::-1]


def _threads(run: Run, **where: str) -> list[Thread]:
    replies = Prefetch("replies", Comment.objects.select_related("by").order_by("at"))
    rows = Comment.objects.filter(run=run, thread=None, **where).select_related("by").prefetch_related(replies)
    comments = [comment for comment in rows.order_by("at") if comment.deleted_at is None or comment.replies.all()]
    episodes = {episode_of(comment) for comment in comments} - {""}
    seqs = seqs_of(run, episodes)
    return [
        Thread(
            comment=comment,
            replies=[reply for reply in comment.replies.all() if reply.deleted_at is None],
            where=place_words(comment),
            seq=seqs.get(episode_of(comment)),
        )
        for comment in comments
    ]


def episode_of(comment: Comment) -> str:
    """The episode a comment stands at; empty where it stands at none."""
    if comment.place_kind not in {Place.SAMPLE, Place.TURN}:
        return ""
    return comment.place.split(":")[0]


def place_words(comment: Comment) -> str:
    match comment.place_kind:
        case Place.SAMPLE:
            return f"sample {comment.place}"
        case Place.TURN:
            episode, _, turn = comment.place.partition(":")
            return f"turn {int(turn) + 1} of sample {episode}"
        case Place.METRIC:
            name, _, step = comment.place.rpartition("@")
            return f"{name} at step {step}"
    return ""


def seqs_of(run: Run, episodes: set[str]) -> dict[str, int]:
    """The newest sample of each episode."""
    rows = Sample.objects.filter(run=run, episode__in=episodes).order_by("seq").values_list("episode", "seq")
    return dict(rows)


def mentioned(text: str, workspace: Workspace) -> list[User]:
    """Members who are named in a text: ``@ada`` is whoever's address begins with ada@, or is displayed as Ada."""
    names = {name.casefold().rstrip(".") for name in _MENTION.findall(text)}
    if not names:
        return []
    return [user for user in workspace.members.all() if names & names_of(user)]


def names_of(user: User) -> set[str]:
    """What a member may be called by."""
    return {user.email.partition("@")[0].casefold(), "".join(str(user).split()).casefold()}


def marks_on(run: Run, episode: str) -> list[Mark]:
    """The marks on a sample, oldest first."""
    return list(Mark.objects.filter(run=run, episode=episode).select_related("by").order_by("at"))


def marks_by_name(run: Run) -> dict[str, list[dict[str, Any]]]:
    """Marked samples by the word they are marked with, each with its title and number."""
    marks = list(Mark.objects.filter(run=run).select_related("by").order_by("kind", "tag", "-at"))
    samples = Sample.objects.filter(run=run, episode__in={mark.episode for mark in marks}).order_by("seq")
    found = {row["episode"]: row for row in samples.values("episode", "seq", "title", "step")}
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for mark in marks:
        grouped[mark.tag or mark.get_kind_display()].append({"mark": mark, "sample": found.get(mark.episode)})
    return dict(grouped)
