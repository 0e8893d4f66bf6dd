"""A run on a real worker, undisturbed and steered by people."""

import pytest

from tests.faults.conftest import Fleet, processes_of
from webapp.telemetry.models import Event

pytestmark = pytest.mark.fault


def test_a_run_is_claimed_started_relayed_and_finished(fleet: Fleet) -> None:
    fleet.start_worker()
    run = fleet.launch(steps=3)
    fleet.wait_for_status(run, "succeeded")
    assert run.last_step == 3
    assert list(Event.objects.filter(run=run).order_by("seq").values_list("seq", flat=True)) == list(
        range(1, run.last_seq + 1)
    )
    assert [t.to_status for t in run.transitions.order_by("version")] == ["claimed", "starting", "running", "succeeded"]
    assert processes_of(run) == []
    assert not run.slots.exists()
