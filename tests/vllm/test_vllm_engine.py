"""The vLLM engine against the transformers engine and the model's own logits, in process and as a server."""

import threading
from math import inf

import psutil
import pytest
import torch

from tests.vllm.leftovers import folders_in_memory, processes_of_servers
from tests.vllm.models import random_policy, shake
from training_core.engines.build import vllm_engine
from training_core.engines.transformers import TransformersEngine
from training_core.failures import EngineLost, failure_of
from training_core.play.records import Blend
from training_core.play.requests import Request, Score
from training_core.policies.loaded import start_copy
from training_core.policies.snapshots import carry_out
from training_core.spec.engine import VllmEngine as VllmSpec
from training_core.spec.learning import SamplingSpec

CPU = torch.device("cpu")
LONG = "".join("0123456789+-"[place * 7 % 12] for place in range(70))
"""More than two blocks of the prefix cache."""


@pytest.fixture(scope="module")
def policies():
    policy = random_policy()
    return {"main": policy, "start": start_copy(policy)}


@pytest.fixture(scope="module", params=["in_process", "server"])
def engine(request, policies):
    spec = VllmSpec(placement=request.param, cpu_cache_gib=0.1)
    served = policies if request.param == "in_process" else {"main": policies["main"]}
    engine = vllm_engine(spec, served, trained=("main",), device=CPU, seed=0)
    yield engine
    engine.close()


only_in_process = pytest.mark.parametrize("engine", ["in_process"], indirect=True)
only_server = pytest.mark.parametrize("engine", ["server"], indirect=True)


def ask(prompt, *, policy="main", n=1, seed=1, **sampling):
    return Request(
        policy=policy, prompt=prompt, n=n, seed=seed, sampling=SamplingSpec(**{"max_tokens": 24, **sampling})
    )


def tokens(groups):
    return [[completion.token_ids for completion in group] for group in groups]


def log_prob_gap(policy, completion, temperature=1.0):
    """Largest distance to the model's own log-probs of the same tokens, in nats."""
    ids_BT = torch.tensor([completion.prompt_ids + completion.token_ids])
    with torch.no_grad():
        logp_TV = (policy.model(ids_BT).logits[0].double() / temperature).log_softmax(-1)
    start = len(completion.prompt_ids)
    own_T = logp_TV[start - 1 : -1].gather(-1, ids_BT[0, start:, None])[:, 0]
    return float((own_T - torch.tensor(completion.logprobs, dtype=torch.double)).abs().max())


def test_log_probs_stay_those_of_the_model_over_three_updates(engine, policies):
    for version in (1, 2, 3):
        before = engine.generate([ask(LONG, n=2)])
        shake(policies["main"])
        engine.publish(version)
        (completions,) = engine.generate([ask(LONG, n=4)])
        assert tokens(before) != tokens([completions[:2]])
        assert {completion.version for completion in completions} == {version}
        assert max(log_prob_gap(policies["main"], completion) for completion in completions) <= 1e-4


@only_in_process
def test_frozen_policy_beside_it_keeps_its_weights(engine, policies):
    request = ask(LONG, policy="start", n=4)
    before = engine.generate([request])
    shake(policies["main"])
    engine.publish(4)
    assert tokens(engine.generate([request])) == tokens(before)
    assert max(log_prob_gap(policies["start"], completion) for completion in before[0]) <= 1e-4


@only_in_process
def test_a_snapshot_is_served_anew_once_it_was_blended(engine, policies):
    request = ask(LONG, policy="start", n=2)
    before = engine.generate([request])
    shake(policies["main"])
    blended = carry_out([Blend(into="start", parts={"main": 1.0})], policies, moving=("start",))
    engine.publish(5, blended=blended)
    after = engine.generate([request])
    assert tokens(after) != tokens(before)
    assert max(log_prob_gap(policies["main"], completion) for completion in after[0]) <= 1e-4


def test_scores_are_those_of_transformers(engine, policies):
    requests = [
        Score(policy="main", prompt="<|solve|>2+3<|go|>", texts=("5", "", "12+3")),
        Score(policy="main", prompt=LONG, texts=("1",)),
    ]
    expected = TransformersEngine(policies, max_batch=64).score(requests)
    for found, wanted in zip(engine.score(requests), expected, strict=True):
        assert found == pytest.approx(wanted, abs=1e-3)


def test_a_completion_that_fills_the_context_has_no_score(engine, policies):
    prompt, room = "12", policies["main"].max_context - 2
    ((fits, fills),) = engine.score([Score(policy="main", prompt=prompt, texts=("3" * (room - 2), "3" * (room - 1)))])
    assert fits > -inf
    assert fills == -inf


def test_greedy_tokens_are_those_of_transformers(engine, policies):
    requests = [ask("<|solve|>2+3<|go|>", temperature=0, n=2), ask(LONG, temperature=0)]
    expected = TransformersEngine(policies, max_batch=64).generate(requests)
    found = engine.generate(requests)
    assert tokens(found) == tokens(expected)
    assert [[c.text for c in group] for group in found] == [[c.text for c in group] for group in expected]
    assert found[0][0].ended == expected[0][0].ended


