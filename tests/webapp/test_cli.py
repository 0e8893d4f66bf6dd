"""The kumite command line against a live server."""

import csv
import io
import json
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import uvicorn
from django.db import connection, transaction
from django.utils import timezone

import kumite as recorder
from tests.factories import mae_events, make_experiment, make_run, points_of, tell
from webapp.accounts.models import User
from webapp.accounts.services import create_token
from webapp.cli import arguments, follow, screen
from webapp.cli.config import config_path
from webapp.cli.errors import Exit
from webapp.cli.main import main
from webapp.experiments.choices import RunStatus, TransitionActor
from webapp.experiments.models import Experiment, Run
from webapp.experiments.services import transition
from webapp.exports.event_files import record, scalars
from webapp.fleet.models import Worker
from webapp.jobs.folders import job_folder
from webapp.jobs.services import JobClaim, claim_job, finish_job
from webapp.sources.services import keep
from webapp.telemetry import finding
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db(transaction=True)
SPEC = "name: From the terminal\nsteps: 20\nmethod: {name: mae}\n"
SERVER_START_LIMIT_S = 120


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[str]:
    """The whole site behind uvicorn, in this process and on the tests' database."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config("webapp.asgi:application", log_level="warning", lifespan="off")
        site = uvicorn.Server(config)
        thread = threading.Thread(target=site.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + SERVER_START_LIMIT_S
        while not site.started and time.monotonic() < deadline:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        site.should_exit = True
        thread.join(10)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("KUMITE_URL", raising=False)
    monkeypatch.delenv("KUMITE_TOKEN", raising=False)
    monkeypatch.setattr(follow, "POLL_S", 0.05)
    return tmp_path


@pytest.fixture
def signed_in(server: str, home: Path, ada: User, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    _, secret = create_token(user=ada, name="cli")
    monkeypatch.setenv("KUMITE_URL", server)
    monkeypatch.setenv("KUMITE_TOKEN", secret)


@pytest.fixture
def spec_file(tmp_path: Path) -> str:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return str(path)


@pytest.fixture
def told(ada: User, workspace: Workspace) -> Run:
    run = make_run(make_experiment(workspace, ada))
    tell(run, mae_events(20))
    return run


class Terminal:
    """Runs a command and reads what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, expect: Exit = Exit.OK) -> str:
        code = main(list(arguments))
        printed = self._capsys.readouterr()
        assert code == expect, printed.err + printed.out
        return printed.out if expect == Exit.OK else printed.err + printed.out


