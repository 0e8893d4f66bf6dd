"""Tiny random models of several architectures that all speak the alphabet, for tests of the transformers engine."""

from functools import cache

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from training_core.engines.transformers import TransformersEngine
from training_core.play.requests import Completion, Request
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learning import SamplingSpec

END = 0
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MAX_CONTEXT = 128
SHAPE = {
    "vocab_size": 27,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": MAX_CONTEXT,
    "tie_word_embeddings": True,
    "initializer_range": 0.3,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": END,
}


def make_model(name: str, **changes: object) -> torch.nn.Module:
    """A model of two layers with random weights, biases and norms included; ``changes`` go into its config."""
    torch.manual_seed(3)
    model = _MAKERS[name]({**SHAPE, **changes}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def make_policy(model: torch.nn.Module, *, max_context: int = MAX_CONTEXT, adapter: str | None = None) -> LoadedPolicy:
    """A policy whose tokens are the letters; ``$`` ends a completion."""
    return LoadedPolicy(
        model=model,
        tokenizer=_tokenizer(),
        style="starter",
        end_ids=frozenset({END}),
        max_context=max_context,
        adapter=adapter,
    )


@cache
def _tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {"$": END} | {letter: index + 1 for index, letter in enumerate(LETTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="$"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = None
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="$")


def ask(prompt: str, *, n: int = 1, seed: int = 1, policy: str = "main", **sampling: object) -> Request:
    settings = SamplingSpec(**{"max_tokens": 20, **sampling})
    return Request(policy=policy, prompt=prompt, n=n, seed=seed, sampling=settings)


def generate(policy: LoadedPolicy, requests: list[Request], max_batch: int = 64) -> list[list[Completion]]:
    return TransformersEngine({"main": policy}, max_batch=max_batch).generate(requests)


def _llama(shape: dict[str, object]) -> torch.nn.Module:
    from transformers.models.llama import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**shape))


def _qwen2(shape: dict[str, object]) -> torch.nn.Module:
    from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(Qwen2Config(**shape))


def _qwen3(shape: dict[str, object]) -> torch.nn.Module:
    from transformers.models.qwen3 import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(Qwen3Config(**{"head_dim": 16, **shape}))


def _mistral(shape: dict[str, object]) -> torch.nn.Module:
    from transformers.models.mistral import MistralConfig, MistralForCausalLM

    return MistralForCausalLM(MistralConfig(**{"sliding_window": 8, **shape}))


def _gemma2(shape: dict[str, object]) -> torch.nn.Module:
    from transformers.models.gemma2 import Gemma2Config, Gemma2ForCausalLM

    return Gemma2ForCausalLM(Gemma2Config(**{"head_dim": 8, "sliding_window": 8, **shape}))


def _granite(shape: dict[str, object]) -> torch.nn.Module:
    from transformers.models.granite import GraniteConfig, GraniteForCausalLM

    return GraniteForCausalLM(GraniteConfig(**{"residual_multiplier": 0.5, **shape}))


def _gpt2(shape: dict[str, object]) -> torch.nn.Module:
    from transformers.models.gpt2 import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape["vocab_size"],
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=MAX_CONTEXT,
            initializer_range=0.3,
            bos_token_id=END,
            eos_token_id=END,
        )
    )


def _lfm2(shape: dict[str, object]) -> torch.nn.Module:
    from transformers.models.lfm2 import Lfm2Config, Lfm2ForCausalLM

    return Lfm2ForCausalLM(Lfm2Config(**{**shape, "layer_types": ["conv", "full_attention"]}))


_MAKERS = {
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "mistral": _mistral,
    "gemma2": _gemma2,
    "granite": _granite,
    "gpt2": _gpt2,
    "lfm2": _lfm2,
}
FUSED = ("qwen2", "llama", "qwen3")
GENERIC = ("gpt2", "mistral", "gemma2", "lfm2")
