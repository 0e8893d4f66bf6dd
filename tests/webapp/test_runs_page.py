"""The list of runs, its saved views, and what is done to many runs at once."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.factories import mae_events, make_experiment, make_run, tell
from webapp.accounts.models import User
from webapp.compare.filters import RunFilter
from webapp.compare.models import SavedView
from webapp.compare.services import on_many, save_view
from webapp.compare.tree import draw_tree
from webapp.experiments.models import Experiment, Run
from webapp.experiments.services import archive_run, tag_run
from webapp.telemetry.models import RunSummary
from webapp.workspaces.models import AuditEvent, Membership, Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(client: Client, ada: User, workspace: Workspace) -> Client:
    client.force_login(ada)
    return client


def _seeded(experiment: Experiment, seed: int, values: list[float], **fields: object) -> Run:
    """A finished run with its own seed whose headline took these values."""
    points = [[step, value] for step, value in enumerate(values)]
    run = make_run(experiment, "succeeded", headline=points, last_step=60, **fields)
    run.spec = {**experiment.spec, "seed": seed}
    run.save()
    numbers = [values[0], values[-1], 60, min(values), max(values), sum(values), len(values)]
    RunSummary.objects.create(run=run, metrics={"eval/accuracy_sampled": numbers})
    return run


def _names(page: str) -> list[str]:
    return [part.partition("<")[0] for part in page.split('aria-label="Choose ')[2:]]


def test_summary_of_a_run_counts_every_point_and_again_after_a_rewind(run_in: Callable[..., Run]) -> None:
    run = run_in("running")
    events = [
        {"seq": n, "kind": "metric", "step": n, "t": 1.0, "data": {"values": {"a/b": v}}}
        for n, v in enumerate([3.0, 1.0, 2.0], start=1)
    ]
    tell(run, events[:2])
    tell(run, events[2:])
    assert RunSummary.objects.get(run=run).metrics == {"a/b": [3.0, 2.0, 3, 1.0, 3.0, 6.0, 3]}
    from tests.factories import next_attempt

    tell(next_attempt(run), [{**events[1], "data": {"values": {"a/b": 9.0}}}])
    assert RunSummary.objects.get(run=run).metrics == {"a/b": [3.0, 9.0, 2, 3.0, 9.0, 12.0, 2]}


def test_filters_narrow_the_list_and_what_is_wrong_does_not_filter(client: Client, experiment: Experiment) -> None:
    make_run(experiment, "failed", tags=["paper"])
    make_run(experiment, "running")
    shown = {
        query: client.get(f"/runs/?{query}").content.decode().count("runs-row")
        for query in (
            "all=1",
            "status=failed",
            "status=rubbish",
            "tag=paper",
            "q=LIGHT",
            "q=dark",
            "method=spin",
            "since=2999-01-01",
        )
    }
    assert list(shown.values()) == [2, 1, 2, 1, 2, 0, 0, 0]
    assert "Nothing matches" in client.get("/runs/?q=dark").content.decode()


def test_dates_include_their_whole_day(run_in: Callable[..., Run]) -> None:
    run = run_in("failed")
    day = run.created_at.date()
    inside = RunFilter(since=day, until=day)
    assert inside.apply(Run.objects.all()).count() == 1
    assert RunFilter(until=day - timedelta(days=1)).apply(Run.objects.all()).count() == 0
    assert RunFilter.read({"since": "nonsense", "by": "x", "experiment": "?"}) == RunFilter()


def test_archived_runs_are_listed_apart(client: Client, ada: User, run_in: Callable[..., Run]) -> None:
    run = run_in("failed")
    archive_run(actor=ada, run_id=run.pk)
    assert "No runs yet" in client.get("/runs/?all=1").content.decode()
    assert client.get("/runs/?archived=1").content.decode().count("runs-row") == 1


def test_any_metric_becomes_a_column_that_sorts_and_is_measured_against_a_baseline(
    client: Client, experiment: Experiment
) -> None:
    low = _seeded(experiment, 0, [0.4, 0.6])
    high = _seeded(experiment, 1, [0.4, 0.9, 0.8])
    query = f"col=seed&col=eval/accuracy_sampled:best&col=eval/accuracy_sampled:mean&base={low.pk}"
    page = client.get(f"/runs/?{query}&sort=-eval/accuracy_sampled:mean").content.decode()
    assert page.index(f'name="run" value="{high.pk}"') < page.index(f'name="run" value="{low.pk}"')
    assert "90.0%" in page
    assert "+30.0 points" in page
    assert "+50.0%" in page  # 0.9 against 0.6
    assert "70.0%" in page  # the mean of 0.4, 0.9 and 0.8
    rising = client.get(f"/runs/?{query}&sort=eval/accuracy_sampled:mean").content.decode()
    assert rising.index(f'name="run" value="{low.pk}"') < rising.index(f'name="run" value="{high.pk}"')


def test_seeds_fold_into_their_experiment_with_mean_and_spread(client: Client, experiment: Experiment) -> None:
    for seed, last in enumerate((0.7, 0.8, 0.9)):
        _seeded(experiment, seed, [0.4, last])
    page = client.get("/runs/?group=1").content.decode()
    assert "80.0% ± 10.0%" in page
    assert "3 runs" in page


def test_settings_of_a_sweep_are_groups_of_their_own(client: Client, experiment: Experiment) -> None:
    for last, lr in ((0.7, 0.001), (0.8, 0.001), (0.5, 0.1)):
        _seeded(experiment, 0, [0.4, last], overrides={"method.optimizer.lr": lr})
    page = client.get("/runs/?group=1").content.decode()
    assert "lr 0.001" in page
    assert "75.0% ± 7.1%" in page
    assert page.count("runs-group") == 2


def test_number_of_queries_does_not_grow_with_the_list(client: Client, workspace: Workspace, ada: User) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert client.get(path).status_code == 200
        return len(seen)

    paths = [
        "/runs/?all=1",
        "/runs/?group=1",
        "/runs/?col=seed&col=eval/accuracy_sampled:last&sort=-headline",
        "/runs/?view=tree",
        "/",
    ]
    _seeded(make_experiment(workspace, ada), 0, [0.1, 0.2])
    few = [queries(path) for path in paths]
    for _ in range(6):
        experiment = make_experiment(workspace, ada)
        for seed in range(3):
            _seeded(experiment, seed, [0.1, 0.2])
    assert [queries(path) for path in paths] == few
    assert max(few) < 40


def test_ten_thousand_runs_are_cut_into_pages(client: Client, experiment: Experiment) -> None:
    Run.objects.bulk_create(
        Run(experiment=experiment, number=n, spec={"seed": n}, status="queued", total_steps=60) for n in range(10_000)
    )
    page = client.get("/runs/?page=400&sort=seed").content.decode()
    assert "9976 to 10000 of 10000" in page
    assert "#9999" in page


def test_a_page_that_waits_for_news_gets_nothing_until_there_is_some(
    client: Client, run_in: Callable[..., Run]
) -> None:
    run = run_in("running")
    htmx = {"HX-Request": "true"}
    for path in ("/runs/?all=1", "/"):
        mark = client.get(path, headers=htmx).context["mark"]
        again = f"{path}{'&' if '?' in path else '?'}mark={mark}"
        assert client.get(again, headers=htmx).status_code == 204
        Run.objects.filter(pk=run.pk).update(last_seq=F("last_seq") + 1)
        assert client.get(again, headers=htmx).status_code == 200


def test_many_runs_are_stopped_archived_and_tagged_and_refusals_are_told(
    client: Client, ada: User, run_in: Callable[..., Run]
) -> None:
    ended, waiting = run_in("failed"), run_in("queued")
    outcome = on_many(actor=ada, run_ids=[ended.pk, waiting.pk], deed="archive")
    assert outcome.num_done == 1
    assert "Only a run that has ended can be archived" in outcome.refusals[0]
    answer = client.post(
        "/runs/chosen/",
        {"run": [str(ended.pk), str(waiting.pk)], "deed": "tag", "tags": "Paper, v2", "query": ""},
        follow=True,
    )
    assert "Tagged 2 runs." in answer.content.decode()
    ended.refresh_from_db()
    assert ended.tags == ["paper", "v2"]
    client.post("/runs/chosen/", {"run": [str(waiting.pk)], "deed": "stop"})
    waiting.refresh_from_db()
    assert waiting.status == "cancelled"


@pytest.mark.parametrize("tag", ["two words", "", "x" * 41, "<b>"])
def test_a_tag_is_one_word(ada: User, run_in: Callable[..., Run], tag: str) -> None:
    with pytest.raises(ValueError, match="A tag is one word"):
        tag_run(actor=ada, run_id=run_in("failed").pk, add=[tag])


def test_viewer_does_nothing_to_chosen_runs_but_compares_them(ben: User, run_in: Callable[..., Run]) -> None:
    run = run_in("queued")
    client = Client()
    client.force_login(ben)
    assert client.post("/runs/chosen/", {"run": [str(run.pk)], "deed": "stop"}).status_code == 403
    assert (
        client.post("/runs/chosen/", {"run": [str(run.pk)], "deed": "compare"}).headers["Location"]
        == f"/compare/?run={run.pk}"
    )
    assert 'value="stop"' not in client.get("/runs/?all=1").content.decode()


def test_saved_view_is_a_link_and_the_default_opens_the_page(client: Client, ada: User, workspace: Workspace) -> None:
    answer = client.post(
        "/views/", {"page": "runs", "name": " Failed  ones ", "query": "?status=failed", "is_default": "1"}, follow=True
    )
    view = SavedView.objects.get()
    assert (view.name, view.query, view.is_default) == ("Failed ones", "status=failed", True)
    assert f"http://testserver/views/{view.pk}/" in answer.content.decode()
    assert client.get(reverse("saved_view", args=[view.pk])).headers["Location"] == "/runs/?status=failed"
    assert client.get("/runs/").headers["Location"] == "/runs/?status=failed"
    assert client.get("/runs/?all=1").status_code == 200
    save_view(actor=ada, workspace=workspace, page="runs", name="Other", query="q=x", is_default=True)
    assert list(SavedView.objects.filter(is_default=True).values_list("name", flat=True)) == ["Other"]
    client.post(reverse("delete_view", args=[view.pk]))
    assert SavedView.objects.count() == 1
    assert AuditEvent.objects.filter(action="view.deleted").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [({"name": " "}, "needs a name"), ({"page": "moon"}, "belongs to one of"), ({"query": "x" * 9000}, "too many")],
)
def test_a_view_that_cannot_be_kept_says_why(
    ada: User, workspace: Workspace, change: dict[str, str], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        save_view(actor=ada, workspace=workspace, **{"page": "runs", "name": "A", "query": "", **change})


def test_link_of_a_view_leads_into_its_workspace(client: Client, ada: User, workspace: Workspace) -> None:
    other = Workspace.objects.create(name="Other", slug="other")
    Membership.objects.create(workspace=other, user=ada, role="owner")
    view = save_view(actor=ada, workspace=other, page="runs", name="A", query="")
    client.get(reverse("saved_view", args=[view.pk]))
    assert "Every run of Other" in client.get("/runs/?all=1").content.decode()


def test_tree_draws_forks_from_the_step_they_leave_at_and_says_what_changed(workspace: Workspace, ada: User) -> None:
    first = make_run(make_experiment(workspace, ada), "succeeded", last_step=60)
    forked = make_experiment(workspace, ada, steps=90)
    Experiment.objects.filter(pk=forked.pk).update(parent=first, fork_step=30)
    fork = make_run(Experiment.objects.get(pk=forked.pk), "running", last_step=30)
    tree = draw_tree(list(Run.objects.select_related("experiment").order_by("-created_at")), 10)
    parent, child = tree.branches
    assert (parent.run, child.run) == (first, fork)
    assert child.from_x == pytest.approx((parent.from_x + parent.to_x) / 2)  # step 30 of 60
    assert child.to_x == parent.to_x  # 30 steps further
    assert child.changes == "Steps 60 to 90"
    assert (child.depth, child.begins) == (1, 30)


def test_home_tells_health_queue_and_what_the_team_did(client: Client, ben: User, run_in: Callable[..., Run]) -> None:
    running, waiting = run_in("running"), run_in("queued")
    tell(running, mae_events(20))
    from webapp.workspaces.services import record

    record(actor=ben, action="run.shared", obj=running, workspace=running.experiment.workspace, detail={})
    page = client.get("/").content.decode()
    assert "points better than at the start" in page
    assert "next in the queue" in page
    assert "waits for a worker; none is running" in page
    assert f'Ben shared a run by link: <a href="/runs/{running.pk}/">First light #1</a>' in page
    assert str(waiting.pk) in page


def test_ended_runs_and_a_clone_of_the_newest_are_offered_when_nothing_runs(
    client: Client, run_in: Callable[..., Run]
) -> None:
    run = run_in("succeeded", headline=[[0, 0.4], [60, 0.8]], finished_at=timezone.now())
    page = client.get("/").content.decode()
    assert f"/compose/?clone={run.pk}" in page
    assert "40.0% → 80.0%" in page


def test_api_finds_runs_by_tag_and_day_and_tells_metrics(ada: User, experiment: Experiment) -> None:
    from webapp.accounts.services import create_token

    _, secret = create_token(user=ada, name="t")
    run = _seeded(experiment, 4, [0.4, 0.9, 0.8], tags=["paper"])
    _seeded(experiment, 5, [0.1, 0.2])
    day = run.created_at.date()
    script = Client(headers={"Authorization": f"Bearer {secret}"})
    found = script.get(
        "/api/v1/runs/", {"tag": "Paper", "since": day, "until": day, "metric": "eval/accuracy_sampled,a/b"}
    )
    (row,) = found.json()["results"]
    assert (row["seed"], row["tags"]) == (4, ["paper"])
    told = row["metrics"]["eval/accuracy_sampled"]
    assert (told["last"], told["best"], told["mean"], told["count"]) == (0.8, 0.9, pytest.approx(0.7), 3)
    assert script.get("/api/v1/runs/", {"until": day - timedelta(days=1)}).json()["results"] == []
    archive_run(actor=ada, run_id=run.pk)
    assert [len(script.get("/api/v1/runs/", {"archived": flag}).json()["results"]) for flag in ("true", "false")] == [
        1,
        1,
    ]


def test_api_keeps_lists_and_forgets_views(ada: User, workspace: Workspace) -> None:
    from webapp.accounts.services import create_token

    _, secret = create_token(user=ada, name="t")
    script = Client(headers={"Authorization": f"Bearer {secret}"})
    body = {"workspace": "dojo", "page": "compare", "name": "Best", "query": "run=x", "is_default": True}
    made = script.post("/api/v1/views/", body, content_type="application/json").json()
    assert (made["workspace"], made["name"], made["is_default"]) == ("dojo", "Best", True)
    assert [view["id"] for view in script.get("/api/v1/views/?page=compare").json()["results"]] == [made["id"]]
    assert script.get("/api/v1/views/?page=runs").json()["results"] == []
    assert script.delete(f"/api/v1/views/{made['id']}/").status_code == 204
    assert SavedView.objects.count() == 0
