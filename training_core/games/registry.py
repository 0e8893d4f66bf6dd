"""Games by name."""

from collections.abc import Sequence

from training_core.games.base import Game, Games
from training_core.games.kuhn_poker import KuhnPoker
from training_core.games.negotiation import Negotiation
from training_core.games.textarena import PREFIX, TextArenaGame
from training_core.games.tic_tac_toe import TicTacToe

_BUILT_IN: tuple[Game, ...] = (KuhnPoker(), TicTacToe(), Negotiation())


def make_game(name: str) -> Game:
    """The game of that name; ``textarena/...`` needs the package textarena and raises ``DataError`` without it."""
    if name.startswith(PREFIX):
        return TextArenaGame(name)
    for game in _BUILT_IN:
        if game.name == name:
            return game
    raise ValueError(f"there is no game {name!r}; known games: {', '.join(game.name for game in _BUILT_IN)}")


def make_games(names: Sequence[str]) -> Games:
    """The games of a task, in the order it names them."""
    return Games(tuple(make_game(name) for name in names))
