"""Texts laid end to end without padding, a prompt once for all completions that answer it.

Shapes: N tokens of the pack, L of them live, M predicted tokens, R rows and T columns of a rectangle.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from training_core.learn.logprobs import Text

_FILL = 0.75
"""Segments share a rectangle when the shortest fills at least this share of its row."""
_SLACK = 4
"""Segments that differ by no more tokens than this always do."""
_PROMPT_FILL = 0.5
"""Prompts share a rectangle of keys when the shortest fills at least this share of its row: a call costs more than its columns."""
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """Tokens of the pack arranged in R rows of T, which is what attention works on; short rows are filled up on the right."""

    num_rows: int
    num_columns: int
    place: torch.Tensor
    """The token of the pack in each cell, row by row; empty cells name the first token of their row."""
    full_cells: torch.Tensor | None
    """The cells that are not empty; None where all are full."""
    start: int | None
    """The first token, where the cells are neighbours in the pack and nothing needs to be moved."""

    def take(self, values_N: torch.Tensor) -> torch.Tensor:
        """R x T of the values; empty cells repeat a value of their row."""
        shape = (self.num_rows, self.num_columns, *values_N.shape[1:])
        if self.start is not None:
            return values_N[self.start : self.start + self.num_rows * self.num_columns].view(shape)
        return values_N[self.place].view(shape)

    def take_filled(self, values_N: torch.Tensor, fill: float) -> torch.Tensor:
        """The same with ``fill`` in the empty cells."""
        taken = self.take(values_N)
        if self.full_cells is None:
            return taken
        cells = taken.view(-1, *values_N.shape[1:])
        filled = torch.full_like(cells, fill)
        filled[self.full_cells] = cells[self.full_cells]
        return filled.view(taken.shape)

    def put(self, values_N: torch.Tensor, cells_RT: torch.Tensor) -> None:
        """Write the cells to where they belong."""
        if self.start is not None:
            self.take(values_N).copy_(cells_RT)
            return
        place, cells = self._full(cells_RT)
        values_N[place] = cells

    def add(self, values_N: torch.Tensor, cells_RT: torch.Tensor) -> None:
        """Add the cells to where they belong."""
        if self.start is not None:
            self.take(values_N).add_(cells_RT)
            return
        place, cells = self._full(cells_RT)
        values_N.index_add_(0, place, cells)

    def _full(self, cells_RT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cells = cells_RT.reshape(-1, *cells_RT.shape[2:])
        if self.full_cells is None:
            return self.place, cells
        return self.place[self.full_cells], cells[self.full_cells]


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Completions that look back at a prompt which stands apart: all of a family in one row, its prompt in the same row of ``keys``."""

    queries: Rectangle
    keys: Rectangle
    mask_R11T: torch.Tensor | None
    """Added to the scores: minus infinity for empty cells of ``keys``; None where all are full."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """One micro-batch: segments end to end, and who may look at whom.

    A segment is a prompt with its completion, or a prompt alone, or a completion alone whose prompt is another segment. Every
    segment looks at itself causally (``own``); completions whose prompt stands apart look at all of it as well (``across``).
    """

    ids_N: torch.Tensor
    position_N: torch.Tensor
    own: tuple[Rectangle, ...]
    across: tuple[Crossing, ...]
    live_L: torch.Tensor
    """The tokens from which something is predicted; behind the last attention the others are of no use."""
    read_M: torch.Tensor
    """The place in ``live_L`` from which each completion token is predicted, in the order of the texts."""
    target_M: torch.Tensor
    """The completion tokens, in the order of the texts."""


@dataclass(kw_only=True, eq=False)
class _Segment:
    ids: Sequence[int]
    position: int
    prompt: "_Segment | None" = None
    start: int = 0

    @property
    def length(self) -> int:
        return len(self.ids)

    def places(self, first: int = 0) -> NDArray[np.int64]:
        return np.arange(self.start + first, self.start + self.length)


def families(texts: Sequence[Text]) -> list[list[int]]:
    """Indices of texts with one prompt, in the order in which the prompts appear."""
    found: dict[tuple[int, ...], list[int]] = {}
    for index, text in enumerate(texts):
        found.setdefault(tuple(text.prompt_ids), []).append(index)
    return list(found.values())


def pack(texts: Sequence[Text], *, share: bool) -> Pack:
    """Lay texts end to end; with ``share``, a prompt that several texts begin with stands once. The last tokens are only predicted."""
    alone: list[tuple[int, _Segment]] = []
    prompts: list[_Segment] = []
    completions: list[tuple[int, _Segment]] = []
    groups = families(texts) if share else [[index] for index in range(len(texts))]
    # As prompts are sorted, so are the completions that look back at them: their rows lie without gaps.
    for family in sorted(groups, key=lambda family: -len(texts[family[0]].prompt_ids)):
        prompt_ids = texts[family[0]].prompt_ids
        if len(family) == 1:
            alone.append((family[0], _Segment(ids=[*prompt_ids, *texts[family[0]].token_ids[:-1]], position=0)))
            continue
        prompt = _Segment(ids=prompt_ids, position=0)
        prompts.append(prompt)
        for index in family:
            ids = texts[index].token_ids[:-1]
            completions.append((index, _Segment(ids=ids, position=len(prompt_ids), prompt=prompt)))
    roots = sorted([*prompts, *(segment for _, segment in alone)], key=lambda segment: -segment.length)
    segments = [*roots, *(segment for _, segment in completions)]
    _line_up(segments)
    read = _reads(texts, [*alone, *completions])
    live, read_live = np.unique(read, return_inverse=True)
    return Pack(
        ids_N=torch.tensor([token for segment in segments for token in segment.ids]),
        position_N=torch.cat([torch.arange(s.position, s.position + s.length) for s in segments]),
        own=tuple(_rectangle([s.places() for s in group]) for group in _alike(segments, lambda s: s.length)),
        across=tuple(_crossings([segment for _, segment in completions])),
        live_L=torch.from_numpy(live),
        read_M=torch.from_numpy(read_live.reshape(-1)),
        target_M=torch.tensor([token for text in texts for token in text.token_ids]),
    )


def num_packed_tokens(texts: Sequence[Text], *, share: bool) -> int:
    """Tokens that ``pack`` would lay out."""
    num_tokens = sum(text.length - 1 for text in texts)
    if share:
        num_tokens -= sum((len(family) - 1) * len(texts[family[0]].prompt_ids) for family in families(texts))
    return num_tokens


def _line_up(segments: Iterable[_Segment]) -> None:
    start = 0
    for segment in segments:
        segment.start = start
        start += segment.length


def _reads(texts: Sequence[Text], segments: Iterable[tuple[int, _Segment]]) -> NDArray[np.int64]:
    """The token of the pack from which each completion token is predicted."""
    reads: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(texts)
    for index, segment in segments:
        if segment.prompt is None:
            reads[index] = segment.places(len(texts[index].prompt_ids) - 1)
        else:
            reads[index] = np.concatenate([segment.prompt.places(segment.prompt.length - 1), segment.places()])
    return np.concatenate(reads)


def _crossings(completions: Sequence[_Segment]) -> Iterator[Crossing]:
    """Families side by side whose prompts, and whose completions, are of a size."""
    rows = []
    for prompt, members in groupby(completions, key=lambda segment: segment.prompt):
        assert prompt is not None
        if len(places := np.concatenate([member.places() for member in members])):
            rows.append((prompt, places))
    for similar in _alike(rows, lambda row: row[0].length, fill=_PROMPT_FILL):
        for group in _alike(similar, lambda row: len(row[1])):
            keys = _rectangle([prompt.places() for prompt, _ in group])
            yield Crossing(queries=_rectangle([places for _, places in group]), keys=keys, mask_R11T=_empty_cells(keys))


def _empty_cells(keys: Rectangle) -> torch.Tensor | None:
    if keys.full_cells is None:
        return None
    mask = torch.full((keys.num_rows * keys.num_columns,), -torch.inf)
    mask[keys.full_cells] = 0.0
    return mask.view(keys.num_rows, 1, 1, keys.num_columns)


def _alike(items: Iterable[Item], length: Callable[[Item], int], *, fill: float = _FILL) -> Iterator[list[Item]]:
    """Items of about one length together, longest first; items of no length are left out. Equals stay in their order."""
    group: list[Item] = []
    for item in sorted(items, key=lambda item: -length(item)):
        if length(item) == 0:
            break
        if group and length(item) < min(fill * length(group[0]), length(group[0]) - _SLACK):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _rectangle(rows: Sequence[NDArray[np.int64]]) -> Rectangle:
    lengths = np.array([len(row) for row in rows])
    num_columns = int(lengths.max())
    place_RT = np.stack([np.concatenate([row, np.full(num_columns - len(row), row[0])]) for row in rows])
    place = place_RT.reshape(-1)
    full = (np.arange(num_columns) < lengths[:, None]).reshape(-1)
    is_full = bool(full.all())
    is_whole = is_full and bool((np.diff(place) == 1).all())
    return Rectangle(
        num_rows=len(rows),
        num_columns=num_columns,
        place=torch.from_numpy(place),
        full_cells=None if is_full else torch.from_numpy(np.flatnonzero(full)),
        start=int(place[0]) if is_whole else None,
    )
