"""What everybody is given to do: the model, the prompts, the rewards.

Prompts are drawn per step from a seed, so that contenders see the same ones; weights are random, so that how a completion
ends is a matter of chance alone.
"""

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

LETTERS = string.ascii_letters + string.digits + string.punctuation.replace("<", "").replace(">", "") + " "
NUM_PAIRS, PAIR_TOKENS = 32, 32
PAD, END = "<pad>", "<end>"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """``fixed_length`` gives every completion ``max_tokens`` tokens; otherwise each token ends it with the chance 1 / V."""

    prompt_tokens: tuple[int, int]
    """Shortest and longest prompt, in tokens."""
    max_tokens: int
    fixed_length: bool
    shape: str = "1M"
    num_prompts: int = 32
    num_samples: int = 8

    @property
    def num_completions(self) -> int:
        return self.num_prompts * self.num_samples

    @property
    def max_context(self) -> int:
        return self.prompt_tokens[1] + self.max_tokens


WORKLOADS = {
    "short": Workload(prompt_tokens=(8, 16), max_tokens=64, fixed_length=True),
    "long_prompt": Workload(prompt_tokens=(200, 200), max_tokens=32, fixed_length=True),
    "mixed": Workload(prompt_tokens=(8, 16), max_tokens=256, fixed_length=False),
    "agreement": Workload(prompt_tokens=(8, 16), max_tokens=64, fixed_length=False, num_prompts=8),
    "starter_shaped": Workload(prompt_tokens=(8, 16), max_tokens=64, fixed_length=True, shape="starter"),
    "large": Workload(prompt_tokens=(8, 16), max_tokens=32, fixed_length=True, shape="100M", num_prompts=4),
}
SHAPES: dict[str, dict[str, int]] = {
    "starter": {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 3},
    "1M": {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4},
    "100M": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
}
"""The starter's own shape has 4 heads of 24, which vLLM has no kernel for; 3 heads of 32 are as wide."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token per character. The end token is the last; models of fixed length have a vocabulary that ends before it."""
    vocabulary = {token: index for index, token in enumerate([PAD, *LETTERS, END])}
    core = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token=PAD))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, eos_token=END, padding_side="left", clean_up_tokenization_spaces=False
    )
    assert tokenizer.eos_token_id == vocabulary_size(with_end=False)
    return tokenizer


def vocabulary_size(*, with_end: bool) -> int:
    return 1 + len(LETTERS) + int(with_end)


def build_model(workload: Workload, *, seed: int = 0) -> Any:
    """A Qwen2 with random weights, two query heads to a key head where their number is even, float32."""
    size = SHAPES[workload.shape]
    heads = size["num_attention_heads"]
    with_end = not workload.fixed_length
    torch.manual_seed(seed)
    config = Qwen2Config(
        **size,
        num_key_value_heads=heads if heads % 2 else heads // 2,
        vocab_size=vocabulary_size(with_end=with_end),
        max_position_embeddings=max(512, workload.max_context),
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=vocabulary_size(with_end=True) - 1,
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config.eos_token_id = config.eos_token_id
    model.generation_config.pad_token_id = 0
    return model.eval()


def draw_prompts(workload: Workload, step: int) -> list[str]:
    """The prompts of a step."""
    rng = random.Random(step)
    return ["".join(rng.choices(LETTERS, k=rng.randint(*workload.prompt_tokens))) for _ in range(workload.num_prompts)]


def draw_pairs(step: int) -> list[tuple[str, str, str]]:
    """Prompt, chosen and rejected completion of the pairs of a step; all three have the same length."""
    rng = random.Random(step)

    def text() -> str:
        return "".join(rng.choices(LETTERS, k=PAIR_TOKENS))

    return [(text(), text(), text()) for _ in range(NUM_PAIRS)]


def reward(text: str) -> float:
    """Share of vowels: cheap, and different for the samples of a prompt. Padding and spaces are written differently by everybody."""
    text = text.replace(PAD, "").replace(" ", "")
    return sum(text.count(letter) for letter in "aeiou") / max(1, len(text))


def rewards(completions: Sequence[str], **_: Any) -> list[float]:
    """The reward as TRL calls it."""
    return [reward(text) for text in completions]
