"""Weights in memory together with what turns text into their tokens and back."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(kw_only=True)
class LoadedPolicy:
    """A model and its tokenizer, as the engine and the learner use them.

    ``style`` says how prompts are written: "chat" goes through the chat template where there is one, "starter" is taken
    as it is, because the starter's marks are part of the prompt.
    """

    model: Any
    """A transformers causal language model, perhaps wrapped by peft."""
    tokenizer: Any
    style: Literal["chat", "starter"]
    end_ids: frozenset[int]
    """Tokens that end a completion."""
    max_context: int
    """Longest prompt plus completion, in tokens."""

    def encode(self, prompt: str) -> list[int]:
        """Token ids of a prompt, ready to be completed."""
        if self.style == "chat" and self.tokenizer.chat_template:
            ids: list[int] = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=True, return_dict=False
            )
            return ids
        return list(self.tokenizer.encode(prompt, add_special_tokens=False))

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of completions whose end tokens were taken off already."""
        keep_marks = self.style == "starter"
        texts: list[str] = self.tokenizer.batch_decode(
            ids, skip_special_tokens=not keep_marks, clean_up_tokenization_spaces=False
        )
        return texts


def start_copy(policy: LoadedPolicy) -> LoadedPolicy:
    """A frozen copy of the policy as it is now, for a frozen judge or a KL reference."""
    model = copy.deepcopy(policy.model)
    model.eval()
    model.requires_grad_(False)
    return replace(policy, model=model)