@pytest.fixture
def kumite(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


def test_login_checks_the_token_and_keeps_it_for_its_owner_only(
    server: str, home: Path, ada: User, workspace: Workspace, kumite: Terminal
) -> None:
    _, secret = create_token(user=ada, name="cli")
    assert "Signed in" in kumite("login", "--url", f"{server}/", "--token", secret)
    assert stat.S_IMODE(config_path().stat().st_mode) == 0o600
    assert json.loads(config_path().read_text()) == {"url": server, "token": secret}
    assert "No run matches" in kumite("runs")


def test_a_wrong_token_is_not_stored(server: str, home: Path, ada: User, kumite: Terminal) -> None:
    said = kumite("login", "--url", server, "--token", "kmt_wrong", expect=Exit.NOT_ALLOWED)
    assert "kumite login" in said
    assert not config_path().exists()


def test_without_signing_in_the_next_step_is_named(home: Path, kumite: Terminal) -> None:
    assert "kumite login" in kumite("runs", expect=Exit.NOT_ALLOWED)


def test_a_server_that_is_away_is_named(home: Path, kumite: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUMITE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("KUMITE_TOKEN", "kmt_x")
    assert "No Kumite server answers at http://127.0.0.1:9" in kumite("runs", expect=Exit.UNREACHABLE)


@pytest.mark.parametrize("url", ["nonsense", "ftp://example.org", "http:///", "localhost:8000"])
def test_a_wrong_address_is_refused(url: str, home: Path, kumite: Terminal) -> None:
    assert "is not an address" in kumite("login", "--url", url, "--token", "kmt_x", expect=Exit.WRONG_INPUT)


@pytest.mark.parametrize("token", ["kmt_\u00e9", "kmt_a b", "kmt_a\nb"])
def test_a_token_with_strange_characters_is_refused(token: str, home: Path, kumite: Terminal) -> None:
    assert "not a token" in kumite("login", "--token", token, expect=Exit.WRONG_INPUT)


@pytest.mark.usefixtures("signed_in")
def test_methods_are_listed_and_shown(kumite: Terminal) -> None:
    assert "Multi-Agent Evolve" in kumite("methods")
    shown = kumite("methods", "mae")
    assert "starter" in shown
    assert "method.quality_threshold" in shown
    assert "known methods" in kumite("methods", "chess", expect=Exit.NOT_FOUND)


@pytest.mark.usefixtures("signed_in")
def test_launch_makes_a_run_for_every_seed_and_value(spec_file: str, kumite: Terminal) -> None:
    said = kumite("launch", spec_file, "--seeds", "2", "--set", "method.w_judge=0.3,0.4", "--set", "steps=7")
    assert "4 runs of From the terminal queued" in said
    assert "seed 1, method.w_judge 0.4" in said
    runs = [(run.spec["seed"], run.overrides, run.total_steps) for run in Run.objects.order_by("number")]
    assert runs[0] == (0, {"method.w_judge": 0.3}, 7)
    assert len(runs) == 4
    assert "write how many seeds" in kumite("launch", spec_file, "--seeds", "x", expect=Exit.WRONG_INPUT)


@pytest.mark.usefixtures("signed_in")
def test_run_creates_an_experiment_with_changes(spec_file: str, kumite: Terminal) -> None:
    said = kumite("run", spec_file, "--set", "steps=7", "--set", "method.w_judge=0.25", "--workspace", "dojo")
    run = Run.objects.get()
    assert str(run.pk) in said
    assert (run.spec["steps"], run.spec["method"]["w_judge"], run.spec["name"]) == (7, 0.25, "From the terminal")


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["steps"], "not of the form a.b=value"),
        (["steps.deep=1"], "goes too deep: steps is 20"),
        (["steps=["], "is not a YAML value"),
        (["steps=0"], "steps: "),
        (["method.nonsense=1"], "method.nonsense: this field is not known here"),
    ],
)
def test_a_wrong_change_names_the_field_and_creates_nothing(
    changes: list[str], sentence: str, spec_file: str, kumite: Terminal
) -> None:
    options = [part for change in changes for part in ("--set", change)]
    assert sentence in kumite("run", spec_file, *options, expect=Exit.WRONG_INPUT)
    assert not Experiment.objects.exists()


@pytest.mark.usefixtures("signed_in")
def test_a_missing_or_binary_file_is_named(tmp_path: Path, kumite: Terminal) -> None:
    assert "No such file" in kumite("run", str(tmp_path / "none.yaml"), expect=Exit.WRONG_INPUT)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in kumite("run", str(binary), expect=Exit.WRONG_INPUT)


def _work(outcome: RunStatus) -> None:
    """What a worker does with the next queued run, in short."""
    deadline = time.monotonic() + SERVER_START_LIMIT_S
    while not Run.objects.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    run = Run.objects.get()
    Run.objects.update(lease_token=1, attempt=1)
    for status in (RunStatus.CLAIMED, RunStatus.STARTING, RunStatus.RUNNING):
        _move(run, status)
    tell(run, mae_events(20))
    Run.objects.update(last_step=20, failure_kind="diverged" if outcome == RunStatus.FAILED else "")
    _move(run, outcome)
    connection.close()


def _move(run: Run, status: RunStatus) -> None:
    with transaction.atomic():
        transition(Run.objects.select_for_update().get(pk=run.pk), status, actor_kind=TransitionActor.WORKER)


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize(
    ("outcome", "code", "sentence"),
    [
        (RunStatus.SUCCEEDED, Exit.OK, "The run succeeded at step 20."),
        (RunStatus.FAILED, Exit.FAILED, "Lower the step size"),
    ],
)
def test_watching_shows_scores_and_ends_with_the_run(
    outcome: RunStatus, code: Exit, sentence: str, spec_file: str, kumite: Terminal
) -> None:
    worker = threading.Thread(target=_work, args=[outcome])
    worker.start()
    said = kumite("run", spec_file, "--watch", expect=code)
    worker.join()
    assert sentence in said
    assert said.count("held_out: ") == said.count("accuracy_sampled ") == 3


