"""The transformers engine samples from the weights as they are now, adapters included, and says which they were."""

import logging

import pytest
import torch
from torch import nn

from tests.core.engine_models import ask, generate, make_model, make_policy
from tests.core.test_engine_transformers import distribution
from training_core.engines.anatomy import NotUnderstood
from training_core.engines.decoder import make_decoder
from training_core.engines.fused import FusedDecoder
from training_core.engines.transformers import TransformersEngine
from training_core.policies.loaded import LoadedPolicy


def log_probs_gap(policy: LoadedPolicy, engine: TransformersEngine, name: str = "main") -> float:
    """Largest difference between a completion's log-probs and those of the policy's model now."""
    (completion,) = engine.generate([ask("hello", policy=name, max_tokens=12)])[0]
    logp = distribution(policy, completion, 1.0).gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
    return float((logp - torch.tensor(completion.logprobs)).abs().max())


def disturb(parameters: list[nn.Parameter]) -> None:
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("part", ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj", "norm", "embed_tokens"])
def test_a_weight_updated_in_place_is_sampled_from_at_once(part):
    policy = make_policy(make_model("qwen2"))
    engine = TransformersEngine({"main": policy}, max_batch=8)
    assert log_probs_gap(policy, engine) < 2e-5
    disturb([p for name, p in policy.model.named_parameters() if part in name])
    assert log_probs_gap(policy, engine) < 2e-5


def test_an_optimiser_step_is_sampled_from_at_once():
    policy = make_policy(make_model("qwen2"))
    engine = TransformersEngine({"main": policy}, max_batch=8)
    before = engine.generate([ask("hello", n=4)])[0]
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=0.1)
    torch.autograd.backward(policy.model(torch.tensor([[1, 2, 3]])).logits.square().sum())
    optimizer.step()
    assert log_probs_gap(policy, engine) < 2e-5
    assert engine.generate([ask("hello", n=4)])[0] != before


def test_publishing_renews_even_what_was_changed_behind_the_back():
    policy = make_policy(make_model("qwen2"))
    engine = TransformersEngine({"main": policy}, max_batch=8)
    assert log_probs_gap(policy, engine) < 2e-5
    for parameter in policy.model.parameters():
        parameter.data.mul_(1.2)  # leaves no trace in the version counter
    engine.publish(3)
    assert log_probs_gap(policy, engine) < 2e-5


def test_completions_carry_the_version_that_was_published_last():
    policy = make_policy(make_model("qwen2"))
    engine = TransformersEngine({"main": policy}, max_batch=8)
    assert {c.version for c in engine.generate([ask("a", n=2)])[0]} == {0}
    engine.publish(7)
    assert {c.version for c in engine.generate([ask("a", n=2)])[0]} == {7}


def test_an_engine_wakes_up_from_sleep_unchanged():
    policy = make_policy(make_model("qwen2"))
    engine = TransformersEngine({"main": policy}, max_batch=8)
    before = engine.generate([ask("hello", n=4)])
    engine.sleep()
    engine.publish(0)
    assert engine.generate([ask("hello", n=4)]) == before
    engine.close()


@pytest.mark.parametrize("name", ["qwen2", "mistral"])
def test_each_policy_speaks_with_its_own_adapter_on_one_model(name):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        make_model(name), LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.1), adapter_name="one"
    )
    model.add_adapter("two", LoraConfig(r=2, target_modules="all-linear"))
    model.set_adapter("one")
    model.eval()
    disturb([p for key, p in model.named_parameters() if "lora_B" in key])
    policies = {adapter or "base": make_policy(model, adapter=adapter) for adapter in ("one", "two", None)}
    engine = TransformersEngine(policies, max_batch=8)
    for _ in range(2):
        for adapter, policy in policies.items():
            assert log_probs_gap(policy, engine, adapter) < 2e-5
        first = engine.generate([ask("hello", policy=adapter, max_tokens=12) for adapter in policies])
        assert len({completions[0].logprobs for completions in first}) == 3
        disturb([p for key, p in model.named_parameters() if "lora_A.two" in key])


def test_a_plain_model_with_an_adapter_is_fused():
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(make_model("llama"), LoraConfig(r=4, target_modules="all-linear"))
    assert isinstance(make_decoder(make_policy(model, adapter="default"), name="main"), FusedDecoder)
    dora = get_peft_model(make_model("llama"), LoraConfig(r=4, target_modules="all-linear", use_dora=True))
    with pytest.raises(NotUnderstood, match="not plain LoRA"):
        FusedDecoder(make_policy(dora, adapter="default"))


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("gemma2", {}, "caps its scores"),
        ("mistral", {"sliding_window": 64}, "sliding window"),
        ("granite", {}, "forward pass gives other logits"),
        ("gpt2", {}, "not made of an embedding, layers"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "rotary positions change",
        ),
    ],
)
def test_what_the_fused_decoder_does_not_know_it_refuses(name, changes, reason):
    with pytest.raises(NotUnderstood, match=reason):
        FusedDecoder(make_policy(make_model(name, **changes)))


def test_a_window_wider_than_the_context_is_no_window():
    policy = make_policy(make_model("mistral", sliding_window=128))
    assert isinstance(make_decoder(policy, name="main"), FusedDecoder)
    assert log_probs_gap(policy, TransformersEngine({"main": policy}, max_batch=8)) < 2e-5


def test_rotary_positions_of_other_kinds_are_taken_from_the_model():
    rope = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}
    policy = make_policy(make_model("llama", rope_parameters=rope))
    assert isinstance(make_decoder(policy, name="main"), FusedDecoder)
    assert log_probs_gap(policy, TransformersEngine({"main": policy}, max_batch=8)) < 2e-5


def test_modules_with_hooks_and_exchanged_layers_are_left_to_the_model():
    hooked = make_model("llama")
    hooked.model.layers[1].mlp.register_forward_hook(lambda module, inputs, output: output * 0.5)
    with pytest.raises(NotUnderstood, match="hooks"):
        FusedDecoder(make_policy(hooked))

    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    exchanged = make_model("llama")
    exchanged.model.layers[0].mlp.down_proj = Doubled(64, 32, bias=False)
    policy = make_policy(exchanged)
    with pytest.raises(NotUnderstood, match="Doubled"):
        FusedDecoder(policy)
    assert log_probs_gap(policy, TransformersEngine({"main": policy}, max_batch=8)) < 2e-5


def test_the_way_around_is_told_once(caplog):
    caplog.set_level(logging.INFO)
    policy = make_policy(make_model("gpt2"))
    engine = TransformersEngine({"main": policy}, max_batch=8)
    for _ in range(3):
        engine.generate([ask("a")])
    assert sum(record.msg == "engine.generic_path" for record in caplog.records) == 1


def test_sampling_leaves_no_gradient_and_nothing_that_training_stumbles_over():
    for name in ("qwen2", "mistral"):
        policy = make_policy(make_model(name))
        generate(policy, [ask("hello", n=4)])
        assert all(p.grad is None and not p.is_inference() for p in policy.model.parameters())
        torch.autograd.backward(policy.model(torch.tensor([[1, 2, 3]])).logits.square().sum())
        assert all(p.grad is not None for p in policy.model.parameters())
