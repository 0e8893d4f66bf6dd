"""The starter's tokenizer and how tokenizers are loaded."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

from training_core.tasks import language

_PROBE = f"{language.SOLVE}12 + 3\n{language.GO}<think> a b </think><answer>15</answer>{language.END}"


def build_tokenizer(marks: Sequence[str] = (), *, max_context: int) -> PreTrainedTokenizerFast:
    """One token per character, mark and tag of the starter's language, then those of its curriculum's own ``marks``."""
    vocabulary = {token: index for index, token in enumerate((*language.VOCABULARY, *marks))}
    # Byte-pair encoding without a single merge is a character vocabulary that every loader understands.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=language.UNKNOWN))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(mark, normalized=False, special=True) for mark in language.MARKS])
    # What a starter writes itself is not special, so that it stays in texts decoded without special tokens.
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in (*language.TAGS, *marks)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=language.PAD,
        unk_token=language.UNKNOWN,
        eos_token=language.END,
        model_max_length=max_context,
        clean_up_tokenization_spaces=False,
    )


def speaks_starter(folder: Path) -> bool:
    """Whether the folder's tokenizer is the starter's, told by its marks."""
    try:
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    added = content.get("added_tokens", []) if isinstance(content, dict) else []
    known = {token.get("content") for token in added if isinstance(token, dict)}
    return known.issuperset(language.MARKS)


def load_starter_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The starter's tokenizer from its folder; a ``ValueError`` where it does not give back what it was given.

    It is loaded by class: transformers 5 ignores the class a folder names when its config says Qwen2, and Qwen2's
    pre-tokenizer would silently lose the spaces of a character vocabulary.
    """
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    back = tokenizer.decode(tokenizer.encode(_PROBE, add_special_tokens=False), clean_up_tokenization_spaces=False)
    if back != _PROBE:
        raise ValueError(f"the tokenizer in {folder} does not give back the text it was given; make the starter again")
    return tokenizer


def load_tokenizer(folder_or_id: Path | str, *, revision: str | None = None) -> Any:
    """The tokenizer of any model."""
    from transformers.models.auto.tokenization_auto import AutoTokenizer

    if isinstance(folder_or_id, Path) and speaks_starter(folder_or_id):
        return load_starter_tokenizer(folder_or_id)
    return AutoTokenizer.from_pretrained(folder_or_id, revision=revision, trust_remote_code=False)
