"""The transformers engine against the model's own logits, whatever the architecture and whatever else is in the batch."""

import pytest
import torch

from tests.core.engine_models import (
    END,
    FUSED,
    GENERIC,
    MAX_CONTEXT,
    ask,
    generate,
    make_model,
    make_policy,
)
from training_core.engines.decoder import GenericDecoder, make_decoder
from training_core.engines.fused import FusedDecoder
from training_core.engines.transformers import TransformersEngine
from training_core.play.requests import Completion
from training_core.policies.loaded import LoadedPolicy

EVERY_MODEL = FUSED + GENERIC


@pytest.fixture(scope="module")
def policies():
    return {name: make_policy(make_model(name)) for name in EVERY_MODEL}


@pytest.fixture(scope="module")
def policy(policies):
    return policies["qwen2"]


def crowd():
    """Requests of many settings, prompt lengths and numbers of samples, so that rows end and leave at different times."""
    return [
        ask("hello", n=6, seed=5, max_tokens=50),
        ask("a", n=3, seed=90, max_tokens=30),
        ask("abcdefghijklmnopqr", n=4, seed=70, temperature=0.8, max_tokens=60),
        ask("hello", n=2, seed=20, top_p=0.7, max_tokens=40),
        ask("world", n=3, seed=30, top_k=3, temperature=1.5),
        ask("zz", n=2, seed=40, min_p=0.2),
        ask("greedy", n=2, seed=50, temperature=0, max_tokens=30),
    ]


def distribution(policy: LoadedPolicy, completion: Completion, temperature: float) -> torch.Tensor:
    """Log-probs of every token of the vocabulary where each completion token was drawn, from one uncached forward pass."""
    ids = torch.tensor([[*completion.prompt_ids, *completion.token_ids]])
    with torch.no_grad(), policy.active():
        logits = policy.model(ids, use_cache=False).logits[0, len(completion.prompt_ids) - 1 : -1]
    return (logits / temperature).log_softmax(-1)


def assert_same(first: list[Completion], second: list[Completion]) -> None:
    assert [c.token_ids for c in first] == [c.token_ids for c in second]
    for one, other in zip(first, second, strict=True):
        assert (one.text, one.ended) == (other.text, other.ended)
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
        assert one.entropies == pytest.approx(other.entropies, abs=1e-5)


@pytest.mark.parametrize("name", FUSED)
def test_decoders_of_plain_attention_and_gated_mlps_are_fused(policies, name):
    assert isinstance(make_decoder(policies[name], name=name), FusedDecoder)


@pytest.mark.parametrize("name", GENERIC)
def test_other_models_keep_their_own_forward_pass(policies, name, caplog):
    caplog.set_level("INFO")
    assert isinstance(make_decoder(policies[name], name=name), GenericDecoder)
    (record,) = [record for record in caplog.records if record.msg == "engine.generic_path"]
    assert record.policy == name and record.reason


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_log_probs_and_entropies_are_those_of_the_model(policies, name):
    requests = [request for request in crowd() if request.sampling.top_p == 1 and request.sampling.temperature > 0][:3]
    for request, completions in zip(requests, generate(policies[name], requests), strict=True):
        for completion in completions:
            logp = distribution(policies[name], completion, request.sampling.temperature)
            chosen = logp.gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
            assert completion.logprobs == pytest.approx(chosen.tolist(), abs=2e-5)
            assert completion.entropies == pytest.approx((-logp.exp() * logp).sum(-1).tolist(), abs=2e-5)


@pytest.mark.parametrize("name", ["qwen2", "llama", "gpt2", "mistral"])
def test_completions_do_not_depend_on_what_else_is_in_the_batch(policies, name):
    together = generate(policies[name], crowd())
    alone = [generate(policies[name], [request])[0] for request in crowd()]
    in_turns = generate(policies[name], crowd(), max_batch=4)
    backwards = generate(policies[name], crowd()[::-1])[::-1]
    for requested in zip(together, alone, in_turns, backwards, strict=True):
        for other in requested[1:]:
            assert_same(requested[0], other)


def test_every_sample_is_that_of_its_own_seed(policy):
    siblings = generate(policy, [ask("hello", n=4, seed=5)])[0]
    singles = generate(policy, [ask("hello", seed=5 + place) for place in range(4)])
    assert_same(siblings, [completions[0] for completions in singles])


