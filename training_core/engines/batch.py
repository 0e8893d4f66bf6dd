"""The rows of one policy on their way through a decoder: admitted while there is room, drawn together, dropped when they end.

Shapes: B rows in the decoder, V vocabulary, K tokens drawn between two looks at them, N tokens of one row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training_core.engine_health import EngineHealth
from training_core.engines.decoder import Decoder
from training_core.engines.ledger import Finished, Ledger, Row
from training_core.engines.sampling import LOGITS_AT_ONCE, Drawn, RowSettings, draw, uniforms
from training_core.engines.stops import StopFinder
from training_core.spec.learning import SamplingSpec
from training_core.stopwatch import Stopwatch

CHECK_EVERY_CUDA = 8
"""Tokens drawn between two looks at them; each look waits for the GPU."""
_UNIFORMS_AHEAD = 32
_REFILL_SHARE = 0.25
"""New rows join when this share of the batch is free."""
_LEAST_RESERVE = 256
"""Tokens of room counted for a completion before longer ones have been seen."""
_WEIGH_EVERY = 32
"""Tokens between two looks at the memory taken."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What bounds a batch."""

    max_rows: int
    max_bytes: int
    """Keys and values held at a time; exceeded for a moment while caches grow."""
    max_context: int


class Batch:
    """Completes rows with one decoder."""

    def __init__(
        self,
        decoder: Decoder,
        specs: Sequence[SamplingSpec],
        limits: Limits,
        *,
        end_ids: frozenset[int],
        stops: StopFinder,
        device: torch.device,
        watch: Stopwatch,
        health: EngineHealth,
    ) -> None:
        self._decoder = decoder
        self._specs = specs
        self._limits = limits
        self._device = device
        self._watch, self._health = watch, health
        self._ledger = Ledger(end_ids, stops)
        self._check_every = CHECK_EVERY_CUDA if device.type == "cuda" else 1
        self._max_rows = limits.max_rows if decoder.joins else min(limits.max_rows, _rows_of_logits(decoder))
        self._waiting: list[Row] = []
        self._drawn: list[Drawn] = []
        self._token_B = self._position_B = torch.empty(0, dtype=torch.long, device=device)
        self._uniform_BN = torch.empty(0, 0)
        self._num_uniforms_used = 0
        self._longest_seen = 0
        self._num_steps = 0

    @torch.no_grad()
    def run(self, rows: Sequence[Row]) -> list[Finished]:
        """Every row completed, in the order in which they end."""
        self._waiting = sorted(rows, key=lambda row: (len(row.prompt_ids), row.prompt_ids), reverse=True)
        finished: list[Finished] = []
        try:
            while self._waiting:
                state = self._admit()
                while len(self._ledger):
                    with self._watch("decode"):
                        self._draw(state)
                        if len(self._drawn) == self._check_every:
                            finished += self._look()
                        if not len(self._ledger):
                            break
                        state = self._decoder.step(self._token_B, self._position_B)
                        self._position_B = (self._position_B + 1).clamp(max=self._limits.max_context - 1)
                    if self._may_refill():
                        state = torch.cat([state, self._admit()])
        finally:
            self._decoder.clear()
            self._ledger.clear()
        return finished

    # Rows come

    def _may_refill(self) -> bool:
        free = self._max_rows - len(self._ledger)
        wanted = max(1, min(len(self._waiting), int(_REFILL_SHARE * self._max_rows)))
        return (
            self._decoder.joins
            and not self._drawn
            and bool(self._waiting)
            and free >= wanted
            and self._num_fitting() > 0
        )

    def _num_fitting(self) -> int:
        """Rows from the end of ``waiting`` that fit into memory and batch; one at the least where there is none."""
        room = self._limits.max_bytes - self._decoder.num_bytes
        free = self._max_rows - len(self._ledger)
        num, prompt_ids = 0, None
        for row in reversed(self._waiting[-free:] if free else []):
            tokens = min(row.limit, max(_LEAST_RESERVE, self._longest_seen))
            tokens += len(row.prompt_ids) if row.prompt_ids != prompt_ids else 0
            prompt_ids = row.prompt_ids
            room -= tokens * self._decoder.bytes_per_token
            if room < 0:
                break
            num += 1
        return max(num, 0 if len(self._ledger) else 1)

    def _admit(self) -> torch.Tensor:
        num = self._num_fitting()
        rows, self._waiting = self._waiting[: -num - 1 : -1], self._waiting[:-num]
        groups = [(prompt, len(list(group))) for prompt, group in groupby(rows, key=lambda row: row.prompt_ids)]
        with self._watch("prefill"):
            state = self._decoder.admit([prompt for prompt, _ in groups], [count for _, count in groups])
        self._health.count(
            prompt_tokens=sum(len(row.prompt_ids) for row in rows),
            spared_tokens=sum((count - 1) * len(prompt) for prompt, count in groups),
        )
        position_B = torch.tensor([len(row.prompt_ids) for row in rows], device=self._device)
        self._position_B = torch.cat([self._position_B, position_B]) if len(self._ledger) else position_B
        self._ledger.add(rows)
        self._settle()
        return state

    def _settle(self) -> None:
        """Prepare what depends on which rows there are."""
        self._part = _rows_of_logits(self._decoder)
        which_B = self._ledger.specs_B
        self._settings = [
            RowSettings.of(self._specs, which_B[start : start + self._part], self._device)
            for start in range(0, len(which_B), self._part)
        ]
        self._uniform_BN = torch.empty(0, 0)
        self._num_uniforms_used = 0

    # Tokens are drawn

    @torch.inference_mode()
    def _draw(self, state: torch.Tensor) -> None:
        uniform_B = self._next_uniforms()
        parts = []
        for index, settings in enumerate(self._settings):
            chosen = slice(index * self._part, (index + 1) * self._part)
            parts.append(draw(self._decoder.logits(state[chosen]), uniform_B[chosen], settings))
        drawn = parts[0] if len(parts) == 1 else Drawn(*(torch.cat(column) for column in zip(*parts, strict=True)))
        self._token_B = drawn.token_B
        self._drawn.append(drawn)

    def _next_uniforms(self) -> torch.Tensor:
        if self._num_uniforms_used == self._uniform_BN.shape[1]:
            age_B = self._ledger.age_B + len(self._drawn)
            ahead = uniforms(self._ledger.seeds_B, age_B, _UNIFORMS_AHEAD)
            self._uniform_BN = torch.from_numpy(ahead).to(self._device)
            self._num_uniforms_used = 0
        self._num_uniforms_used += 1
        return self._uniform_BN[:, self._num_uniforms_used - 1]

    # Rows end

    def _look(self) -> list[Finished]:
        """Enter into the ledger what was drawn since the last look, and drop rows that have ended where that pays."""
        finished = self._ledger.enter(*(_to_host(column) for column in zip(*self._drawn, strict=True)))
        self._drawn = []
        self._num_steps += 1
        open_B = self._ledger.open_B
        num_open = int(open_B.sum())
        num_bytes = self._decoder.num_bytes
        share = min(1.0, num_bytes / max(1, self._limits.max_bytes))
        self._health.look(running=num_open, waiting=len(self._waiting), cache_share=share)
        too_heavy = self._num_steps % _WEIGH_EVERY == 0 and num_bytes > self._limits.max_bytes
        if not finished and not too_heavy:
            return []
        if not num_open:
            self._decoder.clear()
            self._ledger.clear()
        elif too_heavy and num_open > 1:
            self._drop(self._send_back(open_B, num_open // 2))
        elif num_open < self._decoder.keep_below * len(open_B):
            self._drop(open_B)
        return finished

    def _send_back(self, open_B: NDArray[np.bool_], num: int) -> NDArray[np.bool_]:
        """Let the last ``num`` open rows wait again; from their seeds they will be the same."""
        self._longest_seen = max(self._longest_seen, int(self._ledger.age_B.max()))
        self._health.count(preemptions=num)
        places = np.flatnonzero(open_B)[-num:]
        self._waiting += [self._ledger.rows[place] for place in reversed(places)]
        stays_B = open_B.copy()
        stays_B[places] = False
        return stays_B

    def _drop(self, open_B: NDArray[np.bool_]) -> None:
        self._longest_seen = max(self._longest_seen, int(self._ledger.age_B.max()))
        kept = torch.from_numpy(np.flatnonzero(open_B)).to(self._device)
        uniform_BN, used = self._uniform_BN, self._num_uniforms_used
        self._decoder.keep(open_B.tolist())
        self._ledger.keep(open_B)
        self._token_B, self._position_B = self._token_B[kept], self._position_B[kept]
        self._settle()
        self._uniform_BN, self._num_uniforms_used = uniform_BN[kept], used


def _rows_of_logits(decoder: Decoder) -> int:
    return max(1, LOGITS_AT_ONCE // decoder.num_tokens)


def _to_host(column: Sequence[torch.Tensor]) -> NDArray[Any]:
    """What K draws gave every row, as an array B x K."""
    joined = column[0][:, None] if len(column) == 1 else torch.stack(tuple(column), dim=1)
    found: NDArray[Any] = joined.cpu().numpy()
    return found
