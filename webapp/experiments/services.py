"""Every write to experiments, runs, their transitions and share links.

Each public function is one action of a person: check, lock, change, record, and tell others once it is committed.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import BigIntegerField, Max
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.http import Http404
from django.utils import timezone

from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import FieldError, SpecError, dump_dict, dump_yaml, parse_spec
from training_core.spec.sweep import PlannedRun, with_overrides
from webapp.accounts.digests import digest_of
from webapp.accounts.models import User
from webapp.experiments import doorbell
from webapp.experiments.choices import ALLOWED, HELD, TERMINAL, RunStatus, TransitionActor
from webapp.experiments.holds import hold_at_once
from webapp.experiments.models import EXTERNAL, Experiment, Run, RunQuerySet, RunTransition, ShareLink, TemplateVersion
from webapp.experiments.selectors import memory_refusal
from webapp.experiments.signals import run_moved
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import PermissionDenied, membership_of, require_edit
from webapp.workspaces.services import record

MAX_KEY, MAX_TAGS = 80, 20
_TAG = re.compile(r"[\w.:/-]{1,40}")


class TransitionRefused(ValueError):
    """The run cannot go from its present state to the one asked for."""


def transition(
    run: Run, to: RunStatus, *, actor_kind: TransitionActor, actor: User | None = None, reason: str = ""
) -> Run:
    """Move a run to another state. The caller holds the lock of the row; (run, version) is unique, so it happens once.

    1. refuse moves that ``ALLOWED`` does not name, 2. write the state, its version and its times,
    3. write the RunTransition, 4. once committed, tell the pages, and the workers if there is work.
    """
    before = RunStatus(run.status)
    to = RunStatus(to)
    if run.experiment.method == EXTERNAL and to not in TERMINAL:
        raise TransitionRefused("This run happens elsewhere; only the program that runs it can stop it.")
    if to not in ALLOWED[before]:
        raise TransitionRefused(f"A run that is {before.label.lower()} cannot become {to.label.lower()}.")
    now = timezone.now()
    run.status, run.status_version = to, run.status_version + 1
    if to == RunStatus.RUNNING and run.started_at is None:
        run.started_at = now
    if to in TERMINAL:
        run.finished_at = now
    run.save(update_fields=["status", "status_version", "started_at", "finished_at"])
    RunTransition.objects.create(
        run=run,
        version=run.status_version,
        from_status=before,
        to_status=to,
        actor_kind=actor_kind,
        actor=actor,
        reason=reason[:300],
    )
    run_moved.send(sender=Run, run=run, to=to, actor=actor, actor_kind=actor_kind)
    news = {"status": str(to), "version": run.status_version}
    transaction.on_commit(lambda: doorbell.publish(run.pk, news))
    if to == RunStatus.QUEUED:
        transaction.on_commit(doorbell.ring)
    return run


def create_experiment(
    *,
    actor: User,
    workspace: Workspace,
    spec: ExperimentSpec,
    parent: Run | None = None,
    idempotency_key: str = "",
    launch: bool = True,
    plan: Sequence[PlannedRun] = (),
    template_version: TemplateVersion | None = None,
    rehearsed: dict[str, Any] | None = None,
) -> Experiment:
    """Create an experiment and queue its runs, one or those of a ``plan``; the same key gives back what it created the first time."""
    _require_edit(actor, workspace)
    _check_key(idempotency_key)
    for each in {dump_yaml(run.spec): run.spec for run in plan}.values() if plan else (spec,):
        if refusal := memory_refusal(each):
            raise ValueError(refusal)
    parent = fork_parent(actor, workspace, spec) or parent
    resolved = dump_dict(spec)
    check_storable(resolved)
    planned = [(run.seed, run.overrides) for run in plan] or [(spec.seed, {})]
    try:
        with transaction.atomic(durable=True):
            experiment = Experiment.objects.create(
                workspace=workspace,
                name=spec.name,
                method=spec.method.name,
                spec=resolved,
                parent=parent,
                fork_step=spec.start.step if spec.start else None,
                template_version=template_version,
                rehearsed=rehearsed,
                created_by=actor,
            )
            detail = {"name": spec.name, "method": spec.method.name}
            record(actor=actor, action="experiment.created", obj=experiment, workspace=workspace, detail=detail)
            for place, (seed, overrides) in enumerate(planned if launch else ()):
                key = "" if place else idempotency_key
                queue_run(actor, experiment, seed=seed, overrides=overrides, idempotency_key=key)
            return experiment
    except IntegrityError:
        earlier = _run_with_key(actor, idempotency_key)
        if earlier is None:
            raise
    asked_before = [(run.spec["seed"], run.overrides) for run in earlier.experiment.runs.order_by("number")]
    is_same = earlier.experiment.spec == resolved and asked_before[: len(planned)] == planned
    if not is_same or earlier.experiment.workspace_id != workspace.pk:
        raise ValueError(f"The idempotency key {idempotency_key!r} already created another experiment. Use a new key.")
    return earlier.experiment


def launch_run(*, actor: User, experiment: Experiment, seed: int | None = None, idempotency_key: str = "") -> Run:
    """Queue another run of an experiment; without a seed it takes one above the largest used so far."""
    _require_edit(actor, experiment.workspace)
    _check_key(idempotency_key)
    if experiment.is_example:
        raise ValueError("An example holds what was recorded elsewhere. Clone one of its runs to run the same here.")
    try:
        with transaction.atomic(durable=True):
            Experiment.objects.select_for_update().get(pk=experiment.pk)
            return queue_run(actor, experiment, seed=seed, idempotency_key=idempotency_key)
    except IntegrityError:
        earlier = _run_with_key(actor, idempotency_key)
        if earlier is None:
            raise
    if earlier.experiment_id != experiment.pk:
        raise ValueError(f"The idempotency key {idempotency_key!r} already created another run. Use a new key.")
    return earlier


@transaction.atomic(durable=True)
def archive_experiment(*, actor: User, experiment: Experiment) -> Experiment:
    """Take an experiment whose runs have all ended out of the lists; doing it twice is not an error."""
    _require_edit(actor, experiment.workspace)
    experiment = Experiment.objects.select_for_update().get(pk=experiment.pk)
    if experiment.archived_at:
        return experiment
    if experiment.runs.exclude(status__in=TERMINAL).exists():
        raise ValueError("This experiment still has a run that has not ended. Stop it, then archive the experiment.")
    experiment.archived_at = timezone.now()
    experiment.save(update_fields=["archived_at"])
    record(actor=actor, action="experiment.archived", obj=experiment, workspace=experiment.workspace)
    return experiment


@transaction.atomic(durable=True)
def request_cancel(*, actor: User, run_id: UUID) -> Run:
    """Stop a run: a waiting one ends at once, a running one after a last checkpoint. Operators may stop any run."""
    run = _lock_any_run(run_id) if actor.is_staff else _lock_run(actor, run_id)
    if run.is_terminal or run.status == RunStatus.CANCELLING:
        return run
    run.cancel_requested_at = timezone.now()
    run.save(update_fields=["cancel_requested_at"])
    to = RunStatus.CANCELLING if run.status in HELD else RunStatus.CANCELLED
    _by(actor, run, to, reason="stopped on request")
    _record(actor, "run.cancel_requested", run)
    return run


@transaction.atomic(durable=True)
def request_pause(*, actor: User, run_id: UUID) -> Run:
    """Pause a run after its present step, with a checkpoint; its slot becomes free."""
    run = _lock_run(actor, run_id)
    if run.status in {RunStatus.PAUSING, RunStatus.PAUSED}:
        return run
    if run.status not in {RunStatus.CLAIMED, RunStatus.STARTING, RunStatus.RUNNING}:
        raise TransitionRefused(f"Only a run at work can be paused; this one is {_label(run)}.")
    run.pause_requested_at = timezone.now()
    run.save(update_fields=["pause_requested_at"])
    _by(actor, run, RunStatus.PAUSING, reason="paused on request")
    _record(actor, "run.pause_requested", run)
    return run


@transaction.atomic(durable=True)
def request_resume(*, actor: User, run_id: UUID) -> Run:
    """Put a paused run back into the queue; it goes on from its last checkpoint."""
    run = _lock_run(actor, run_id)
    if run.status in {RunStatus.QUEUED, RunStatus.CLAIMED, RunStatus.STARTING, RunStatus.RUNNING}:
        return run
    if run.status == RunStatus.PAUSING:
        raise TransitionRefused("This run is still saving its checkpoint. Resume it once it is paused.")
    if run.status != RunStatus.PAUSED:
        raise TransitionRefused(f"Only a paused run can be resumed; this one is {_label(run)}. Clone it to go further.")
    run.pause_requested_at = None
    run.save(update_fields=["pause_requested_at"])
    _by(actor, run, RunStatus.QUEUED, reason="resumed on request")
    _record(actor, "run.resume_requested", run)
    return run


@transaction.atomic(durable=True)
def request_checkpoint(*, actor: User, run_id: UUID) -> Run:
    """Save a checkpoint after the present step. A run that is pausing or stopping saves one anyway."""
    run = _lock_run(actor, run_id)
    if run.status in {RunStatus.PAUSING, RunStatus.CANCELLING}:
        return run
    if run.status not in HELD:
        raise TransitionRefused(f"Only a run at work can save a checkpoint; this one is {_label(run)}.")
    run.checkpoint_requests += 1
    run.save(update_fields=["checkpoint_requests"])
    _record(actor, "run.checkpoint_requested", run)
    asked = {"status": str(run.status), "checkpoint_requests": run.checkpoint_requests}
    transaction.on_commit(lambda: doorbell.publish(run_id, asked))
    return run


@transaction.atomic(durable=True)
def change_priority(*, actor: User, run_id: UUID, priority: int) -> Run:
    """Operators decide what goes first: higher priorities are claimed before lower ones."""
    run = _lock_for_operator(actor, run_id)
    if not -100 <= priority <= 100:
        raise ValueError(f"A priority lies between -100 and 100, not {priority}.")
    if run.is_terminal:
        raise TransitionRefused(f"This run is {_label(run)}; its priority no longer matters.")
    if run.priority == priority:
        return run
    _record(actor, "run.priority_changed", run, {"from": run.priority, "to": priority})
    run.priority = priority
    run.save(update_fields=["priority"])
    transaction.on_commit(doorbell.ring)
    return run


@transaction.atomic(durable=True)
def requeue(*, actor: User, run_id: UUID) -> Run:
    """Operators take a run from its worker and queue it again; it goes on from its last checkpoint elsewhere.

    The lease token grows, so whatever the old holder still writes is refused and its child is ended.
    """
    run = _lock_for_operator(actor, run_id)
    if run.status == RunStatus.QUEUED:
        return run
    if run.is_terminal or run.status == RunStatus.CANCELLING:
        raise TransitionRefused(f"This run is {_label(run)} and cannot be queued again. Launch a new run instead.")
    run.lease_token += 1
    run.lease_expires_at = run.worker = run.pause_requested_at = None
    run.save(update_fields=["lease_token", "lease_expires_at", "worker", "pause_requested_at"])
    _by(actor, run, RunStatus.QUEUED, reason="queued again by an operator")
    _record(actor, "run.requeued", run)
    return run


@transaction.atomic(durable=True)
def archive_run(*, actor: User, run_id: UUID) -> Run:
    """Take a run that has ended out of the lists; doing it twice is not an error."""
    run = _lock_run(actor, run_id)
    if run.archived_at:
        return run
    if not run.is_terminal:
        raise TransitionRefused(f"Only a run that has ended can be archived; this one is {_label(run)}.")
    run.archived_at = timezone.now()
    run.save(update_fields=["archived_at"])
    _record(actor, "run.archived", run)
    return run


@transaction.atomic(durable=True)
def restore_run(*, actor: User, run_id: UUID) -> Run:
    """Put an archived run back into the lists; doing it twice is not an error."""
    run = _lock_run(actor, run_id)
    if run.archived_at is None:
        return run
    run.archived_at = None
    run.save(update_fields=["archived_at"])
    _record(actor, "run.restored", run)
    return run


@transaction.atomic(durable=True)
def tag_run(*, actor: User, run_id: UUID, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Run:
    """Give a run tags and take others away; tags are single words in small letters."""
    run = _lock_run(actor, run_id)
    tags = sorted({*run.tags, *(_tag(text) for text in add)} - {_tag(text) for text in remove})
    if len(tags) > MAX_TAGS:
        raise ValueError(f"A run has at most {MAX_TAGS} tags, not {len(tags)}.")
    if tags != run.tags:
        _record(actor, "run.tagged", run, {"tags": ", ".join(tags) or "none"})
        run.tags = tags
        run.save(update_fields=["tags"])
    return run


def _tag(text: str) -> str:
    tag = text.strip().lower()
    if not _TAG.fullmatch(tag):
        raise ValueError(f"A tag is one word of up to 40 letters, digits and -_.:/, not {text[:60]!r}.")
    return tag


@transaction.atomic(durable=True)
def create_share_link(*, actor: User, run_id: UUID, days: int | None = None) -> tuple[ShareLink, str]:
    """A link ``/s/<secret>/`` that shows the run to anybody who has it; the secret is returned once, never stored."""
    run = _lock_run(actor, run_id)
    if days is not None and not 1 <= days <= 3650:
        raise ValueError(f"A share link lives 1 to 3650 days, not {days}.")
    secret = secrets.token_urlsafe(24)
    link = ShareLink.objects.create(
        run=run,
        digest=digest_of(secret),
        prefix=secret[:8],
        created_by=actor,
        expires_at=timezone.now() + timedelta(days=days) if days else None,
    )
    _record(actor, "run.shared", run, {"link": link.prefix})
    return link, secret


@transaction.atomic(durable=True)
def revoke_share_link(*, actor: User, run_id: UUID, link_id: int) -> None:
    """Take a share link back; doing it twice is not an error."""
    run = _lock_run(actor, run_id)
    link = ShareLink.objects.select_for_update().filter(run=run, pk=link_id).first()
    if link is None:
        raise Http404("This run has no such share link.")
    if link.revoked_at is None:
        link.revoked_at = timezone.now()
        link.save(update_fields=["revoked_at"])
        _record(actor, "run.share_revoked", run, {"link": link.prefix})


def fork_parent(actor: User, workspace: Workspace, spec: ExperimentSpec) -> Run | None:
    """The run that the spec's ``start`` names, which must be one of the workspace. Raises ``SpecError``."""
    if spec.start is None:
        return None
    try:
        found = Run.objects.visible_to(actor).filter(experiment__workspace=workspace, pk=UUID(spec.start.run)).first()
    except ValueError:
        found = None
    if found is None:
        message = f"{workspace.name} has no run {spec.start.run}; start from a run of the workspace you launch in"
        raise SpecError([FieldError(path="start.run", message=message)])
    return found


