"""A random-weight policy that was never near a tokenizer: for tests of the learner."""

import torch
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM

from training_core.policies.loaded import LoadedPolicy


def make_tiny_policy() -> LoadedPolicy:
    """A Qwen2 of 30 tokens and two layers; always the same weights."""
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
