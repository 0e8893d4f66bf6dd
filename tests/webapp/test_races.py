"""Many people at the same moment. Each test has its control, in which the lock is off and the fault shows."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.db.models import QuerySet
from django.utils import timezone

from tests.factories import make_experiment, make_run
from training_core.spec.experiment import ExperimentSpec
from webapp.accounts.digests import digest_of
from webapp.accounts.models import SignInLink, User
from webapp.accounts.services import create_sign_in_link, use_sign_in_link
from webapp.experiments import services
from webapp.experiments.models import Experiment, Run, RunTransition
from webapp.workspaces import services as workspace_services
from webapp.workspaces.models import AuditEvent, Workspace

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(number: int, work: Callable[[int], Any]) -> list[Any]:
    """What ``work`` returned or raised in ``number`` threads, each with a connection of its own."""

    def one(index: int) -> Any:
        try:
            return work(index)
        except (ValueError, IntegrityError) as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def errors(results: list[Any]) -> list[Any]:
    return [result for result in results if isinstance(result, Exception)]


@contextmanager
def _pause_after(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> Iterator[None]:
    """Sleep after a named function of the service, which stands between its reading and its writing."""
    real = getattr(module, name)

    def slow(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        time.sleep(0.05)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(module, name, slow)
        yield


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuerySet, "select_for_update", lambda self, **_: self.all())


@pytest.fixture
def queued(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada), "queued")


def _cancel_twenty_times(run: Run, ada: User, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    with _pause_after(monkeypatch, services, "require_edit"):
        return at_once(20, lambda _: services.request_cancel(actor=ada, run_id=run.pk))


def test_of_twenty_cancels_at_once_one_wins(ada: User, queued: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    results = _cancel_twenty_times(queued, ada, monkeypatch)
    assert not errors(results)
    assert {run.status for run in results} == {"cancelled"}
    assert RunTransition.objects.filter(run=queued).count() == 1
    assert AuditEvent.objects.filter(action="run.cancel_requested").count() == 1


@pytest.mark.usefixtures("no_locks")
def test_without_the_lock_cancels_collide(ada: User, queued: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert errors(_cancel_twenty_times(queued, ada, monkeypatch))


def _launch_eight_times(experiment: Experiment, ada: User, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    with _pause_after(monkeypatch, services, "parse_spec"):
        return at_once(8, lambda _: services.launch_run(actor=ada, experiment=experiment))


def test_runs_launched_at_once_are_numbered_without_gaps(
    ada: User, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = _launch_eight_times(make_experiment(workspace, ada), ada, monkeypatch)
    assert not errors(results)
    assert sorted(run.number for run in results) == list(range(1, 9))
    assert len({run.spec["seed"] for run in results}) == 8


@pytest.mark.usefixtures("no_locks")
def test_without_the_lock_numbers_collide(ada: User, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert errors(_launch_eight_times(make_experiment(workspace, ada), ada, monkeypatch))


def test_one_key_sent_eight_times_at_once_creates_one_experiment(
    ada: User, workspace: Workspace, spec: ExperimentSpec
) -> None:
    results = at_once(
        8,
        lambda _: services.create_experiment(actor=ada, workspace=workspace, spec=spec, idempotency_key="once"),
    )
    assert not errors(results)
    assert len({experiment.pk for experiment in results}) == Experiment.objects.count() == Run.objects.count() == 1


def test_without_a_key_eight_requests_create_eight_experiments(
    ada: User, workspace: Workspace, spec: ExperimentSpec
) -> None:
    at_once(8, lambda _: services.create_experiment(actor=ada, workspace=workspace, spec=spec))
    assert Experiment.objects.count() == 8


def _both_owners_leave(workspace: Workspace, owners: list[User], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    workspace.memberships.update(role="owner")
    with _pause_after(monkeypatch, workspace_services, "_keep_one_owner"):
        return at_once(
            2,
            lambda n: workspace_services.remove_member(workspace=workspace, actor=owners[n], user=owners[n]),
        )


def test_of_two_owners_who_leave_at_once_one_stays(
    ada: User, ben: User, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(errors(_both_owners_leave(workspace, [ada, ben], monkeypatch))) == 1
    assert workspace.memberships.count() == 1


@pytest.mark.usefixtures("no_locks")
def test_without_the_lock_a_workspace_loses_all_owners(
    ada: User, ben: User, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not errors(_both_owners_leave(workspace, [ada, ben], monkeypatch))
    assert workspace.memberships.count() == 0


def test_a_sign_in_link_used_at_once_lets_one_in(ada: User) -> None:
    secret = create_sign_in_link(ada)
    assert sorted(str(user) for user in at_once(8, lambda _: use_sign_in_link(secret))) == ["Ada", *["None"] * 7]


def test_reading_before_writing_would_let_several_in(ada: User) -> None:
    secret = create_sign_in_link(ada)

    def naive(_: int) -> User | None:
        link = SignInLink.objects.filter(digest=digest_of(secret), used_at=None).first()
        time.sleep(0.2)
        SignInLink.objects.filter(digest=digest_of(secret)).update(used_at=timezone.now())
        return link.user if link else None

    assert len([user for user in at_once(8, naive) if user]) > 1
