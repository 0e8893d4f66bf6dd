"""Optimisers against those of torch."""

import copy

import torch

from tests.tiny_policy import make_tiny_policy
from training_core.learn.muon import StackedMuon


def test_stacked_muon_equals_muon_to_the_rounding_of_bfloat16():
    model = make_tiny_policy().model
    twin = copy.deepcopy(model)
    settings = {"lr": 0.01, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}

    def matrices(of):
        return [parameter for parameter in of.parameters() if parameter.ndim == 2]

    stacked, single = StackedMuon(matrices(model), **settings), torch.optim.Muon(matrices(twin), **settings)
    before = matrices(copy.deepcopy(model))
    for seed in range(3):
        torch.manual_seed(seed)
        for left, right in zip(matrices(model), matrices(twin), strict=True):
            left.grad = torch.randn_like(left)
            right.grad = left.grad.clone()
        stacked.step()
        single.step()
    for left, right, start in zip(matrices(model), matrices(twin), before, strict=True):
        moved = float((left - start).detach().norm())
        assert moved > 0.05
        assert float((left - right).detach().norm()) < 0.01 * moved
