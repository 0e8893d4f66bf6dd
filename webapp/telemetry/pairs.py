"""Chosen and rejected side by side, with what differs marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from webapp.telemetry.differences import Piece, difference
from webapp.telemetry.turns import ReadTurn


@dataclass(frozen=True, kw_only=True)
class Side:
    """One text of a pair, cut into pieces."""

    turn: ReadTurn
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, kw_only=True)
class ReadPair:
    """``ReadPair(number=1, chosen=..., rejected=..., margin=0.4)``"""

    number: int
    chosen: Side
    rejected: Side
    margin: float | None
    """The chosen text's log-ratio minus the rejected one's, in nats: above 0 the policy has moved towards the chosen one."""
    is_same: bool


def read_pairs(data: dict[str, Any], turns: Sequence[ReadTurn]) -> list[ReadPair]:
    """The sample's pairs; one that names a turn which is not there is left out."""
    listed = [(pair.get("chosen"), pair.get("rejected")) for pair in data.get("pairs") or []]
    known = [(turns[a], turns[b]) for a, b in listed if _is_place(a, turns) and _is_place(b, turns)]
    return [_read(number, chosen, rejected) for number, (chosen, rejected) in enumerate(known, start=1)]


def outside(pairs: Sequence[ReadPair], turns: Sequence[ReadTurn]) -> list[ReadTurn]:
    """The turns that are in no pair: what the pairs answer, verdicts, further candidates."""
    inside = {side.turn.index for pair in pairs for side in (pair.chosen, pair.rejected)}
    return [turn for turn in turns if turn.index not in inside]


def _is_place(index: Any, turns: Sequence[ReadTurn]) -> bool:
    return isinstance(index, int) and 0 <= index < len(turns)


def _read(number: int, chosen: ReadTurn, rejected: ReadTurn) -> ReadPair:
    left, right = difference(chosen.text, rejected.text)
    return ReadPair(
        number=number,
        chosen=Side(turn=chosen, pieces=tuple(left)),
        rejected=Side(turn=rejected, pieces=tuple(right)),
        margin=_margin(chosen.logratio, rejected.logratio),
        is_same=chosen.text == rejected.text,
    )


def _margin(chosen: float | None, rejected: float | None) -> float | None:
    return None if chosen is None or rejected is None else chosen - rejected
