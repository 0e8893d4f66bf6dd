"""One update of the weights: exact under any split, and in the direction of the advantage."""

import copy
import random
from dataclasses import replace
from math import log

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tests.tiny_policy import make_tiny_policy
from training_core.learn.learner import Learner
from training_core.learn.logprobs import Text, completion_logprobs
from training_core.learn.optimizers import OptimizerSet
from training_core.play.records import Rollout, StepBatch
from training_core.play.requests import Completion
from training_core.policies.loaded import LoadedPolicy, start_copy
from training_core.spec.learner import LearnerSpec
from training_core.spec.learning import (
    ClippedPolicyLoss,
    GroupRelative,
    NoBaseline,
    OptimizerSpec,
    RoleConditioned,
)
from training_core.spec.online import OnlineSpec
from training_core.spec.trained import RehearsalSpec


@pytest.fixture
def policy():
    return make_tiny_policy()


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
    references = {"main": start_copy(policy)}
    learner = Learner(settings, LearnerSpec(), {"main": twin}, policy_of={"solver": "main"}, references=references)
    return weights_after(learner, twin, rollouts, lessons)


def weights_after(learner, policy, rollouts, lessons=()):
    metrics = learner.update(StepBatch(rollouts=rollouts), list(lessons), rng=random.Random(0))
    return weights(policy), metrics, policy


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


def test_rollouts_are_told_how_likely_their_tokens_were_when_an_update_last_saw_them(policy):
    rollouts, settings = make_rollouts(policy), spec(epochs=2, micro_batch_tokens=256)
    learner = Learner(
        settings, LearnerSpec(), {"main": policy}, policy_of={"solver": "main"}, references={}, keeps_logprobs=True
    )
    once, _, _ = updated(policy, spec(), rollouts)
    learner.update(StepBatch(rollouts=rollouts), [], rng=random.Random(0))
    policy.model.load_state_dict(once)  # as the second epoch saw it
    for rollout in rollouts:
        text = Text(prompt_ids=rollout.completion.prompt_ids, token_ids=rollout.completion.token_ids)
        expected, _ = completion_logprobs(policy.model, [text], temperature=1.0, with_entropy=False)
        assert rollout.learner_logprobs == pytest.approx(expected.tolist(), abs=1e-4)
        assert rollout.learner_logprobs != pytest.approx(rollout.completion.logprobs, abs=1e-4)


def test_kl_to_the_start_is_zero_at_the_start(policy):
    settings = OnlineSpec(name="test", optimizer=OptimizerSpec(lr=1e-3), loss=ClippedPolicyLoss(kl_coef=0.1))
    _, metrics, _ = updated(policy, settings, make_rollouts(policy))
    assert metrics["kl/policy_start"] == pytest.approx(0.0, abs=1e-6)


def test_the_penalty_of_a_rollout_may_differ_from_that_of_the_loss(policy):
    def gradient_norm(kl_coef, coefs):
        settings = OnlineSpec(
            name="test",
            optimizer=OptimizerSpec(lr=1e-3, grad_clip=1000.0),
            advantage=NoBaseline(),
            loss=ClippedPolicyLoss(kl_coef=kl_coef, entropy_coef=0.0),
        )
        rollouts = make_rollouts(policy, (0.0,) * 6)
        for rollout, coef in zip(rollouts, coefs, strict=True):
            rollout.kl_coef = coef
        reference = start_copy(policy)
        for parameter in reference.model.parameters():
            parameter.data.mul_(1.1)
        twin = replace(policy, model=copy.deepcopy(policy.model))
        learner = Learner(
            settings, LearnerSpec(), {"main": twin}, policy_of={"solver": "main"}, references={"main": reference}
        )
        return weights_after(learner, twin, rollouts)[1]["grad/norm"]

    assert gradient_norm(0.2, [None] * 6) == pytest.approx(gradient_norm(0.0, [0.2] * 6), rel=1e-5)
    assert gradient_norm(0.2, [0.0] * 6) == 0.0
    assert 0 < gradient_norm(0.0, [0.2] + [0.0] * 5) < gradient_norm(0.2, [None] * 6)


def test_a_penalty_without_reference_says_what_to_do(policy):
    rollouts = make_rollouts(policy)
    rollouts[0].kl_coef = 0.1
    learner = Learner(spec(), LearnerSpec(), {"main": policy}, policy_of={"solver": "main"}, references={})
    with pytest.raises(ValueError, match="override needs_reference"):
        weights_after(learner, policy, rollouts)


