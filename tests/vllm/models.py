"""Random-weight models whose attention heads are wide enough for vLLM's CPU build."""

import torch
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM

from training_core.policies.load import with_adapters
from training_core.policies.loaded import LoadedPolicy
from training_core.policies.tokenizer import build_tokenizer
from training_core.spec.model import LoraSpec

MAX_CONTEXT = 256


def random_policy(seed: int = 0) -> LoadedPolicy:
    """A Qwen2 with tied embeddings, as the starter has them, and two heads of 32."""
    tokenizer = build_tokenizer(max_context=MAX_CONTEXT)
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=MAX_CONTEXT,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        initializer_range=0.1,
    )
    return policy_of(Qwen2ForCausalLM(config), tokenizer)


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
