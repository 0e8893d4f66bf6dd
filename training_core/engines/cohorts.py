"""Keys and values of rows that joined together: each prompt's once, each row's own tokens appended without copying them.

Shapes: R rows, P groups of siblings, M slots per group, S = P M slots, T tokens of a segment, Q query heads, K key-value heads,
G = Q / K, D head size.

A row sits in one of the M slots beside its prompt, so the scores of siblings against their prompt are one matrix product and the
prompt's keys are read once for all of them; only scores against a row's own tokens are matrix-vector products. Slots whose rows
have left stay empty until fewer, better filled ones cost clearly less.

Keys are read at every token, and on a CPU as fast as memory gives them only if they lie without gaps. So own tokens go into a
small segment that is always read whole, its unused places masked; when it is full it is joined to the tokens before it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

REPACK_BELOW = 0.75
"""Slots are laid out anew when that leaves at most this share of the cost of a token."""
_CALL = 8
"""What one small matrix product costs besides its size, in tokens read."""
_LEAST_PRODUCT = 400
"""Multiplications below which torch computes a batch of matrix products by plain loops."""
_OPEN_PART = 8
"""The segment being filled is at most about this part of the tokens before it."""


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Shape of the attention."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    scale: float

    @property
    def group(self) -> int:
        """Query heads that share a key-value head."""
        return self.num_heads // self.num_kv_heads


@dataclass(kw_only=True)
class Segment:
    """Some tokens' keys and values per layer, S/M x K x T x D without gaps; M rows share them."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    width: int
    """M."""
    mask: torch.Tensor | None = None
    """Added to the scores: minus infinity where there is no token. (S/M K) x 1 x T, or 1 x 1 x T if alike for all."""

    @property
    def num_tokens(self) -> int:
        return self.keys[0].shape[2]

    @property
    def num_bytes(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in (*self.keys, *self.values))

    def select(self, chosen: torch.Tensor) -> None:
        """Keep the chosen groups, or slots, in that order."""
        for caches in (self.keys, self.values):
            for layer, cache in enumerate(caches):
                caches[layer] = cache.index_select(0, chosen)

    def append(self, other: "Segment") -> None:
        """Join later tokens of the same rows, layer by layer so that little is held twice."""
        for caches, others in ((self.keys, other.keys), (self.values, other.values)):
            for layer, cache in enumerate(caches):
                caches[layer] = torch.cat([cache, others[layer]], dim=2)


