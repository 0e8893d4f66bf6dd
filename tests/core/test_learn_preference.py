"""DPO: the loss by hand, the step against plain autograd."""

import copy
from dataclasses import replace
from math import exp, log

import pytest
import torch

from tests.tiny_policy import make_tiny_policy
from training_core.learn.logprobs import Text, completion_logprobs
from training_core.learn.preference import Pair, PreferenceLearner, dpo_loss
from training_core.policies.loaded import start_copy
from training_core.spec.learner import LearnerSpec
from training_core.spec.learning import DpoLoss, OptimizerSpec

PAIRS = [
    Pair(prompt_ids=(3, 4, 5), chosen_ids=(7, 8, 0), rejected_ids=(9, 0)),
    Pair(prompt_ids=(6, 2), chosen_ids=(1, 0), rejected_ids=(5, 5, 5, 0)),
    Pair(prompt_ids=(3, 4, 5), chosen_ids=(11, 0), rejected_ids=(12, 13, 0)),
]


@pytest.fixture
def policy():
    return make_tiny_policy()


def sequence_logp(model, prompt_ids, token_ids):
    text = Text(prompt_ids=prompt_ids, token_ids=token_ids)
    return completion_logprobs(model, [text], temperature=1.0, with_entropy=False)[0].sum()


def learner_of(policy, reference, *, lr=1e-3, **optimizer):
    settings = OptimizerSpec(lr=lr, grad_clip=1000.0, **optimizer)
    return PreferenceLearner(DpoLoss(beta=0.5), settings, LearnerSpec(), policy, reference=reference)


def test_loss_and_margin_by_hand():
    # The chosen one gained ln 2, the rejected one lost ln 4: margin = 0.5 (ln 2 + ln 4) = 1.5 ln 2.
    loss, margin = dpo_loss(
        DpoLoss(beta=0.5),
        chosen_logp_P=torch.tensor([-1.0 + log(2)]),
        rejected_logp_P=torch.tensor([-2.0 - log(4)]),
        reference_chosen_logp_P=torch.tensor([-1.0]),
        reference_rejected_logp_P=torch.tensor([-2.0]),
    )
    assert float(margin) == pytest.approx(1.5 * log(2))
    assert float(loss) == pytest.approx(log(1 + exp(-1.5 * log(2))))


def test_the_first_step_starts_from_ln_2_and_prefers_the_chosen(policy):
    learner = learner_of(policy, start_copy(policy))
    first = learner.update(PAIRS)
    assert first["loss/preference"] == pytest.approx(log(2), abs=1e-6)
    assert first["preference/margin"] == pytest.approx(0.0, abs=1e-5)
    second = learner.update(PAIRS)
    assert second["loss/preference"] < first["loss/preference"]
    assert second["preference/accuracy"] == 1.0


@pytest.mark.parametrize("micro_batch_tokens", [16384, 256])
def test_the_gradient_is_that_of_the_plain_loss(policy, micro_batch_tokens):
    twin, reference = replace(policy, model=copy.deepcopy(policy.model)), start_copy(policy)
    torch.manual_seed(5)
    for parameter in reference.model.parameters():
        parameter.data.add_(0.01 * torch.randn_like(parameter))
    expected = 0.0
    for pair in PAIRS:
        chosen, rejected, reference_chosen, reference_rejected = (
            sequence_logp(model, pair.prompt_ids, ids)
            for model in (twin.model, reference.model)
            for ids in (pair.chosen_ids, pair.rejected_ids)
        )
        margin = 0.5 * ((chosen - reference_chosen) - (rejected - reference_rejected))
        expected = expected - torch.nn.functional.logsigmoid(margin) / len(PAIRS)
    expected.backward()
    found = {}
    learner = learner_of(policy, reference, micro_batch_tokens=micro_batch_tokens)
    learner.optimizer.step = lambda: (
        found.update({name: parameter.grad.clone() for name, parameter in policy.model.named_parameters()}) or 1.0
    )
    metrics = learner.update(PAIRS)
    assert metrics["loss/preference"] == pytest.approx(float(expected.detach()), rel=1e-5)
    for name, parameter in twin.model.named_parameters():
        assert torch.allclose(found[name], parameter.grad, atol=1e-6)


def test_reference_log_probs_are_computed_once(policy):
    learner = learner_of(policy, start_copy(policy), lr=0.1)
    known = learner.with_reference(PAIRS)
    assert known[1].reference_logp == pytest.approx(
        [float(sequence_logp(policy.model, (6, 2), ids).detach()) for ids in ((1, 0), (5, 5, 5, 0))], abs=1e-5
    )
    learner.update(known)
    assert learner.with_reference(known) == known


def test_without_reference_the_learner_says_what_to_do(policy):
    with pytest.raises(ValueError, match="pass a frozen copy"):
        learner_of(policy, None)
