"""A search as a drawing: one box per turn, lines from each to those it led to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from webapp.telemetry.turns import ReadTurn, replies_of, thread

WIDTH, HEIGHT = 152, 40
_COLUMN, _ROW, _MARGIN = 196, 52, 3
_MOST_WORDS, _MOST_NAME = 20, 15


@dataclass(frozen=True, kw_only=True)
class Node:
    """A box of the tree; ``left``, ``right``, ``up`` and ``down`` are the turns that arrow keys lead to from it."""

    turn: ReadTurn
    x: int
    y: int
    label: str
    words: str
    """What was read out of the text, cut to fit."""
    part: str
    """"chosen" or "rejected" where the node is that side of a pair."""
    on_path: bool
    """Whether it lies between the root and a chosen node."""
    left: int | None
    right: int | None
    up: int | None
    down: int | None


@dataclass(frozen=True, kw_only=True)
class Branch:
    path: str
    on_path: bool


@dataclass(frozen=True, kw_only=True)
class Tree:
    width: int
    height: int
    nodes: tuple[Node, ...]
    """As they were written, which is the order of the links' numbers."""
    listed: tuple[Node, ...]
    """In reading order, each followed by those it led to."""
    branches: tuple[Branch, ...]


def read_tree(data: dict[str, Any], turns: Sequence[ReadTurn]) -> Tree:
    """The turns as a tree that grows to the right."""
    replies = replies_of(turns)
    depths = _depths(turns)
    rows = _rows(turns, replies)
    parts = _parts(data)
    path = _path(turns, [index for index, part in parts.items() if part == "chosen"])
    columns = _columns(depths, rows)
    nodes = tuple(
        Node(
            turn=turn,
            x=_MARGIN + depths[turn.index] * _COLUMN,
            y=_MARGIN + round(rows[turn.index] * _ROW),
            label=_cut(turn.name, _MOST_NAME),
            words=_cut(" ".join((turn.parsed or turn.text).split()), _MOST_WORDS),
            part=parts.get(turn.index, ""),
            on_path=turn.index in path,
            left=turn.parent,
            right=next((reply.index for reply in replies.get(turn.index, [])), None),
            up=_beside(columns[depths[turn.index]], turn.index, -1),
            down=_beside(columns[depths[turn.index]], turn.index, 1),
        )
        for turn in turns
    )
    return Tree(
        width=max((node.x for node in nodes), default=0) + WIDTH + _MARGIN,
        height=max((node.y for node in nodes), default=0) + HEIGHT + _MARGIN,
        nodes=nodes,
        listed=tuple(nodes[turn.index] for turn in thread(turns)),
        branches=tuple(_branch(nodes[node.turn.parent], node) for node in nodes if node.turn.parent is not None),
    )


def _depths(turns: Sequence[ReadTurn]) -> list[int]:
    depths: list[int] = []
    for turn in turns:
        depths.append(0 if turn.parent is None else depths[turn.parent] + 1)
    return depths


def _rows(turns: Sequence[ReadTurn], replies: dict[int | None, list[ReadTurn]]) -> dict[int, float]:
    """Leaves one below the other, every other node in the middle of what it led to."""
    leaves = (turn.index for turn in thread(turns) if turn.index not in replies)
    rows: dict[int, float] = {index: float(row) for row, index in enumerate(leaves)}
    for turn in reversed(turns):  # a reply was always written after what it answers
        if turn.index in replies:
            below = [rows[reply.index] for reply in replies[turn.index]]
            rows[turn.index] = (below[0] + below[-1]) / 2
    return rows


def _parts(data: dict[str, Any]) -> dict[int, str]:
    pairs = data.get("pairs") or []
    return {pair["rejected"]: "rejected" for pair in pairs} | {pair["chosen"]: "chosen" for pair in pairs}


def _path(turns: Sequence[ReadTurn], chosen: Sequence[int]) -> set[int]:
    path: set[int] = set()
    for index in chosen:
        place: int | None = index if index < len(turns) else None
        while place is not None and place not in path:
            path.add(place)
            place = turns[place].parent
    return path


def _columns(depths: Sequence[int], rows: dict[int, float]) -> dict[int, list[int]]:
    columns: dict[int, list[int]] = {}
    for index in sorted(rows, key=lambda index: rows[index]):
        columns.setdefault(depths[index], []).append(index)
    return columns


def _beside(column: list[int], index: int, step: int) -> int | None:
    place = column.index(index) + step
    return column[place] if 0 <= place < len(column) else None


def _branch(parent: Node, node: Node) -> Branch:
    start_x, start_y = parent.x + WIDTH, parent.y + HEIGHT // 2
    end_y, middle = node.y + HEIGHT // 2, (parent.x + WIDTH + node.x) // 2
    path = f"M{start_x} {start_y}C{middle} {start_y} {middle} {end_y} {node.x} {end_y}"
    return Branch(path=path, on_path=parent.on_path and node.on_path)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
