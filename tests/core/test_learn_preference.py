"""Preference learning: the losses by hand, the gradient against plain autograd, and what readers are told."""

import copy
import random
from dataclasses import replace
from math import exp, log
from string import ascii_lowercase

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

from tests.formulas import put_together
from tests.tiny_policy import make_tiny_policy
from training_core.learn.learner import Learner
from training_core.learn.logprobs import Text, completion_logprobs
from training_core.learn.preference_losses import PairTensors, preference_loss
from training_core.methods.card import common_equations
from training_core.play.records import Blend, Demonstration, Pair, Rollout, StepBatch
from training_core.play.requests import Completion
from training_core.play.step_log import StepLog
from training_core.policies.loaded import start_copy
from training_core.spec.events import PairView, Turn
from training_core.spec.learner import LearnerSpec
from training_core.spec.learning import DpoLoss, HingeLoss, IpoLoss, OptimizerSpec, SppoLoss, SppoSingleLoss
from training_core.spec.online import OnlineSpec
from training_core.spec.preference import PreferenceSpec
from training_core.spec.trained import TrainedSpec


def completion(*token_ids):
    return Completion(
        text="",
        prompt_ids=(),
        token_ids=token_ids,
        logprobs=(0.0,) * len(token_ids),
        entropies=(),
        ended=True,
    )


def pair(prompt, chosen, rejected, **options):
    return Pair(role="player", prompt=prompt, chosen=completion(*chosen), rejected=completion(*rejected), **options)


def pairs():
    return [
        pair("abc", (7, 8, 0), (9, 0)),
        pair("bd", (1, 0), (5, 5, 5, 0)),
        pair("abc", (11, 0), (12, 13, 0)),
    ]


@pytest.fixture
def policy():
    """Reads letters: a is 1, b is 2 and so on; 0 ends a text."""
    vocabulary = {"<end>": 0, **{letter: index for index, letter in enumerate(ascii_lowercase, 1)}}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE(vocab=vocabulary, merges=[])), eos_token="<end>"
    )
    return replace(make_tiny_policy(), tokenizer=tokenizer)


def sequence_logp(policy, prompt, token_ids):
    text = Text(prompt_ids=policy.encode(prompt), token_ids=token_ids)
    return completion_logprobs(policy.model, [text], temperature=1.0, with_entropy=False)[0].sum()


def learner_of(policy, reference, *, preference=None, imitation_coef=0.0, **optimizer):
    settings = OptimizerSpec(**{"lr": 1e-3, "grad_clip": 1000.0, **optimizer})
    method = PreferenceSpec(
        name="test",
        preference=preference or DpoLoss(beta=0.5),
        imitation_coef=imitation_coef,
        optimizer=settings,
    )
    return Learner(
        method,
        LearnerSpec(),
        {"main": policy},
        policy_of={"player": "main"},
        references={} if reference is None else {"main": reference},
    )


def update(learner, *found, **batch):
    return learner.update(StepBatch(pairs=list(found), **batch), [], rng=random.Random(0))


def strayed(policy):
    reference = start_copy(policy)
    torch.manual_seed(5)
    for parameter in reference.model.parameters():
        parameter.data.add_(0.01 * torch.randn_like(parameter))
    return reference


def gradient_of(learner, policy, *found, **batch):
    """Metrics of an update and the gradient at its only optimiser step, which is left out."""
    seen = {}

    def step(**_):
        seen.update({name: parameter.grad.clone() for name, parameter in policy.model.named_parameters()})
        policy.model.zero_grad()
        return 1.0

    learner.optimizers["main"].step = step
    return update(learner, *found, **batch), seen


# The chosen completion gained ln 2 nats in 2 tokens, the rejected one lost ln 4 in 4, and they win 8 and 3 times of 10.
BY_HAND = [
    (DpoLoss(beta=0.5), 0.5, log(1 + exp(-1.5 * log(2))), 1.5 * log(2)),
    (IpoLoss(beta=0.5, per_token=False), 0.5, (3 * log(2) - 1) ** 2, 1.5 * log(2)),
    (IpoLoss(beta=0.5), 0.5, (log(2) / 2 + log(4) / 4 - 1) ** 2, 0.5 * log(2)),
    (HingeLoss(beta=0.25), 0.25, 1 - 0.75 * log(2), 0.75 * log(2)),
    (HingeLoss(beta=1.0), 1.0, 0.0, 3 * log(2)),
    (SppoLoss(eta=2.0), 2.0, ((log(2) - 0.6) ** 2 + (-log(4) + 0.4) ** 2) / 2, 1.5 * log(2)),
    (SppoSingleLoss(eta=2.0), 2.0, ((log(2) - 0.6) ** 2 + (-log(4) + 0.6) ** 2) / 2, 1.5 * log(2)),
]


