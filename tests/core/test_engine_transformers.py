"""The transformers engine against the model's own logits."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM

from training_core.engines.transformers import TransformersEngine
from training_core.learn.logprobs import Text, completion_logprobs, micro_batches
from training_core.play.requests import Request
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learning import SamplingSpec

END = 0
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def policy():
    torch.manual_seed(3)
    config = Qwen2Config(
        vocab_size=27,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    vocabulary = {"$": END} | {letter: index + 1 for index, letter in enumerate(LETTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="$"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return LoadedPolicy(
        model=Qwen2ForCausalLM(config).eval(),
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="$"),
        style="starter",
        end_ids=frozenset({END}),
        max_context=128,
    )


def ask(prompt, *, n=1, seed=1, **sampling):
    return Request(
        policy="main", prompt=prompt, n=n, seed=seed, sampling=SamplingSpec(**{"max_tokens": 20, **sampling})
    )


def generate(policy, requests, max_batch=64):
    return TransformersEngine({"main": policy}, max_batch=max_batch).generate(requests)


def test_greedy_completion_is_the_argmax_chain(policy):
    prompt = policy.encode("hello")
    ids = list(prompt)
    for _ in range(10):
        ids.append(int(policy.model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == END:
            break
    completion = generate(policy, [ask("hello", temperature=0, max_tokens=10)])[0][0]
    assert completion.token_ids == tuple(ids[len(prompt) :])


def test_log_probs_are_those_of_the_model(policy):
    completions = [c for group in generate(policy, [ask("abc", n=4), ask("longer", n=3, seed=9)]) for c in group]
    texts = [Text(prompt_ids=c.prompt_ids, token_ids=c.token_ids) for c in completions]
    logp, entropy = completion_logprobs(policy.model, texts, temperature=1.0, with_entropy=True)
    assert torch.allclose(logp, torch.tensor([p for c in completions for p in c.logprobs]), atol=1e-5)
    assert torch.allclose(entropy, torch.tensor([e for c in completions for e in c.entropies]), atol=1e-5)


def test_log_probs_follow_the_temperature(policy):
    completion = generate(policy, [ask("abc", temperature=0.5)])[0][0]
    text = Text(prompt_ids=completion.prompt_ids, token_ids=completion.token_ids)
    logp, _ = completion_logprobs(policy.model, [text], temperature=0.5, with_entropy=False)
    assert torch.allclose(logp, torch.tensor(completion.logprobs), atol=1e-5)


def test_a_request_gives_the_same_completions_whatever_it_is_batched_with(policy):
    alone = generate(policy, [ask("hello", n=6, seed=5)])[0]
    crowd = [ask("abc", n=5, seed=2), ask("hello", n=6, seed=5), ask("a", n=7, seed=8)]
    for max_batch in (64, 4):
        together = generate(policy, crowd, max_batch=max_batch)[1]
        assert [c.token_ids for c in together] == [c.token_ids for c in alone]


def test_different_seeds_and_siblings_differ(policy):
    first, second = generate(policy, [ask("hello", n=8, seed=5), ask("hello", n=8, seed=500)])
    assert len({c.token_ids for c in first + second}) > 12


def test_sampling_follows_the_models_distribution(policy):
    draws = generate(policy, [ask("zq", n=4000, max_tokens=1)], max_batch=4000)[0]
    probs = policy.model(torch.tensor([policy.encode("zq")])).logits[0, -1].softmax(-1)
    counts = torch.bincount(torch.tensor([c.token_ids[0] for c in draws]), minlength=27) / 4000
    assert (counts - probs).abs().max() < 0.03  # four standard deviations at p = 0.5


def test_top_k_and_top_p_keep_only_the_likely(policy):
    logits = policy.model(torch.tensor([policy.encode("zq")])).logits[0, -1]
    top3 = set(logits.topk(3).indices.tolist())
    drawn = {c.token_ids[0] for c in generate(policy, [ask("zq", n=300, max_tokens=1, top_k=3)], 300)[0]}
    assert drawn == top3
    only = {c.token_ids[0] for c in generate(policy, [ask("zq", n=300, max_tokens=1, top_p=1e-6)], 300)[0]}
    assert only == {int(logits.argmax())}


def test_finished_completions_carry_their_end_and_cut_ones_do_not(policy):
    completions = generate(policy, [ask("abc", n=64, max_tokens=12)])[0]
    ended = [c for c in completions if c.ended]
    cut = [c for c in completions if not c.ended]
    assert ended and cut
    assert all(c.token_ids[-1] == END and "$" not in c.text for c in ended)
    assert all(len(c.token_ids) == 12 and END not in c.token_ids for c in cut)


def test_a_prompt_that_fills_the_context_is_refused_with_a_sentence(policy):
    with pytest.raises(ValueError, match="no room in the model's context of 128"):
        generate(policy, [ask("a" * 128)])


def test_micro_batches_respect_the_budget_and_lose_nothing():
    texts = [Text(prompt_ids=[1] * n, token_ids=[2] * n) for n in (5, 50, 7, 1, 30)]
    batches = list(micro_batches(texts, budget_tokens=70))
    assert sorted(i for batch in batches for i in batch) == [0, 1, 2, 3, 4]
    assert batches[0] == [1]  # longer than the budget, so alone
    assert all(len(b) * max(texts[i].length for i in b) <= 70 for b in batches[1:])
