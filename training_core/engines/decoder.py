"""What reads prompts and appends tokens: fused where the model is understood, else the model's own forward pass.

Shapes: B rows, T tokens cached (with padding on the left), V vocabulary, H hidden size.
"""

import inspect
import logging
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from training_core.engines.anatomy import NotUnderstood
from training_core.engines.fused import FusedDecoder
from training_core.policies.loaded import LoadedPolicy

logger = logging.getLogger(__name__)

ROOM = 64
"""Tokens of room a cache grows by at first; it doubles."""


class Decoder(Protocol):
    """Rows being completed by one policy. What it calls a state is whatever ``logits`` makes logits of."""

    @property
    def joins(self) -> bool:
        """Whether rows may be admitted while others are being completed."""

    @property
    def keep_below(self) -> float:
        """Share of open rows below which dropping the others pays."""

    @property
    def bytes_per_token(self) -> int:
        """Memory of one token's keys and values."""

    @property
    def num_bytes(self) -> int:
        """Memory held by keys and values."""

    @property
    def num_tokens(self) -> int:
        """Size of the vocabulary."""

    def refresh(self) -> None:
        """Compute with the weights as they are now."""

    def release(self) -> None:
        """Give back whatever ``refresh`` makes."""

    def admit(self, prompts: Sequence[tuple[int, ...]], counts: Sequence[int]) -> torch.Tensor:
        """Read each prompt once, shortest first, for ``counts`` rows; gives the new rows' states, which stand behind the others."""

    def step(self, token_B: torch.Tensor, position_B: torch.Tensor) -> torch.Tensor:
        """Append a token to every row at its position; gives the states after it."""

    def logits(self, state: torch.Tensor) -> torch.Tensor:
        """Logits of the next token of some states."""

    def keep(self, open_B: Sequence[bool]) -> None:
        """Drop the rows that are not open."""

    def clear(self) -> None:
        """Forget all rows."""


def make_decoder(policy: LoadedPolicy, *, name: str) -> Decoder:
    """The fastest decoder that computes what the policy's model computes."""
    try:
        return FusedDecoder(policy)
    except NotUnderstood as reason:
        logger.info("engine.generic_path", extra={"policy": name, "reason": str(reason)})
    return GenericDecoder(policy)


class GenericDecoder:
    """The model's own forward pass with its own kind of cache; what to tell the model is read from its signature."""

    joins = False
    keep_below = 0.7

    def __init__(self, policy: LoadedPolicy) -> None:
        self._policy = policy
        model = policy.model.get_base_model() if hasattr(policy.model, "peft_config") else policy.model
        self._config = model.config.get_text_config(decoder=True)
        self._accepts = frozenset(inspect.signature(model.forward).parameters)
        caches = [name for name in ("past_key_values", "cache_params") if name in self._accepts]
        if not caches:
            raise ValueError(
                f"{type(model).__name__} keeps no cache that could be used for sampling; choose another model"
            )
        self._cache_argument = caches[0]
        self._dtype = model.dtype
        self._was_training = model.training
        self._cache: Cache = DynamicCache()
        self._mask_BT = torch.empty(0, 0)
        self._num_cached = 0

    @property
    def bytes_per_token(self) -> int:
        """As full attention in every layer would take; other kinds of layers take less."""
        config = self._config
        num_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return int(config.num_hidden_layers * 2 * num_heads * head_dim * self._dtype.itemsize)

    @property
    def num_bytes(self) -> int:
        return self._mask_BT.shape[0] * self._num_cached * self.bytes_per_token

    @property
    def num_tokens(self) -> int:
        return int(self._config.vocab_size)

    def refresh(self) -> None:
        """The model's own tensors are never stale."""

    def release(self) -> None:
        """There is nothing but the model's own tensors."""

    @torch.no_grad()
    def admit(self, prompts: Sequence[tuple[int, ...]], counts: Sequence[int]) -> torch.Tensor:
        """Read the prompts padded on the left, then repeat their caches."""
        device = self._policy.model.device
        self._was_training = self._policy.model.training
        self._policy.model.eval()
        longest = max(map(len, prompts))
        ids_BT = torch.tensor([[*([0] * (longest - len(prompt))), *prompt] for prompt in prompts], device=device)
        length_B = torch.tensor([len(prompt) for prompt in prompts], device=device)
        place_T = torch.arange(longest, device=device)
        self._mask_BT = (place_T >= longest - length_B[:, None]).long()
        self._num_cached = longest
        self._cache = DynamicCache(config=self._config)
        self._cache.layers = [_RoomyLayer() if type(layer) is DynamicLayer else layer for layer in self._cache.layers]
        logits_BV = self._forward(ids_BT, (self._mask_BT.cumsum(1) - 1).clamp(min=0))
        if max(counts) > 1:
            row_B = torch.arange(len(prompts), device=device).repeat_interleave(torch.tensor(counts, device=device))
            self._cache.reorder_cache(row_B)
            self._mask_BT, logits_BV = self._mask_BT[row_B], logits_BV[row_B]
        return logits_BV

    @torch.no_grad()
    def step(self, token_B: torch.Tensor, position_B: torch.Tensor) -> torch.Tensor:
        """Append one token to every row."""
        self._num_cached += 1
        if self._num_cached > self._mask_BT.shape[1]:
            more = self._mask_BT.new_ones(len(self._mask_BT), max(ROOM, self._mask_BT.shape[1]))
            self._mask_BT = torch.cat([self._mask_BT, more], dim=1)
        return self._forward(token_B[:, None], position_B[:, None])

    def logits(self, state: torch.Tensor) -> torch.Tensor:
        """The states are the logits."""
        return state

    def keep(self, open_B: Sequence[bool]) -> None:
        row_B = torch.tensor([row for row, is_open in enumerate(open_B) if is_open], device=self._mask_BT.device)
        self._cache.reorder_cache(row_B)
        self._mask_BT = self._mask_BT[row_B]

    def clear(self) -> None:
        self._policy.model.train(self._was_training)
        self._cache, self._num_cached = DynamicCache(), 0
        self._mask_BT = self._mask_BT[:0]

    def _forward(self, ids_BT: torch.Tensor, position_BT: torch.Tensor) -> torch.Tensor:
        told: dict[str, Any] = {
            "input_ids": ids_BT,
            "attention_mask": self._mask_BT[:, : self._num_cached],
            "position_ids": position_BT,
            "use_cache": True,
            "logits_to_keep": 1,
        }
        told = {name: value for name, value in told.items() if name in self._accepts}
        told[self._cache_argument] = self._cache
        with self._policy.active():
            logits: torch.Tensor = self._policy.model(**told).logits[:, -1]
        return logits


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of full attention, written into room made beforehand instead of being copied at every token."""

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self._all_keys, self._all_values = key_states, value_states
        self._length = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append tokens; gives all keys and values, B x heads x T x D."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self._length + key_states.shape[-2]
        if self._length and end > self._all_keys.shape[-2]:
            room = max(ROOM, self._length)
            self._all_keys, self._all_values = _wider(self._all_keys, room), _wider(self._all_values, room)
        self._all_keys[:, :, self._length : end] = key_states
        self._all_values[:, :, self._length : end] = value_states
        self._length = end
        self.keys, self.values = self._all_keys[:, :, :end], self._all_values[:, :, :end]
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Keep the rows of these indices."""
        super().reorder_cache(beam_idx)
        self._all_keys, self._all_values = self.keys, self.values


def _wider(cache: torch.Tensor, room: int) -> torch.Tensor:
    return torch.cat([cache, cache.new_empty(*cache.shape[:2], room, cache.shape[3])], dim=2)