@pytest.mark.usefixtures("signed_in")
def test_runs_are_listed_shown_and_controlled_by_a_prefix(told: Run, kumite: Terminal) -> None:
    short = str(told.pk)[:8]
    assert short in kumite("runs", "--status", "running", "--search", "first")
    assert json.loads(kumite("runs", "--json"))[0]["id"] == str(told.pk)
    assert "eval/accuracy_greedy best" in kumite("runs", "--columns", "eval/accuracy_greedy:best,none/such")
    assert "not its middle" in kumite("runs", "--columns", "a/b:middle", expect=Exit.WRONG_INPUT)
    shown = kumite("show", short)
    assert "held-out, last" in shown
    assert json.loads(kumite("show", "last", "--json"))["spec"]["steps"] == 60
    assert "it is running" in kumite("checkpoint", short)
    assert "it is pausing" in kumite("pause", short)
    assert "still saving its checkpoint" in kumite("resume", short, expect=Exit.WRONG_INPUT)
    assert "it is cancelling" in kumite("stop", "last")
    told.refresh_from_db()
    assert (told.checkpoint_requests, told.status) == (1, "cancelling")


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("zzzz", Exit.WRONG_INPUT, "does not name a run"),
        ("abc", Exit.WRONG_INPUT, "4 or more characters"),
        ("00000000", Exit.NOT_FOUND, "No run begins with"),
        ("00000000-0000-4000-8000-000000000000", Exit.NOT_FOUND, "There is no such run"),
        ("last", Exit.NOT_FOUND, "There is no run yet"),
    ],
)
def test_a_run_that_is_not_there_is_named(name: str, code: Exit, sentence: str, kumite: Terminal) -> None:
    assert sentence in kumite("show", name, expect=code)


@pytest.mark.usefixtures("signed_in")
def test_metrics_come_as_names_table_and_csv(told: Run, kumite: Terminal) -> None:
    assert "reward/solver" in kumite("metrics", "last").split()
    text = kumite("metrics", "last", "--name", "reward/solver", "--name", "eval/accuracy_sampled", "--csv")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["step", "reward/solver", "eval/accuracy_sampled"]
    assert [row[0] for row in rows[1:]] == [str(step) for step in range(21)]
    assert rows[1][1] == ""
    assert float(rows[1][2]) == pytest.approx(0.41)
    assert "reward/solver" in kumite("metrics", "last", "--name", "reward/solver")
    assert "has not reported x/y" in kumite("metrics", "last", "--name", "x/y", expect=Exit.NOT_FOUND)


@pytest.mark.usefixtures("signed_in")
def test_everything_a_run_measured_is_saved_as_a_file(told: Run, kumite: Terminal, tmp_path: Path) -> None:
    target = tmp_path / "all.csv"
    assert "all.csv" in kumite("export", "last", "--out", str(target))
    rows = list(csv.DictReader(target.open()))
    assert [row["step"] for row in rows if row["reward/solver"]] == [str(step) for step in range(1, 21)]


def test_what_is_offered_for_narrowing_is_what_the_page_offers() -> None:
    assert (tuple(finding.SHOW), tuple(finding.KINDS)) == (arguments.SHOW, arguments.SAMPLE_KINDS)
    assert tuple(finding.ORDERS) == arguments.ORDERS


@pytest.mark.usefixtures("signed_in")
def test_metrics_and_methods_are_told_as_json(told: Run, kumite: Terminal) -> None:
    assert "reward/solver" in json.loads(kumite("metrics", "last", "--json"))
    series = json.loads(kumite("metrics", "last", "--name", "reward/solver", "--json"))
    assert len(series["reward/solver"]["values"]) == 20
    assert "mae" in [each["slug"] for each in json.loads(kumite("methods", "--json"))]


@pytest.mark.usefixtures("signed_in")
def test_samples_are_listed_and_read(told: Run, kumite: Terminal) -> None:
    listed = kumite("samples", "last", "--limit", "3")
    assert listed.count("What is") == 3
    seq = listed.splitlines()[1].split()[0]
    found = json.loads(kumite("samples", "last", "--kind", "proposal", "--order", "best", "--limit", "5", "--json"))
    assert ({each["kind"] for each in found}, len(found)) == ({"proposal"}, 5)
    rewards = [each["reward_mean"] for each in found]
    assert rewards == sorted(rewards, reverse=True)
    assert "Proposer" in kumite("search", "what", "--min-reward", "0", "--limit", "2")
    assert json.loads(kumite("search", "what", "--json", "--limit", "1"))[0]["run"] == str(told.pk)
    assert "No sample fits" in kumite("search", "nowhere-to-be-found")
    assert json.loads(kumite("samples", "last", "--seq", seq, "--json"))["seq"] == int(seq)
    read = kumite("samples", "last", "--seq", seq)
    assert "solver, reward" in read
    assert "<answer>" in read


