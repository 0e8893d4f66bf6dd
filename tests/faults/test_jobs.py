"""Real workers carry out jobs on a tiny model: warm and quick, once and only once, stoppable, whatever is killed."""

import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.conftest import Fleet, tiny_spec
from training_core.spec.io import dump_dict, parse_spec
from webapp.accounts.models import User
from webapp.experiments.models import Experiment, Run
from webapp.fleet.models import Worker
from webapp.fleet.processes import MARK
from webapp.jobs.asking import read_job
from webapp.jobs.folders import job_folder, jobs_folder
from webapp.jobs.models import Job
from webapp.jobs.services import ask, request_cancel
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.fault


@pytest.fixture
def run(fleet: Fleet) -> Run:
    """A finished run that began with the tiny model, which is what jobs ask."""
    ada = User.objects.create_user("ada@example.org")
    dojo = Workspace.objects.create(slug="dojo", name="Dojo")
    dojo.memberships.create(user=ada, role="owner")
    spec = dump_dict(parse_spec(tiny_spec(fleet.model)))
    experiment = Experiment.objects.create(workspace=dojo, name="Tiny", method="mae", spec=spec, created_by=ada)
    return Run.objects.create(
        experiment=experiment, number=1, spec=spec, total_steps=1, status="paused", created_by=ada
    )


def asked(run: Run, kind: str, **payload: Any) -> Job:
    assert run.created_by is not None
    read = read_job(run.created_by, kind, payload)
    return ask(actor=run.created_by, workspace=run.experiment.workspace, job=read.job, run=run)


def start(run: Run) -> dict[str, Any]:
    return {"run": str(run.pk), "step": 0}


def talk(run: Run) -> Job:
    return asked(run, "say", speakers=[start(run)], prompt={"text": "<|solve|>1+2<|go|>"}, sampling={"max_tokens": 8})


def match(run: Run) -> Job:
    player = {"kind": "weights", "weights": start(run)}
    contest = {"kind": "questions", "task": {"kind": "arithmetic"}}
    return asked(run, "match", first=player, second=player, contest=contest, num_games=8, sampling={"max_tokens": 8})


def frozen(fleet: Fleet, job: Job) -> psutil.Process:
    """The process that carries out the job, stopped in the middle of it."""

    def find() -> psutil.Process | None:
        job.refresh_from_db()
        found = job_processes() if job.status == "running" else []
        if found:
            found[0].suspend()
            job.refresh_from_db()
        return found[0] if found and job.status == "running" else None

    return fleet.wait_for(find, "the job is at work")


def ended(fleet: Fleet, job: Job) -> Job:
    def look() -> bool:
        job.refresh_from_db()
        return job.is_ended

    fleet.wait_for(look, f"the {job.kind} job has ended")
    return job


def job_processes() -> list[psutil.Process]:
    """Those of the workers in this test's database: other tests may be at work beside it."""
    marks = {f"jobs/{worker}" for worker in Worker.objects.values_list("pk", flat=True)}
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK, "") in marks and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_jobs_are_done_beside_runs_and_the_process_stays_warm(fleet: Fleet, run: Run, tmp_path: Path) -> None:
    fleet.start_worker("one", KUMITE_JOBS_KEEP_WARM_S="3")
    first = ended(fleet, talk(run))
    assert first.status == "succeeded", first.error
    (process,) = job_processes()
    second = ended(fleet, talk(run))
    assert second.result["answers"][0]["completions"] == first.result["answers"][0]["completions"]
    assert [p.pid for p in job_processes()] == [process.pid]
    export = ended(fleet, asked(run, "export", weights=start(run), file_name="tiny"))
    packed = job_folder(export.pk) / "tiny.zip"
    assert "tiny/model.safetensors" in zipfile.ZipFile(packed).namelist()
    assert not job_folder(first.pk).exists()
    fleet.wait_for(lambda: not job_processes(), "the process cools down and ends")


def test_a_job_is_done_once_whatever_is_killed_and_a_stopped_one_ends(fleet: Fleet, run: Run) -> None:
    worker = fleet.start_worker("one")
    job = match(run)
    process = frozen(fleet, job)
    assert not {"DATABASE_URL", "REDIS_URL"} & process.environ().keys()
    process.kill()
    assert ended(fleet, job).status == "succeeded", job.error
    assert (job.attempt, job.lease_token, sum(job.result["tally"].values())) == (2, 2, 8)

    (warm,) = job_processes()
    warm.suspend()  # before there is a job: a warm process plays eight games faster than anybody can stop it
    stopped = match(run)
    fleet.wait_for(lambda: Job.objects.get(pk=stopped.pk).status == "running", "the worker hands over the job")
    assert run.created_by is not None
    request_cancel(actor=run.created_by, job_id=stopped.pk)
    assert ended(fleet, stopped).status == "cancelled"
    fleet.wait_for(lambda: not job_folder(stopped.pk).exists(), "its folder is removed")

    orphan = match(run)
    process = frozen(fleet, orphan)
    worker.kill()
    worker.wait()
    fleet.wait_for(lambda: not process.is_running(), "the process dies with its worker")
    fleet.start_worker("two")
    assert ended(fleet, orphan).status == "succeeded", orphan.error
    assert (orphan.attempt, sum(orphan.result["tally"].values())) == (2, 8)
    fleet.wait_for(lambda: not any(path.is_dir() for path in jobs_folder().iterdir()), "no folder is left")
