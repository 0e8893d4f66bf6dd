"""The example: recorded runs that a workspace can look at before it has any of its own."""

import pytest
from django.test import Client

from webapp.accounts.models import User
from webapp.compare.guide import first_steps
from webapp.examples.recorded_runs import recorded_runs, write
from webapp.examples.services import add_example, remove_example
from webapp.experiments.models import Experiment, Run
from webapp.experiments.services import launch_run
from webapp.fleet.models import Worker
from webapp.notices.models import Notice
from webapp.telemetry.models import Event, Sample
from webapp.telemetry.tabs import TABS
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import PermissionDenied

pytestmark = pytest.mark.django_db


def test_the_example_is_looked_at_everywhere_without_a_worker_and_taken_away(
    ada: User, ben: User, workspace: Workspace, client: Client
) -> None:
    client.force_login(ada)
    assert b"Look at a finished example run" in client.get("/").content
    answer = client.post("/examples/add/")
    runs = list(Run.objects.order_by("created_at"))
    assert answer.headers["Location"] == f"/runs/{runs[0].pk}/"
    told = recorded_runs()
    assert [(run.status, run.last_seq, run.spec["seed"]) for run in runs] == [
        ("succeeded", each.num_events, each.spec.seed) for each in told
    ]
    assert Experiment.objects.count() == len({each.experiment for each in told})
    assert Sample.objects.filter(run=runs[0]).count() == Event.objects.filter(run=runs[0], kind="sample").count() > 1000
    assert not Worker.objects.exists() and not Notice.objects.exists()

    root = f"/runs/{runs[0].pk}/"
    assert b"recorded on another machine" in client.get(root).content
    pages = [
        root,
        f"{root}state/",
        f"{root}samples/",
        f"{root}?at=20",
        f"{root}passport/",
        "/review/",
        "/library/",
        "/runs/",
    ]
    pages += [f"{root}parts/{tab.slug}/" for tab in TABS]
    pages += [f"/experiments/{runs[0].experiment_id}/", "/compare/?" + "&".join(f"run={run.pk}" for run in runs)]
    assert {page: client.get(page).status_code for page in pages} == dict.fromkeys(pages, 200)
    assert b"Held-out items" in client.get(f"{root}parts/evaluation/").content
    assert b"data-turn" in client.get("/review/").content

    assert not any(step.is_done for step in first_steps(ada, workspace))
    assert {run.pk for run in add_example(actor=ada, workspace=workspace)} == {run.pk for run in runs}
    with pytest.raises(ValueError, match="Clone one of its runs"):
        launch_run(actor=ada, experiment=runs[0].experiment)
    with pytest.raises(PermissionDenied):
        remove_example(actor=ben, workspace=workspace)

    mine = Experiment.objects.create(workspace=workspace, name="Mine", method="mae", spec=runs[0].spec, parent=runs[0])
    client.post("/examples/remove/")
    assert not Run.objects.exists() and not Event.objects.exists() and not Sample.objects.exists()
    mine.refresh_from_db()
    assert mine.parent is None


def test_what_was_broken_off_is_gone_on_with(ada: User, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from webapp.examples import services

    kept = services.store_events

    def breaks(**wanted: object) -> int:
        stored = kept(**wanted)  # type: ignore[arg-type]
        raise ConnectionError(f"after {stored} events")

    monkeypatch.setattr(services, "recorded_runs", lambda: recorded_runs()[:1])
    monkeypatch.setattr(services, "store_events", breaks)
    with pytest.raises(ConnectionError):
        add_example(actor=ada, workspace=workspace)
    assert Run.objects.get().status == "running"
    monkeypatch.setattr(services, "store_events", kept)
    (run,) = add_example(actor=ada, workspace=workspace)
    run.refresh_from_db()
    assert (run.status, run.last_seq) == ("succeeded", recorded_runs()[0].num_events)


def test_packing_a_run_again_gives_the_same_bytes(tmp_path, monkeypatch) -> None:
    told = recorded_runs()[0]
    monkeypatch.setattr("webapp.examples.recorded_runs.FOLDER", tmp_path)
    again = write(told.key, experiment=told.experiment, spec=told.spec, events=list(told.events()))
    once_more = write("other", experiment=told.experiment, spec=told.spec, events=list(told.events()))
    assert again.read_bytes() == once_more.read_bytes()
    assert sum(path.path.stat().st_size for path in recorded_runs()) < 1_500_000