@pytest.mark.usefixtures("signed_in")
def test_logs_are_followed_to_the_end(told: Run, kumite: Terminal) -> None:
    assert "model ready" in kumite("logs", "last")

    def go_on() -> None:
        time.sleep(0.3)
        line = {"level": "info", "text": "a later line"}
        tell(told, [{"seq": told.last_seq + 1, "kind": "log", "step": 20, "t": 1.0, "data": line}])
        _move(told, RunStatus.SUCCEEDED)
        connection.close()

    worker = threading.Thread(target=go_on)
    worker.start()
    said = kumite("logs", "last", "--follow")
    worker.join()
    assert said.count("model ready") == said.count("a later line") == 1


@pytest.mark.usefixtures("signed_in")
def test_phases_that_only_count_on_are_printed_once(told: Run, kumite: Terminal) -> None:
    phases = [{"phase": "preparing", "text": f"Teaching, lesson {n}", "fraction": n / 9} for n in range(9)]
    events = [{"kind": "state", "step": 0, "t": 1.0, "data": phase} for phase in phases]
    tell(told, [{"seq": told.last_seq + n, **event} for n, event in enumerate(events, start=1)])
    assert kumite("logs", "last").count("Teaching") == 1


@pytest.mark.usefixtures("signed_in")
def test_text_of_models_cannot_command_the_terminal(told: Run, kumite: Terminal) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07[bold]plain[/bold]\u202e"
    log = {"level": "info", "text": evil}
    tell(told, [{"seq": told.last_seq + 1, "kind": "log", "step": 20, "t": 1.0, "data": log}])
    said = kumite("logs", "last")
    assert "[bold]plain[/bold]" in said
    assert not {"\x1b", "\x07", "\u202e"} & set(said)


def test_cleaning_keeps_what_people_write() -> None:
    assert screen.clean("組手 é\n\tx − ½ 🙂") == "組手 é\n\tx − ½ 🙂"


def test_validate_works_without_a_server(home: Path, spec_file: str, kumite: Terminal) -> None:
    assert "is good: From the terminal, mae, 20 steps" in kumite("validate", spec_file)
    assert "w_judge: 0.5" in kumite("validate", spec_file, "--resolved")
    assert "steps" in kumite("validate", spec_file, "--set", "steps=-1", expect=Exit.WRONG_INPUT)


@pytest.mark.parametrize("arguments", [[], ["dance"], ["show"], ["metrics", "last", "--max-points", "none"]])
def test_wrong_arguments_end_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == Exit.WRONG_INPUT
    assert "usage: kumite" in capsys.readouterr().err


