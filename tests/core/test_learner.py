"""One update of the weights: exact under any split, and in the direction of the advantage."""

import copy

import pytest
import torch
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM

from training_core.learn.learner import Learner
from training_core.learn.logprobs import Text, completion_logprobs
from training_core.learn.optimizers import OptimizerSet
from training_core.play.records import Rollout
from training_core.play.requests import Completion
from training_core.policies.loaded import LoadedPolicy, start_copy
from training_core.spec.learner import LearnerSpec
from training_core.spec.learning import ClippedPolicyLoss, OptimizerSpec
from training_core.spec.online import OnlineSpec, RehearsalSpec


@pytest.fixture
def policy():
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=30,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    return LoadedPolicy(
        model=Qwen2ForCausalLM(config), tokenizer=None, style="starter", end_ids=frozenset({0}), max_context=64
    )


def make_rollouts(policy, rewards=(1.0, 0.0, 0.5, 0.0, 1.0, 0.2)):
    generator = torch.Generator().manual_seed(1)
    rollouts = []
    for index, reward in enumerate(rewards):
        prompt = tuple(torch.randint(1, 30, (3 + index % 3,), generator=generator).tolist())
        tokens = tuple(torch.randint(1, 30, (2 + index,), generator=generator).tolist())
        text = Text(prompt_ids=prompt, token_ids=tokens)
        logp, _ = completion_logprobs(policy.model, [text], temperature=1.0, with_entropy=False)
        completion = Completion(
            text="",
            prompt_ids=prompt,
            token_ids=tokens,
            logprobs=tuple(logp.tolist()),
            entropies=(0.0,) * len(tokens),
            ended=True,
        )
        rollouts.append(Rollout(role="solver", group="a", completion=completion, reward=reward))
    return rollouts


def spec(**optimizer):
    return OnlineSpec(name="test", optimizer=OptimizerSpec(**{"lr": 1e-3, **optimizer}))


def weights(policy):
    return {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}


def updated(policy, settings, rollouts, lessons=()):
    twin = LoadedPolicy(**{**vars(policy), "model": copy.deepcopy(policy.model)})
    learner = Learner(
        settings, LearnerSpec(), {"main": twin}, policy_of={"solver": "main"}, reference=start_copy(policy)
    )
    metrics = learner.update(rollouts, list(lessons), order=range(len(rollouts)))
    return weights(twin), metrics, twin


def test_micro_batches_do_not_change_the_update(policy):
    rollouts = make_rollouts(policy)
    whole, metrics, _ = updated(policy, spec(micro_batch_tokens=16384), rollouts)
    single, same, _ = updated(policy, spec(micro_batch_tokens=256), rollouts * 1)
    # 256 tokens hold all of these, so cut by hand as well.
    rows, _, _ = updated(
        policy,
        spec().model_copy(update={"optimizer": OptimizerSpec(lr=1e-3).model_copy(update={"micro_batch_tokens": 1})}),
        rollouts,
    )
    assert metrics["grad/norm"] == pytest.approx(same["grad/norm"], rel=1e-5)
    for name in whole:
        assert torch.allclose(whole[name], single[name], atol=1e-6)
        assert torch.allclose(whole[name], rows[name], atol=2e-5)


def test_an_update_makes_rewarded_completions_likelier(policy):
    rollouts = make_rollouts(policy)
    _, _, twin = updated(policy, spec(), rollouts)
    best, worst = rollouts[4].completion, rollouts[3].completion
    for completion, sign in ((best, 1), (worst, -1)):
        text = Text(prompt_ids=completion.prompt_ids, token_ids=completion.token_ids)
        after, _ = completion_logprobs(twin.model, [text], temperature=1.0, with_entropy=False)
        assert sign * (float(after.sum().detach()) - sum(completion.logprobs)) > 0


def test_equal_rewards_change_nothing_without_entropy_bonus(policy):
    settings = OnlineSpec(name="test", optimizer=OptimizerSpec(lr=1e-3), loss=ClippedPolicyLoss(entropy_coef=0.0))
    after, _, _ = updated(policy, settings, make_rollouts(policy, (0.5,) * 6))
    assert all(torch.allclose(after[name], tensor) for name, tensor in weights(policy).items())


def test_on_policy_update_has_ratio_one(policy):
    _, metrics, _ = updated(policy, spec(), make_rollouts(policy))
    assert metrics["kl/sampler_learner"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["loss/clip_share"] == 0.0


def test_kl_to_the_start_is_zero_at_the_start(policy):
    settings = OnlineSpec(name="test", optimizer=OptimizerSpec(lr=1e-3), loss=ClippedPolicyLoss(kl_coef=0.1))
    _, metrics, _ = updated(policy, settings, make_rollouts(policy))
    assert metrics["kl/policy_start"] == pytest.approx(0.0, abs=1e-6)


def test_rehearsal_makes_lessons_likelier(policy):
    settings = OnlineSpec(name="test", optimizer=OptimizerSpec(lr=1e-3), rehearsal=RehearsalSpec(coef=1.0))
    lesson = Text(prompt_ids=[5, 6], token_ids=[7, 8, 0])
    before, _ = completion_logprobs(policy.model, [lesson], temperature=1.0, with_entropy=False)
    _, metrics, twin = updated(policy, settings, make_rollouts(policy), [lesson])
    after, _ = completion_logprobs(twin.model, [lesson], temperature=1.0, with_entropy=False)
    assert metrics["loss/rehearsal"] == pytest.approx(-float(before.mean().detach()), rel=1e-5)
    assert float(after.sum().detach()) > float(before.sum().detach())


def test_lessons_are_learnt_without_any_rollout(policy):
    settings = OnlineSpec(name="test", optimizer=OptimizerSpec(lr=1e-3), rehearsal=RehearsalSpec(coef=1.0))
    _, metrics, twin = updated(policy, settings, [], [Text(prompt_ids=[5, 6], token_ids=[7, 8, 0])])
    assert metrics["loss/rehearsal"] > 0
    assert any(not torch.equal(twin.model.state_dict()[name], tensor) for name, tensor in weights(policy).items())


def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted(policy):
    rollouts = make_rollouts(policy)
    rollouts[0].reward = float("nan")
    after, metrics, _ = updated(policy, spec(), rollouts)
    assert metrics["grad/skipped_updates"] == 1.0
    assert all(torch.equal(after[name], tensor) for name, tensor in weights(policy).items())


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_optimiser_state_survives_a_round_trip_through_tensors(policy, kind):
    settings = OptimizerSpec(kind=kind, lr=1e-2, warmup_steps=5)
    twin = copy.deepcopy(policy.model)
    first = OptimizerSet(settings, policy.model.named_parameters())

    def advance(model, optimizer, seed):
        torch.manual_seed(seed)
        for parameter in optimizer.parameters:
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()

    for seed in range(3):
        advance(policy.model, first, seed)
    twin.load_state_dict(policy.model.state_dict())
    second = OptimizerSet(settings, twin.named_parameters())
    second.load_state_dict(*first.state_dict())
    for seed in range(3, 6):
        advance(policy.model, first, seed)
        advance(twin, second, seed)
    for name, tensor in policy.model.state_dict().items():
        assert torch.equal(tensor, twin.state_dict()[name])