@pytest.mark.parametrize(("spec", "strength", "loss", "margin"), BY_HAND)
def test_loss_and_margin_by_hand(spec, strength, loss, margin):
    values = (log(2), -log(4), strength, 2, 4, 0.8, 0.3)
    names = ("chosen_logratio", "rejected_logratio", "strength", "chosen_tokens", "rejected_tokens")
    names += ("chosen_wins", "rejected_wins")
    tensors = PairTensors(**{f"{name}_P": torch.tensor([value]) for name, value in zip(names, values, strict=True)})
    loss_P, margin_P = preference_loss(spec, tensors)
    assert float(loss_P) == pytest.approx(loss, rel=1e-5, abs=1e-7)
    assert float(margin_P) == pytest.approx(margin, rel=1e-5)


@pytest.mark.parametrize(("spec", "strength", "loss", "margin"), BY_HAND)
def test_the_formulas_that_pages_show_are_these_losses(spec, strength, loss, margin):
    metrics = {
        "loss/preference": loss,
        "preference/margin": margin,
        "preference/strength": strength,
        "preference/chosen_logratio": log(2),
        "preference/rejected_logratio": -log(4),
        "preference/chosen_wins": 0.8,
        "preference/rejected_wins": 0.3,
    }
    resolved = {"method": {"preference": spec.model_dump()}}
    shown = [equation for equation in common_equations() if equation.holds_in(resolved)]
    assert [equation.measured for equation in shown] == ["preference/margin", "loss/preference"]
    for total, told in filter(None, (put_together(equation, metrics, resolved) for equation in shown)):
        assert total == pytest.approx(told, abs=1e-7)  # of a single pair, a bound is the loss itself


def test_the_first_step_starts_from_ln_2_and_prefers_the_chosen(policy):
    learner = learner_of(policy, start_copy(policy))
    first = update(learner, *pairs())
    assert first["loss/preference"] == pytest.approx(log(2), abs=1e-6)
    assert first["preference/margin"] == pytest.approx(0.0, abs=1e-5)
    second = update(learner, *pairs())
    assert second["loss/preference"] < first["loss/preference"]
    assert second["preference/accuracy"] == 1.0
    assert second["preference/strength"] == 0.5
    assert second["preference/chosen_logratio"] > second["preference/rejected_logratio"]
    assert second["tokens/trained"] == 5 + 6 + 5


@pytest.mark.parametrize("micro_batch_tokens", [16384, 1])
def test_the_gradient_is_that_of_the_plain_loss(policy, micro_batch_tokens):
    reference, twin = strayed(policy), replace(policy, model=copy.deepcopy(policy.model))
    preferred = [*pairs(), pair("bd", (3, 0), (4, 4, 0), beta=0.2)]
    expected = 0.0
    for each in preferred:
        chosen, rejected, reference_chosen, reference_rejected = (
            sequence_logp(model, each.prompt, side.token_ids)
            for model in (twin, reference)
            for side in (each.chosen, each.rejected)
        )
        margin = (each.beta or 0.5) * ((chosen - reference_chosen) - (rejected - reference_rejected))
        loss = -torch.nn.functional.logsigmoid(margin) - 0.3 * chosen / len(each.chosen.token_ids)
        expected = expected + loss / len(preferred)
    expected.backward()
    learner = learner_of(policy, reference, imitation_coef=0.3)
    passes = learner._trainers["main"]._objectives[0]._passes
    passes._budget_tokens = micro_batch_tokens
    metrics, found = gradient_of(learner, policy, *preferred)
    assert metrics["loss/imitation"] > 0
    for name, parameter in twin.model.named_parameters():
        assert torch.allclose(found[name], parameter.grad, atol=1e-6)