class Cohort:
    """Rows of equal age and prompts of similar length."""

    def __init__(
        self,
        heads: Heads,
        keys: Sequence[torch.Tensor],
        values: Sequence[torch.Tensor],
        *,
        lengths: Sequence[int],
        counts: Sequence[int],
    ) -> None:
        """``keys`` and ``values`` per layer, P x K x T x D, with padding behind ``lengths``; each prompt has ``counts`` rows."""
        self._heads = heads
        self._prompt = Segment(keys=list(keys), values=list(values), width=1)
        self._own: Segment | None = None
        """Own tokens of every slot; where rows share no prompt they are appended to the prompt's segment instead."""
        self._lengths = list(lengths)
        self._longest = self._prompt.num_tokens
        self._groups = list(range(len(counts)))
        """Prompt of each group, as an index of ``lengths``."""
        self._slots: list[int] = []
        """Slot of each row."""
        self._age = 0
        prompts = [prompt for prompt, count in enumerate(counts) for _ in range(count)]
        self._open = self._new_open(0)
        self._lay_out(prompts, self._best_width(prompts, num_tokens=self._open.num_tokens))
        self._open = self._new_open(self._longest if self._prompt.width == 1 else 0)
        self._place = -1
        """Where in the open segment the present token stands."""

    @property
    def num_rows(self) -> int:
        return len(self._slots)

    @property
    def num_bytes(self) -> int:
        return sum(segment.num_bytes for segment in self._segments())

    def advance(self) -> None:
        """Make room for one more token of every row."""
        if self._place + 1 == self._open.num_tokens:
            self._close()
        self._place += 1
        self._age += 1
        assert self._open.mask is not None
        self._open.mask[..., self._place] = 0

    def attend(self, layer: int, q_RQD: torch.Tensor, k_RKD: torch.Tensor, v_RKD: torch.Tensor) -> torch.Tensor:
        """Enter each row's key and value of a layer and give its attention over prompt and own tokens, R x Q x D."""
        if self._row_of_slot is not None:
            q_RQD, k_RKD, v_RKD = (part.index_select(0, self._row_of_slot) for part in (q_RQD, k_RKD, v_RKD))
        self._open.keys[layer][:, :, self._place] = k_RKD
        self._open.values[layer][:, :, self._place] = v_RKD
        segments = self._segments()
        q_PMKGD = (q_RQD * self._heads.scale).view(-1, *self._slot_shape, self._heads.head_dim)
        scores = []
        for segment in segments:
            keys = segment.keys[layer].flatten(0, 1).transpose(1, 2)
            queries = self._by_segment(q_PMKGD, segment)
            found = torch.bmm(queries, keys) if segment.mask is None else torch.baddbmm(segment.mask, queries, keys)
            scores.append(self._by_slot(found, segment))
        shares_PMKGT = torch.softmax(torch.cat(scores, dim=-1), dim=-1, dtype=torch.float32).to(q_RQD.dtype)
        parts = torch.split_with_sizes(shares_PMKGT, [segment.num_tokens for segment in segments], dim=-1)
        mixed = [
            self._by_slot(torch.bmm(self._by_segment(part, segment), segment.values[layer].flatten(0, 1)), segment)
            for part, segment in zip(parts, segments, strict=True)
        ]
        mixed_PMKGD = mixed.pop()
        for other in mixed:
            mixed_PMKGD += other
        mixed_SQD = mixed_PMKGD.view(-1, self._heads.num_heads, self._heads.head_dim)
        return mixed_SQD if self._slot_of_row is None else mixed_SQD.index_select(0, self._slot_of_row)

    def keep(self, open_R: Sequence[bool]) -> None:
        """Drop the rows that are not open."""
        if all(open_R):
            return
        self._slots = [slot for slot, is_open in zip(self._slots, open_R, strict=True) if is_open]
        if not self._slots:
            return
        width = self._prompt.width
        prompts = [self._groups[slot // width] for slot in self._slots]
        best = self._best_width(prompts, num_tokens=self._age)
        now = self._cost(len(self._groups), width, num_tokens=self._age)
        if self._cost(_num_groups(prompts, best), best, num_tokens=self._age) <= REPACK_BELOW * now:
            self._lay_out(prompts, best, self._slots)
        else:
            self._map_rows()

    # Shapes

    @property
    def _slot_shape(self) -> tuple[int, int, int]:
        return self._prompt.width, self._heads.num_kv_heads, self._heads.group

    def _by_segment(self, rows_PMKGN: torch.Tensor, segment: Segment) -> torch.Tensor:
        """One matrix for each group of the segment and head: (S/M K) x (M G) x N."""
        if segment.width == 1:
            return rows_PMKGN.flatten(0, 2)
        return rows_PMKGN.transpose(1, 2).reshape(-1, segment.width * self._heads.group, rows_PMKGN.shape[-1])

    def _by_slot(self, found: torch.Tensor, segment: Segment) -> torch.Tensor:
        """Back from ``_by_segment``, P x M x K x G x N."""
        width, num_kv_heads, group = self._slot_shape
        if segment.width == 1:
            return found.view(-1, width, num_kv_heads, group, found.shape[-1])
        return found.view(-1, num_kv_heads, width, group, found.shape[-1]).transpose(1, 2)

    def _segments(self) -> list[Segment]:
        return [self._prompt, self._open] if self._own is None else [self._prompt, self._own, self._open]

    # Own tokens

    def _new_open(self, num_before: int) -> Segment:
        """An empty segment for the next own tokens, larger where more stand before it, with a mask that hides all of it."""
        work = self._heads.group * self._heads.head_dim
        room = 8 * max(2, -(-_LEAST_PRODUCT // (8 * work)), -(-num_before // (8 * _OPEN_PART)))
        like = self._prompt.keys[0]
        num_slots = len(self._groups) * self._prompt.width
        shape = (num_slots, self._heads.num_kv_heads, room, self._heads.head_dim)
        return Segment(
            keys=[like.new_zeros(shape) for _ in self._prompt.keys],
            values=[like.new_zeros(shape) for _ in self._prompt.keys],
            width=1,
            mask=like.new_full((1, 1, room), -torch.inf),
        )

    def _close(self) -> None:
        """Join the full segment to the tokens before it and open a new one."""
        self._open.mask = None
        if self._prompt.width == 1:
            self._prompt.append(self._open)
            self._prompt.mask = self._padding_mask()
            before = self._prompt
        elif self._own is None:
            before = self._own = self._open
        else:
            self._own.append(self._open)
            before = self._own
        self._open = self._new_open(before.num_tokens)
        self._place = -1

    # Seats

    def _best_width(self, prompts: Sequence[int], *, num_tokens: int) -> int:
        """Slots per group at which the rows' prompts and own tokens are cheapest to read."""
        most = max(Counter(prompts).values())
        widths = sorted({most, *(1 << power for power in range(most.bit_length()))})
        return min(widths, key=lambda width: self._cost(_num_groups(prompts, width), width, num_tokens=num_tokens))

    def _cost(self, num_groups: int, width: int, *, num_tokens: int) -> int:
        """Tokens whose keys are read to complete one token of every row."""
        return num_groups * (self._longest + _CALL + width * (num_tokens + _CALL))

    def _lay_out(self, prompts: Sequence[int], width: int, slots: Sequence[int] | None = None) -> None:
        """Seat the rows, whose ``prompts`` are in order, in groups of ``width``; ``slots`` are where they sat before."""
        groups: list[int] = []
        seats: list[int] = []
        for prompt in prompts:
            if not groups or groups[-1] != prompt or seats[-1] + 1 == len(groups) * width:
                groups.append(prompt)
                seats.append((len(groups) - 1) * width)
            else:
                seats.append(seats[-1] + 1)
        device = self._prompt.keys[0].device
        if slots is None:
            sources = groups
        else:
            sources = _sources(groups, prompts, slots, self._prompt.width)
            before = [slots[0]] * (len(groups) * width)
            for seat, slot in zip(seats, slots, strict=True):
                before[seat] = slot
            chosen = torch.tensor(before, device=device)
            for segment in self._segments()[1:]:
                segment.select(chosen)
        if sources != list(range(len(self._groups))):
            self._prompt.select(torch.tensor(sources, device=device))
        self._groups, self._slots, self._prompt.width = groups, seats, width
        if width == 1:
            self._stop_sharing()
        self._prompt.mask = self._padding_mask()
        self._map_rows()

    def _stop_sharing(self) -> None:
        """Every slot has a prompt of its own from now on, and its own tokens stand behind it."""
        self._lengths = [self._lengths[prompt] for prompt in self._groups]
        self._groups = list(range(len(self._groups)))
        if self._own is not None:
            self._prompt.append(self._own)
            self._own = None

    def _padding_mask(self) -> torch.Tensor | None:
        """Minus infinity behind every prompt's tokens; None where all prompts are equally long."""
        lengths = [self._lengths[prompt] for prompt in self._groups]
        if min(lengths) == self._longest:
            return None
        like = self._prompt.keys[0]
        place_T = torch.arange(self._prompt.num_tokens, device=like.device)
        padding_PT = (place_T >= torch.tensor(lengths, device=like.device)[:, None]) & (place_T < self._longest)
        mask_PT = torch.zeros_like(padding_PT, dtype=like.dtype).masked_fill_(padding_PT, -torch.inf)
        return mask_PT.repeat_interleave(self._heads.num_kv_heads, dim=0)[:, None]

    def _map_rows(self) -> None:
        """Tensors that bring rows to their slots and back; None where rows and slots are the same."""
        self._row_of_slot: torch.Tensor | None = None
        self._slot_of_row: torch.Tensor | None = None
        num_slots = len(self._groups) * self._prompt.width
        if self._slots != list(range(num_slots)):
            rows = [0] * num_slots  # an empty slot repeats the first row; nobody reads it
            for row, slot in enumerate(self._slots):
                rows[slot] = row
            device = self._prompt.keys[0].device
            self._row_of_slot = torch.tensor(rows, device=device)
            self._slot_of_row = torch.tensor(self._slots, device=device)


def _num_groups(prompts: Sequence[int], width: int) -> int:
    return sum(-(-count // width) for count in Counter(prompts).values())


def _sources(groups: Sequence[int], prompts: Sequence[int], slots: Sequence[int], old_width: int) -> list[int]:
    """For each new group the old group that holds its prompt."""
    where = {prompt: slot // old_width for prompt, slot in zip(prompts, slots, strict=True)}
    return [where[prompt] for prompt in groups]