def test_the_scale_of_a_rollout_multiplies_its_advantage(policy):
    rollouts = make_rollouts(policy)
    for rollout in rollouts:
        rollout.scale = 0.5
    settings = spec().model_copy(update={"advantage": NoBaseline()})
    updated(policy, settings, rollouts)
    assert [rollout.advantage for rollout in rollouts] == [0.5, 0.0, 0.25, 0.0, 0.5, 0.1]


def test_rollouts_that_may_be_dropped_do_not_count_without_advantage(policy):
    settings = grpo().model_copy(update={"advantage": NoBaseline()})
    rollouts = make_rollouts(policy, (1.0, 0.0, 0.5, 0.0, 1.0, 0.2))
    for rollout in rollouts:
        rollout.droppable = True
    after, metrics, _ = updated(policy, settings, rollouts)
    expected, alone, _ = updated(policy, settings, [rollout for rollout in rollouts if rollout.reward])
    assert metrics["loss/policy"] == pytest.approx(alone["loss/policy"], rel=1e-6)
    assert all(torch.allclose(after[name], expected[name], atol=1e-6) for name in after)


def test_running_baselines_are_part_of_the_learners_state(policy):
    def learner():
        settings = spec().model_copy(update={"advantage": RoleConditioned(decay=0.5)})
        return Learner(settings, LearnerSpec(), {"main": policy}, policy_of={"solver": "main"}, references={})

    first, second = learner(), learner()
    _, metrics, _ = weights_after(first, policy, make_rollouts(policy, (1.0,) * 6))
    second.load_state_dict(first.state_dict())
    rollouts = make_rollouts(policy, (1.0,) * 6)
    weights_after(second, policy, rollouts)
    assert metrics["baseline/solver"] == 0.5
    assert rollouts[0].advantage == 0.5


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


@pytest.mark.parametrize("kind", ["adamw", "muon", "rmsprop"])
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


def grpo(**loss):
    return OnlineSpec(
        name="test",
        optimizer=OptimizerSpec(lr=1e-3),
        advantage=GroupRelative(),
        loss=ClippedPolicyLoss(**{"entropy_coef": 0.0, **loss}),
    )


def test_rollouts_without_advantage_are_left_out_and_change_nothing(policy):
    rollouts = make_rollouts(policy, (1.0, 0.0, 0.3, 0.3, 0.3, 0.2))
    for rollout, group in zip(rollouts, "aabbbc", strict=True):
        rollout.group = group
    rollouts = rollouts[:5]
    quick, metrics, _ = updated(policy, grpo(), rollouts)
    # A bonus this small changes no weight, but every row must be run for it.
    slow, complete, _ = updated(policy, grpo(entropy_coef=1e-30), rollouts)
    assert [rollout.advantage for rollout in rollouts[2:]] == [0.0, 0.0, 0.0]
    assert all(torch.allclose(quick[name], slow[name], atol=1e-6) for name in quick)
    assert metrics["loss/policy"] == pytest.approx(complete["loss/policy"], rel=1e-5)
    assert (metrics["tokens/trained"], complete["tokens/trained"]) == (2 + 3, 2 + 3 + 4 + 5 + 6)


def test_nothing_but_rollouts_without_advantage_is_a_step_with_gradient_0(policy):
    _, metrics, _ = updated(policy, grpo(), make_rollouts(policy, (0.1,) * 6))
    assert metrics["grad/norm"] == 0.0
    assert metrics["grad/skipped_updates"] == 0.0


def both_policies(policy):
    return {name: replace(policy, model=copy.deepcopy(policy.model)) for name in ("left", "right")}


def test_rollouts_go_to_the_policy_of_their_role(policy):
    rollouts = make_rollouts(policy)
    for rollout in rollouts[::2]:
        rollout.role = "proposer"
    policies = both_policies(policy)
    learner = Learner(spec(), LearnerSpec(), policies, policy_of={"solver": "left", "proposer": "right"}, references={})
    metrics = learner.update(StepBatch(rollouts=rollouts), [], rng=random.Random(0))
    expected, alone, _ = updated(policy, spec(), rollouts[1::2])
    assert all(torch.allclose(tensor, expected[name], atol=1e-6) for name, tensor in weights(policies["left"]).items())
    assert metrics["loss/policy/left"] == pytest.approx(alone["loss/policy"], rel=1e-5)
    assert "loss/policy" not in metrics
    assert metrics["tokens/trained"] == sum(len(rollout.completion.token_ids) for rollout in rollouts)
    assert set(learner.optimizers) == {"left", "right"}


