"""What happens elsewhere in the house becomes a notice here."""

from typing import Any

from django.dispatch import receiver
from django.urls import reverse

from webapp.accounts.models import User
from webapp.experiments.choices import RunStatus, TransitionActor
from webapp.experiments.failures import explain
from webapp.experiments.models import Run
from webapp.experiments.signals import run_moved
from webapp.notices.choices import NoticeKind
from webapp.notices.services import News, tell, tell_about_run
from webapp.review.models import Comment
from webapp.review.notes import episode_of, place_words, seqs_of
from webapp.review.signals import commented

_KINDS = {
    RunStatus.SUCCEEDED: NoticeKind.ENDED,
    RunStatus.CANCELLED: NoticeKind.ENDED,
    RunStatus.FAILED: NoticeKind.FAILED,
    RunStatus.TIMED_OUT: NoticeKind.FAILED,
    RunStatus.PAUSED: NoticeKind.PAUSED,
}
_WORDS = {
    RunStatus.SUCCEEDED: "has finished",
    RunStatus.CANCELLED: "was stopped",
    RunStatus.FAILED: "has failed",
    RunStatus.TIMED_OUT: "ran out of its time",
    RunStatus.PAUSED: "has paused",
}


@receiver(run_moved)
def tell_of_run(*, run: Run, to: RunStatus, actor: User | None, actor_kind: TransitionActor, **_: Any) -> None:
    """A run ended or paused. What a person asked for is no news to that person, and a pause somebody asked for is none to anybody."""
    asked = run.pause_requested_at is not None
    if to not in _KINDS or (to == RunStatus.PAUSED and asked):
        return
    by = actor if actor_kind == TransitionActor.USER else None
    progress = f"It reached step {run.last_step:,} of {run.total_steps:,}."
    reason = explain(run) if to in {RunStatus.FAILED, RunStatus.TIMED_OUT} else run.phase_text
    news = News(
        kind=_KINDS[to],
        key=f"run:{run.pk}:{run.status_version}",
        title=f"{run.experiment.name}, run {run.number}, {_WORDS[to]}",
        text=f"{reason} {progress}" if reason else progress,
        url=reverse("run", args=[run.pk]),
        run=run,
    )
    tell_about_run(run, news, by=by)


@receiver(commented)
def tell_of_comment(*, comment: Comment, **_: Any) -> None:
    """Whoever is named in a comment, and whoever it answers, hears of it; nobody of one's own."""
    people = set(comment.mentions.all())
    if comment.thread and comment.thread.by and comment.thread.by.workspaces.contains(comment.run.experiment.workspace):
        people.add(comment.thread.by)
    run, episode, where = comment.run, episode_of(comment), place_words(comment)
    seq = seqs_of(run, {episode}).get(episode) if episode else None
    page = reverse("run_sample", args=[run.pk, seq]) if seq else reverse("run", args=[run.pk])
    news = News(
        kind=NoticeKind.MENTION,
        key=f"comment:{comment.pk}",
        title=f"{comment.by or 'Somebody'} wrote to you about {f'{where} of ' if where else ''}{run}",
        text=comment.text,
        url=f"{page}#comment-{comment.pk}" if seq else f"{page}#notes",
        run=run,
    )
    tell(people - {comment.by}, news)
