"""The library: checkpoints with names, sizes and an end, and data sets in versions."""

import json
import threading
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import Http404

from tests.factories import mae_events, make_experiment, make_run, tell
from webapp.experiments.models import Experiment
from webapp.experiments.previews import data_files, is_offered
from webapp.library.datasets import save_dataset
from webapp.library.models import DatasetVersion
from webapp.library.selectors import kept_checkpoints
from webapp.library.services import name_checkpoint, remove_checkpoints
from webapp.workspaces.models import AuditEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def folders(settings, tmp_path: Path) -> Path:
    settings.ARTIFACTS_DIR, settings.DATA_DIR = tmp_path / "artifacts", tmp_path / "data"
    return tmp_path


@pytest.fixture
def run(workspace, ada, folders):
    """A finished run with the checkpoints of steps 10, 20 and 30 in its folder."""
    run = make_run(make_experiment(workspace, ada), "succeeded")
    tell(run, mae_events(30))
    for step in (10, 20, 30):
        place = folders / "artifacts" / "runs" / str(run.pk) / "checkpoints" / f"step-{step:06d}"
        place.mkdir(parents=True)
        (place / "manifest.json").write_text("{}")
    return run


def steps(workspace, run):
    return [kept.step for kept in kept_checkpoints(workspace, run_id=run.pk)]


def test_checkpoints_tell_what_they_scored_when_they_were_saved(workspace, run):
    kept = kept_checkpoints(workspace)
    assert [each.step for each in kept] == [30, 20, 10]
    told = {e.step: e.data["scores"]["accuracy_sampled"] for e in run.events.filter(kind="evaluation")}
    assert [each.score for each in kept] == [told[30], told[20], told[10]]
    assert [each.is_best for each in kept] == [each.score == max(told[s] for s in (10, 20, 30)) for each in kept]
    assert {each.num_bytes for each in kept} == {1_843_200}
    assert [each.keeps for each in kept] == ["the last of its run", "", ""]


def test_what_must_stay_stays_and_the_rest_goes_for_good(workspace, run, ada, folders):
    name_checkpoint(actor=ada, run_id=run.pk, step=20, name="The one")
    keys = [f"{run.pk}/{step}" for step in (10, 20, 30, 999)]
    assert remove_checkpoints(actor=ada, workspace=workspace, keys=keys) == (1, 1_843_200)
    assert steps(workspace, run) == [30, 20]
    assert sorted(p.name for p in (folders / "artifacts/runs" / str(run.pk) / "checkpoints").iterdir()) == [
        "step-000020", "step-000030",
    ]  # fmt: skip
    assert AuditEvent.objects.filter(action="checkpoint.removed", detail__step=10).count() == 1


def test_a_run_that_has_not_ended_keeps_its_checkpoints(workspace, run, ada):
    type(run).objects.filter(pk=run.pk).update(status="paused", finished_at=None)
    assert remove_checkpoints(actor=ada, workspace=workspace, keys=[f"{run.pk}/10"]) == (0, 0)


def test_a_checkpoint_from_which_a_fork_is_still_to_begin_stays(workspace, run, ada):
    fork = make_experiment(workspace, ada, name="Fork")
    Experiment.objects.filter(pk=fork.pk).update(parent=run, fork_step=10)
    waiting = make_run(fork, "queued")
    assert remove_checkpoints(actor=ada, workspace=workspace, keys=[f"{run.pk}/10"]) == (0, 0)
    type(run).objects.filter(pk=waiting.pk).update(status="cancelled", finished_at=waiting.created_at)
    assert remove_checkpoints(actor=ada, workspace=workspace, keys=[f"{run.pk}/10"])[0] == 1


