"""Every change of a run's state that a person can ask for, and those that are refused."""

import json
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import Http404
from django.utils import timezone
from redis import Redis

from training_core.spec.experiment import ExperimentSpec
from webapp.accounts.models import User
from webapp.experiments import services
from webapp.experiments.choices import ALLOWED, HELD, TERMINAL, FailureKind, RunStatus, TransitionActor
from webapp.experiments.failures import FAILURE_SENTENCES, explain
from webapp.experiments.models import Experiment, Run, RunTransition
from webapp.experiments.services import TransitionRefused
from webapp.workspaces.models import AuditEvent, Workspace
from webapp.workspaces.selectors import PermissionDenied

pytestmark = pytest.mark.django_db
MakeRun = Callable[..., Run]
ACTIONS = [
    services.request_cancel,
    services.request_pause,
    services.request_resume,
    services.request_checkpoint,
    services.create_share_link,
]


def test_a_created_experiment_has_its_resolved_spec_and_one_queued_run(
    ada: User, workspace: Workspace, spec: ExperimentSpec
) -> None:
    experiment = services.create_experiment(actor=ada, workspace=workspace, spec=spec)
    run = experiment.runs.get()
    assert (experiment.name, experiment.method, experiment.created_by) == ("First light", "mae", ada)
    assert experiment.spec["method"]["w_judge"] == 0.5
    assert (run.number, run.status, run.total_steps, run.num_gpus) == (1, "queued", 60, 0)
    assert run.spec == experiment.spec
    actions = set(AuditEvent.objects.filter(workspace=workspace).values_list("action", flat=True))
    assert actions == {"experiment.created", "run.created"}


def test_an_experiment_can_be_created_without_a_run(ada: User, workspace: Workspace, spec: ExperimentSpec) -> None:
    assert not services.create_experiment(actor=ada, workspace=workspace, spec=spec, launch=False).runs.exists()


def test_a_viewer_cannot_create_and_an_outsider_sees_no_workspace(
    ben: User, cyn: User, workspace: Workspace, spec: ExperimentSpec
) -> None:
    with pytest.raises(PermissionDenied):
        services.create_experiment(actor=ben, workspace=workspace, spec=spec)
    with pytest.raises(Http404):
        services.create_experiment(actor=cyn, workspace=workspace, spec=spec)
    assert not Experiment.objects.exists()


def test_the_same_key_creates_once(ada: User, workspace: Workspace, spec: ExperimentSpec) -> None:
    first = services.create_experiment(actor=ada, workspace=workspace, spec=spec, idempotency_key="k1")
    again = services.create_experiment(actor=ada, workspace=workspace, spec=spec, idempotency_key="k1")
    other = services.create_experiment(actor=ada, workspace=workspace, spec=spec, idempotency_key="k2")
    assert first == again != other
    assert (Experiment.objects.count(), Run.objects.count()) == (2, 2)


def test_a_key_is_not_reused_for_another_spec(ada: User, workspace: Workspace, spec: ExperimentSpec) -> None:
    services.create_experiment(actor=ada, workspace=workspace, spec=spec, idempotency_key="k1")
    with pytest.raises(ValueError, match="already created another experiment"):
        services.create_experiment(
            actor=ada, workspace=workspace, spec=spec.model_copy(update={"steps": 7}), idempotency_key="k1"
        )
    assert Experiment.objects.count() == 1


def test_a_key_that_is_too_long_is_refused(ada: User, workspace: Workspace, spec: ExperimentSpec) -> None:
    with pytest.raises(ValueError, match="at most 80 characters"):
        services.create_experiment(actor=ada, workspace=workspace, spec=spec, idempotency_key="k" * 81)


def test_keys_of_two_people_do_not_meet(ada: User, ben: User, workspace: Workspace, spec: ExperimentSpec) -> None:
    workspace.memberships.filter(user=ben).update(role="editor")
    mine = services.create_experiment(actor=ada, workspace=workspace, spec=spec, idempotency_key="k")
    theirs = services.create_experiment(actor=ben, workspace=workspace, spec=spec, idempotency_key="k")
    assert mine != theirs