def test_a_gradient_that_is_not_finite_skips_its_own_policy_only(policy):
    rollouts = make_rollouts(policy)
    rollouts[0].role, rollouts[0].reward = "proposer", float("inf")
    policies = both_policies(policy)
    before = weights(policy)
    learner = Learner(spec(), LearnerSpec(), policies, policy_of={"solver": "left", "proposer": "right"}, references={})
    metrics = learner.update(StepBatch(rollouts=rollouts), [], rng=random.Random(0))
    assert (metrics["grad/skipped_updates/left"], metrics["grad/skipped_updates/right"]) == (0.0, 1.0)
    assert (learner.num_skipped, learner.num_skipped_in_a_row) == (1, 1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(policies["right"]).items())
    assert not all(torch.equal(tensor, before[name]) for name, tensor in weights(policies["left"]).items())


def with_adapters(policy, names):
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "up_proj"])
    model = get_peft_model(policy.model, config, adapter_name=names[0])
    for name in names[1:]:
        model.add_adapter(name, config)
    return {name: replace(policy, model=model, adapter=name) for name in names}


def test_adapters_learn_apart_and_take_their_base_as_reference(policy):
    rollouts = make_rollouts(policy)
    for rollout in rollouts[::2]:
        rollout.role = "proposer"
    policies = with_adapters(policy, ("left", "right"))
    settings = OnlineSpec(name="test", optimizer=OptimizerSpec(lr=1e-2), loss=ClippedPolicyLoss(kl_coef=0.1))
    learner = Learner(
        settings, LearnerSpec(), policies, policy_of={"solver": "left", "proposer": "right"}, references={}
    )
    before = weights(policies["left"])
    first = learner.update(StepBatch(rollouts=rollouts), [], rng=random.Random(0))
    after = weights(policies["left"])
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert all("lora_" in name for name in changed)
    assert {name.rsplit(".", 2)[1] for name in changed} == {"left", "right"}
    second = learner.update(StepBatch(rollouts=rollouts), [], rng=random.Random(0))
    assert first["kl/policy_start/left"] == pytest.approx(0.0, abs=1e-6)
    assert second["kl/policy_start/left"] > 1e-6
    assert second["kl/policy_start/right"] > 1e-6


def corrected(policy, rollouts, **optimizer):
    twin = replace(policy, model=copy.deepcopy(policy.model))
    learner = Learner(
        spec(**optimizer),
        LearnerSpec(correction_cap=1.5),
        {"main": twin},
        policy_of={"solver": "main"},
        references={},
        sampler_is_learner=False,
    )
    after, metrics, _ = weights_after(learner, twin, rollouts)
    return metrics, after


def test_a_sampler_that_agrees_needs_no_correction(policy):
    rollouts = make_rollouts(policy)
    metrics, after = corrected(policy, rollouts)
    expected, _, _ = updated(policy, spec(), rollouts)
    assert metrics["mismatch/kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["mismatch/ratio_max"] == pytest.approx(1.0, abs=1e-4)
    assert metrics["mismatch/truncated_share"] == 0.0
    assert all(torch.allclose(after[name], expected[name], atol=1e-6) for name in after)


@pytest.mark.parametrize("optimizer", [{}, {"minibatches": 2, "epochs": 2, "lr": 1e-6}])
def test_a_sampler_that_differs_shows_in_the_metrics(policy, optimizer):
    rollouts = make_rollouts(policy)
    for rollout in rollouts:
        rollout.completion = replace(
            rollout.completion, logprobs=tuple(logp - log(2) for logp in rollout.completion.logprobs)
        )
    metrics, _ = corrected(policy, rollouts, **optimizer)
    assert metrics["mismatch/kl"] == pytest.approx(2 - 1 - log(2), rel=1e-4)
    assert metrics["mismatch/ratio_max"] == pytest.approx(2.0, rel=1e-4)
    assert metrics["mismatch/truncated_share"] == 1.0
    # The ratio of the loss is against the learner's own log-probs: nothing is clipped for the sampler's sake.
    assert metrics["loss/clip_share"] == 0.0
