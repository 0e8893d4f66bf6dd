"""Every write to verdicts, comments, marks and data sets of people."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import Http404
from django.utils import timezone

from training_core.spec.jobs import RejudgeJob
from training_core.spec.learning import SamplingSpec
from training_core.spec.rubrics import AnswerRubric, clean, require_usable
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for
from webapp.jobs import services as jobs
from webapp.jobs.weights import Moment
from webapp.library.datasets import save_dataset
from webapp.library.models import DatasetForm, DatasetSource, DatasetVersion, RubricVersion
from webapp.orders import services as orders
from webapp.orders.models import OrderKind, RunOrder
from webapp.review.models import Comment, Label, Mark, MarkKind, Place, Regrading, Verdict
from webapp.review.notes import mentioned
from webapp.review.regrading import Given, given_in_run, given_in_set, own_prompt
from webapp.review.selectors import judge_of, judged_in, last_verdict, subject_of
from webapp.review.sets import calibration_items, picked_rows
from webapp.review.signals import commented
from webapp.telemetry.models import Sample
from webapp.telemetry.series import metric_names
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import PermissionDenied, can_manage, require_edit
from webapp.workspaces.services import record

MAX_NOTE = 2000
MAX_COMMENT = 10_000
MAX_TAG = 40
MAX_REGRADED_SAMPLES = 300


@transaction.atomic(durable=True)
def give_verdict(
    *, actor: User, run_id: UUID, episode: str, turn: int, label: str, saw_judge: bool, note: str = ""
) -> Verdict:
    """Say whether a judged turn is right; it takes the place of what the same person said of it before.

    1. find what was judged, 2. withdraw the earlier verdict, 3. write this one, 4. where it differs from the judge's and the
    run is at work, order the run to learn from it; where the run was ordered otherwise, take that back. Saying the same of the
    same words of the judge again changes nothing.
    """
    run = run_for(actor, run_id)
    require_edit(actor, run.experiment.workspace)
    if label not in Label.values:
        raise ValueError(f"{label!r} is no verdict. Choose one of {', '.join(Label.values)}.")
    if len(note) > MAX_NOTE:
        raise ValueError(f"A note has at most {MAX_NOTE:,} characters, this one has {len(note):,}.")
    run = Run.objects.select_for_update(of=("self",)).select_related("experiment__workspace").get(pk=run.pk)
    event, judged = judged_in(run, episode, turn)
    mine = Verdict.objects.filter(run=run, episode=episode, turn=judged.turn, by=actor, withdrawn_at=None)
    same = mine.filter(label=label, note=note.strip(), judge_value=judged.value, question=judged.question).first()
    if same is not None:
        return same
    mine.update(withdrawn_at=timezone.now())
    verdict = Verdict(
        run=run,
        episode=episode,
        turn=judged.turn,
        step=event.step,
        by=actor,
        label=label,
        note=note.strip(),
        saw_judge=saw_judge,
        subject=subject_of(run, judged),
        judge=judge_of(run, event.step),
        judge_value=judged.value,
        question=judged.question,
        answer=judged.text if judged.kind == "answer" else "",
        truth=judged.truth,
    )
    verdict.order = _order(actor, verdict)
    verdict.save()
    detail = {"episode": episode, "turn": judged.turn, "label": label}
    record(actor=actor, action="verdict.given", obj=run, workspace=run.experiment.workspace, detail=detail)
    return verdict


@transaction.atomic(durable=True)
def undo_verdict(*, actor: User, workspace: Workspace) -> Verdict | None:
    """Take back what the person said last in the workspace, and what it made the run do; None without any."""
    require_edit(actor, workspace)
    verdict = last_verdict(actor, workspace)
    if verdict is None:
        return None
    return _withdraw(actor, verdict)


@transaction.atomic(durable=True)
def withdraw_verdict(*, actor: User, run_id: UUID, episode: str, turn: int) -> Verdict:
    """Take back what the person said of a judged turn, and what it made the run do; 404 where nothing stands."""
    run = run_for(actor, run_id)
    require_edit(actor, run.experiment.workspace)
    _, judged = judged_in(run, episode, turn)
    mine = Verdict.objects.filter(run=run, episode=episode, turn=judged.turn, by=actor, withdrawn_at=None)
    verdict = mine.select_related("run__experiment__workspace").select_for_update(of=("self",)).first()
    if verdict is None:
        raise Http404("You have said nothing of this turn.")
    return _withdraw(actor, verdict)


def _withdraw(actor: User, verdict: Verdict) -> Verdict:
    verdict.withdrawn_at = timezone.now()
    verdict.save(update_fields=["withdrawn_at"])
    _let_judge_stand(actor, verdict)
    detail = {"episode": verdict.episode, "turn": verdict.turn}
    workspace = verdict.run.experiment.workspace
    record(actor=actor, action="verdict.withdrawn", obj=verdict.run, workspace=workspace, detail=detail)
    return verdict


def _order(actor: User, verdict: Verdict) -> RunOrder | None:
    if not verdict.overrules:
        _let_judge_stand(actor, verdict)
        return None
    value = 1.0 if verdict.label == Label.RIGHT else 0.0
    try:
        return orders.overrule(
            actor=actor, run_id=verdict.run_id, episode=verdict.episode, turn=verdict.turn, value=value
        )
    except orders.OrderImpossible:
        return None


def _let_judge_stand(actor: User, verdict: Verdict) -> None:
    """If the run was ordered to think otherwise of this turn, take that back."""
    given = RunOrder.objects.filter(
        run=verdict.run_id, kind=OrderKind.OVERRULE, payload__episode=verdict.episode, payload__turn=verdict.turn
    )
    last = given.order_by("-number").first()
    if last is None or last.payload["value"] is None:
        return
    try:
        orders.overrule(actor=actor, run_id=verdict.run_id, episode=verdict.episode, turn=verdict.turn, value=None)
    except orders.OrderImpossible:
        return


# Comments


@transaction.atomic(durable=True)
def add_comment(
    *, actor: User, run_id: UUID, place_kind: str, place: str, text: str, thread_id: int | None = None
) -> Comment:
    """Say something at a place of a run, or answer what somebody said; whoever is named with an @ can be told."""
    run = _editable(actor, run_id)
    text = _checked_text(text)
    thread = None
    if thread_id is not None:
        thread = Comment.objects.filter(run=run, pk=thread_id, thread=None).first()
        if thread is None:
            raise Http404("There is no such comment to answer.")
        place_kind, place = thread.place_kind, thread.place
    _check_place(run, place_kind, place)
    comment = Comment.objects.create(run=run, place_kind=place_kind, place=place, thread=thread, text=text, by=actor)
    comment.mentions.set(mentioned(text, run.experiment.workspace))
    detail = {"place": f"{place_kind} {place}".strip()}
    record(actor=actor, action="comment.added", obj=run, workspace=run.experiment.workspace, detail=detail)
    commented.send(Comment, comment=comment)
    return comment


@transaction.atomic(durable=True)
def edit_comment(*, actor: User, comment_id: int, text: str) -> Comment:
    """Say it otherwise; only one's own."""
    comment = _own_comment(actor, comment_id)
    comment.text, comment.edited_at = _checked_text(text), timezone.now()
    comment.save(update_fields=["text", "edited_at"])
    comment.mentions.set(mentioned(comment.text, comment.run.experiment.workspace))
    return comment


