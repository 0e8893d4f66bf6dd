"""Where two texts differ, word by word; character by character where there are no words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

MAX_EDITS = 600
"""Texts farther apart are marked as different throughout between their common start and end."""
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A stretch of one of the texts: ``Piece(text="seven", differs=True)``."""

    text: str
    differs: bool


def difference(left: str, right: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts cut into pieces that are shared and pieces that are their own."""
    left_tokens, right_tokens = _tokens(left, right)
    shared = _shared(left_tokens, right_tokens)
    return (
        _pieces(left_tokens, {x for x, _ in shared}),
        _pieces(right_tokens, {y for _, y in shared}),
    )


def _tokens(left: str, right: str) -> tuple[list[str], list[str]]:
    if any(character.isspace() for text in (left, right) for character in text.strip()):
        return _WORDS.findall(left), _WORDS.findall(right)
    return list(left), list(right)


def _pieces(tokens: Sequence[str], shared: set[int]) -> list[Piece]:
    """The tokens in stretches; a shared space between two that differ belongs to them."""
    differs = [place not in shared for place in range(len(tokens))]
    for place in range(1, len(tokens) - 1):
        if tokens[place].isspace() and differs[place - 1] and differs[place + 1]:
            differs[place] = True
    runs = groupby(zip(differs, tokens, strict=True), key=itemgetter(0))
    return [Piece(text="".join(token for _, token in run), differs=differs) for differs, run in runs]


def _shared(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """Places of tokens that both texts have, in order: common start and end, and what an edit script keeps between."""
    shortest = min(len(left), len(right))
    head = 0
    while head < shortest and left[head] == right[head]:
        head += 1
    tail = 0
    while tail < shortest - head and left[-1 - tail] == right[-1 - tail]:
        tail += 1
    inner = _kept(left[head : len(left) - tail], right[head : len(right) - tail])
    ends = [(len(left) - n, len(right) - n) for n in range(tail, 0, -1)]
    return [*((n, n) for n in range(head)), *((x + head, y + head) for x, y in inner), *ends]


def _kept(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """What the shortest edit script keeps (Myers, 1986); nothing where it needs more than ``MAX_EDITS`` edits.

    The time is bounded by edits times length, whatever a model writes.
    """
    if not left or not right:
        return []
    reach: dict[int, int] = {1: 0}
    history: list[dict[int, int]] = []
    for edits in range(min(len(left) + len(right), MAX_EDITS) + 1):
        history.append(dict(reach))
        for diagonal in range(-edits, edits + 1, 2):
            down = diagonal == -edits or (diagonal != edits and reach[diagonal - 1] < reach[diagonal + 1])
            x = reach[diagonal + 1] if down else reach[diagonal - 1] + 1
            while x < len(left) and 0 <= x - diagonal < len(right) and left[x] == right[x - diagonal]:
                x += 1
            reach[diagonal] = x
            if x >= len(left) and x - diagonal >= len(right):
                return _walk_back(history, len(left), len(right))
    return []


def _walk_back(history: list[dict[int, int]], x: int, y: int) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for edits in range(len(history) - 1, -1, -1):
        reach, diagonal = history[edits], x - y
        down = diagonal == -edits or (diagonal != edits and reach[diagonal - 1] < reach[diagonal + 1])
        before = diagonal + 1 if down else diagonal - 1
        from_x = reach[before] if edits else 0
        from_y = from_x - before if edits else 0
        while x > from_x and y > from_y:
            x, y = x - 1, y - 1
            kept.append((x, y))
        x, y = from_x, from_y
    return kept[::-1]
