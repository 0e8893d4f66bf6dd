"""A random-weight model in the starter's language: for tests that need steps, not learning."""

from pathlib import Path

import torch
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM

from training_core.policies.tokenizer import build_tokenizer


def make_tiny_model(folder: Path, seed: int = 0) -> Path:
    """Save a Qwen2 of some ten thousand parameters with the starter's tokenizer; returns the folder."""
    tokenizer = build_tokenizer(max_context=256)
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        initializer_range=0.1,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
