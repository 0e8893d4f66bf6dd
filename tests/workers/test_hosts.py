"""Runs on several hosts: slots on all of them in one claim, one part for each worker, nothing left behind."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from tests.workers.conftest import MakeRun, MakeWorker
from webapp.experiments import doorbell
from webapp.experiments.choices import FailureKind, RunStatus
from webapp.experiments.models import Run
from webapp.experiments.selectors import waiting_reasons
from webapp.fleet import services as fleet
from webapp.fleet.leases import LeaseLost
from webapp.fleet.models import Slot, Worker
from webapp.fleet.processes import ProcessId
from webapp.fleet.services import Claim, Outcome
from workers import lifecycle
from workers.member import assist
from workers.outcomes import Ending, outcome_of
from workers.rendezvous import meeting_point

NOBODY = ProcessId(pid=2**22 + 1, start_ticks=1)
MakeHost = Callable[..., Worker]


@pytest.fixture
def host(make_worker: MakeWorker) -> MakeHost:
    """A worker on a host of its own."""
    return lambda name, **fields: make_worker(name, **{"host": name, "boot_id": name, **fields})


def ranks(run: Run) -> dict[str, list[int]]:
    held: dict[str, list[int]] = {}
    for name, rank in run.slots.order_by("worker__name", "index").values_list("worker__name", "host_rank"):
        held.setdefault(name, []).append(rank)
    return held


def begun(run: Run, worker: Worker) -> Claim:
    """The run is claimed and its first host waits for the others."""
    claim = fleet.claim_run(worker=worker)
    assert claim is not None
    fleet.mark_started(run_id=run.pk, token=claim.token, child=NOBODY)
    fleet.open_rendezvous(run_id=run.pk, token=claim.token, rendezvous="alpha:29400")
    run.refresh_from_db()
    return claim


def test_one_claim_takes_slots_on_every_host(make_run: MakeRun, host: MakeHost) -> None:
    run = make_run(num_gpus=2, num_hosts=3)
    alpha = host("alpha", gpus=3)
    host("beta", gpus=2), host("gamma", gpus=4), host("delta", gpus=4)
    claim = fleet.claim_run(worker=alpha)
    assert claim is not None
    assert (claim.num_hosts, claim.host_rank, claim.gpu_uuids) == (3, 0, ("GPU-0", "GPU-1"))
    assert ranks(run) == {"alpha": [0, 0], "beta": [1, 1], "delta": [2, 2]}


@pytest.mark.parametrize(
    "fields",
    [
        {"gpus": 1},
        {"gpus": 2, "draining": True},
        {"gpus": 2, "stopped_at": timezone.now()},
        {"gpus": 2, "last_beat_at": timezone.now() - timedelta(hours=1)},
        {"gpus": 2, "host": "alpha", "boot_id": "alpha"},
    ],
    ids=["too few GPUs", "draining", "stopped", "silent", "same host"],
)
def test_without_a_second_host_the_run_waits_and_lets_others_pass(
    make_run: MakeRun, host: MakeHost, fields: dict[str, Any]
) -> None:
    run, small = make_run(num_gpus=2, num_hosts=2), make_run(num_gpus=1)
    alpha = host("alpha", gpus=2)
    host("beta", **fields)
    claim = fleet.claim_run(worker=alpha)
    assert claim is not None
    assert claim.run_id == small.pk
    assert not run.slots.exists()


def test_a_run_that_needs_more_hosts_than_there_are_says_so(make_run: MakeRun, host: MakeHost) -> None:
    run = make_run(num_gpus=2, num_hosts=2)
    host("alpha", gpus=2)
    assert waiting_reasons([run])[run.pk] == "waits for 2 hosts with 2 GPUs each; this installation has one"
    host("beta", gpus=2)
    assert "waits for a free slot" in waiting_reasons([run])[run.pk]


def test_a_part_begins_once_and_only_after_the_first_host_is_ready(make_run: MakeRun, host: MakeHost) -> None:
    run, alpha, beta = make_run(num_hosts=2), host("alpha"), host("beta", gpus=1)
    first = fleet.claim_run(worker=alpha)
    assert first is not None
    assert not fleet.is_awaited(worker=beta)
    assert fleet.join_run(worker=beta) is None
    fleet.open_rendezvous(run_id=run.pk, token=first.token, rendezvous="alpha:29400")
    assert fleet.is_awaited(worker=beta)
    part = fleet.join_run(worker=beta)
    assert part is not None
    assert (part.run_id, part.token, part.host_rank, part.rendezvous) == (run.pk, first.token, 1, "alpha:29400")
    assert fleet.join_run(worker=beta) is None
    assert fleet.join_run(worker=alpha) is None


def test_each_further_host_is_woken_on_its_own_queue(
    make_run: MakeRun,
    host: MakeHost,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    run, alpha, beta, gamma = make_run(num_hosts=3), host("alpha"), host("beta"), host("gamma")
    claim = fleet.claim_run(worker=alpha)
    assert claim is not None
    rung: list[Any] = []
    monkeypatch.setattr(doorbell, "ring", lambda *, worker_id=None: rung.append(worker_id))
    with django_capture_on_commit_callbacks(execute=True):
        fleet.open_rendezvous(run_id=run.pk, token=claim.token, rendezvous="alpha:29400")
    assert sorted(rung) == sorted([beta.pk, gamma.pk])


def test_the_children_of_two_hosts_are_not_mixed_up(make_run: MakeRun, host: MakeHost) -> None:
    run, alpha, beta = make_run(num_hosts=2), host("alpha"), host("beta")
    begun(run, alpha)
    part = fleet.join_run(worker=beta)
    assert part is not None
    fleet.mark_joined(claim=part, child=ProcessId(pid=77, start_ticks=7))
    pids = dict(Slot.objects.values_list("worker__name", "child_pid"))
    assert pids == {"alpha": NOBODY.pid, "beta": 77}


def test_the_end_of_a_run_leaves_the_other_hosts_their_slots_until_their_processes_are_gone(
    make_run: MakeRun, host: MakeHost
) -> None:
    run, alpha, beta = make_run(num_hosts=2), host("alpha"), host("beta")
    claim = begun(run, alpha)
    part = fleet.join_run(worker=beta)
    assert part is not None
    outcome = Outcome(to=RunStatus.QUEUED, reason="The worker was shut down.")
    fleet.finish_run(run_id=run.pk, token=claim.token, outcome=outcome)
    assert ranks(run) == {"beta": [1]}
    with pytest.raises(LeaseLost):
        fleet.control_of(run_id=run.pk, token=part.token)
    assert fleet.claim_run(worker=alpha) is None  # the run must not begin again beside what is left of it
    fleet.release(run_id=run.pk, token=part.token, host_rank=1)
    assert fleet.claim_run(worker=alpha) is not None


def test_a_host_that_does_not_see_the_runs_folder_ends_the_run_with_a_sentence(
    make_run: MakeRun, host: MakeHost, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ARTIFACTS_DIR = tmp_path
    run, alpha, beta = make_run(num_hosts=2), host("alpha"), host("beta")
    first = begun(run, alpha)
    part = fleet.join_run(worker=beta)
    assert part is not None
    monkeypatch.setattr(lifecycle, "_worker", beta)
    assist(part)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert "Worker beta does not see the run's folder" in run.failure_text
    assert ranks(run) == {"alpha": [0]}
    with pytest.raises(LeaseLost):  # the first host ends its processes and gives its slot back
        fleet.renew_lease(run_id=run.pk, token=first.token)


def test_slots_of_a_host_that_died_are_swept_when_the_run_is_over(make_run: MakeRun, host: MakeHost) -> None:
    run, alpha, beta = make_run(num_hosts=2), host("alpha"), host("beta")
    claim = begun(run, alpha)
    Worker.objects.filter(pk=beta.pk).update(last_beat_at=timezone.now() - timedelta(hours=1))
    fleet.finish_run(
        run_id=run.pk, token=claim.token, outcome=Outcome(to=RunStatus.CANCELLED, reason="Stopped on request.")
    )
    fleet.reap()
    assert ranks(run) == {}


def test_a_run_whose_processes_lost_one_another_goes_on_later() -> None:
    ending = Ending(exit_status=4, stop=None, was_fenced=False, state=None, output="gloo: reset by peer", last_step=12)
    outcome = outcome_of(ending)
    assert (outcome.to, outcome.counts, outcome.failure_kind) == (RunStatus.QUEUED, True, FailureKind.LOST_WORKER)
    assert outcome.reason == ("The run's processes lost one another at step 12. It goes on from its last checkpoint.")


def test_hosts_meet_at_the_address_and_ports_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUMITE_ADDRESS", "10.1.2.3")
    monkeypatch.setenv("KUMITE_RENDEZVOUS_PORTS", "29650-29660")
    address, _, port = meeting_point().rpartition(":")
    assert address == "10.1.2.3"
    assert 29650 <= int(port) <= 29660


def test_the_run_of_a_spec_knows_its_hosts(make_run: MakeRun, tmp_path: Path) -> None:
    from training_core.spec.io import parse_spec
    from webapp.experiments.services import create_experiment

    experiment = make_run().experiment
    spec = parse_spec({"method": {"name": "mae"}, "resources": {"hosts": 3, "num_gpus": 2}})
    created = create_experiment(actor=experiment.created_by, workspace=experiment.workspace, spec=spec)
    assert list(created.runs.values_list("num_hosts", "num_gpus")) == [(3, 2)]