@transaction.atomic(durable=True)
def delete_comment(*, actor: User, comment_id: int) -> Comment:
    """Take a comment away, one's own or, for owners of the workspace, anybody's; answers to it stay."""
    comment = _own_comment(actor, comment_id, or_managed=True)
    comment.text, comment.deleted_at = "", timezone.now()
    comment.save(update_fields=["text", "deleted_at"])
    comment.mentions.clear()
    workspace = comment.run.experiment.workspace
    record(actor=actor, action="comment.deleted", obj=comment.run, workspace=workspace)
    return comment


def _own_comment(actor: User, comment_id: int, *, or_managed: bool = False) -> Comment:
    visible = Comment.objects.filter(run__in=Run.objects.visible_to(actor), deleted_at=None)
    comment = visible.select_related("run__experiment__workspace").filter(pk=comment_id).first()
    if comment is None:
        raise Http404("There is no such comment.")
    workspace = comment.run.experiment.workspace
    require_edit(actor, workspace)
    if comment.by_id != actor.pk and not (or_managed and can_manage(actor, workspace)):
        raise PermissionDenied("Only whoever wrote a comment changes it.")
    return comment


def _checked_text(text: str) -> str:
    text = text.strip()
    if not 0 < len(text) <= MAX_COMMENT:
        raise ValueError(f"A comment has 1 to {MAX_COMMENT:,} characters.")
    return text


def _check_place(run: Run, place_kind: str, place: str) -> None:
    match place_kind:
        case Place.RUN:
            is_there = place == ""
        case Place.SAMPLE:
            is_there = Sample.objects.filter(run=run, episode=place).exists()
        case Place.TURN:
            episode, _, turn = place.rpartition(":")
            number = int(turn) if turn.isascii() and turn.isdigit() and len(turn) < 7 else -1
            is_there = number >= 0 and Sample.objects.filter(run=run, episode=episode, num_turns__gt=number).exists()
        case Place.METRIC:
            name, _, step = place.rpartition("@")
            is_number = step.isascii() and step.isdigit() and len(step) < 16
            is_there = is_number and name in metric_names(run)
        case _:
            is_there = False
    if not is_there:
        raise ValueError("There is no such place in this run to say something at.")


# Marks


