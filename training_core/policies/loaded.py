"""Weights in memory together with what turns text into their tokens and back."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch


@dataclass(kw_only=True)
class LoadedPolicy:
    """A model and its tokenizer, as the engine and the learner use them.

    ``style`` says how prompts are written: "chat" goes through the chat template where there is one, "starter" is taken
    as it is, because the starter's marks are part of the prompt.
    """

    model: Any
    """A transformers causal language model, perhaps wrapped by peft. Several policies may share one."""
    tokenizer: Any
    style: Literal["chat", "starter"]
    end_ids: frozenset[int]
    """Tokens that end a completion."""
    max_context: int
    """Longest prompt plus completion, in tokens."""
    adapter: str | None = None
    """The peft adapter this policy speaks with; None means the weights of the model itself, without any adapter."""

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make ``model`` compute as this policy: forward passes, and backward passes too, belong inside.

        Switches peft's adapter and puts back the one before; models without adapters need no switching. Of several adapters only
        the active one asks for gradients.
        """
        before = _current_adapter(self.model)
        if before == self.adapter:
            yield
            return
        _switch(self.model, self.adapter)
        try:
            yield
        finally:
            _switch(self.model, before)

    def without_adapter(self) -> "LoadedPolicy":
        """The model below the adapters as a policy of its own, on the same tensors: what fresh adapters started from."""
        return replace(self, adapter=None)

    def trained_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Name and tensor of everything an update of this policy changes: its adapter, or all weights that are not frozen."""
        for name, parameter in self.model.named_parameters():
            if _adapter_layer(self.model) is None:
                if parameter.requires_grad:
                    yield name, parameter
            elif self.adapter is not None and self.adapter == adapter_in(name):
                yield name, parameter

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that makes this policy, by the names in a checkpoint: its adapter, or all weights and buffers, of tied ones the first."""
        if self.adapter is not None:
            from peft import get_peft_model_state_dict

            adapter: dict[str, torch.Tensor] = get_peft_model_state_dict(
                self.model, adapter_name=self.adapter, save_embedding_layers=False
            )
            return dict(adapter)
        every = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        first = {name for name, _ in self.model.named_parameters()}
        found: dict[str, torch.Tensor] = self.model.state_dict()
        return {name: tensor for name, tensor in found.items() if name in first or name not in every}

    def encode(self, prompt: str) -> list[int]:
        """Token ids of a prompt, ready to be completed.

        A prompt quotes what models wrote. Only the starter's has marks of its own; elsewhere a special token that is spelled in
        it, such as an end of turn, stays a text. For a chat template a space takes it apart.
        """
        if self.style == "starter" or not self.tokenizer.chat_template:
            as_text = self.style == "chat"
            return list(self.tokenizer.encode(prompt, add_special_tokens=False, split_special_tokens=as_text))
        for token in self._special_tokens():
            prompt = prompt.replace(token, f"{token[0]} {token[1:]}")
        ids: list[int] = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        return ids

    def _special_tokens(self) -> list[str]:
        """Texts of the tokenizer's special tokens that are more than a character."""
        added = self.tokenizer.added_tokens_decoder.values()
        return [token.content for token in added if token.special and len(token.content) > 1]

    def encode_completion(self, text: str) -> list[int]:
        """Token ids of a text as the whole completion of a prompt, with the token that ends it.

        Only the starter speaks in special tokens; elsewhere a text that spells one, such as an end of turn, stays a text.
        """
        end = self.tokenizer.eos_token_id
        ids = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=self.style == "chat")
        return [*ids, min(self.end_ids) if end is None else end]

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of completions whose end tokens were taken off already."""
        keep_marks = self.style == "starter"
        texts: list[str] = self.tokenizer.batch_decode(
            ids, skip_special_tokens=not keep_marks, clean_up_tokenization_spaces=False
        )
        return texts

    def token_text(self, token: int) -> str:
        """The text of one token as it stands in a completion, marks and special tokens included."""
        text: str = self.tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        # SentencePiece marks the space before a word, and decoding it alone takes that for the start of a text.
        piece = self.tokenizer.convert_ids_to_tokens(token) or ""
        return f" {text}" if piece.startswith("\u2581") and not text.startswith(" ") else text


def start_copy(policy: LoadedPolicy) -> LoadedPolicy:
    """A frozen copy of the whole model as it is now, for a frozen judge, a snapshot or a reference."""
    model = copy.deepcopy(policy.model)
    model.eval()
    model.requires_grad_(False)
    return replace(policy, model=model)


def _current_adapter(model: Any) -> str | None:
    layer = _adapter_layer(model)
    if layer is None or layer.disable_adapters:
        return None
    (name,) = layer.active_adapters
    return str(name)


def adapter_in(name: str) -> str | None:
    """The adapter a parameter of a peft model belongs to: "red" for "...q_proj.lora_A.red.weight"."""
    parts = name.split(".")
    places = [place for place, part in enumerate(parts) if part.startswith("lora_")]
    return parts[places[-1] + 1] if places else None


def _switch(model: Any, adapter: str | None) -> None:
    if adapter is None:
        model.base_model.disable_adapter_layers()
        return
    model.set_adapter(adapter)
    model.base_model.enable_adapter_layers()


def _adapter_layer(model: Any) -> Any:
    """Any one of the layers that carry adapters, or None where there are none."""
    if not hasattr(model, "peft_config"):
        return None
    from peft.tuners.tuners_utils import BaseTunerLayer

    return next(module for module in model.modules() if isinstance(module, BaseTunerLayer))