def test_equal_seeds_give_equal_samples_whatever_else_is_in_the_batch(engine):
    alone = engine.generate([ask("12+34", n=3, seed=50)])[0]
    crowd = [ask("9-8", n=5, seed=1), ask("12+34", n=3, seed=50), ask(LONG, n=2, seed=8, temperature=0.7)]
    assert tokens(engine.generate(crowd))[1] == [completion.token_ids for completion in alone]
    single = [engine.generate([ask("12+34", seed=50 + place)])[0][0].token_ids for place in range(3)]
    assert single == [completion.token_ids for completion in alone]
    assert len(set(single)) == 3


@pytest.mark.parametrize("knobs", [{"temperature": 0.6}, {"top_k": 3}, {"top_p": 0.5}, {"min_p": 0.2}])
def test_log_probs_are_of_the_distribution_drawn_from(engine, policies, knobs):
    temperature = knobs.get("temperature", 1.0)
    policy = policies["main"]
    (completions,) = engine.generate([ask("3*3", n=3, max_tokens=8, **knobs)])
    for completion in completions:
        ids = list(completion.prompt_ids)
        for token, logprob in zip(completion.token_ids, completion.logprobs, strict=True):
            with torch.no_grad():
                probs = (policy.model(torch.tensor([ids])).logits[0, -1].double() / temperature).softmax(-1)
            kept = probs[kept_tokens(probs, knobs)].sum()
            assert logprob == pytest.approx(float((probs[token] / kept).log()), abs=1e-4)
            ids.append(token)


def kept_tokens(probs, knobs):
    order = probs.argsort(descending=True)
    if "top_k" in knobs:
        return order[: knobs["top_k"]]
    if "top_p" in knobs:
        before = probs[order].cumsum(0) - probs[order]
        return order[before < knobs["top_p"]]
    if "min_p" in knobs:
        return (probs >= knobs["min_p"] * probs.max()).nonzero()[:, 0]
    return order


def test_stop_string_ends_a_completion_and_is_cut_from_its_text(engine):
    (plain,) = engine.generate([ask("7-2", n=6, seed=3, max_tokens=40)])[0:1]
    stop = plain[0].text[3:5]
    (stopped,) = engine.generate([ask("7-2", n=6, seed=3, max_tokens=40, stop=(stop,))])
    for free, cut in zip(plain, stopped, strict=True):
        assert cut.token_ids == free.token_ids[: len(cut.token_ids)]
        assert cut.text == free.text.partition(stop)[0]
    assert stopped[0].ended
    assert len(stopped[0].text) < len(plain[0].text)


def test_completions_end_at_the_context(engine, policies):
    prompt = "1" * (policies["main"].max_context - 5)
    (completion,) = engine.generate([ask(prompt, max_tokens=100, seed=4)])[0]
    assert len(completion.token_ids) <= 5
    with pytest.raises(ValueError, match="leaves no room"):
        engine.generate([ask("1" * policies["main"].max_context)])


def test_entropies_are_left_out_and_prompt_ids_are_ours(engine, policies):
    (completion,) = engine.generate([ask("5+5 = ten\n")])[0]
    assert completion.entropies == ()
    assert completion.prompt_ids == tuple(policies["main"].encode("5+5 = ten\n"))
    assert len(completion.logprobs) == len(completion.token_ids)


def test_health_tells_of_rows_at_work_memory_and_spared_prompts(engine, request):
    placement = request.node.callspec.params["engine"]
    asked = ask(LONG, n=8, max_tokens=100)
    engine.generate([asked])  # now the blocks of the prompt are cached
    engine.health.take()
    engine.generate([asked])
    found = engine.health.take()
    assert 0 < found["engine/running"] <= found["engine/running_peak"] <= 8
    # A server is asked now and then, so a peak between two questions may be missed.
    assert found["engine/running_peak"] == 8 or placement == "server"
    assert 0 < found["engine/cache_share_peak"] < 1
    assert found["engine/preemptions"] == 0
    # Two whole blocks of 32 tokens out of 70 are read for nobody.
    assert found["engine/spared_share"] == pytest.approx(64 / 70)
    assert engine.health.take() == {}


def test_sleeping_on_a_cpu_changes_nothing(engine):
    before = engine.generate([ask("1+1", n=2)])
    engine.sleep()
    assert tokens(engine.generate([ask("1+1", n=2)])) == tokens(before)


@only_server
def test_server_killed_while_it_samples_is_reported_and_leaves_nothing(engine):
    processes = processes_of_servers()
    server = min(processes, key=lambda process: process.create_time())
    threading.Timer(0.5, server.kill).start()
    with pytest.raises(EngineLost, match="server of this run died") as caught:
        for _ in range(1000):
            engine.generate([ask("12+34", n=64, max_tokens=200)])
    assert failure_of(caught.value)[0] == "lost_worker"
    with pytest.raises(EngineLost):
        engine.publish(9)
    engine.close()
    assert psutil.wait_procs(processes, timeout=20)[1] == []
    assert folders_in_memory() == []
