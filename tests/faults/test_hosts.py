"""One run on two hosts: two real workers, each with its own torchrun agent, that meet on this machine."""

import pytest

from tests.faults.conftest import Fleet, processes_of
from webapp.experiments.models import Run
from webapp.experiments.selectors import waiting_reasons
from webapp.fleet.folders import run_folder
from webapp.fleet.models import Slot
from webapp.telemetry.models import Event

pytestmark = pytest.mark.fault
STEPS = 8


def start_host(fleet: Fleet, name: str) -> None:
    fleet.start_worker(name, KUMITE_HOST=name, KUMITE_ADDRESS="127.0.0.1", KUMITE_RENDEZVOUS_PORTS="29480-29580")


def hosts_of(run: Run) -> dict[str, int]:
    return dict(Slot.objects.filter(run=run).values_list("worker__host", "host_rank"))


def test_a_run_on_two_hosts_survives_the_loss_of_one(fleet: Fleet) -> None:
    start_host(fleet, "alpha")
    run = fleet.launch(steps=STEPS, resources={"hosts": 2})
    fleet.wait_for(lambda: "waits for 2 hosts" in waiting_reasons([run])[run.pk], "the run waits for a second host")
    start_host(fleet, "beta")
    fleet.wait_for_step(run, 3)
    ranks = hosts_of(run)
    assert sorted(ranks.values()) == [0, 1]

    lost = next(host for host, rank in ranks.items() if rank == 1)
    fleet.workers[lost].kill()
    fleet.workers[lost].wait()
    fleet.wait_for(lambda: Run.objects.get(pk=run.pk).failed_attempts == 1, "the loss of a host is noticed")
    run.refresh_from_db()
    assert "lost" in run.phase_text

    start_host(fleet, f"{lost}-again")
    fleet.wait_for_status(run, "succeeded")
    assert (run.attempt, run.last_step) == (2, STEPS)
    fleet.wait_for(lambda: not processes_of(run) and not hosts_of(run), "both hosts are free again")
    stored = Event.objects.filter(run=run).order_by("seq").values_list("seq", flat=True)
    assert list(stored) == list(range(1, run.last_seq + 1))
    assert (run_folder(run.pk) / "output-1.log").exists()