def test_a_cache_without_room_sends_rows_back_to_wait_and_changes_nothing(policies):
    for name in ("qwen2", "gpt2"):
        roomy = generate(policies[name], crowd())
        tight = TransformersEngine({"main": policies[name]}, max_batch=64, max_cache_mib=0).generate(crowd())
        for first, second in zip(roomy, tight, strict=True):
            assert_same(first, second)


def test_greedy_completion_is_the_argmax_chain(policies):
    for name in ("qwen2", "gemma2"):
        ids = list(policies[name].encode("hello"))
        for _ in range(10):
            ids.append(int(policies[name].model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == END:
                break
        completion = generate(policies[name], [ask("hello", temperature=0, max_tokens=10)])[0][0]
        assert completion.token_ids == tuple(ids[5:])


def test_different_seeds_and_siblings_differ(policy):
    first, second = generate(policy, [ask("hello", n=8, seed=5), ask("hello", n=8, seed=500)])
    assert len({c.token_ids for c in first + second}) > 12


def test_finished_completions_carry_their_end_and_cut_ones_do_not(policy):
    completions = generate(policy, [ask("abc", n=64, max_tokens=12)])[0]
    ended = [c for c in completions if c.ended]
    cut = [c for c in completions if not c.ended]
    assert ended and cut
    assert all(c.token_ids[-1] == END and "$" not in c.text for c in ended)
    assert all(len(c.token_ids) == 12 and END not in c.token_ids for c in cut)


def test_a_stop_string_ends_a_completion_before_itself(policy):
    free = generate(policy, [ask("abc", n=24, max_tokens=40)])[0]
    text = max((c.text for c in free), key=len)
    letters = text.replace(" ", "")
    pair = policy.decode([policy.encode(letters[10:12])])[0]
    stopped, other = generate(
        policy, [ask("abc", n=24, max_tokens=40, stop=(pair, "never there")), ask("abc", n=24, max_tokens=40)]
    )
    assert_same(other, free)
    hit = [(c, whole) for c, whole in zip(stopped, free, strict=True) if pair in whole.text]
    assert hit
    for completion, whole in hit:
        assert completion.ended
        assert completion.text == whole.text[: whole.text.index(pair)]
        assert completion.token_ids == whole.token_ids[: len(completion.token_ids)]
        assert len(completion.logprobs) == len(completion.entropies) == len(completion.token_ids)
        assert pair in policy.decode([completion.token_ids])[0]
        assert pair not in policy.decode([completion.token_ids[:-1]])[0]
    missed = [(c, whole) for c, whole in zip(stopped, free, strict=True) if pair not in whole.text]
    assert missed
    assert_same([c for c, _ in missed], [whole for _, whole in missed])


def test_a_prompt_that_fills_the_context_is_refused_with_a_sentence(policy):
    with pytest.raises(ValueError, match="no room in the model's context of 128"):
        generate(policy, [ask("a" * MAX_CONTEXT)])


def test_an_empty_prompt_is_refused_with_a_sentence(policy):
    with pytest.raises(ValueError, match="empty prompt"):
        generate(policy, [ask("")])


@pytest.mark.parametrize("name", ["qwen2", "gpt2"])
def test_a_completion_is_cut_where_the_context_ends(policies, name):
    policy = make_policy(policies[name].model, max_context=24)
    policy.end_ids = frozenset({26})
    short, long = generate(policy, [ask("a", n=3, max_tokens=100), ask("a" * 20, n=3, max_tokens=100)])
    assert {len(c.token_ids) for c in short if not c.ended} == {23}
    assert {len(c.token_ids) for c in long if not c.ended} <= {4}


def test_no_requests_and_no_samples_give_empty_lists(policy):
    assert generate(policy, []) == []
    assert generate(policy, [ask("a", n=0)]) == [[]]


def test_the_model_is_left_in_the_mode_it_was_in(policies):
    for name in ("qwen2", "gpt2"):
        policies[name].model.train()
        generate(policies[name], [ask("abc", n=3)])
        assert policies[name].model.training
        policies[name].model.eval()


def test_half_precision_models_are_sampled_from_in_both_ways():
    for name in ("qwen2", "gpt2"):
        policy = make_policy(make_model(name).to(torch.bfloat16))
        (completion,) = generate(policy, [ask("hello", max_tokens=8)])[0]
        logp = distribution(policy, completion, 1.0).float()
        chosen = logp.gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
        assert completion.logprobs == pytest.approx(chosen.tolist(), abs=0.3)
