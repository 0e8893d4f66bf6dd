"""Rollouts one step ahead of the learner: the same bits after any interruption, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.core.test_runner import REPOSITORY, assert_same_run, command, facts, read
from tests.tiny_model import make_tiny_model, spec_of
from training_core import checkpoints
from training_core.engines.transformers import TransformersEngine
from training_core.learn.learner import Learner
from training_core.play.records import StepBatch
from training_core.runner import Run
from training_core.spec.events import RunPhase
from training_core.spec.io import dump_yaml


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def ahead_of(folder, **changes):
    return spec_of(folder, learner={"ahead": 1}, **changes)


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert Run(ahead_of(model), folder).execute() is RunPhase.SUCCEEDED
    return folder


@pytest.fixture(autouse=True)
def no_thread_stays():
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("rollouts")]


def test_every_rollout_but_the_first_is_one_update_old(whole):
    assert Run(None, whole).series("staleness/mean") == [(1, 0.0), *((step, 1.0) for step in range(2, 7))]
    assert {step for step, _ in Run(None, whole).series("mismatch/kl")} == set(range(1, 7))


def test_equal_seeds_give_equal_runs_ahead(whole, model, tmp_path):
    Run(ahead_of(model), tmp_path).execute()
    assert_same_run(tmp_path, whole)


def test_the_first_update_is_that_of_a_run_in_step(whole, model, tmp_path):
    Run(spec_of(model, steps=2), tmp_path).execute()
    alike, other = ([each for each in facts(folder) if each["step"] == 1] for folder in (whole, tmp_path))
    assert [each for each in alike if each["kind"] == "sample"] == [each for each in other if each["kind"] == "sample"]


@pytest.mark.parametrize("name", ["pause", "checkpoint"])
def test_a_checkpoint_between_steps_holds_the_rollout_that_was_made_ahead(name, whole, model, tmp_path):
    def ask(event):
        if event["kind"] == "metric" and event["step"] == 3:
            command(tmp_path, name)
            command(tmp_path, "pause")

    assert Run(ahead_of(model, checkpoint={"every": 100}), tmp_path, listener=ask).execute() is RunPhase.PAUSED
    pending = checkpoints.newest(tmp_path / "checkpoints").state()["pending"]
    assert pending["step"] == 4
    batch = StepBatch.from_json(pending["batch"])
    assert json.loads(json.dumps(batch.to_json())) == pending["batch"]
    turns = [turn for sample in batch.samples for turn in sample.turns if turn.trained]
    assert [id(rollout.turn) for rollout in batch.rollouts if rollout.turn] == [id(turn) for turn in turns]
    assert Run(ahead_of(model), tmp_path).execute(resume=True) is RunPhase.SUCCEEDED
    assert_same_run(tmp_path, whole)


def test_a_run_that_is_killed_while_it_rolls_out_ahead_equals_one_that_was_not(whole, model, tmp_path):
    process = start(ahead_of(model), tmp_path)
    wait_for_step(process, tmp_path, 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Run(ahead_of(model), tmp_path).execute(resume=True) is RunPhase.SUCCEEDED
    assert_same_run(tmp_path, whole)


def test_adapters_with_a_frozen_judge_resume_ahead_too(model, tmp_path):
    spec = ahead_of(
        model,
        steps=4,
        model={"source": str(model), "adapter": {"rank": 4, "dropout": 0.1}},
        weights={"kind": "adapters"},
        method={**spec_of(model).method.model_dump(), "judge": {"kind": "frozen"}},
    )
    Run(spec, tmp_path / "whole").execute()

    def pause(event):
        if event["kind"] == "metric" and event["step"] == 2:
            command(tmp_path / "parts", "pause")

    assert Run(spec, tmp_path / "parts", listener=pause).execute() is RunPhase.PAUSED
    assert Run(spec, tmp_path / "parts").execute(resume=True) is RunPhase.SUCCEEDED
    assert facts(tmp_path / "parts") == facts(tmp_path / "whole")


def test_ctrl_c_saves_after_the_step_and_a_second_one_is_not_needed(model, tmp_path):
    process = start(ahead_of(model, steps=10_000), tmp_path)
    wait_for_step(process, tmp_path, 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 3
    assert read(tmp_path)[-1]["data"]["text"] == "Stopped with Ctrl-C."
    assert checkpoints.newest(tmp_path / "checkpoints").state()["pending"] is not None


def test_what_goes_wrong_on_the_thread_fails_the_run(model, tmp_path, monkeypatch):
    generate = TransformersEngine.generate

    def fail_on_the_thread(engine, requests):
        assert threading.current_thread() is threading.main_thread(), "the thread met an error"
        return generate(engine, requests)

    monkeypatch.setattr(TransformersEngine, "generate", fail_on_the_thread)
    assert Run(ahead_of(model), tmp_path).execute() is RunPhase.FAILED
    assert "the thread met an error" in read(tmp_path)[-1]["data"]["text"]


def test_a_failure_of_the_learner_ends_the_rollout_too(model, tmp_path, monkeypatch):
    monkeypatch.setattr(Learner, "update", lambda *_, **__: 1 / 0)
    assert Run(ahead_of(model), tmp_path).execute() is RunPhase.FAILED
    assert "ZeroDivisionError" in read(tmp_path)[-1]["data"]["traceback"]


def start(spec, folder):
    (folder / "spec.yaml").write_text(dump_yaml(spec))
    arguments = [sys.executable, "-m", "training_core", "run", str(folder / "spec.yaml"), "--dir", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(arguments, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL)


def wait_for_step(process, folder, step):
    deadline = time.monotonic() + 120
    while not any(event["step"] >= step and event["kind"] == "metric" for event in read(folder)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
