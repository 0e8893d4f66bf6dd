"""Weights of its own for the sampler, where it cannot use the learner's tensors: they are in use, or in pieces."""

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch

from training_core.distributed.tensors import whole
from training_core.policies.loaded import LoadedPolicy, adapter_in


class Replica:
    """A second set of the policies that another thread may sample from while the learner changes the first.

    Only what is trained, and adapters, are held twice; frozen tensors are shared as long as they are in one piece. ``refresh`` brings
    a policy up to date.
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
    def refresh(self, name: str, policy: LoadedPolicy) -> None:
        """Copy the weights of ``policy`` into this one's place. Where they are in parts, all processes must refresh together."""
        own = self.policies[name].tensors()
        for tensor_name, tensor in policy.tensors().items():
            found = whole(tensor)
            if found.data_ptr() != own[tensor_name].data_ptr():
                own[tensor_name].copy_(found)


def _copy_trained(model: torch.nn.Module, trained: set[int]) -> torch.nn.Module:
    """A copy of the modules that shares every parameter but the trained ones and those of adapters: switching adapters marks them."""
    shared = {
        id(tensor): tensor
        for name, tensor in model.named_parameters()
        if id(tensor) not in trained and adapter_in(name) is None
    }
    twin = copy.deepcopy(model, shared)
    twin.eval()
    return twin