def test_a_name_stands_for_one_checkpoint_only(workspace, run, ada, ben, cyn):
    name_checkpoint(actor=ada, run_id=run.pk, step=10, name=" best  judge ")
    with pytest.raises(ValueError, match="Another checkpoint is called 'best judge'"):
        name_checkpoint(actor=ada, run_id=run.pk, step=20, name="best judge")
    name_checkpoint(actor=ada, run_id=run.pk, step=10, name="")
    name_checkpoint(actor=ada, run_id=run.pk, step=20, name="best judge")
    assert {each.step: each.name for each in kept_checkpoints(workspace)} == {30: "", 20: "best judge", 10: ""}
    with pytest.raises(Http404):
        name_checkpoint(actor=cyn, run_id=run.pk, step=10, name="mine")


def test_the_page_shows_what_would_go_and_removes_only_when_asked(workspace, run, ada, ben, client):
    client.force_login(ada)
    page = client.get("/library/checkpoints/?newest=1").content.decode()
    best = next(each.step for each in kept_checkpoints(workspace) if each.is_best)
    assert f"{2 if best == 30 else 1} would go" in page
    assert steps(workspace, run) == [30, 20, 10]
    client.post("/library/checkpoints/remove/", {"checkpoint": [f"{run.pk}/10", "nonsense/x"]})
    assert steps(workspace, run) == [30, 20, 10]
    client.post("/library/checkpoints/remove/", {"checkpoint": f"{run.pk}/10"})
    assert steps(workspace, run) == [30, 20]
    client.force_login(ben)
    assert client.post("/library/checkpoints/remove/", {"checkpoint": f"{run.pk}/20"}).status_code == 403
    assert "Remove what is ticked" not in client.get("/library/checkpoints/").content.decode()


LINES = b'{"question": "1+1", "answer": "2"}\n\n{"question": "2+2", "answer": "4", "hard": true}'


def test_a_data_set_is_kept_in_versions_that_never_change(workspace, ada, folders, client):
    first = save_dataset(actor=ada, workspace=workspace, name="Sums", chunks=[LINES[:20], LINES[20:]])
    assert (first.number, first.num_lines, first.columns) == (1, 2, ["question", "answer", "hard"])
    assert first.path.read_bytes() == LINES
    again = save_dataset(actor=ada, workspace=workspace, name="Sums", chunks=[LINES])
    assert again == first
    second = save_dataset(actor=ada, workspace=workspace, name="Sums", chunks=[LINES, b"\n{}"])
    assert (second.number, second.num_lines) == (2, 3)
    assert first.path.read_bytes() == LINES
    client.force_login(ada)
    assert str(second.path) in client.get("/library/datasets/").content.decode()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "no line"), (b'{"a": 1}\n[1]', "Line 2 is no JSON object"), (b"\xff", "Line 1 is no JSON object")],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(workspace, ada, folders, client, content, words):
    client.force_login(ada)
    file = SimpleUploadedFile("x.jsonl", content or b"\n")
    answer = client.post("/library/datasets/upload/", {"name": "Sums", "file": file})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not DatasetVersion.objects.exists()


def test_a_team_s_files_are_offered_to_that_team_only(workspace, ada, folders):
    version = save_dataset(actor=ada, workspace=workspace, name="Sums", chunks=[LINES])
    (folders / "data" / "common.jsonl").write_text(json.dumps({"question": "1", "answer": "1"}))
    own = str(workspace.pk)
    assert [Path(path).name for path in data_files(team=own)] == ["v1.jsonl", "common.jsonl"]
    assert [Path(path).name for path in data_files(team="another")] == ["common.jsonl"]
    assert is_offered(str(version.path), team=own)
    assert not is_offered(str(version.path), team="another")
    assert not is_offered(str(version.path))


@pytest.mark.django_db(transaction=True)
def test_two_people_who_save_at_once_make_two_versions(workspace, ada, folders):
    from django.db import connection

    def save(text: bytes) -> None:
        save_dataset(actor=ada, workspace=workspace, name="Sums", chunks=[text])
        connection.close()

    threads = [threading.Thread(target=save, args=(b'{"question": "%d"}' % n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(DatasetVersion.objects.values_list("number", flat=True)) == [1, 2, 3, 4]
