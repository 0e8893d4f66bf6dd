"""Random-weight models whose attention heads are wide enough for vLLM's CPU build."""

import torch

from tests.tiny_model import random_qwen2
from training_core.policies.load import with_adapters
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.model import LoraSpec


def random_policy(seed: int = 0) -> LoadedPolicy:
    """A small Qwen2 with two heads of 32."""
    return policy_of(*random_qwen2(hidden_size=64, seed=seed))


def policy_of(model, tokenizer) -> LoadedPolicy:
    return LoadedPolicy(
        model=model.eval(),
        tokenizer=tokenizer,
        style="starter",
        end_ids=frozenset({tokenizer.eos_token_id}),
        max_context=model.config.max_position_embeddings,
    )


def with_roles(policy: LoadedPolicy, *roles: str) -> dict[str, LoadedPolicy]:
    """An adapter of random weights for each role on the policy's model, and the model below as "start"."""
    model = with_adapters(policy.model, LoraSpec(rank=4), roles)
    policies = {
        role: LoadedPolicy(
            model=model,
            tokenizer=policy.tokenizer,
            style=policy.style,
            end_ids=policy.end_ids,
            max_context=policy.max_context,
            adapter=role,
        )
        for role in roles
    }
    for each in policies.values():
        shake(each)
    return {**policies, "start": policies[roles[0]].without_adapter()}


@torch.no_grad()
def shake(policy: LoadedPolicy, scale: float = 0.05) -> None:
    """What an update does: change everything that is trained."""
    for _, parameter in policy.trained_parameters():
        parameter.add_(torch.randn_like(parameter), alpha=scale)