def queue_run(
    actor: User,
    experiment: Experiment,
    *,
    seed: int | None,
    idempotency_key: str,
    overrides: dict[str, Any] | None = None,
    priority: int = 0,
) -> Run:
    """Add a run to an experiment, within the caller's transaction; without a seed it takes one above the largest used so far."""
    seed_of_run = Cast(KT("spec__seed"), BigIntegerField())
    used = experiment.runs.aggregate(number=Max("number"), seed=Max(seed_of_run))
    if seed is None:
        seed = int(experiment.spec["seed"]) if used["number"] is None else int(used["seed"]) + 1
    spec = with_overrides(parse_spec({**experiment.spec, "seed": seed}), overrides or {})
    run = Run.objects.create(
        experiment=experiment,
        number=(used["number"] or 0) + 1,
        spec=dump_dict(spec),
        overrides=overrides or {},
        num_gpus=spec.resources.num_gpus,
        num_hosts=spec.resources.hosts,
        total_steps=spec.steps,
        priority=priority,
        idempotency_key=idempotency_key,
        created_by=actor,
    )
    _record(actor, "run.created", run, {"seed": seed, **({"overrides": overrides} if overrides else {})})
    transaction.on_commit(doorbell.ring)
    if experiment.fork_step is not None and experiment.parent_id is not None:
        transaction.on_commit(partial(hold_at_once, experiment.parent_id))
    return run


