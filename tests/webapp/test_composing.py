"""What stands behind the compose page: the living drawing, previews, forecasts, seeds and sweeps, forks, templates, rehearsals."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.http import Http404
from django.test import Client
from django.utils import timezone

from tests.factories import mae_events, make_experiment, make_run, metric_events, tell
from tests.webapp.test_pages_compose import HTMX, STARTER, form, state_of
from training_core.spec.io import SpecError, dump_dict, parse_spec
from training_core.spec.sweep import Knob, plan_runs
from webapp.accounts.models import User
from webapp.experiments import rehearsals, services
from webapp.experiments.forecasts import forecast, measured_rates, queue_words
from webapp.experiments.living_flow import living_flow
from webapp.experiments.models import Experiment, Run, Template
from webapp.experiments.previews import preview
from webapp.experiments.rehearsal_services import remove_old_rehearsals, start_rehearsal
from webapp.experiments.selectors import experiments_visible_to, run_for, runs_visible_to
from webapp.experiments.team_templates import shown_versions, template_for
from webapp.experiments.template_services import rename_template, retire_template, save_template
from webapp.fleet.models import Slot, Worker
from webapp.notices.choices import NoticeKind
from webapp.notices.services import News, tell_about_run
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import PermissionDenied

pytestmark = pytest.mark.django_db
MAE = {"name": "First light", "method": {"name": "mae"}, "steps": 60}


@pytest.fixture
def page_of_ada(client: Client, ada: User, workspace: Workspace) -> Client:
    client.force_login(ada)
    return client


@pytest.fixture
def worker(db: None) -> Worker:
    """A machine with 8 GB and two CPU slots."""
    worker = Worker.objects.create(
        name="w", host="h", boot_id="b", pid=1, start_ticks=1, last_beat_at=timezone.now(), facts={"memory_mib": 8192}
    )
    Slot.objects.bulk_create([Slot(worker=worker, kind="cpu", index=index) for index in range(2)])
    return worker


# The drawing


def test_drawing_names_what_a_box_opens_and_who_speaks_with_which_weights() -> None:
    spec = parse_spec({**MAE, "method": {"name": "mae", "judge": {"kind": "frozen"}}})
    flow = living_flow("mae", spec, [], [])
    nodes = {node.drawn.id: node for node in flow.nodes}
    assert "method.judge" in nodes["judge"].opens
    assert nodes["judge"].weights
    assert (nodes["judge"].weights.name, nodes["judge"].weights.manner) == ("start", "frozen")
    assert [(each.name, each.manner, each.roles) for each in flow.weights] == [
        ("main", "trained", ("Proposer", "Solver")),
        ("start", "frozen", ("Judge",)),
    ]


def test_drawing_marks_changes_and_errors_at_their_box(page_of_ada: Client) -> None:
    page = page_of_ada.post("/compose/check/", form(method__judge__kind="frozen"), headers=HTMX).content.decode()
    assert 'aria-label="Judge, role; weights: frozen start; 1 changed"' in page
    nothing = {f"method__w_{name}": "0" for name in ("quality", "difficulty", "format")}
    page = page_of_ada.post("/compose/check/", form(**nothing), headers=HTMX).content.decode()
    assert re.search(r'aria-label="Rewards, reward; 1 to correct', page)


def test_choices_that_do_not_fit_are_closed_with_their_reason(page_of_ada: Client) -> None:
    spec = dump_dict(parse_spec({**STARTER, "task": {"kind": "jsonl", "path": "/x.jsonl"}}))
    page = page_of_ada.post("/compose/check/", form(spec), headers=HTMX).content.decode()
    assert list(state_of(page)["closed"]["f-method-judge-kind"]) == ["verifier"]
    whole = page_of_ada.post("/compose/", form(spec, action="update")).content.decode()
    assert '<option value="verifier" disabled>Verifier</option>' in whole
    assert "<strong>Verifier</strong> does not fit: method.judge is verifier" in whole


# Previews


def test_preview_shows_ten_questions_of_the_domain(page_of_ada: Client) -> None:
    shown = preview(parse_spec(MAE).task)
    assert len(shown.items) == 10
    assert all(eval(item.question) == int(item.answer) for item in shown.items)
    assert shown.items[0].question in page_of_ada.get("/compose/?method=mae").content.decode()


def test_preview_of_games_shows_their_opening() -> None:
    (game,) = preview(parse_spec({"method": {"name": "spiral"}}).task).games
    assert game.title
    assert game.opening


def jsonl(path: str, **fields: str) -> Any:
    return parse_spec({"method": {"name": "mae"}, "task": {"kind": "jsonl", "path": path, **fields}}).task


def test_preview_of_a_file_maps_its_columns_and_says_what_is_wrong(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(json.dumps({"q": f"{n}+1", "a": n + 1}) + "\n" for n in range(12)))
    wrong = preview(jsonl(str(file)))
    assert wrong.problem.startswith("Line 1 of ")
    assert "has no field 'question' (it has: 'a', 'q')" in wrong.problem
    good = preview(jsonl(str(file), question_field="q", answer_field="a"))
    assert (good.problem, [(c.name, c.use) for c in good.columns]) == ("", [("q", "question"), ("a", "answer")])
    assert (len(good.rows), good.rows[0]) == (10, ("0+1", "1"))
    file.write_text('{"q": "1", "a": 2}\nnot json\n')
    assert "line 2 of" in preview(jsonl(str(file), question_field="q", answer_field="a")).problem.lower()


def test_preview_never_reads_outside_the_folder_of_data_sets(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"question": "who", "answer": "me"}\n')
    link = settings.DATA_DIR / "link.jsonl"
    link.symlink_to(secret)
    for path in (secret, link, settings.DATA_DIR / ".." / "secret.jsonl"):
        shown = preview(jsonl(str(path)))
        assert (shown.rows, shown.columns) == ((), ())
        assert shown.note.startswith("Only files below")


# Forecasts


def test_forecast_measures_on_earlier_runs_of_the_workspace(workspace: Workspace, ada: User) -> None:
    experiment = make_experiment(workspace, ada)
    run = make_run(experiment, "succeeded")
    events = metric_events(21)
    tell(run, events)  # one step a second
    Run.objects.filter(pk=run.pk).update(last_step=21)
    (rate,) = measured_rates(parse_spec(MAE), workspace)
    found = forecast(parse_spec(MAE), workspace)
    assert found.num_measured == 1
    assert found.basis == "Measured on an earlier run of this method and model in this workspace."
    # 60 steps at 1 s each, give or take a half for a single run.
    assert found.low_s == pytest.approx(60 / 1.5)
    assert found.high_s == pytest.approx(60 * 1.5)
    half = forecast(parse_spec({**MAE, "steps": 30, "evaluation": {"every": 5}}), workspace)
    assert half.low_s == pytest.approx(30 / 1.5, rel=0.2)
    assert rate > 0


def test_forecast_without_runs_is_a_rule_with_an_honest_range(workspace: Workspace) -> None:
    found = forecast(parse_spec(MAE), workspace, num_runs=4)
    assert found.cost.seconds
    assert (found.low_s, found.high_s) == (found.cost.seconds / 3, found.cost.seconds * 3)
    assert "rule of thumb" in found.basis
    assert found.total_words


def test_memory_is_compared_with_every_worker(workspace: Workspace, worker: Worker) -> None:
    small = forecast(parse_spec(MAE), workspace)
    large = forecast(parse_spec({**MAE, "model": {"source": "Qwen/Qwen2.5-3B"}}), workspace)
    assert [(fit.worker, fit.verdict) for fit in small.fits] == [("w", "fits")]
    assert [fit.verdict for fit in large.fits] == ["too small"]


def test_queue_is_told_in_words(worker: Worker, workspace: Workspace, ada: User) -> None:
    spec = parse_spec(MAE)
    assert queue_words(spec) == "It starts at once."
    assert queue_words(spec, num_runs=3) == "2 of 3 runs start at once, the others as a CPU slot becomes free."
    gpu = parse_spec({**MAE, "resources": {"num_gpus": 2}})
    assert queue_words(gpu) == "It would never start: it needs 2 GPUs on one machine, and no worker here has one."
    held = make_run(make_experiment(workspace, ada), "running", started_at=timezone.now() - timedelta(minutes=10))
    Run.objects.filter(pk=held.pk).update(last_step=30)
    worker.slots.update(run=held)
    assert re.fullmatch(r"It waits: A CPU slot is free in about (10 min|9 min \d+ s)\.", queue_words(spec))
    worker.delete()
    assert queue_words(spec) == "It waits: no worker is running that takes runs."


# Seeds and sweeps


def test_sweep_makes_one_experiment_whose_runs_carry_their_overrides(page_of_ada: Client) -> None:
    sweep = {"seeds": "2", "sweep_path": ["method.optimizer.lr", ""], "sweep_values": ["1e-3, 3e-4", ""]}
    for _ in range(2):
        response = page_of_ada.post("/compose/", {**form(action="launch", seed="5"), **sweep})
    experiment = Experiment.objects.get()
    assert response.headers["Location"] == f"/experiments/{experiment.pk}/"
    runs = experiment.runs.order_by("number")
    assert [(run.spec["seed"], run.overrides) for run in runs] == [
        (5, {"method.optimizer.lr": 0.001}),
        (6, {"method.optimizer.lr": 0.001}),
        (5, {"method.optimizer.lr": 0.0003}),
        (6, {"method.optimizer.lr": 0.0003}),
    ]
    assert [run.spec["method"]["optimizer"]["lr"] for run in runs] == [0.001, 0.001, 0.0003, 0.0003]
    page = page_of_ada.get(f"/experiments/{experiment.pk}/").content.decode()
    assert "Learning rate 0.0003, seed 6" in page
    assert "Learning rate 0.001" in page_of_ada.get(f"/runs/{runs[0].pk}/").content.decode()


def test_sweep_that_cannot_be_launches_nothing_and_says_why(page_of_ada: Client) -> None:
    sent = {**form(action="launch"), "seeds": "many"}
    response = page_of_ada.post("/compose/", sent)
    assert response.status_code == 422
    assert "write how many seeds" in response.content.decode()
    assert Experiment.objects.count() == 0


def test_another_sweep_under_the_same_key_is_refused(ada: User, workspace: Workspace) -> None:
    spec = parse_spec(MAE)
    wanted = {"actor": ada, "workspace": workspace, "spec": spec, "idempotency_key": "k"}
    first = services.create_experiment(**wanted, plan=plan_runs(spec, seeds=(1, 2)))
    assert services.create_experiment(**wanted, plan=plan_runs(spec, seeds=(1, 2))) == first
    with pytest.raises(ValueError, match="already created another experiment"):
        services.create_experiment(**wanted, plan=plan_runs(spec, seeds=(1, 3)))
    assert Run.objects.count() == 2


def test_launching_again_keeps_to_the_experiments_own_spec(ada: User, workspace: Workspace) -> None:
    spec = parse_spec(MAE)
    plan = plan_runs(spec, seeds=(3,), knobs=(Knob(path="steps", values=(7,)),))
    experiment = services.create_experiment(actor=ada, workspace=workspace, spec=spec, plan=plan)
    again = services.launch_run(actor=ada, experiment=experiment)
    assert (again.spec["steps"], again.spec["seed"], again.overrides) == (60, 4, {})


# Forks


def test_fork_takes_the_checkpoint_and_remembers_where_it_left(
    page_of_ada: Client, ada: User, workspace: Workspace
) -> None:
    run = make_run(make_experiment(workspace, ada), "succeeded")
    tell(run, mae_events(60))
    page = page_of_ada.get(f"/compose/?clone={run.pk}&at=50").content.decode()
    assert "From First light #1 at step 50" in page
    start = {"run": str(run.pk), "step": 50, "what": "everything"}
    sent = form({**run.spec, "start": start}, action="launch", clone=str(run.pk), at="50", preset="")
    page_of_ada.post("/compose/", sent)
    fork = Experiment.objects.get(fork_step=50)
    assert (fork.parent, fork.spec["start"]) == (run, start)
    head = page_of_ada.get(f"/runs/{fork.runs.get().pk}/").content.decode()
    assert re.search(r"forked from <a [^>]*>First light #1</a> at step 50", head)


def test_checkpoint_that_is_not_kept_is_told_and_the_clone_begins_anew(
    page_of_ada: Client, ada: User, workspace: Workspace
) -> None:
    run = make_run(make_experiment(workspace, ada), "succeeded")
    tell(run, mae_events(60))
    page = page_of_ada.get(f"/compose/?clone={run.pk}&at=10").content.decode()
    assert "keeps no checkpoint of step 10; it keeps 40, 50, 60" in page
    assert "Clone of First light #1" in page


def test_fork_at_the_end_goes_on_for_as_long_again(page_of_ada: Client, ada: User, workspace: Workspace) -> None:
    run = make_run(make_experiment(workspace, ada), "succeeded")
    tell(run, mae_events(60))
    page = page_of_ada.get(f"/compose/?clone={run.pk}&at=60").content.decode()
    assert 'name="steps" value="120"' in page


def test_only_runs_of_the_workspace_can_be_forked(ada: User, cyn: User, workspace: Workspace) -> None:
    elsewhere = Workspace.objects.create(name="Else", slug="else")
    elsewhere.memberships.create(user=ada, role="owner")
    run = make_run(make_experiment(elsewhere, ada), "succeeded")
    for name in (str(run.pk), "0b0f2c1e-0000-4000-8000-000000000000", "another-folder"):
        spec = parse_spec({**MAE, "start": {"run": name, "step": 5}})
        with pytest.raises(SpecError, match="start from a run of the workspace"):
            services.create_experiment(actor=ada, workspace=workspace, spec=spec)


# Team templates


def test_template_gets_a_version_for_each_change(page_of_ada: Client, ada: User, workspace: Workspace) -> None:
    sent = form(action="save_template", template_name="Mild", template_note="as in March")
    first = page_of_ada.post("/compose/", sent)
    page_of_ada.post("/compose/", sent)  # the same again changes nothing
    page_of_ada.post("/compose/", {**sent, "steps": "9", "template_note": "shorter"})
    template = Template.objects.get()
    shown = shown_versions(template)
    assert first.headers["Location"] == f"/compose/?template={template.pk}&version=1"
    assert [(each.version.number, each.version.note) for each in shown] == [(2, "shorter"), (1, "as in March")]
    assert [(change.path, change.new) for change in shown[0].changes or []] == [("steps", 9)]
    assert "Mild" in page_of_ada.get("/compose/?method=mae").content.decode()
    assert "<ins>9</ins>" in page_of_ada.get(f"/library/templates/{template.pk}/").content.decode()


def test_run_remembers_the_version_it_was_made_from(page_of_ada: Client, ada: User, workspace: Workspace) -> None:
    version = save_template(actor=ada, workspace=workspace, name="Mild", spec=parse_spec({**MAE, "steps": 8}))
    page = page_of_ada.get(f"/compose/?template={version.template_id}").content.decode()
    assert 'name="steps" value="8"' in page
    sent = form(version.spec, action="launch", preset="", template=str(version.template_id), version="1")
    page_of_ada.post("/compose/", sent)
    experiment = Experiment.objects.get()
    assert experiment.template_version == version
    assert "Mild, version 1" in page_of_ada.get(f"/runs/{experiment.runs.get().pk}/").content.decode()


def test_template_is_renamed_and_retired_by_editors_only(ada: User, ben: User, cyn: User, workspace: Workspace) -> None:
    template = save_template(actor=ada, workspace=workspace, name="Mild", spec=parse_spec(MAE)).template
    save_template(actor=ada, workspace=workspace, name="Other", spec=parse_spec(MAE))
    with pytest.raises(ValueError, match="is called Other already"):
        rename_template(actor=ada, template_id=template.pk, name="Other")
    with pytest.raises(PermissionDenied):
        rename_template(actor=ben, template_id=template.pk, name="Mine")
    with pytest.raises(Http404):
        template_for(cyn, template.pk)
    assert rename_template(actor=ada, template_id=template.pk, name=" Very  mild ").name == "Very mild"
    retire_template(actor=ada, template_id=template.pk)
    again = save_template(actor=ada, workspace=workspace, name="Very mild", spec=parse_spec(MAE))
    assert (again.number, again.template_id == template.pk) == (1, False)
    with pytest.raises(ValueError, match="has taken the name"):
        retire_template(actor=ada, template_id=template.pk, retired=False)


def test_template_of_another_method_keeps_its_name(ada: User, workspace: Workspace) -> None:
    save_template(actor=ada, workspace=workspace, name="Mild", spec=parse_spec(MAE))
    with pytest.raises(ValueError, match="template of another method"):
        save_template(actor=ada, workspace=workspace, name="Mild", spec=parse_spec({"method": {"name": "spin"}}))


# Rehearsals


def test_rehearsal_runs_the_form_small_and_stands_in_no_list(ada: User, workspace: Workspace) -> None:
    run = start_rehearsal(actor=ada, workspace=workspace, spec=parse_spec({**MAE, "steps": 9000}))
    assert (run.total_steps, run.priority, run.spec["model"]["source"]) == (2, 90, "starter")
    assert not runs_visible_to(ada).exists()
    assert not experiments_visible_to(ada).exists()
    assert run_for(ada, run.pk) == run
    # Nobody knows yet whether a worker has the starter, so there is time to make it.
    assert run.spec["resources"]["max_hours"] == pytest.approx(0.1)


def test_rehearsal_shows_the_first_group_and_the_first_update(page_of_ada: Client, ada: User) -> None:
    page = page_of_ada.post("/compose/rehearse/", form(), headers=HTMX).content.decode()
    run = Run.objects.get()
    assert f'hx-get="/compose/rehearse/{run.pk}/"' in page
    tell(run, mae_events(2))
    Run.objects.filter(pk=run.pk).update(status="succeeded", last_step=2, finished_at=timezone.now())
    page = page_of_ada.get(f"/compose/rehearse/{run.pk}/").content.decode()
    assert "It works." in page
    assert "hx-get" not in page
    assert "gradient norm" in page
    assert "&lt;question&gt;" in page


def test_what_a_rehearsal_found_stays_with_the_launch_of_the_same_form(page_of_ada: Client, ada: User) -> None:
    page_of_ada.post("/compose/rehearse/", form(), headers=HTMX)
    run = Run.objects.get()
    Run.objects.filter(pk=run.pk).update(status="succeeded", last_step=2, finished_at=timezone.now())
    page_of_ada.post("/compose/", form(action="launch", rehearsal=str(run.pk), seed="4"))
    page_of_ada.post("/compose/", form(action="launch", rehearsal=str(run.pk), steps="4"))
    same, changed = Experiment.objects.filter(is_rehearsal=False).order_by("created_at")
    assert same.rehearsed
    assert same.rehearsed["outcome"] == "passed"
    assert changed.rehearsed is None


def test_rehearsal_that_cannot_be_says_why(page_of_ada: Client) -> None:
    page = page_of_ada.post("/compose/rehearse/", form(steps="none"), headers=HTMX).content.decode()
    assert "Correct the settings first" in page
    assert Run.objects.count() == 0


def test_rehearsals_work_without_scripts(page_of_ada: Client) -> None:
    page = page_of_ada.post("/compose/", form(action="rehearse")).content.decode()
    assert f'name="rehearsal" value="{Run.objects.get().pk}"' in page


def test_a_third_rehearsal_ends_the_first(ada: User, workspace: Workspace) -> None:
    runs = [start_rehearsal(actor=ada, workspace=workspace, spec=parse_spec(MAE)) for _ in range(3)]
    assert [Run.objects.get(pk=run.pk).status for run in runs] == ["cancelled", "queued", "queued"]


def test_rehearsals_are_removed_after_a_day(ada: User, workspace: Workspace, settings: Any, tmp_path: Path) -> None:
    settings.ARTIFACTS_DIR = tmp_path
    over, at_work, fresh = (start_rehearsal(actor=ada, workspace=workspace, spec=parse_spec(MAE)) for _ in range(3))
    Run.objects.filter(pk=at_work.pk).update(status="queued", finished_at=None)
    Run.objects.filter(pk=over.pk).update(status="succeeded", finished_at=timezone.now())
    Experiment.objects.exclude(pk=fresh.experiment_id).update(created_at=timezone.now() - timedelta(days=2))
    (tmp_path / "runs" / str(over.pk)).mkdir(parents=True)
    assert remove_old_rehearsals() == 1
    assert set(Run.objects.values_list("pk", flat=True)) == {at_work.pk, fresh.pk}
    assert not (tmp_path / "runs" / str(over.pk)).exists()


def test_end_of_a_rehearsal_is_no_news(ada: User, workspace: Workspace) -> None:
    run = start_rehearsal(actor=ada, workspace=workspace, spec=parse_spec(MAE))
    news = News(key="k", kind=NoticeKind.FAILED, title="t", text="", url="/")
    assert tell_about_run(run, news, by=None) == 0
    assert tell_about_run(make_run(make_experiment(workspace, ada)), news, by=None) == 1


def test_rehearsal_of_others_does_not_exist(ada: User, cyn: User, workspace: Workspace) -> None:
    run = start_rehearsal(actor=ada, workspace=workspace, spec=parse_spec(MAE))
    with pytest.raises(Http404):
        rehearsals.rehearsal_for(cyn, run.pk)
    with pytest.raises(Http404):
        rehearsals.rehearsal_for(ada, make_run(make_experiment(workspace, ada)).pk)


# Methods


def test_gallery_is_searched_by_words(page_of_ada: Client) -> None:
    page = page_of_ada.get("/methods/?q=judge+proposer").content.decode()
    assert "Multi-Agent Evolve" in page
    assert "SPIRAL" not in page
    assert "No method has these words" in page_of_ada.get("/methods/?q=xyzzy").content.decode()