def test_a_corrected_pair_is_added_and_the_old_one_taken_away_on_the_scale_of_the_steps_own(policy):
    reference, own = strayed(policy), pairs()[:2]
    new = pair("abc", (12, 13, 0), (11, 0), correction=1.0)
    old = pair("abc", (11, 0), (12, 13, 0), correction=-1.0)
    alone, alone_metrics = _gradient(policy, reference, own)
    both, metrics = _gradient(policy, reference, [*own, new, old])
    # -ln s(-m) + ln s(m) = m = beta (c - r), c and r of the new pair; over two pairs of its own.
    twin = replace(policy, model=copy.deepcopy(policy.model))
    gap = sequence_logp(twin, "abc", (12, 13, 0)) - sequence_logp(twin, "abc", (11, 0))
    (-0.5 * gap / 2).backward()
    for name, parameter in twin.model.named_parameters():
        assert torch.allclose(both[name] - alone[name], parameter.grad, atol=1e-6)
    assert {
        name: metrics[name] for name in alone_metrics if name.startswith(("preference/", "loss/"))
    } == pytest.approx(
        {name: value for name, value in alone_metrics.items() if name.startswith(("preference/", "loss/"))}
    )


def _gradient(policy, reference, found):
    metrics, gradient = gradient_of(learner_of(policy, reference), policy, *found)
    return gradient, metrics


def test_a_text_is_learnt_with_the_token_that_ends_it(policy):
    end = policy.encode_completion("")
    assert len(end) == 1
    written = [Pair(role="player", prompt="abc", chosen="ba", rejected="c")]
    sampled = [pair("abc", (*policy.encode("ba"), *end), (*policy.encode("c"), *end))]
    reference = strayed(policy)
    (_, left), (_, right) = (gradient_of(learner_of(policy, reference), policy, *found) for found in (written, sampled))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_demonstrations_are_imitated_token_by_token_with_their_weight(policy):
    twin = replace(policy, model=copy.deepcopy(policy.model))
    shown = [("abc", (7, 8, 0), 1.0), ("bd", (5, 0), 0.25)]
    expected = -sum(weight * sequence_logp(twin, prompt, ids) for prompt, ids, weight in shown) / 5
    expected.backward()
    method = TrainedSpec(name="test", optimizer=OptimizerSpec(lr=1e-3))
    learner = Learner(method, LearnerSpec(), {"main": policy}, policy_of={"player": "main"}, references={})
    demonstrations = [
        Demonstration(role="player", prompt=prompt, completion=completion(*ids), weight=weight)
        for prompt, ids, weight in shown
    ]
    _, found = gradient_of(learner, policy, demonstrations=demonstrations)
    for name, parameter in twin.model.named_parameters():
        assert torch.allclose(found[name], parameter.grad, atol=1e-6)


def test_one_gradient_holds_all_objectives(policy):
    class Both(OnlineSpec, PreferenceSpec):
        name: str = "both"

    reference = strayed(policy)
    said = replace(completion(7, 8, 0), prompt_ids=tuple(policy.encode("abc")), logprobs=(-3.0, -3.0, -3.0))
    rollouts = [
        Rollout(role="player", group="a", completion=said, reward=1.0),
        Rollout(role="player", group="a", completion=replace(said, token_ids=(9, 4, 0)), reward=0.0),
    ]
    shown = [Demonstration(role="player", prompt="abc", completion="b")]

    def gradient(**batch):
        learner = Learner(
            Both(optimizer=OptimizerSpec(lr=1e-3)),
            LearnerSpec(),
            {"main": policy},
            policy_of={"player": "main"},
            references={"main": reference},
        )
        return gradient_of(learner, policy, *batch.pop("pairs", ()), **batch)[1]

    parts = [{"rollouts": rollouts}, {"pairs": pairs()}, {"demonstrations": shown}]
    added = [gradient(**part) for part in parts]
    together = gradient(rollouts=rollouts, pairs=pairs(), demonstrations=shown)
    for name, value in together.items():
        assert torch.allclose(value, sum(each[name] for each in added), atol=1e-6)


