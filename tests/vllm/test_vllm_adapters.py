"""Roles with adapters of their own on one base, sampled in one batch."""

import psutil
import pytest
import torch

from tests.vllm.leftovers import folders_in_memory, processes_of_servers
from tests.vllm.models import random_policy, shake, with_roles
from tests.vllm.test_vllm_engine import LONG, ask, log_prob_gap, tokens
from training_core.engines.build import vllm_engine
from training_core.engines.transformers import TransformersEngine
from training_core.failures import EngineLost
from training_core.play.records import Blend
from training_core.play.requests import Score
from training_core.policies.snapshots import carry_out, take_snapshot
from training_core.spec.engine import VllmEngine as VllmSpec

EXACT = 1e-4


@pytest.fixture(scope="module")
def policies():
    roles = with_roles(random_policy(seed=5), "proposer", "solver")
    return {**roles, "past": take_snapshot(roles["solver"], "past")}


@pytest.fixture(scope="module", params=["in_process", "server"])
def engine(request, policies):
    spec = VllmSpec(placement=request.param, cpu_cache_gib=0.1)
    engine = vllm_engine(spec, policies, trained=("proposer", "solver"), device=torch.device("cpu"), seed=0)
    yield engine
    engine.close()


def everyone(**sampling):
    return [ask(LONG, policy=policy, n=2, **sampling) for policy in ("proposer", "start", "solver")]


def gaps(policies, groups):
    found = []
    for request, completions in zip(everyone(), groups, strict=True):
        policy = policies[request.policy]
        with policy.active():
            found.append(max(log_prob_gap(policy, completion) for completion in completions))
    return found


def test_base_and_two_adapters_are_each_exact_in_one_batch(engine, policies):
    groups = engine.generate(everyone())
    assert max(gaps(policies, groups)) <= EXACT
    assert len({group[0].token_ids for group in groups}) == 3


def test_new_adapters_are_used_after_every_update_and_the_base_stays(engine, policies):
    base = engine.generate(everyone())[1]
    for version in (1, 2, 3):
        shake(policies["solver"])
        shake(policies["proposer"])
        engine.publish(version)
        groups = engine.generate(everyone())
        assert max(gaps(policies, groups)) <= EXACT
        assert [completion.version for group in groups for completion in group] == [version] * 6
        assert tokens([groups[1]]) == tokens([base])


def test_publishing_a_version_again_brings_the_newest_adapter(engine, policies):
    shake(policies["solver"])
    engine.publish(3)
    assert max(gaps(policies, engine.generate(everyone()))) <= EXACT
    shake(policies["solver"])
    engine.publish(3)
    assert max(gaps(policies, engine.generate(everyone()))) <= EXACT


def test_a_snapshot_keeps_its_adapter_until_it_is_blended(engine, policies):
    request = [ask(LONG, policy="past", n=2)]
    before = engine.generate(request)
    shake(policies["solver"])
    engine.publish(4)
    assert tokens(engine.generate(request)) == tokens(before)
    blended = carry_out([Blend(into="past", parts={"solver": 1.0})], policies, moving=("past",))
    engine.publish(5, blended=blended)
    (after,) = engine.generate(request)
    with policies["solver"].active():
        assert max(log_prob_gap(policies["solver"], completion) for completion in after) <= EXACT


def test_scores_are_those_of_each_adapter(engine, policies):
    requests = [Score(policy=name, prompt="2+3", texts=("5", "12")) for name in policies]
    expected = TransformersEngine(policies, max_batch=8).score(requests)
    for found, wanted in zip(engine.score(requests), expected, strict=True):
        assert found == pytest.approx(wanted, abs=1e-3)
    assert len({scores[0] for scores in expected}) >= 3


@pytest.mark.parametrize("engine", ["server"], indirect=True)
def test_worker_killed_while_nothing_is_asked_is_noticed_at_the_next_request(engine):
    processes = processes_of_servers()
    worker = next(process for process in processes if "EngineCore" in " ".join(process.cmdline()))
    worker.kill()
    with pytest.raises(EngineLost):
        engine.generate(everyone())
    engine.close()
    assert psutil.wait_procs(processes, timeout=20)[1] == []
    assert folders_in_memory() == []