def test_the_client_imports_neither_django_nor_torch() -> None:
    code = (
        "import sys; from webapp.cli import main, commands, specs\n"
        "sys.exit(bool({'django', 'torch', 'celery', 'training_core'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_reader_that_leaves_early_is_no_error(run_kumite: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert run_kumite("--help").returncode == 0


@pytest.fixture
def run_kumite() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The installed script, as a shell starts it."""
    script = Path(sys.executable).with_name("kumite")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([script, *arguments], check=False, capture_output=True, text=True, timeout=60)

    return run


def test_weights_answer_and_are_exported(
    signed_in: None, told: Run, kumite: Terminal, tmp_path: Path, settings: Any
) -> None:
    settings.ARTIFACTS_DIR = tmp_path
    worker = Worker.objects.create(name="w", host="h", boot_id="b", pid=1, start_ticks=1, last_beat_at=timezone.now())

    def work(outcome: Callable[[JobClaim], dict[str, Any]]) -> threading.Thread:
        def do() -> None:
            while (claim := claim_job(worker=worker)) is None:
                time.sleep(0.02)
            finish_job(claim=claim, result=outcome(claim))
            connection.close()

        thread = threading.Thread(target=do)
        thread.start()
        return thread

    def said(claim: JobClaim) -> dict[str, Any]:
        text = f"I heard {claim.payload['prompt']['values']['question']}"
        return {
            "answers": [{"name": each["name"], "completions": [{"text": text}]} for each in claim.payload["speakers"]]
        }

    def packed(claim: JobClaim) -> dict[str, Any]:
        job_folder(claim.job_id).mkdir(parents=True)
        (job_folder(claim.job_id) / "m.zip").write_bytes(b"weights")
        return {"file": "m.zip", "num_bytes": 7, "files": ["model.safetensors"]}

    thread = work(said)
    printed = kumite("say", "last", "1+2", "--prompt-name", "solve", "--step", "0", "--beside-start")
    thread.join(30)
    assert printed.count("I heard 1+2") == 2 and "First light run 1, start" in printed
    thread = work(packed)
    kumite("export-model", "last", "--step", "0", "--out", str(tmp_path / "out.zip"))
    thread.join(30)
    assert (tmp_path / "out.zip").read_bytes() == b"weights"
    assert "no checkpoint of step 7" in kumite("say", "last", "Hi", "--step", "7", expect=Exit.WRONG_INPUT)


@pytest.mark.usefixtures("signed_in")
def test_the_example_is_laid_out_and_taken_away(kumite: Terminal, workspace: Workspace) -> None:
    assert f"3 finished runs stand in {workspace.slug}" in kumite("example")
    assert Run.objects.filter(experiment__is_example=True, status="succeeded").count() == 3
    assert "gone" in kumite("example", "--remove", "--workspace", workspace.slug)
    assert not Run.objects.exists()


@pytest.mark.usefixtures("signed_in")
def test_metrics_of_other_tools_become_runs_to_compare_with(kumite: Terminal, tmp_path: Path) -> None:
    lines, events = tmp_path / "history.jsonl", tmp_path / "events.out.tfevents.1.x"
    lines.write_text('{"_step": 3, "_timestamp": 1769000003.5, "loss": 0.5, "note": "x"}\n{"_step": 1, "loss": 0.75}\n')
    events.write_bytes(b"".join(record(scalars(1769000000.0 + step, step, {"a/b": step / 4})) for step in range(5)))
    assert "2 rows" in kumite("import", str(lines), str(events), "--project", "Elsewhere")
    found = {run.experiment.name: run for run in Run.objects.all()}
    assert {run.status for run in found.values()} == {"succeeded"}
    assert points_of(found["Elsewhere/history"], "loss") == [(1, 0.75), (3, 0.5)]
    assert points_of(found["Elsewhere/events.out.tfevents.1"], "a/b") == [(step, step / 4) for step in range(5)]
    assert "cannot be read" in kumite("import", "none.jsonl", "--project", "x", expect=Exit.WRONG_INPUT)


@pytest.mark.usefixtures("signed_in")
def test_values_of_a_program_outside_arrive_once_though_the_server_was_away(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kumite: Terminal
) -> None:
    monkeypatch.setenv("KUMITE_SPOOL", str(tmp_path / "spool"))
    (tmp_path / "train.py").write_text("lr = 0.1\n")
    recorder.init(project="Outside", name="here", config={"lr": 0.1}, code=tmp_path / "train.py")
    recorder.log({"loss": 0.5, "text": "is left out", "bad": float("nan")}, step=2)
    recorder.log({"loss": 0.25})
    recorder.finish()
    run = Run.objects.get()
    assert (run.status, run.spec["config"], run.total_steps) == ("succeeded", {"lr": 0.1}, 3)
    assert run.code == {"version": keep({"train.py": "lr = 0.1\n"})}
    assert points_of(run, "loss") == [(2, 0.5), (3, 0.25)]
    assert list((tmp_path / "spool").iterdir()) == []
    recorder.init(project="Outside", name="away", url="http://127.0.0.1:9")
    for step in range(300):
        recorder.log({"loss": float(step)}, step=step)
    recorder.finish(timeout_s=0.2)
    (left,) = (tmp_path / "spool").iterdir()
    assert "sent" in kumite("sync")
    assert not left.exists()
    away = Run.objects.get(experiment__name="Outside/away")
    assert points_of(away, "loss") == [(step, float(step)) for step in range(300)]


def test_code_is_saved_and_two_runs_are_told_apart(
    signed_in: None, told: Run, tmp_path: Path, kumite: Terminal
) -> None:
    other = make_run(told.experiment, "succeeded")
    Run.objects.filter(pk=other.pk).update(spec={**told.spec, "seed": 7})
    said = kumite("diff", str(told.pk), str(other.pk))
    assert "-seed: 0" in said
    assert "+seed: 7" in said
    assert "No code was kept" in kumite("code", str(told.pk), expect=Exit.NOT_FOUND)
    for run, text in ((told, "a = 1\n"), (other, "a = 2\n")):
        Run.objects.filter(pk=run.pk).update(code={"version": keep({"m.py": text, "same.py": ""})})
    out = tmp_path / "code.zip"
    assert "2 files" in kumite("code", str(told.pk), "--out", str(out))
    assert ZipFile(out).read("m.py") == b"a = 1\n"
    assert "-a = 1\n+a = 2\n" in kumite("diff", str(told.pk), str(other.pk))
    assert "very same" in kumite("diff", str(told.pk), str(told.pk))
