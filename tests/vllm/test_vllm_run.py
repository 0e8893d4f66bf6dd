"""A run of Multi-Agent Evolve whose completions come from vLLM, and the starter's shape in it."""

import pytest
import torch

from tests.tiny_model import spec_of
from tests.vllm.models import random_policy
from tests.vllm.test_vllm_engine import ask, tokens
from training_core.curricula.registry import find_curriculum
from training_core.engines.build import check_engine, vllm_engine
from training_core.engines.transformers import TransformersEngine
from training_core.failures import EngineError
from training_core.policies.recipe import starter_recipe
from training_core.policies.teaching import new_policy
from training_core.runner import Run
from training_core.spec.engine import VllmEngine as VllmSpec
from training_core.spec.events import EventKind, RunPhase
from training_core.spec.tasks import ArithmeticTask

ENGINE = {"kind": "vllm", "cpu_cache_gib": 0.1}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    policy = random_policy()
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return folder


def test_mae_learns_from_what_vllm_sampled_and_shows_the_mismatch(model, tmp_path):
    run = Run(spec_of(model, steps=3, engine=ENGINE), tmp_path / "run")
    assert run.execute() is RunPhase.SUCCEEDED, list(run.events(EventKind.STATE))[-1]
    mismatch = run.series("mismatch/kl")
    assert [step for step, _ in mismatch] == [1, 2, 3]
    assert max(abs(value) for _, value in mismatch) < 1e-6
    assert max(value for _, value in run.series("mismatch/ratio_max")) == pytest.approx(1, abs=1e-3)
    assert [step for step, value in run.series("engine/running_peak") if value > 0] == [1, 2, 3]


def test_run_says_what_to_do_where_vllm_is_missing(model, tmp_path, monkeypatch):
    monkeypatch.setattr("training_core.engines.build.is_installed", lambda: False)
    run = Run(spec_of(model, steps=3, engine=ENGINE), tmp_path / "run")
    assert run.execute() is RunPhase.FAILED
    state = list(run.events(EventKind.STATE))[-1]["data"]
    assert state["failure"] == "spec"
    assert "not installed on this worker" in state["text"]


def test_several_processes_need_vllm_in_servers(model):
    with pytest.raises(EngineError, match=r"set engine\.placement to server"):
        check_engine(spec_of(model, engine=ENGINE), num_processes=2)
    check_engine(spec_of(model, engine={"kind": "vllm", "placement": "server"}), num_processes=2)


def test_starter_speaks_the_same_greedy_tokens_in_vllm():
    policies = {"main": new_policy(starter_recipe(ArithmeticTask(), curriculum=find_curriculum("evolve")))}
    requests = [ask(f"<|solve|>{number}+7<|go|>", temperature=0, max_tokens=40) for number in range(8)]
    engine = vllm_engine(VllmSpec(cpu_cache_gib=0.1), policies, trained=("main",), device=torch.device("cpu"), seed=0)
    try:
        assert tokens(engine.generate(requests)) == tokens(
            TransformersEngine(policies, max_batch=64).generate(requests)
        )
    finally:
        engine.close()