@transaction.atomic(durable=True)
def toggle_mark(*, actor: User, run_id: UUID, episode: str, kind: str, tag: str = "") -> Mark | None:
    """Pin, flag or tag a sample for the team, or take the mark away again; returns the mark that now is there."""
    run = _editable(actor, run_id)
    tag = " ".join(tag.split()).lower()
    if kind not in MarkKind.values or (kind == MarkKind.TAG) != bool(tag) or len(tag) > MAX_TAG:
        raise ValueError(f"A sample is pinned, flagged, or tagged with a word of at most {MAX_TAG} characters.")
    if not Sample.objects.filter(run=run, episode=episode).exists():
        raise Http404("This run has no such sample.")
    there = Mark.objects.filter(run=run, episode=episode, kind=kind, tag=tag)
    if there.delete()[0]:
        return None
    return Mark.objects.create(run=run, episode=episode, kind=kind, tag=tag, by=actor)


def _editable(actor: User, run_id: UUID) -> Run:
    run = run_for(actor, run_id)
    require_edit(actor, run.experiment.workspace)
    return run


# Data sets


def make_calibration_set(*, actor: User, workspace: Workspace, subject: str) -> DatasetVersion:
    """Freeze what people say of a subject now as a version of its calibration set."""
    require_edit(actor, workspace)
    rows = [item.row for item in calibration_items(workspace, subject)]
    return save_dataset(
        actor=actor, workspace=workspace, name=subject, chunks=_lines(rows), source=DatasetSource.ANSWERS
    )


def make_picked_set(
    *, actor: User, workspace: Workspace, form: str, name: str, kind: str, tag: str = ""
) -> DatasetVersion:
    """Write marked samples as a data set to learn from: demonstrations (sft) or pairs (preference)."""
    require_edit(actor, workspace)
    if form not in DatasetForm:
        raise ValueError(f"{form!r} is no form of a data set. Choose sft or preference.")
    rows = picked_rows(workspace, form=form, kind=kind, tag=tag)
    return save_dataset(
        actor=actor, workspace=workspace, name=name, chunks=_lines(rows), source=DatasetSource.PICKED, form=form
    )


def _lines(rows: list[dict[str, Any]]) -> Iterator[bytes]:
    if not rows:
        raise ValueError("Nothing there can be made into rows of such a data set.")
    return ((json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows)


# Grading again


def grade_run_again(
    *,
    actor: User,
    run: Run,
    judge: Moment,
    template: str = "",
    version: RubricVersion | None = None,
    num_samples: int = 60,
    n: int = 1,
) -> Regrading:
    """Give the newest answers of a run to another judge, or to the same with other words."""
    require_edit(actor, run.experiment.workspace)
    if not 1 <= num_samples <= MAX_REGRADED_SAMPLES:
        raise ValueError(
            f"Between 1 and {MAX_REGRADED_SAMPLES} samples can be graded again at once, not {num_samples}."
        )
    given = given_in_run(run, num_samples=num_samples)
    return _grade_again(
        actor, run.experiment.workspace, given, judge=judge, template=template, version=version, n=n, run=run
    )


def grade_set_again(
    *,
    actor: User,
    workspace: Workspace,
    subject: str,
    judge: Moment,
    template: str = "",
    version: RubricVersion | None = None,
    n: int = 1,
) -> Regrading:
    """Give a calibration set to a judge, to learn how well it agrees with people."""
    require_edit(actor, workspace)
    given = given_in_set(workspace, subject)
    return _grade_again(actor, workspace, given, judge=judge, template=template, version=version, n=n, subject=subject)


@transaction.atomic(durable=True)
def _grade_again(
    actor: User,
    workspace: Workspace,
    given: list[Given],
    *,
    judge: Moment,
    template: str,
    version: RubricVersion | None,
    n: int,
    run: Run | None = None,
    subject: str = "",
) -> Regrading:
    """With a version whose text it still is, the words are remembered as that version's."""
    if judge.run.experiment.workspace_id != workspace.pk:
        raise Http404("There is no such judge in this workspace.")
    if not given:
        raise ValueError("No judge has graded an answer there yet, so there is nothing to grade again.")
    own, template = own_prompt(judge.run.spec), clean(template)
    edited = bool(template) and template != own.strip()
    if edited:
        require_usable(AnswerRubric, template)
    if version is not None and (version.text != template or version.rubric.workspace_id != workspace.pk):
        version = None
    method = judge.run.spec["method"]
    job = RejudgeJob(
        judge=judge.weights(),
        items=tuple(each.graded for each in given),
        template=template if edited else "",
        n=n,
        sampling=SamplingSpec(
            temperature=0.0 if n == 1 else 1.0, max_tokens=min(int(method["sampling"]["max_tokens"]), 1024)
        ),
        lenient=bool(method.get("lenient_scores", False)),
    )
    asked = jobs.ask(actor=actor, workspace=workspace, job=job, run=judge.run, keep=True)
    return Regrading.objects.create(
        job=asked,
        workspace=workspace,
        run=run,
        subject=subject,
        judge=judge.name,
        edited=edited,
        rubric_version=version,
        num_items=len(given),
        by=actor,
    )
