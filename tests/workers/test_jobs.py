"""Jobs in the queue: who may ask, who goes first, and that only the holder of the lease writes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.http import Http404
from django.utils import timezone

from tests.factories import mae_events, make_experiment, make_run, tell
from tests.workers.conftest import MakeWorker
from training_core.spec.jobs import ExportJob, SayJob
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs import choices
from webapp.jobs import services as jobs
from webapp.jobs.asking import read_job
from webapp.jobs.choices import Rank
from webapp.jobs.models import Job
from webapp.jobs.selectors import job_for, job_state
from webapp.jobs.services import JobLost, TooManyJobs
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import PermissionDenied

pytestmark = pytest.mark.django_db(transaction=True)
Ask = Callable[..., Job]


@pytest.fixture
def finished(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada), "succeeded")


def talk(run: Run, actor: User) -> SayJob:
    asked = read_job(actor, "say", {"speakers": [{"run": str(run.pk), "step": 0}], "prompt": {"text": "Hello"}})
    assert isinstance(asked.job, SayJob)
    return asked.job


@pytest.fixture
def ask(finished: Run, ada: User, workspace: Workspace) -> Ask:
    return lambda **more: jobs.ask(
        **{"actor": ada, "workspace": workspace, "job": talk(finished, ada), "run": finished, **more}
    )


def test_what_somebody_waits_for_goes_first_and_what_nobody_asked_for_waits_for_idle_workers(
    ask: Ask, make_worker: MakeWorker, finished: Run
) -> None:
    idle, asked, now = (ask(rank=rank) for rank in (Rank.IDLE, Rank.ASKED, Rank.AT_ONCE))
    worker = make_worker(cpus=1)
    slot = worker.slots.get()
    slot.run = finished
    slot.save()
    claims = [jobs.claim_job(worker=worker) for _ in range(3)]
    assert [claim and claim.job_id for claim in claims] == [now.pk, asked.pk, None]
    slot.run = None
    slot.save()
    claim = jobs.claim_job(worker=worker)
    assert claim is not None and claim.job_id == idle.pk


def test_a_draining_worker_takes_no_job(ask: Ask, make_worker: MakeWorker) -> None:
    ask()
    worker = make_worker()
    worker.draining = True
    worker.save()
    assert jobs.claim_job(worker=worker) is None


def test_only_the_holder_of_the_lease_writes(ask: Ask, make_worker: MakeWorker) -> None:
    job = ask()
    stale = jobs.claim_job(worker=make_worker())
    assert stale is not None
    jobs.hand_back(claim=stale, why="Killed.")
    fresh = jobs.claim_job(worker=make_worker("beta"))
    assert fresh is not None and fresh.token == stale.token + 1
    for write in (
        lambda: jobs.keep_job(claim=stale, progress=0.5, text=""),
        lambda: jobs.finish_job(claim=stale, result={"stale": True}),
        lambda: jobs.drop_job(claim=stale),
        lambda: jobs.hand_back(claim=stale, why=""),
    ):
        with pytest.raises(JobLost):
            write()
    jobs.finish_job(claim=fresh, result={"text": "a\0b", "worst": float("-inf")})
    with pytest.raises(JobLost):
        jobs.finish_job(claim=fresh, result={})
    job.refresh_from_db()
    assert (job.status, job.result) == ("succeeded", {"text": "a␀b", "worst": None})


def test_a_job_whose_worker_is_lost_is_tried_again_a_few_times(ask: Ask, make_worker: MakeWorker) -> None:
    job, worker = ask(), make_worker()
    for _ in range(choices.MAX_ATTEMPTS):
        assert jobs.claim_job(worker=worker) is not None
        assert jobs.reap_jobs() == 0
        Job.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        assert jobs.reap_jobs() == 1
    job.refresh_from_db()
    assert (job.status, job.error) == ("failed", "The worker stopped answering. It was tried 3 times.")


def test_a_worker_that_leaves_in_good_order_costs_no_try(ask: Ask, make_worker: MakeWorker) -> None:
    job = ask()
    claim = jobs.claim_job(worker=make_worker())
    assert claim is not None
    jobs.hand_back(claim=claim, why="The worker was shut down.", counts=False)
    job.refresh_from_db()
    assert (job.status, job.attempt, job.lease_token) == ("queued", 0, 1)


def test_a_waiting_job_is_stopped_at_once_and_a_running_one_is_told(
    ask: Ask, ada: User, ben: User, cyn: User, make_worker: MakeWorker
) -> None:
    running, waiting = ask(), ask()
    claim = jobs.claim_job(worker=make_worker())
    assert claim is not None and claim.job_id == running.pk
    with pytest.raises(PermissionDenied):
        jobs.request_cancel(actor=ben, job_id=running.pk)
    with pytest.raises(Http404):
        jobs.request_cancel(actor=cyn, job_id=running.pk)
    assert jobs.keep_job(claim=claim, progress=None, text="")
    for _ in range(2):
        jobs.request_cancel(actor=ada, job_id=waiting.pk)
        jobs.request_cancel(actor=ada, job_id=running.pk)
    waiting.refresh_from_db()
    assert waiting.status == "cancelled"
    assert not jobs.keep_job(claim=claim, progress=None, text="")
    jobs.hand_back(claim=claim, why="Killed.")  # whatever ends it, nobody wants it any more
    running.refresh_from_db()
    assert running.status == "cancelled"


def test_one_person_has_so_many_jobs_under_way(ask: Ask, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "PER_PERSON", 2)
    first = ask()
    ask()
    with pytest.raises(TooManyJobs, match="You have 2 jobs waiting or running"):
        ask()
    ask(actor=None, rank=Rank.IDLE)  # nobody's quota
    jobs.request_cancel(actor=ada, job_id=first.pk)
    ask()


def test_viewers_may_not_ask_and_outsiders_find_no_weights(
    ask: Ask, ben: User, cyn: User, finished: Run, ada: User
) -> None:
    with pytest.raises(PermissionDenied):
        ask(actor=ben)
    with pytest.raises(Http404):
        talk(finished, cyn)
    with pytest.raises(Http404):
        job_for(cyn, ask().pk)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"speakers": [{"run": "x"}], "prompt": {"text": "Hi"}}, "not the id of a run"),
        ({"speakers": [{"run": "RUN", "step": -1}], "prompt": {"text": "Hi"}}, "A step is a whole number"),
        ({"speakers": [{"run": "RUN", "step": 7}], "prompt": {"text": "Hi"}}, "no checkpoint of step 7"),
        ({"speakers": [{"run": "RUN"}], "prompt": {}}, "the prompt is empty"),
        ({"speakers": [], "prompt": {"text": "Hi"}}, "speakers"),
        (
            {"speakers": [{"name": "x", "spec": {}, "checkpoint": "runs/x"}], "prompt": {"text": "Hi"}},
            "by run and step",
        ),
        ({"speakers": [{"name": "x", "spec": {"model": {"source": "/etc"}}}], "prompt": {"text": "Hi"}}, "asks nobody"),
    ],
)
def test_what_is_wrong_with_a_job_is_said_in_words(
    payload: dict[str, Any], words: str, finished: Run, ada: User
) -> None:
    for speaker in payload["speakers"]:
        if speaker.get("run") == "RUN":
            speaker["run"] = str(finished.pk)
    with pytest.raises(ValueError, match=words):
        read_job(ada, "say", payload)


def test_old_jobs_are_forgotten_unless_something_is_made_of_them(ask: Ask) -> None:
    old, kept, young = ask(), ask(keep=True), ask()
    long_ago = timezone.now() - timedelta(days=choices.KEPT_DAYS + 1)
    Job.objects.filter(pk__in=[old.pk, kept.pk]).update(status="cancelled", finished_at=long_ago)
    jobs.reap_jobs()
    assert set(Job.objects.values_list("pk", flat=True)) == {kept.pk, young.pk}


def test_a_waiting_job_says_why(ask: Ask, make_worker: MakeWorker) -> None:
    first, second = ask(), ask()
    Job.objects.filter(pk=second.pk).update(created_at=timezone.now() + timedelta(seconds=1))
    second.refresh_from_db()
    assert job_state(first)["text"] == "Waits for a worker; none is running."
    make_worker()
    assert job_state(first)["text"] == "Waits for a worker's next free moment."
    assert job_state(second)["text"] == "Waits for a worker; 1 job is before it."


def test_an_export_carries_the_facts_of_its_run(finished: Run, ada: User) -> None:
    tell(finished, mae_events(3))
    job = read_job(ada, "export", {"weights": {"run": str(finished.pk), "step": 0}}).job
    assert isinstance(job, ExportJob)
    assert job.file_name == "first-light-1-start"
    for words in ("# First light run 1, start", "| Method | Multi-Agent Evolve |", "| accuracy_sampled |"):
        assert words in job.card


def test_no_such_job(ada: User) -> None:
    with pytest.raises(Http404):
        job_for(ada, uuid4())
