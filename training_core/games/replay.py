"""From the moves a sample recorded back to the positions of the game."""

from collections.abc import Sequence

from training_core.games.base import CHANCE, Game, IllegalMove, Position
from training_core.spec.events import Scene

MOST_FUTURES = 20_000
"""Chance may have gone so many ways at once before the search gives up."""


class Unrepeatable(ValueError):
    """The moves do not fit the rules, or chance can have gone too many ways; the message is one sentence."""


def replay(game: Game, moves: Sequence[tuple[str, Scene]]) -> list[Position]:
    """The position before the first move and after each of them; what chance did is found by what readers saw.

    Where several positions look the same, the first one found is taken. Raises ``Unrepeatable``.
    """
    lines = [[position] for position in _settled(game.start())]
    for number, (action, scene) in enumerate(moves, start=1):
        lines = [[*line, after] for line in lines for after in _after(line[-1], action) if after.scene() == scene]
        if not lines:
            raise Unrepeatable(f"Move {number} ({action!r}) cannot be repeated by the rules of {game.title}.")
    return lines[0]


def _after(position: Position, action: str) -> list[Position]:
    try:
        return _settled(position.play(action))
    except IllegalMove:
        return []


def _settled(position: Position) -> list[Position]:
    """Everywhere chance may lead from here."""
    found, waiting = [], [position]
    while waiting:
        here = waiting.pop(0)
        if here.to_move != CHANCE:
            found.append(here)
            continue
        waiting += [after for _, after in here.outcomes()]
        if len(waiting) + len(found) > MOST_FUTURES or not waiting:
            raise Unrepeatable("Chance can have gone too many ways in this game for its positions to be found again.")
    return found
