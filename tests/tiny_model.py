"""A random-weight model in the starter's language: for tests that need steps, not learning."""

from pathlib import Path
from typing import Any

import torch
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM

from training_core.curricula.registry import find_curriculum
from training_core.policies.tokenizer import build_tokenizer
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import parse_spec

MAX_CONTEXT = 256


def make_tiny_model(folder: Path, seed: int = 0, *, curriculum: str = "evolve") -> Path:
    """Save a Qwen2 of some ten thousand parameters with the tokenizer of a curriculum's starter; returns the folder."""
    model, tokenizer = random_qwen2(seed=seed, curriculum=curriculum)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_qwen2(*, hidden_size: int = 32, seed: int = 0, curriculum: str = "evolve") -> tuple[Any, Any]:
    """A Qwen2 with two heads and tied embeddings, as the starter has them, and the starter's tokenizer."""
    tokenizer = build_tokenizer(find_curriculum(curriculum).marks, max_context=MAX_CONTEXT)
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
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
    return Qwen2ForCausalLM(config), tokenizer


def spec_of(folder: Path, **changes: Any) -> ExperimentSpec:
    """A run of seconds on the model in ``folder``."""
    return parse_spec(
        {
            "seed": 1,
            "steps": 6,
            "model": {"source": str(folder)},
            "evaluation": {"every": 3, "num_items": 8},
            "checkpoint": {"every": 2},
            "method": {
                "name": "mae",
                "batch_per_role": 4,
                "probe_items": 8,
                "quality_samples": 2,
                "difficulty_samples": 2,
                "seed_pairs": True,
                "sampling": {"max_tokens": 16},
                "optimizer": {"kind": "muon", "lr": 1e-3},
            },
            **changes,
        }
    )
