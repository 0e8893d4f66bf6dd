"""The migration that makes one table of the two that were called data sets."""

from pathlib import Path

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from webapp.library.datasets import datasets_in, save_dataset
from webapp.library.models import DatasetSource

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def before(settings, tmp_path: Path):
    """Tables and models as they were; afterwards everything is up to date again."""
    settings.ARTIFACTS_DIR, settings.DATA_DIR = tmp_path / "artifacts", tmp_path / "data"
    old = MigrationExecutor(connection)
    old.migrate([("library", "0002_rubrics"), ("review", "0003_rubric_version")])
    yield old.loader.project_state([("library", "0002_rubrics"), ("review", "0003_rubric_version")]).apps
    newest = MigrationExecutor(connection)
    newest.migrate(newest.loader.graph.leaf_nodes())


def test_what_reviewers_made_becomes_versions_in_the_library(before, workspace, ada, settings):
    folder = settings.ARTIFACTS_DIR / "datasets" / str(workspace.pk)
    folder.mkdir(parents=True)
    before.get_model("library", "Dataset").objects.create(workspace_id=workspace.pk, name="Good", created_by_id=ada.pk)
    made = before.get_model("review", "Dataset").objects
    for kind, name, version in (("calibration", "mae/answer", 1), ("calibration", "mae/answer", 2), ("sft", "Good", 1)):
        row = {"workspace_id": workspace.pk, "kind": kind, "name": name, "version": version, "by_id": ada.pk}
        made.create(**row, num_rows=1, digest=str(version) * 64)
    (folder / "calibration-mae-answer-v2.jsonl").write_text('{"question": "3+4", "right": true}\n')
    (folder / "sft-good-v1.jsonl").write_text('{"question": "1+1"}\n')

    now = MigrationExecutor(connection)
    now.migrate(now.loader.graph.leaf_nodes())

    good, picked, answers = datasets_in(workspace)
    assert [(each.name, each.source, each.form) for each in (good, picked, answers)] == [
        ("Good", "uploaded", ""),
        ("Good (demonstrations)", "picked", "sft"),
        ("mae/answer", "answers", ""),
    ]
    newest, first = answers.versions.order_by("-number")
    assert (newest.number, newest.digest, newest.columns) == (2, "2" * 64, ["question", "right"])
    assert newest.path.read_text() == '{"question": "3+4", "right": true}\n'
    assert (first.number, first.num_bytes, first.path.exists()) == (1, 0, False)  # its file had gone before
    assert (folder / "sft-good-v1.jsonl").is_file()  # the path that older runs name
    later = save_dataset(
        actor=ada, workspace=workspace, name="mae/answer", chunks=[b'{"a": 1}'], source=DatasetSource.ANSWERS
    )
    assert later.number == 3
