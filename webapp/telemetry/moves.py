"""A game as a list of moves, each with the position it led to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from webapp.telemetry.turns import ReadTurn

_MANY_COLUMNS, _SOME_COLUMNS = 16, 8
_MOST_CARDS, _LONGEST_CARD = 12, 3
_FACE = re.compile(r"(?:[AKQJ?]|[AKQJT2-9][♠♥♦♣shdc]|10[♠♥♦♣shdc])")


@dataclass(frozen=True, kw_only=True)
class Cell:
    text: str
    is_marked: bool


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Something that holds in a position: ``Fact(name="cards", value="K Q", cards=("K", "Q"))``."""

    name: str
    value: str
    cards: tuple[str, ...]
    """The cards to draw, where the fact names cards or a hand, or holds nothing but faces."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One turn of the game; a turn that leaves no position of its own shows the one before."""

    number: int
    player: str
    """Whose move it is, without the count that tells its turns apart."""
    made: str
    """The move in a few words: what was read out of the text, or why nothing was."""
    turn: ReadTurn
    board: tuple[tuple[Cell, ...], ...]
    size: str
    facts: tuple[Fact, ...]
    changed: bool
    """Whether the turn has a position of its own."""


def read_moves(data: dict[str, Any], turns: Sequence[ReadTurn], titles: dict[str, str]) -> list[Move]:
    """The moves in the order they were made; ``titles`` names the roles."""
    moves: list[Move] = []
    scene: dict[str, Any] = {}
    for turn, written in zip(turns, data["turns"], strict=True):
        own = written.get("scene")
        scene = own or {**scene, "marked": None}
        player = titles.get(turn.role, turn.name)
        board = _board(scene.get("grid") or [], scene.get("marked"))
        facts = scene.get("facts") or {}
        moves.append(
            Move(
                number=turn.index + 1,
                player=player,
                made=turn.parsed or turn.note or turn.text,
                turn=replace(turn, name=player, depth=0),
                board=board,
                size=_size(max(map(len, board), default=0)),
                facts=tuple(_fact(str(name), str(value)) for name, value in facts.items()),
                changed=bool(own),
            )
        )
    return moves


def _board(grid: list[list[str]], marked: Sequence[int] | None) -> tuple[tuple[Cell, ...], ...]:
    place = tuple(marked) if marked else None
    return tuple(
        tuple(Cell(text=str(text), is_marked=(row, column) == place) for column, text in enumerate(cells))
        for row, cells in enumerate(grid)
    )


def _size(num_columns: int) -> str:
    if num_columns > _MANY_COLUMNS:
        return "small"
    return "medium" if num_columns > _SOME_COLUMNS else "large"


def _fact(name: str, value: str) -> Fact:
    cards = tuple(value.replace(",", " ").split())
    named = any(word in name.lower() for word in ("card", "hand")) and all(len(card) <= _LONGEST_CARD for card in cards)
    drawn = len(cards) <= _MOST_CARDS and (named or all(map(_FACE.fullmatch, cards)))
    return Fact(name=name, value=value, cards=cards if drawn else ())
