"""Runs in their folders: events, commands, failures, and resuming bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.tiny_model import make_tiny_model, spec_of
from training_core import checkpoints
from training_core.engines.transformers import TransformersEngine
from training_core.runner import Run
from training_core.spec.events import EventKind, RunPhase, deterministic
from training_core.spec.io import dump_yaml
from training_core.token_files import read_tokens

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def facts(folder):
    """What a seed fixes: events of one step in order, without on-demand checkpoints."""
    return [
        found
        for event in Run(None, folder).events()
        if event["kind"] != EventKind.CHECKPOINT and (found := deterministic(event))
    ]


def weights(folder, step=6):
    return load_file(folder / "checkpoints" / f"step-{step:06d}" / "policy" / "model.safetensors")


def assert_same_run(folder, reference):
    assert facts(folder) == facts(reference)
    left, right = weights(folder), weights(reference)
    assert left.keys() == right.keys()
    assert all(left[name].equal(right[name]) for name in left)


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """A run from beginning to end, to compare others with."""
    folder = tmp_path_factory.mktemp("whole")
    assert Run(spec_of(model), folder).execute() is RunPhase.SUCCEEDED
    return folder


def test_every_episode_is_kept_and_the_tokens_of_what_was_learnt_from_beside_it(whole):
    samples = [(event["step"], event["data"]) for event in Run(None, whole).events(EventKind.SAMPLE)]
    tokens = {data["episode"]: read_tokens(whole, step, data["episode"]) for step, data in samples}
    learnt = [
        (tokens[data["episode"]].get(n), t)
        for _, data in samples
        for n, t in enumerate(data["turns"])
        if t.get("trained")
    ]
    assert {turn["role"] for _, turn in learnt} == {"proposer", "solver", "judge"}
    for row, turn in learnt:
        assert len(row.texts) == len(row.logprobs) == len(row.entropies) == turn["num_tokens"]
        assert turn["text"].startswith("".join(row.texts[:-1]))
        assert row.advantage == turn["advantage"]
        assert turn["advantage"] == pytest.approx((turn["reward"] - turn["baseline"]) / turn.get("divisor", 1.0))


def command(folder, name, **extra):
    with (folder / "control.jsonl").open("a") as file:
        file.write(json.dumps({"id": 1, "command": name, **extra}) + "\n")


def test_events_are_numbered_without_gaps_and_end_with_the_outcome(whole):
    events = list(Run(None, whole).events())
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["data"]["phase"] == "succeeded"
    assert {event["kind"] for event in events} >= {"state", "metric", "sample", "evaluation", "checkpoint"}


def test_evaluation_happens_at_the_start_on_time_and_at_the_end(whole):
    assert [event["step"] for event in Run(None, whole).events(EventKind.EVALUATION)] == [0, 3, 6]


def test_every_step_tells_how_busy_the_engine_was(whole):
    assert [step for step, value in Run(None, whole).series("engine/running") if value > 0] == [1, 2, 3, 4, 5, 6]


def test_equal_seeds_give_equal_runs_and_other_seeds_do_not(whole, model, tmp_path):
    Run(spec_of(model), tmp_path / "same").execute()
    assert_same_run(tmp_path / "same", whole)
    Run(spec_of(model, seed=2), tmp_path / "other").execute()
    assert facts(tmp_path / "other") != facts(whole)


@pytest.mark.parametrize("name", ["pause", "stop"])
def test_a_run_that_is_stopped_and_resumed_equals_one_that_was_not(name, whole, model, tmp_path):
    def stop_after_step_3(event):
        if event["kind"] == "metric" and event["step"] == 3:
            command(tmp_path, name, reason="asked by ada")

    phase = Run(spec_of(model), tmp_path, listener=stop_after_step_3).execute()
    assert phase is (RunPhase.PAUSED if name == "pause" else RunPhase.STOPPED)
    assert list(Run(None, tmp_path).events())[-1]["data"]["text"] == "asked by ada"
    assert Run(spec_of(model), tmp_path).execute(resume=True) is RunPhase.SUCCEEDED
    assert_same_run(tmp_path, whole)


def test_a_run_that_is_killed_and_resumed_equals_one_that_was_not(whole, model, tmp_path):
    (tmp_path / "spec.yaml").write_text(dump_yaml(spec_of(model)))
    arguments = [
        sys.executable,
        "-m",
        "training_core",
        "run",
        str(tmp_path / "spec.yaml"),
        "--dir",
        str(tmp_path / "run"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for step in (3,):
        process = subprocess.Popen([*arguments, "--resume"], cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not any(e["step"] >= step and e["kind"] == "sample" for e in read(tmp_path / "run")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(
        [*arguments, "--resume"], cwd=REPOSITORY, env=environment, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0
    assert_same_run(tmp_path / "run", whole)


def read(folder):
    return list(Run(None, folder).events())


def test_sigterm_saves_and_ends_with_exit_code_3(model, tmp_path):
    (tmp_path / "spec.yaml").write_text(dump_yaml(spec_of(model, steps=10_000)))
    arguments = [sys.executable, "-m", "training_core", "run", str(tmp_path / "spec.yaml"), "--dir", str(tmp_path)]
    process = subprocess.Popen(arguments, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not any(event["step"] >= 1 for event in read(tmp_path)):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=60) == 3
    assert read(tmp_path)[-1]["data"]["phase"] == "stopped"
    assert checkpoints.newest(tmp_path / "checkpoints") is not None


def test_checkpoint_now_is_written_between_steps(model, tmp_path):
    def ask(event):
        if event["kind"] == "metric" and event["step"] == 1:
            command(tmp_path, "checkpoint")

    Run(spec_of(model, checkpoint={"every": 100}), tmp_path, listener=ask).execute()
    assert [event["step"] for event in Run(None, tmp_path).events(EventKind.CHECKPOINT)] == [1, 6]


def test_old_checkpoints_are_deleted(model, tmp_path):
    Run(spec_of(model, checkpoint={"every": 1, "keep": 2}), tmp_path).execute()
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-000005", "step-000006"]


@pytest.mark.parametrize("damage", ["flip", "cut", "no manifest"])
def test_a_damaged_checkpoint_is_passed_over(damage, whole, model, tmp_path):
    Run(spec_of(model, steps=4), tmp_path).execute()
    newest = tmp_path / "checkpoints" / "step-000004"
    file = newest / "policy" / "model.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        file.write_bytes(content[:-10])
    else:
        (newest / "manifest.json").unlink()
    assert checkpoints.newest(tmp_path / "checkpoints").step == 2
    Run(spec_of(model), tmp_path).execute(resume=True)
    assert_same_run(tmp_path, whole)


def test_an_adapter_is_trained_and_resumed_like_whole_weights(model, tmp_path):
    source = {"source": str(model), "adapter": {"rank": 4}}
    method = {**spec_of(model).method.model_dump(), "judge": {"kind": "frozen"}}
    Run(spec_of(model, model=source, method=method), tmp_path / "whole").execute()
    Run(spec_of(model, model=source, method=method, steps=4), tmp_path / "parts").execute()
    Run(spec_of(model, model=source, method=method), tmp_path / "parts").execute(resume=True)
    assert facts(tmp_path / "parts")[-1] == facts(tmp_path / "whole")[-1]
    folder = tmp_path / "parts" / "checkpoints" / "step-000006" / "policy"
    assert (folder / "adapter_model.safetensors").exists()
    assert not (folder / "model.safetensors").exists()


def test_resume_without_a_checkpoint_starts_from_the_beginning(whole, model, tmp_path):
    assert Run(spec_of(model), tmp_path).execute(resume=True) is RunPhase.SUCCEEDED
    assert_same_run(tmp_path, whole)


@pytest.mark.parametrize(
    ("changes", "failure", "part"),
    [
        ({"model": {"source": "/no/such/folder"}}, "model", "no model folder at /no/such/folder"),
        ({"task": {"kind": "jsonl", "path": "/no/such.jsonl"}}, "data", "/no/such.jsonl"),
    ],
)
def test_failures_a_person_can_fix_are_told_in_one_sentence(changes, failure, part, model, tmp_path):
    assert Run(spec_of(model, **changes), tmp_path).execute() is RunPhase.FAILED
    data = read(tmp_path)[-1]["data"]
    assert data["failure"] == failure
    assert part in data["text"]
    assert data["traceback"] is None


def test_an_unexpected_error_keeps_its_traceback(model, tmp_path, monkeypatch):
    monkeypatch.setattr(TransformersEngine, "generate", lambda *_: 1 / 0)
    assert Run(spec_of(model), tmp_path).execute() is RunPhase.FAILED
    data = read(tmp_path)[-1]["data"]
    assert data["failure"] == "crash"
    assert "ZeroDivisionError" in data["traceback"]


def test_a_time_limit_stops_with_a_checkpoint(model, tmp_path):
    spec = spec_of(model, steps=1000, resources={"max_hours": 1e-6})
    assert Run(spec, tmp_path).execute() is RunPhase.STOPPED
    assert "time limit" in read(tmp_path)[-1]["data"]["text"]


def test_no_pickle_is_written(whole):
    assert {path.suffix for path in whole.rglob("*") if path.is_file()} <= {
        ".json",
        ".jsonl",
        ".gz",
        ".yaml",
        ".safetensors",
    }
