"""Checkpoints that others count on are held for them, and let go again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.factories import tell
from training_core.spec.holds import held_steps
from training_core.spec.io import parse_spec
from webapp.accounts.models import User
from webapp.experiments.forks import forked
from webapp.experiments.holds import write_holds
from webapp.experiments.models import Run
from webapp.experiments.services import create_experiment, request_cancel
from webapp.fleet.folders import run_folder
from webapp.library.services import name_checkpoint

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def parent(run_in: Callable[..., Run], settings: Any, tmp_path: Path) -> Run:
    settings.ARTIFACTS_DIR = tmp_path
    run = run_in("running")
    data = {"path": "checkpoints/step-000004", "num_bytes": 1, "digest": "d"}
    tell(run, [{"seq": 1, "kind": "checkpoint", "step": 4, "t": 1.0, "data": data}])
    saved = run_folder(run.pk) / "checkpoints" / "step-000004"
    saved.mkdir(parents=True)
    (saved / "manifest.json").write_text("{}")
    run.refresh_from_db()
    return run


def test_a_waiting_fork_holds_its_checkpoint_until_it_has_ended(parent: Run, ada: User) -> None:
    folder, workspace = run_folder(parent.pk), parent.experiment.workspace
    assert held_steps(folder) == set()
    fork = create_experiment(actor=ada, workspace=workspace, spec=parse_spec(forked(parent, 4)))
    assert held_steps(folder) == {4}
    request_cancel(actor=ada, run_id=fork.runs.get().pk)
    write_holds(parent.pk)
    assert held_steps(folder) == set()


def test_a_promoted_checkpoint_is_held_while_its_run_goes_on(parent: Run, ada: User) -> None:
    name_checkpoint(actor=ada, run_id=parent.pk, step=4, name="Best")
    assert held_steps(run_folder(parent.pk)) == {4}
    name_checkpoint(actor=ada, run_id=parent.pk, step=4, name="")
    assert held_steps(run_folder(parent.pk)) == set()


def test_without_the_runs_folder_nothing_is_written(parent: Run, ada: User, settings: Any, tmp_path: Path) -> None:
    settings.ARTIFACTS_DIR = tmp_path / "elsewhere"
    create_experiment(actor=ada, workspace=parent.experiment.workspace, spec=parse_spec(forked(parent, 4)))
    assert not (tmp_path / "elsewhere").exists()
