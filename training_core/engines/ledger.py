"""What has been drawn for every row of a batch, on the host.

Shapes: B rows, K tokens drawn since the last entry, N tokens there is room for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_core.engines.stops import CHECK_EVERY, StopFinder

_ROOM = 64


@dataclass(frozen=True, kw_only=True)
class Row:
    """One completion to be drawn, and where it belongs: sample ``place`` of request ``request``."""

    request: int
    place: int
    prompt_ids: tuple[int, ...]
    seed: int
    spec: int
    """Index of its sampling settings."""
    limit: int
    """Most tokens it may get."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A row with what was drawn for it."""

    row: Row
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    entropies: tuple[float, ...]
    ended: bool
    num_text_tokens: int
    """Tokens that make the text: all but the end token."""
    text_end: int | None
    """Where a stop string begins in the text."""


class Ledger:
    """Rows with their tokens, log-probs and entropies; rows that have ended stay until they are dropped."""

    def __init__(self, end_ids: frozenset[int], stops: StopFinder) -> None:
        self._end_ids = np.array(sorted(end_ids))
        self._stops = stops
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self.rows: list[Row] = []
        self.age_B = np.zeros(0, dtype=np.int64)
        """Tokens drawn for each row."""
        self.open_B = np.zeros(0, dtype=bool)
        """Rows that have not ended."""
        self.seeds_B = np.zeros(0, dtype=np.uint64)
        self.specs_B = np.zeros(0, dtype=np.int64)
        self._limit_B = np.zeros(0, dtype=np.int64)
        self._least_limit = 0
        self._checked_B = np.zeros(0, dtype=np.int64)
        """Tokens already searched for stop strings."""
        self._columns: list[NDArray[Any]] = [
            np.zeros((0, _ROOM), dtype) for dtype in (np.int64, np.float32, np.float32)
        ]
        """Tokens, log-probs and entropies, each B x N."""

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, rows: Sequence[Row]) -> None:
        """New rows, behind those there are."""
        num = len(rows)
        self.rows = [*self.rows, *rows]
        self.age_B = np.append(self.age_B, np.zeros(num, dtype=np.int64))
        self.open_B = np.append(self.open_B, np.ones(num, dtype=bool))
        self.seeds_B = np.append(self.seeds_B, np.array([row.seed for row in rows], dtype=np.uint64))
        self.specs_B = np.append(self.specs_B, np.array([row.spec for row in rows], dtype=np.int64))
        self._limit_B = np.append(self._limit_B, np.array([row.limit for row in rows], dtype=np.int64))
        self._checked_B = np.append(self._checked_B, np.zeros(num, dtype=np.int64))
        self._least_limit = int(self._limit_B.min())
        self._columns = [
            np.concatenate([column, np.zeros((num, column.shape[1]), dtype=column.dtype)]) for column in self._columns
        ]

    def keep(self, kept_B: NDArray[np.bool_]) -> None:
        """Drop the other rows."""
        self.rows = [row for row, is_kept in zip(self.rows, kept_B, strict=True) if is_kept]
        self.age_B, self.open_B = self.age_B[kept_B], self.open_B[kept_B]
        self.seeds_B, self.specs_B = self.seeds_B[kept_B], self.specs_B[kept_B]
        self._limit_B, self._checked_B = self._limit_B[kept_B], self._checked_B[kept_B]
        self._columns = [column[kept_B] for column in self._columns]

    def enter(self, token_BK: NDArray[Any], logp_BK: NDArray[Any], entropy_BK: NDArray[Any]) -> list[Finished]:
        """Add what was drawn; gives the rows that end with it."""
        num_new = token_BK.shape[1]
        before_B, youngest, oldest = self.age_B, int(self.age_B.min()), int(self.age_B.max())
        self._make_room(oldest + num_new)
        # Slices are several times faster than indices, and rows are mostly of one age.
        at: Any = (slice(None), slice(oldest, oldest + num_new))
        if youngest != oldest:
            at = (np.arange(len(self.rows))[:, None], before_B[:, None] + np.arange(num_new))
        for column, new in zip(self._columns, (token_BK, logp_BK, entropy_BK), strict=True):
            column[at] = new
        self.age_B = before_B + num_new
        is_end_BK = _is_any_of(token_BK, self._end_ids)
        if not self._stops.any and oldest + num_new < self._least_limit and not is_end_BK.any():
            return []
        has_end_B = is_end_BK.any(1)
        length_B = np.where(has_end_B, before_B + is_end_BK.argmax(1) + 1, self.age_B)
        cut_B = length_B > self._limit_B
        length_B = np.minimum(length_B, self._limit_B)
        has_end_B &= ~cut_B
        done_B = self.open_B & (has_end_B | (length_B == self._limit_B))
        stopped = self._find_stops(length_B, has_end_B, done_B) if self._stops.any else {}
        done_B[list(stopped)] = True
        self.open_B &= ~done_B
        return [
            self._finish(row, int(length_B[row]), ended=bool(has_end_B[row]), stop=stopped.get(row))
            for row in np.flatnonzero(done_B).tolist()
        ]

    def _find_stops(
        self, length_B: NDArray[np.int64], has_end_B: NDArray[np.bool_], done_B: NDArray[np.bool_]
    ) -> dict[int, tuple[int, int]]:
        """Number of tokens and place in the text of the first stop string, by row."""
        due_B = self.open_B & (done_B | (self.age_B - self._checked_B >= CHECK_EVERY))
        rows = [row for row in np.flatnonzero(due_B).tolist() if self._stops.looks_at(self.rows[row].spec)]
        texts = []
        for row in rows:
            end = int(length_B[row]) - int(has_end_B[row])
            texts.append((self.rows[row].spec, self._columns[0][row, :end].tolist(), end - int(self._checked_B[row])))
            self._checked_B[row] = end
        return {row: stop for row, stop in zip(rows, self._stops.find(texts), strict=True) if stop is not None}

    def _finish(self, row: int, length: int, *, ended: bool, stop: tuple[int, int] | None) -> Finished:
        num_text_tokens = length - int(ended)
        if stop is not None:
            length = num_text_tokens = stop[0]
        tokens, logprobs, entropies = (tuple(column[row, :length].tolist()) for column in self._columns)
        return Finished(
            row=self.rows[row],
            token_ids=tokens,
            logprobs=logprobs,
            entropies=entropies,
            ended=ended or stop is not None,
            num_text_tokens=num_text_tokens,
            text_end=None if stop is None else stop[1],
        )

    def _make_room(self, num_tokens: int) -> None:
        room = self._columns[0].shape[1]
        if num_tokens > room:
            self._columns = [np.pad(column, ((0, 0), (0, max(num_tokens - room, room)))) for column in self._columns]


def _is_any_of(values: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = values == wanted[0] if len(wanted) == 1 else np.isin(values, wanted)
    return found
