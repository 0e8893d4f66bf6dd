"""What an engine tells of its work, counted by hand."""

import pytest

from tests.core.engine_models import ask, make_model, make_policy
from training_core.engine_health import EngineHealth
from training_core.engines.transformers import TransformersEngine
from training_core.engines.vllm_health import Poll, read_metrics
from training_core.methods.registry import all_methods

ENGINE_METRICS = {
    "engine/running",
    "engine/running_peak",
    "engine/waiting_peak",
    "engine/cache_share_peak",
    "engine/preemptions",
    "engine/spared_share",
}
SERVED = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 4.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:num_preemptions_total{engine="0",model_name="m"} 1.0
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 200.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 50.0
process_cpu_seconds_total 9.5
"""


@pytest.fixture(scope="module")
def policy():
    return make_policy(make_model("qwen2"))


def health_of(policy, requests, **limits):
    engine = TransformersEngine({"main": policy}, **{"max_batch": 64, **limits})
    engine.generate(requests)
    return engine.health.take()


def test_looks_are_averaged_counts_added_and_both_begin_anew_when_taken():
    health = EngineHealth()
    health.look(running=4, waiting=2, cache_share=0.5)
    health.look(running=1, waiting=0, cache_share=0.25)
    health.count(preemptions=1, prompt_tokens=30)
    health.count(prompt_tokens=10, spared_tokens=10)
    assert health.take() == {
        "engine/running": 2.5,
        "engine/running_peak": 4,
        "engine/waiting_peak": 2,
        "engine/cache_share_peak": 0.5,
        "engine/preemptions": 1,
        "engine/spared_share": 0.25,
    }
    assert health.take() == {}


def test_a_prompt_of_several_samples_is_read_once(policy):
    found = health_of(policy, [ask("hello", n=4, max_tokens=3), ask("worlds", n=1, max_tokens=3)])
    # Three of the four samples of five tokens are spared reading; the lone prompt has six.
    assert found["engine/spared_share"] == 15 / 26
    assert found["engine/running_peak"] == 5
    assert found["engine/waiting_peak"] == found["engine/preemptions"] == 0
    assert 0 < found["engine/cache_share_peak"] < 1


def test_completions_beyond_the_batch_wait(policy):
    found = health_of(policy, [ask("hello", n=5, max_tokens=3)], max_batch=2)
    assert found["engine/running_peak"] == 2
    assert found["engine/waiting_peak"] == 3


def test_completions_without_memory_wait(policy):
    found = health_of(policy, [ask("hello", n=3, max_tokens=3)], max_cache_mib=0)
    assert found["engine/cache_share_peak"] == 1
    assert found["engine/running_peak"] == 1
    assert found["engine/waiting_peak"] == 2


def test_a_server_is_read_by_its_own_names_and_counters_count_from_the_last_reading():
    values = read_metrics(SERVED)
    assert values["num_requests_running"] == 5
    health = EngineHealth()
    poll = Poll(health)
    poll.enter(values, at_work=False)
    assert health.take() == {}
    later = {
        **values,
        "num_preemptions_total": 3.0,
        "prefix_cache_queries_total": 300.0,
        "prefix_cache_hits_total": 125.0,
    }
    poll.enter(later, at_work=True)
    assert health.take() == {
        "engine/running": 5,
        "engine/running_peak": 5,
        "engine/waiting_peak": 4,
        "engine/cache_share_peak": 0.25,
        "engine/preemptions": 2,
        "engine/spared_share": 0.75,
    }


def test_every_method_shows_the_engine():
    shown = [{name for chart in method.charts for name, _ in chart.series} for method in all_methods()]
    assert all(names >= ENGINE_METRICS for names in shown)
