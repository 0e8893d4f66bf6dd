"""Roles with adapters of their own on one base, sampled in one batch."""

import psutil
import pytest
import torch

from tests.vllm.leftovers import folders_in_memory, processes_of_servers
from tests.vllm.models import random_policy, shake, with_roles
from tests.vllm.test_vllm_engine import LONG, ask, log_prob_gap, tokens
from training_core.engines.build import vllm_engine
from training_core.failures import EngineLost
from training_core.spec.engine import VllmEngine as VllmSpec

EXACT = 1e-4


@pytest.fixture(scope="module")
def policies():
    return with_roles(random_policy(seed=5), "proposer", "solver")


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