def _run_with_key(actor: User, key: str) -> Run | None:
    mine = Run.objects.select_related("experiment__workspace").filter(created_by=actor, idempotency_key=key)
    return mine.first() if key else None


def _check_key(key: str) -> None:
    if len(key) > MAX_KEY:
        raise ValueError(f"An idempotency key has at most {MAX_KEY} characters, this one has {len(key)}.")


def check_storable(value: Any, path: str = "") -> None:
    """JSON can spell characters that no database stores; they come from broken scripts."""
    if isinstance(value, dict):
        for key, inner in value.items():
            check_storable(inner, f"{path}.{key}".strip("."))
    elif isinstance(value, list):
        for inner in value:
            check_storable(inner, path)
    elif isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
        raise SpecError([FieldError(path=path, message="the text contains a character that cannot be stored")])


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _require_edit(actor: User, workspace: Workspace) -> None:
    if membership_of(actor, workspace) is None:
        raise Http404("There is no such workspace, or you are not a member of it.")
    require_edit(actor, workspace)


def _lock_run(actor: User, run_id: UUID) -> Run:
    """The run, locked for change: 404 for outsiders, 403 for viewers."""
    run = _locked(Run.objects.visible_to(actor), run_id)
    require_edit(actor, run.experiment.workspace)
    return run


def _lock_for_operator(actor: User, run_id: UUID) -> Run:
    if actor.is_staff:
        return _lock_any_run(run_id)
    _locked(Run.objects.visible_to(actor), run_id)
    raise PermissionDenied("Only operators of this installation may do that.")


def _lock_any_run(run_id: UUID) -> Run:
    return _locked(Run.objects.all(), run_id)


def _locked(runs: RunQuerySet, run_id: UUID) -> Run:
    run = runs.select_related("experiment__workspace").select_for_update(of=("self",)).filter(pk=run_id).first()
    if run is None:
        raise Http404("There is no such run, or it belongs to a workspace you are not a member of.")
    return run


def _by(actor: User, run: Run, to: RunStatus, *, reason: str) -> None:
    transition(run, to, actor_kind=TransitionActor.USER, actor=actor, reason=reason)


def _record(actor: User, action: str, run: Run, detail: dict[str, Any] | None = None) -> None:
    record(actor=actor, action=action, obj=run, workspace=run.experiment.workspace, detail=detail)


def _label(run: Run) -> str:
    return RunStatus(run.status).label.lower()