def test_further_runs_take_seeds_not_used_before(ada: User, workspace: Workspace, spec: ExperimentSpec) -> None:
    experiment = services.create_experiment(actor=ada, workspace=workspace, spec=spec.model_copy(update={"seed": 4}))
    services.launch_run(actor=ada, experiment=experiment, seed=90)
    last = services.launch_run(actor=ada, experiment=experiment)
    assert [run.spec["seed"] for run in experiment.runs.order_by("number")] == [4, 90, 91]
    assert (last.number, experiment.spec["seed"]) == (3, 4)


def test_a_seed_out_of_range_names_the_field(ada: User, experiment: Experiment) -> None:
    with pytest.raises(ValueError, match="seed"):
        services.launch_run(actor=ada, experiment=experiment, seed=-1)
    assert not experiment.runs.exists()


@pytest.mark.parametrize("status", ["queued", "paused"])
def test_cancel_of_a_waiting_run_ends_it_at_once(status: str, ada: User, run_in: MakeRun) -> None:
    run = services.request_cancel(actor=ada, run_id=run_in(status).pk)
    assert run.status == "cancelled"
    assert run.finished_at is not None
    transition = RunTransition.objects.get(run=run)
    assert (transition.from_status, transition.to_status, transition.version) == (status, "cancelled", 1)
    assert (transition.actor_kind, transition.actor) == ("user", ada)


@pytest.mark.parametrize("status", ["claimed", "starting", "running", "pausing"])
def test_cancel_of_a_run_at_work_leaves_the_end_to_its_supervisor(status: str, ada: User, run_in: MakeRun) -> None:
    run = services.request_cancel(actor=ada, run_id=run_in(status).pk)
    assert run.status == "cancelling"
    assert run.cancel_requested_at is not None
    assert run.finished_at is None


@pytest.mark.parametrize("status", ["claimed", "starting", "running"])
def test_pause_asks_the_supervisor(status: str, ada: User, run_in: MakeRun) -> None:
    run = services.request_pause(actor=ada, run_id=run_in(status).pk)
    assert run.status == "pausing"
    assert run.pause_requested_at is not None


def test_resume_queues_a_paused_run_and_forgets_the_pause(ada: User, run_in: MakeRun) -> None:
    run = run_in("paused", pause_requested_at=timezone.now())
    run = services.request_resume(actor=ada, run_id=run.pk)
    assert run.status == "queued"
    assert run.pause_requested_at is None


def test_each_checkpoint_asked_for_is_counted(ada: User, run_in: MakeRun) -> None:
    run = run_in("running")
    services.request_checkpoint(actor=ada, run_id=run.pk)
    assert services.request_checkpoint(actor=ada, run_id=run.pk).checkpoint_requests == 2
    assert AuditEvent.objects.filter(action="run.checkpoint_requested").count() == 2


@pytest.mark.parametrize(
    ("action", "status"),
    [
        (services.request_cancel, "running"),
        (services.request_pause, "running"),
        (services.request_resume, "paused"),
    ],
)
def test_asking_twice_changes_nothing_more(action: Callable[..., Run], status: str, ada: User, run_in: MakeRun) -> None:
    run = run_in(status)
    once = action(actor=ada, run_id=run.pk)
    twice = action(actor=ada, run_id=run.pk)
    assert once.status_version == twice.status_version == 1
    assert RunTransition.objects.filter(run=run).count() == 1
    assert AuditEvent.objects.filter(object_id=str(run.pk)).count() == 1


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_stop_of_an_ended_run_is_no_error_and_no_change(status: str, ada: User, run_in: MakeRun) -> None:
    run = services.request_cancel(actor=ada, run_id=run_in(status).pk)
    assert (run.status, run.status_version) == (status, 0)


