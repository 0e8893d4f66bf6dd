"""Kuhn poker (Kuhn 1950) with real stakes: antes and bets move chips.

Three cards, one each, both players ante 1; one bet of 1 may be made and called. With best play on both sides the first player
loses 1/18 of a chip per hand. (Copies of the game in which a call costs nothing are another game: nobody would fold there.)
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import permutations

from training_core.games.base import CHANCE, OVER, Game, IllegalMove, Position
from training_core.spec.events import Scene

CARDS = ("J", "Q", "K")
VALUE = -1 / 18
"""What the first player wins per hand when both play their best."""
_CODES = {"check": "x", "bet": "b", "call": "c", "fold": "f"}
_NEXT: Mapping[tuple[str, ...], tuple[str, ...]] = {
    (): ("check", "bet"),
    ("check",): ("check", "bet"),
    ("bet",): ("call", "fold"),
    ("check", "bet"): ("call", "fold"),
}
"""What may follow what has been done; anything else ends the hand."""
_DEED = {"check": "checked", "bet": "bet 1 chip", "call": "called with 1 chip", "fold": "folded"}


@dataclass(frozen=True)
class Hand(Position):
    """A hand: ``Hand(cards=(1, 2), done=("check", "bet"))`` is a queen against a king that has bet."""

    cards: tuple[int, int] | None = None
    """Each player's card as a place in ``CARDS``; None before they are dealt."""
    done: tuple[str, ...] = ()

    @property
    def to_move(self) -> int:
        if self.cards is None:
            return CHANCE
        return len(self.done) % 2 if self.done in _NEXT else OVER

    def actions(self) -> tuple[str, ...]:
        return () if self.cards is None else _NEXT.get(self.done, ())

    def play(self, action: str) -> "Hand":
        if action not in self.actions():
            raise IllegalMove(f"{action!r} cannot follow {', '.join(self.done) or 'the deal'}")
        return replace(self, done=(*self.done, action))

    def outcomes(self) -> tuple[tuple[float, "Hand"], ...]:
        if self.cards is not None:
            return ()
        deals = list(permutations(range(len(CARDS)), 2))
        return tuple((1 / len(deals), replace(self, cards=(first, second))) for first, second in deals)

    @property
    def paid(self) -> tuple[int, int]:
        """Chips each player has put into the pot."""
        chips = [1, 1]
        for place, action in enumerate(self.done):
            chips[place % 2] += action in {"bet", "call"}
        return (chips[0], chips[1])

    @property
    def returns(self) -> tuple[float, float]:
        assert self.cards is not None
        higher = int(self.cards[1] > self.cards[0])
        winner = len(self.done) % 2 if self.done[-1] == "fold" else higher
        won = float(self.paid[1 - winner])
        return (won, -won) if winner == 0 else (-won, won)

    def observation(self, player: int) -> str:
        assert self.cards is not None
        said = [
            f"{'You' if place % 2 == player else 'The other player'} {_DEED[action]}."
            for place, action in enumerate(self.done)
        ]
        order = "first" if player == 0 else "second"
        history = " ".join(said) if said else "Nobody has moved yet."
        return f"You move {order}. Your card is {CARDS[self.cards[player]]}. {history} The pot holds {sum(self.paid)} chips."

    def code(self, player: int) -> str:
        """``Qxb``: own card and what has been done."""
        assert self.cards is not None
        return CARDS[self.cards[player]] + "".join(_CODES[action] for action in self.done)

    def scene(self) -> Scene:
        facts = {} if self.cards is None else {f"Player {seat}": CARDS[card] for seat, card in enumerate(self.cards)}
        return Scene(facts={**facts, "Pot": f"{sum(self.paid)} chips", "Moves": ", ".join(self.done) or "none yet"})


class KuhnPoker(Game):
    """Returns are chips won, from -2 to 2."""

    name = "kuhn_poker"
    title = "Kuhn poker"
    rules = (
        "This is Kuhn poker. The deck is J, Q, K; K is highest. Each player puts 1 chip into the pot and gets one card. "
        "Players may check or bet 1 chip; a bet may be called with 1 chip or folded to. After two checks or a call the higher "
        "card takes the pot; after a fold the other player takes it."
    )
    most = 2.0

    def start(self) -> Hand:
        return Hand()

    def code_of(self, action: str) -> str:
        return _CODES[action]


def equilibrium(alpha: float) -> dict[str, dict[str, float]]:
    """A best strategy for both seats by ``Hand.code`` (Kuhn 1950): the first player bets a jack with probability ``alpha``,
    0 to 1/3, and the rest follows; the second player has only one."""
    if not 0 <= alpha <= 1 / 3:
        raise ValueError(f"alpha is {alpha}, but the equilibria have it between 0 and 1/3")
    bets = {"J": alpha, "Q": 0.0, "K": 3 * alpha, "Jx": 1 / 3, "Qx": 0.0, "Kx": 1.0}
    calls = {"Jxb": 0.0, "Qxb": alpha + 1 / 3, "Kxb": 1.0, "Jb": 0.0, "Qb": 1 / 3, "Kb": 1.0}
    return {
        **{code: {"check": 1 - chance, "bet": chance} for code, chance in bets.items()},
        **{code: {"call": chance, "fold": 1 - chance} for code, chance in calls.items()},
    }