def test_turns_are_told_their_log_ratios(policy):
    reference = strayed(policy)
    turns = (Turn(role="player", text="good"), Turn(role="player", text="bad"))
    (shown,) = [replace(pairs()[1], turns=turns)]
    expected = [
        float((sequence_logp(policy, "bd", ids) - sequence_logp(reference, "bd", ids)).detach())
        for ids in ((1, 0), (5, 5, 5, 0))
    ]
    # The second pass over the batch sees changed weights; readers want to know how it was before.
    update(learner_of(policy, reference, epochs=2, lr=0.1), pairs()[0], shown)
    assert [turn.logratio for turn in turns] == pytest.approx(expected, abs=1e-5)


def test_minibatches_are_updates_of_their_own(policy):
    learner = learner_of(policy, start_copy(policy), minibatches=3, epochs=2)
    update(learner, *pairs())
    _, numbers = learner.optimizers["main"].state_dict()
    assert numbers["num_steps"] == 6


def test_a_restarted_optimiser_takes_the_first_step_again(policy):
    twins = [replace(policy, model=copy.deepcopy(policy.model)) for _ in range(2)]
    used, fresh = (learner_of(twin, start_copy(policy), warmup_steps=3) for twin in twins)
    for _ in range(2):
        update(used, *pairs())
    twins[0].model.load_state_dict(policy.model.state_dict())
    update(used, *pairs(), restart_optimizer=("main",))
    update(fresh, *pairs())
    left, right = (twin.model.state_dict() for twin in twins)
    assert all(torch.equal(left[name], right[name]) for name in left)
    with pytest.raises(ValueError, match="name policies, not roles"):
        update(used, *pairs(), restart_optimizer=("player",))


def test_the_step_size_follows_the_scale_of_the_batch(policy):
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    moved = []
    for scale in (1.0, 0.5):
        twin = replace(policy, model=copy.deepcopy(policy.model))
        update(learner_of(twin, start_copy(policy)), *pairs(), lr_scale=scale)
        after = twin.model.state_dict()
        moved.append(sum(float((after[name] - value).abs().sum()) for name, value in before.items()))
    assert moved[1] == pytest.approx(moved[0] / 2, rel=1e-3)


def test_without_reference_the_learner_says_what_to_do(policy):
    with pytest.raises(ValueError, match="pass a frozen copy"):
        learner_of(policy, None)


def test_a_spec_without_the_loss_is_refused_with_the_family_that_has_it(policy):
    def learner(spec):
        references = {"main": start_copy(policy)}
        return Learner(spec, LearnerSpec(), {"main": policy}, policy_of={"player": "main"}, references=references)

    said = completion(7, 0)
    with pytest.raises(ValueError, match=r"hands over a pair.*derive the spec from PreferenceSpec"):
        update(learner(OnlineSpec(name="test")), *pairs())
    with pytest.raises(ValueError, match=r"hands over a rollout.*derive the spec from OnlineSpec"):
        update(
            learner(PreferenceSpec(name="test")),
            rollouts=[Rollout(role="player", group="a", completion=said, reward=1)],
        )


def test_a_batch_of_every_kind_survives_json():
    log = StepLog()
    sample = log.new_sample("1-0", "sort")
    sample.turns += [Turn(role="player", text="good"), Turn(role="player", text="bad")]
    log.prefer(replace(pairs()[0], rejected="c", win_rates=(0.8, 0.3), turns=(sample.turns[0], sample.turns[1])))
    log.imitate(Demonstration(role="player", prompt="abc", completion="b", turn=sample.turns[1]))
    log.learn(Rollout(role="player", group="a", completion=completion(1), reward=1.0, kl_coef=0.5), train=True)
    blends = [Blend(into="average", parts={"average": 0.9, "main": 0.1})]
    batch = log.batch(blends=blends, restart_optimizer=("main",), lr_scale=0.5)
    again = StepBatch.from_json(batch.to_json())
    assert again == batch
    assert again.pairs[0].turns[0] is again.samples[0].turns[0]
    assert again.demonstrations[0].turn is again.samples[0].turns[1]
    assert sample.pairs == [PairView(chosen=0, rejected=1)]
    assert (batch.metrics["pairs/player"], batch.metrics["demonstrations/player"]) == (1.0, 1.0)
