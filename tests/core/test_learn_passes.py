"""Every way to log-probs gives those of the model itself, and its gradients."""

import random
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers.models.gemma2 import Gemma2Config, Gemma2ForCausalLM
from transformers.models.gpt2 import GPT2Config, GPT2LMHeadModel
from transformers.models.llama import LlamaConfig, LlamaForCausalLM
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen3 import Qwen3Config, Qwen3ForCausalLM

from training_core.learn import packed
from training_core.learn.head import head_logprobs
from training_core.learn.logprobs import Text, completion_logprobs
from training_core.learn.packing import num_packed_tokens, pack
from training_core.learn.passes import PackedPass, PaddedPass, WholePass, best_pass
from training_core.learn.scoring import Scorer
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learner import LearnerSpec

SIZES = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
SHARED, ALONE = LearnerSpec(share_prompts="always"), LearnerSpec(share_prompts="never")


def policy_of(model, **options):
    return LoadedPolicy(
        model=model.eval(), tokenizer=None, style="starter", end_ids=frozenset({0}), max_context=128, **options
    )


def qwen2(**changes):
    torch.manual_seed(0)
    config = Qwen2Config(
        **SIZES, num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=True, initializer_range=0.1
    )
    config.update(changes)
    return policy_of(Qwen2ForCausalLM(config))


def qwen3():
    torch.manual_seed(0)
    return policy_of(
        Qwen3ForCausalLM(Qwen3Config(**SIZES, num_key_value_heads=4, head_dim=16, max_position_embeddings=128))
    )


def llama():
    torch.manual_seed(0)
    rope = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    config = LlamaConfig(
        **SIZES,
        num_key_value_heads=1,
        max_position_embeddings=128,
        rope_parameters={**rope, "original_max_position_embeddings": 32},
    )
    return policy_of(LlamaForCausalLM(config))


def gpt2():
    torch.manual_seed(0)
    return policy_of(GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=128, n_embd=32, n_layer=2, n_head=4)))


def gemma2():
    torch.manual_seed(0)
    config = Gemma2Config(**SIZES, num_key_value_heads=2, head_dim=8, final_logit_softcapping=0.05, sliding_window=16)
    return policy_of(Gemma2ForCausalLM(config))


def lora():
    base = qwen2().model
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"]))
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return policy_of(model, adapter="default")


def texts():
    """Families of siblings, lone texts, completions of one token, prompts of one token and of equal length."""
    rng = random.Random(0)
    prompts = [tuple(rng.randrange(1, 40) for _ in range(length)) for length in (3, 9, 9, 5, 1)]
    found = [
        Text(prompt_ids=prompts[place % 5], token_ids=tuple(rng.randrange(1, 40) for _ in range(rng.randrange(1, 14))))
        for place in range(17)
    ]
    found += [Text(prompt_ids=prompts[0], token_ids=(7,)), Text(prompt_ids=(4, 5, 6, 7), token_ids=(1, 2, 3))]
    return [*found, Text(prompt_ids=(4, 5, 6, 8), token_ids=(2,))]


def found_by(run, model, items, *, temperature=0.7, with_entropy=True):
    """Log-probs, entropies and the gradient of a weighted sum of both, as one vector each."""
    model.zero_grad()
    logp_M, entropy_M = run(items, temperature=temperature, with_entropy=with_entropy)
    generator = torch.Generator().manual_seed(3)
    total = (logp_M * torch.randn(len(logp_M), generator=generator)).sum()
    if with_entropy:
        total = total + (entropy_M * torch.randn(len(logp_M), generator=generator)).sum()
    total.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return logp_M.detach(), entropy_M.detach() if with_entropy else None, gradient


def assert_equal(found, expected):
    assert torch.allclose(found[0], expected[0], atol=3e-6)
    assert torch.allclose(found[1], expected[1], atol=3e-6)
    assert float((found[2] - expected[2]).norm()) < 1e-6 * float(expected[2].norm())


@pytest.mark.parametrize("make", [qwen2, qwen3, llama, lora])
@pytest.mark.parametrize("settings", [SHARED, ALONE], ids=["shared", "alone"])
@pytest.mark.parametrize("tokens_to_look_up", [0.0, 0.5])
def test_the_packed_pass_equals_the_models_own(make, settings, tokens_to_look_up, monkeypatch):
    monkeypatch.setattr(packed, "_WORTH_A_TABLE", tokens_to_look_up)
    policy = make()
    run = best_pass(policy, settings)
    assert isinstance(run, PackedPass)
    whole = WholePass(model=policy.model)
    assert_equal(found_by(run, policy.model, texts()), found_by(whole, policy.model, texts()))


@pytest.mark.parametrize("can_share", [True, False])
@pytest.mark.parametrize("make", [qwen2, gpt2])
def test_the_padded_pass_equals_the_models_own(make, can_share):
    policy = make()
    model = policy.model
    run = PaddedPass(model=model, decoder=model.get_decoder(), head=model.lm_head, settings=SHARED, can_share=can_share)
    assert_equal(found_by(run, model, texts()), found_by(WholePass(model=model), model, texts()))


def test_a_model_we_do_not_know_shares_prompts_through_its_own_cache():
    run = best_pass(gpt2(), SHARED)
    assert isinstance(run, PaddedPass)
    assert run.can_share


def test_a_model_with_more_than_a_linear_head_is_called_as_a_whole():
    assert isinstance(best_pass(gemma2(), SHARED), WholePass)