@pytest.mark.parametrize(
    ("action", "status", "sentence"),
    [
        (services.request_pause, "queued", "Only a run at work can be paused; this one is queued"),
        (services.request_pause, "cancelling", "this one is stopping"),
        (services.request_resume, "pausing", "still saving its checkpoint"),
        (services.request_resume, "failed", "Only a paused run can be resumed; this one is failed"),
        (services.request_checkpoint, "queued", "Only a run at work can save a checkpoint"),
        (services.request_checkpoint, "paused", "Only a run at work can save a checkpoint"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    action: Callable[..., Run], status: str, sentence: str, ada: User, run_in: MakeRun
) -> None:
    run = run_in(status)
    with pytest.raises(TransitionRefused, match=sentence):
        action(actor=ada, run_id=run.pk)
    run.refresh_from_db()
    assert (run.status, run.status_version) == (status, 0)


@pytest.mark.parametrize("action", ACTIONS)
def test_viewers_may_not_and_outsiders_find_nothing(
    action: Callable[..., Run], ben: User, cyn: User, olga: User, run_in: MakeRun
) -> None:
    run = run_in("running")
    with pytest.raises(PermissionDenied):
        action(actor=ben, run_id=run.pk)
    with pytest.raises(Http404):
        action(actor=cyn, run_id=run.pk)
    with pytest.raises(Http404):
        action(actor=cyn, run_id=uuid4())


def test_an_operator_stops_reorders_and_requeues_any_run(olga: User, run_in: MakeRun) -> None:
    stopped, requeued = run_in("running"), run_in("running")
    assert services.request_cancel(actor=olga, run_id=stopped.pk).status == "cancelling"
    assert services.change_priority(actor=olga, run_id=requeued.pk, priority=7).priority == 7
    run = services.requeue(actor=olga, run_id=requeued.pk)
    assert (run.status, run.lease_token, run.worker, run.lease_expires_at) == ("queued", 2, None, None)


@pytest.mark.parametrize("status", ["cancelling", "failed", "succeeded"])
def test_a_run_that_ends_is_not_requeued(status: str, olga: User, run_in: MakeRun) -> None:
    with pytest.raises(TransitionRefused):
        services.requeue(actor=olga, run_id=run_in(status).pk)


def test_only_operators_reorder_and_requeue(ada: User, cyn: User, run_in: MakeRun) -> None:
    run = run_in("queued")
    with pytest.raises(PermissionDenied):
        services.change_priority(actor=ada, run_id=run.pk, priority=1)
    with pytest.raises(PermissionDenied):
        services.requeue(actor=ada, run_id=run.pk)
    with pytest.raises(Http404):
        services.change_priority(actor=cyn, run_id=run.pk, priority=1)


@pytest.mark.parametrize("priority", [-101, 101])
def test_a_priority_out_of_range_is_refused(priority: int, olga: User, run_in: MakeRun) -> None:
    with pytest.raises(ValueError, match="between -100 and 100"):
        services.change_priority(actor=olga, run_id=run_in("queued").pk, priority=priority)


@pytest.mark.parametrize("before", RunStatus)
@pytest.mark.parametrize("after", RunStatus)
def test_a_transition_happens_exactly_if_it_is_allowed(before: RunStatus, after: RunStatus, run_in: MakeRun) -> None:
    run = run_in(before, lease_token=1)
    try:
        services.transition(run, after, actor_kind=TransitionActor.WORKER, reason="r" * 400)
    except TransitionRefused:
        happened = False
    else:
        happened = True
    run.refresh_from_db()
    assert happened == (after in ALLOWED[before])
    assert run.status == (after if happened else before)
    assert RunTransition.objects.filter(run=run, version=1).exists() == happened
    assert (run.finished_at is not None) == (run.status in TERMINAL)


def test_started_at_is_the_first_start(run_in: MakeRun) -> None:
    run = run_in("starting", started_at=None)
    services.transition(run, RunStatus.RUNNING, actor_kind=TransitionActor.WORKER)
    first = run.started_at
    assert first is not None
    services.transition(run, RunStatus.QUEUED, actor_kind=TransitionActor.REAPER)
    run.status = RunStatus.STARTING
    services.transition(run, RunStatus.RUNNING, actor_kind=TransitionActor.WORKER)
    assert run.started_at == first


def test_the_database_refuses_a_second_transition_with_the_same_version(run_in: MakeRun) -> None:
    run, stale = run_in("running"), Run.objects.get()
    services.transition(run, RunStatus.SUCCEEDED, actor_kind=TransitionActor.WORKER)
    with pytest.raises(IntegrityError), transaction.atomic():
        services.transition(stale, RunStatus.FAILED, actor_kind=TransitionActor.REAPER)
    run.refresh_from_db()
    assert run.status == "succeeded"


def test_news_of_a_change_is_published_after_the_commit_and_not_before(
    ada: User, run_in: MakeRun, django_capture_on_commit_callbacks: Callable[..., object]
) -> None:
    run = run_in("running")
    ear = Redis.from_url(settings.REDIS_URL).pubsub(ignore_subscribe_messages=True)
    ear.subscribe(f"kumite:run:{run.pk}")
    ear.get_message(timeout=5)
    with django_capture_on_commit_callbacks(execute=True):
        services.request_pause(actor=ada, run_id=run.pk)
        assert ear.get_message(timeout=0.2) is None
    message = ear.get_message(timeout=5)
    assert message is not None
    assert json.loads(message["data"]) == {"status": "pausing", "version": 1}


def test_share_links_show_one_run_until_they_are_revoked_or_expire(ada: User, run_in: MakeRun) -> None:
    from webapp.experiments.selectors import run_for_share, share_links_of

    run = run_in("running")
    link, secret = services.create_share_link(actor=ada, run_id=run.pk)
    lasting, lasting_secret = services.create_share_link(actor=ada, run_id=run.pk, days=1)
    assert secret not in json.dumps(list(run.share_links.values()), default=str)
    assert run_for_share(secret) == run_for_share(lasting_secret) == run
    services.revoke_share_link(actor=ada, run_id=run.pk, link_id=link.pk)
    services.revoke_share_link(actor=ada, run_id=run.pk, link_id=link.pk)
    assert list(share_links_of(run)) == [lasting]
    type(lasting).objects.filter(pk=lasting.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    for useless in (secret, lasting_secret, "guess", ""):
        with pytest.raises(Http404):
            run_for_share(useless)


def test_a_share_link_is_revoked_only_through_its_own_run(ada: User, run_in: MakeRun) -> None:
    link, _ = services.create_share_link(actor=ada, run_id=run_in("running").pk)
    with pytest.raises(Http404):
        services.revoke_share_link(actor=ada, run_id=run_in("running").pk, link_id=link.pk)


def test_an_experiment_is_archived_once_nothing_runs(ada: User, experiment: Experiment, run_in: MakeRun) -> None:
    run = run_in("queued")
    with pytest.raises(ValueError, match="has not ended"):
        services.archive_experiment(actor=ada, experiment=experiment)
    services.request_cancel(actor=ada, run_id=run.pk)
    first = services.archive_experiment(actor=ada, experiment=experiment)
    assert services.archive_experiment(actor=ada, experiment=experiment).archived_at == first.archived_at


@pytest.mark.parametrize("kind", FailureKind)
def test_every_failure_has_three_sentences_for_a_person(kind: FailureKind) -> None:
    assert FAILURE_SENTENCES[kind].count(". ") >= 1
    assert FAILURE_SENTENCES[kind].endswith(".")


def test_a_run_out_of_time_is_explained_with_its_limit(run_in: MakeRun) -> None:
    run = run_in("timed_out")
    run.spec["resources"]["max_hours"] = 2.5
    assert "time limit of 2.5 hours" in explain(run)
    assert explain(run_in("running")) == ""


def test_states_with_a_lease_and_terminal_states_are_apart() -> None:
    assert not HELD & TERMINAL
