"""Drawing tokens: the distributions, the settings of every row, and the numbers they are drawn with."""

import numpy as np
import pytest
import torch

from training_core.engines.sampling import RowSettings, draw, uniforms
from training_core.spec.learning import SamplingSpec


def settings(*specs: SamplingSpec, rows_each: int) -> RowSettings:
    which = np.repeat(np.arange(len(specs)), rows_each)
    return RowSettings.of(specs, which, torch.device("cpu"))


def even(num: int) -> torch.Tensor:
    """Numbers spread evenly over [0, 1), so that shares of drawn tokens are probabilities to 1 / num."""
    return (torch.arange(num) + 0.5) / num


def kept(logits: torch.Tensor, **sampling: float) -> set[int]:
    spec = SamplingSpec(**sampling)
    return set(draw(logits.expand(5000, -1).clone(), even(5000), settings(spec, rows_each=5000)).token_B.tolist())


@pytest.mark.parametrize("num_tokens", [7, 110, 1024, 1025, 5000])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_tokens_are_drawn_as_often_as_they_are_likely(num_tokens, temperature):
    logits = 2 * torch.randn(num_tokens, generator=torch.Generator().manual_seed(0))
    num = 4_000
    drawn = draw(
        logits.expand(num, -1).clone(), even(num), settings(SamplingSpec(temperature=temperature), rows_each=num)
    )
    probs = (logits.double() / temperature).softmax(-1)
    counts = torch.bincount(drawn.token_B, minlength=num_tokens) / num
    assert (counts - probs).abs().max() < 2 / num
    assert torch.allclose(drawn.logp_B.double(), probs.log()[drawn.token_B], atol=1e-5)
    assert torch.allclose(drawn.entropy_B.double(), -(probs * probs.log()).sum(), atol=1e-5)


@pytest.mark.parametrize("num_tokens", [30, 3000])
def test_impossible_tokens_are_never_drawn(num_tokens):
    logits = torch.full((1, num_tokens), -200.0)
    logits[0, 3] = logits[0, 17] = 0.0
    nearly_one = 1 - 2**-24
    drawn = draw(
        logits.expand(4, -1).clone(),
        torch.tensor([0.0, 0.4999, 0.5001, nearly_one]),
        settings(SamplingSpec(), rows_each=4),
    )
    assert drawn.token_B.tolist() == [3, 3, 17, 17]


def test_top_k_keeps_the_likeliest():
    logits = torch.randn(1, 40, generator=torch.Generator().manual_seed(1))
    assert kept(logits, top_k=3) == set(logits[0].topk(3).indices.tolist())
    assert kept(logits, top_k=1000) == kept(logits)


def test_top_p_keeps_the_fewest_tokens_that_reach_it():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert kept(logits, top_p=0.5) == {0}
    assert kept(logits, top_p=0.51) == {0, 1}
    assert kept(logits, top_p=0.94) == {0, 1, 2}
    assert kept(logits, top_p=1e-6) == {0}


def test_min_p_counts_against_the_likeliest():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert kept(logits, min_p=0.29) == {0, 1, 2}
    assert kept(logits, min_p=0.31) == {0, 1}
    assert kept(logits, min_p=1.0) == {0}


def test_log_probs_and_entropies_are_those_of_what_was_kept():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    drawn = draw(logits.expand(2, -1).clone(), torch.tensor([0.1, 0.9]), settings(SamplingSpec(top_k=2), rows_each=2))
    probs = torch.tensor([0.5, 0.3]) / 0.8
    assert drawn.token_B.tolist() == [0, 1]
    assert torch.allclose(drawn.logp_B, probs.log(), atol=1e-6)
    assert torch.allclose(drawn.entropy_B, -(probs * probs.log()).sum(), atol=1e-6)


def test_rows_of_one_batch_follow_their_own_settings():
    specs = [
        SamplingSpec(),
        SamplingSpec(temperature=0),
        SamplingSpec(temperature=2.0, top_p=0.5),
        SamplingSpec(top_k=2, min_p=0.1),
    ]
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(2))
    uniform = torch.rand(4, generator=torch.Generator().manual_seed(3))
    together = draw(logits.clone(), uniform, settings(*specs, rows_each=1))
    for row, spec in enumerate(specs):
        alone = draw(logits[row : row + 1].clone(), uniform[row : row + 1], settings(spec, rows_each=1))
        for all_rows, one_row in zip(together, alone, strict=True):
            assert torch.allclose(all_rows[row], one_row[0])
    assert together.token_B[1] == logits[1].argmax()


def test_a_greedy_token_carries_its_log_prob_at_temperature_one():
    logits = torch.randn(1, 50, generator=torch.Generator().manual_seed(2))
    drawn = draw(logits.clone(), torch.tensor([0.5]), settings(SamplingSpec(temperature=0), rows_each=1))
    assert torch.allclose(drawn.logp_B, logits.log_softmax(-1).amax(-1))


def test_random_numbers_depend_on_seed_and_token_alone():
    seeds = np.array([5, 6, 2**62], dtype=np.uint64)
    whole = uniforms(seeds, np.zeros(3, dtype=np.int64), 40)
    later = uniforms(seeds[::-1], np.full(3, 30), 10)
    assert (whole[:, 30:] == later[::-1]).all()


def test_random_numbers_are_uniform_and_neighbouring_seeds_unrelated():
    numbers = uniforms(np.arange(2000, dtype=np.uint64), np.zeros(2000, dtype=np.int64), 50)
    assert numbers.min() >= 0 and numbers.max() < 1
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    assert abs(counts / numbers.size - 0.05).max() < 0.003
    assert abs(np.corrcoef(numbers[:-1].ravel(), numbers[1:].ravel())[0, 1]) < 0.015
    assert abs(np.corrcoef(numbers[:, :-1].ravel(), numbers[:, 1:].ravel())[0, 1]) < 0.015
