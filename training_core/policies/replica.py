"""Weights of its own for the sampler, where it cannot use the learner's tensors: they are in use, or in pieces."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from training_core.policies.loaded import LoadedPolicy

NamedTensors = Iterable[tuple[str, torch.Tensor]]


class Replica:
    """A second set of the policies that another thread may sample from while the learner changes the first.

    Only what is trained is held twice; frozen tensors are shared. ``refresh`` brings a policy up to date.
    """

    def __init__(self, policies: Mapping[str, LoadedPolicy]) -> None:
        trained = {id(tensor) for policy in policies.values() for _, tensor in policy.trained_parameters()}
        models = {
            key: _copy_trained(model, trained)
            for key, model in {id(policy.model): policy.model for policy in policies.values()}.items()
        }
        # A tokenizer is not safe to use from two threads at once.
        self.policies = {
            name: replace(policy, model=models[id(policy.model)], tokenizer=copy.deepcopy(policy.tokenizer))
            for name, policy in policies.items()
        }

    @torch.no_grad()
    def refresh(self, name: str, tensors: NamedTensors) -> None:
        """Copy new weights of one policy in place, by the names of ``LoadedPolicy.trained_parameters``."""
        own = dict(self.policies[name].model.named_parameters())
        for tensor_name, tensor in tensors:
            own[tensor_name].copy_(tensor)


def _copy_trained(model: torch.nn.Module, trained: set[int]) -> torch.nn.Module:
    """A copy of the modules that shares every parameter but the trained ones."""
    shared = {id(tensor): tensor for tensor in model.parameters() if id(tensor) not in trained}
    twin = copy.deepcopy(model, shared)
    twin.eval()
    return twin