def test_a_cache_without_gradient_is_found_out(monkeypatch):
    from transformers.cache_utils import DynamicCache

    select = DynamicCache.batch_select_indices

    def detached(self, indices):
        select(self, indices)
        for layer in self.layers:
            layer.keys, layer.values = layer.keys.detach(), layer.values.detach()

    monkeypatch.setattr(DynamicCache, "batch_select_indices", detached)
    run = best_pass(gpt2(), SHARED)
    assert isinstance(run, PaddedPass)
    assert not run.can_share


def test_checkpointing_changes_nothing():
    policy = qwen2()
    saving = Scorer(policy, LearnerSpec(gradient_checkpointing=True))
    expected = found_by(WholePass(model=policy.model), policy.model, texts())
    policy.model.train()
    assert_equal(found_by(saving, policy.model, texts()), expected)
    plain = gpt2()
    expected = found_by(WholePass(model=plain.model), plain.model, texts())
    assert_equal(found_by(Scorer(plain, LearnerSpec(gradient_checkpointing=True)), plain.model, texts()), expected)


def test_sharing_a_prompt_spares_its_tokens():
    items = [Text(prompt_ids=(1,) * 200, token_ids=(2,) * 17)] * 8
    assert num_packed_tokens(items, share=False) == 8 * 216 == len(pack(items, share=False).ids_N)
    assert num_packed_tokens(items, share=True) == 200 + 8 * 16 == len(pack(items, share=True).ids_N)


def test_texts_without_anything_to_share_are_not_shared():
    policy = qwen2()
    run = best_pass(policy, LearnerSpec())
    lonely = [Text(prompt_ids=(place, 2, 3), token_ids=(4, 5)) for place in range(1, 6)]
    assert run.cut(lonely, 10) == best_pass(policy, ALONE).cut(lonely, 10)


@pytest.mark.parametrize("make", [qwen2, gpt2, gemma2])
@pytest.mark.parametrize("settings", [SHARED, ALONE], ids=["shared", "alone"])
def test_micro_batches_hold_every_text_once_within_the_budget(make, settings):
    items = texts()
    batches = best_pass(make(), settings).cut(items, 30)
    assert sorted(index for batch in batches for index in batch) == list(range(len(items)))
    assert len(batches) > 3
    for batch in batches:
        chosen = [items[index] for index in batch]
        assert num_packed_tokens(chosen, share=settings is SHARED) <= 30


@pytest.mark.parametrize("chunk", [1, 7, 64])
@pytest.mark.parametrize("with_entropy", [True, False])
def test_a_chunked_head_equals_all_scores_at_once(chunk, with_entropy):
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias = (torch.randn(*shape, generator=generator) for shape in ((50, 16), (90, 16), (90,)))
    target = torch.randint(0, 90, (50,), generator=generator)
    weigh = torch.randn(2, 50, generator=generator)
    inputs = [tensor.requires_grad_() for tensor in (hidden, weight, bias)]

    logp, entropy = head_logprobs(hidden, weight, bias, target, temperature=0.8, chunk=chunk, with_entropy=with_entropy)
    full = ((hidden @ weight.T + bias) / 0.8).log_softmax(-1)
    expected_logp, expected_entropy = full[torch.arange(50), target], -(full.exp() * full).sum(-1)

    assert torch.allclose(logp, expected_logp, atol=1e-5)
    total, expected = (logp * weigh[0]).sum(), (expected_logp * weigh[0]).sum()
    if with_entropy:
        assert torch.allclose(entropy, expected_entropy, atol=1e-5)
        total, expected = total + (entropy * weigh[1]).sum(), expected + (expected_entropy * weigh[1]).sum()
    for found, wanted in zip(torch.autograd.grad(total, inputs), torch.autograd.grad(expected, inputs), strict=True):
        assert float((found - wanted).norm()) < 1e-6 * float(wanted.norm())


def test_bfloat16_comes_close_and_stays_float32_outside():
    policy = qwen2()
    run = Scorer(policy, LearnerSpec(precision="bfloat16"))
    assert run.autocasts
    found = found_by(run, policy.model, texts(), with_entropy=False)
    expected = found_by(WholePass(model=policy.model), policy.model, texts(), with_entropy=False)
    assert found[0].dtype == torch.float32
    assert all(parameter.grad.dtype == torch.float32 for parameter in policy.model.parameters())
    assert float((found[0] - expected[0]).abs().max()) < 0.1
    assert float((found[2] - expected[2]).norm()) < 0.05 * float(expected[2].norm())


def test_the_packed_pass_speaks_with_the_active_adapter():
    policy = lora()
    run = best_pass(policy, SHARED)
    base = policy.without_adapter()
    with torch.no_grad():
        adapted, _ = run(texts(), temperature=1.0, with_entropy=False)
        with base.active():
            bare, _ = run(texts(), temperature=1.0, with_entropy=False)
            expected, _ = completion_logprobs(policy.model, texts(), temperature=1.0, with_entropy=False)
    assert torch.allclose(bare, expected, atol=3e-6)
    assert float((adapted - bare).abs().max()) > 1e-3


def test_far_apart_scores_do_not_overflow_in_the_filled_up_cells():
    policy = qwen2()
    with torch.no_grad():
        for layer in policy.model.model.layers:
            layer.self_attn.q_proj.weight.mul_(200)
    items = [replace(text, token_ids=(*text.token_ids, 3)) for text in texts()]
    found = found_by(best_pass(policy, SHARED), policy.model, items)
    assert bool(torch.isfinite(found[2]).all())
