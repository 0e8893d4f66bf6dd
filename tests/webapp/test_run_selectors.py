"""What a person sees of runs, and why a run waits, in words."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import Http404
from django.utils import timezone

from tests.factories import make_experiment, make_run
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import parse_spec
from webapp.accounts.models import User
from webapp.experiments import selectors, services
from webapp.experiments.models import Experiment, Run
from webapp.fleet.models import Slot, Worker
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db
MakeRun = Callable[..., Run]


def make_worker(*slots: str, seen_s_ago: float = 1, **fields: object) -> Worker:
    """A worker with slots of these kinds: ``make_worker("cpu", "gpu")``."""
    worker = Worker.objects.create(
        name=str(uuid4()),
        host="host",
        boot_id="boot",
        pid=1,
        start_ticks=1,
        last_beat_at=timezone.now() - timedelta(seconds=seen_s_ago),
        **fields,
    )
    for index, kind in enumerate(slots):
        Slot.objects.create(worker=worker, kind=kind, index=index, memory_mib=80_000 if kind == "gpu" else 0)
    return worker


def test_everything_is_visible_to_members_and_nothing_to_others(
    ada: User, ben: User, cyn: User, experiment: Experiment, run_in: MakeRun
) -> None:
    run = run_in("running")
    for member in (ada, ben):
        assert selectors.run_for(member, run.pk) == run
        assert selectors.experiment_for(member, experiment.pk) == experiment
    for outsider in (cyn, AnonymousUser()):
        assert not selectors.runs_visible_to(outsider).exists()
        assert not selectors.experiments_visible_to(outsider).exists()
        with pytest.raises(Http404):
            selectors.run_for(outsider, run.pk)
        with pytest.raises(Http404):
            selectors.experiment_for(outsider, experiment.pk)


def test_experiments_are_found_by_text_method_and_newest_status(
    ada: User, workspace: Workspace, experiment: Experiment, run_in: MakeRun
) -> None:
    run_in("failed")
    run_in("running")
    make_experiment(workspace, ada, name="Other")
    find = selectors.find_experiments
    assert {found.name for found in find(ada)} == {"First light", "Other"}
    assert [found.name for found in find(ada, search="LIGHT")] == ["First light"]
    assert [found.name for found in find(ada, status="running")] == ["First light"]
    assert not find(ada, status="failed").exists()
    assert find(ada, method="mae").count() == 2
    assert not find(ada, method="spin").exists()
    assert not find(ada, archived=True).exists()


def test_a_run_that_does_not_wait_has_no_reason(run_in: MakeRun) -> None:
    assert selectors.waiting_reason(run_in("running")) == ""


def test_without_workers_a_run_waits_for_one(run_in: MakeRun) -> None:
    make_worker("cpu", seen_s_ago=600)
    make_worker("cpu", stopped_at=timezone.now())
    assert selectors.waiting_reason(run_in("queued")) == "waits for a worker; none is running"


@pytest.mark.parametrize(
    ("slots", "num_gpus", "reason"),
    [
        (["cpu"], 8, "waits for 8 GPUs; this installation has none"),
        (["cpu"], 1, "waits for a GPU; this installation has none"),
        (["gpu", "gpu"], 8, "waits for 8 GPUs on one machine; the largest worker has 2"),
        (["gpu"], 0, "waits for a CPU slot; this installation has none"),
        (["gpu"], 1, "waits for a free slot"),
        (["cpu"], 0, "waits for a free slot"),
    ],
)
def test_a_run_too_large_for_the_fleet_says_so(slots: list[str], num_gpus: int, reason: str, run_in: MakeRun) -> None:
    make_worker(*slots)
    assert selectors.waiting_reason(run_in("queued", num_gpus=num_gpus)) == reason


def test_a_run_waits_for_those_before_it(run_in: MakeRun) -> None:
    make_worker("cpu")
    first, second, urgent = run_in("queued"), run_in("queued"), run_in("queued", priority=5)
    assert selectors.waiting_reason(urgent) == "waits for a free slot"
    assert selectors.waiting_reason(first) == "waits for a free slot; 1 run is before it"
    assert selectors.waiting_reason(second) == "waits for a free slot; 2 runs are before it"


def test_a_run_waits_for_its_next_attempt(run_in: MakeRun) -> None:
    run = run_in("queued", not_before=timezone.now() + timedelta(seconds=30))
    assert selectors.waiting_reason(run) == "waits 30 s before it is tried again"


def test_draining_workers_take_nothing(run_in: MakeRun) -> None:
    make_worker("cpu", draining=True)
    assert "draining" in selectors.waiting_reason(run_in("queued"))


def test_the_reasons_of_many_runs_take_few_queries(run_in: MakeRun, django_assert_num_queries: MakeRun) -> None:
    make_worker("cpu")
    runs = [run_in("queued") for _ in range(10)]
    with django_assert_num_queries(3):
        assert len(selectors.waiting_reasons(runs)) == 10


def test_a_spec_larger_than_every_worker_is_refused_with_both_sizes(ada: User, workspace: Workspace) -> None:
    huge = parse_spec({"method": {"name": "mae"}, "model": {"source": "Qwen/Qwen2.5-72B"}})
    assert selectors.memory_refusal(huge) == ""
    make_worker("cpu", facts={"memory_mib": 16_000})
    with pytest.raises(ValueError, match=r"needs about \d+ GB of memory; the largest worker here has 17 GB"):
        services.create_experiment(actor=ada, workspace=workspace, spec=huge)
    assert not Experiment.objects.exists()


def test_the_starter_fits_a_small_worker(spec: ExperimentSpec) -> None:
    make_worker("cpu", facts={"memory_mib": 4_000})
    small = parse_spec({"method": {"name": "mae", "sampling": {"max_tokens": 64}}})
    assert selectors.memory_refusal(small) == ""


def test_a_shared_run_is_found_by_its_secret_only(ada: User, run_in: MakeRun) -> None:
    run = make_run(make_experiment(run_in("queued").experiment.workspace, ada))
    _, secret = services.create_share_link(actor=ada, run_id=run.pk)
    assert selectors.run_for_share(secret) == run
    with pytest.raises(Http404):
        selectors.run_for_share(secret.upper())
