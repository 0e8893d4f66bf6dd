"""A negotiation over two goods that are worth different things to each side.

Both know all holdings; what the goods are worth to the other is private. Who gains more in value wins, so a fair exchange is
a draw and every exchange is a contest over its terms.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from training_core.games.base import OVER, Game, IllegalMove, Position, plain_words
from training_core.spec.events import Scene

GOODS = ("wood", "gold")
START = 10
"""Pieces of each good that each player begins with."""
VALUES = ((5, 15), (15, 5))
"""What a piece of wood and of gold is worth to each player."""
NUM_TURNS = 10
_OFFER = re.compile(r"(?:offer:? )?(\d{1,2}) (wood|gold) (?:for|->) (\d{1,2}) (wood|gold)")
_CODES = {"accept": "a", "deny": "d"}


@dataclass(frozen=True)
class Offer:
    """``Offer(give=3, good=0, want=2)``: three pieces of wood for two of gold."""

    give: int
    good: int
    """The good that is given; the other one is wanted."""
    want: int

    @property
    def text(self) -> str:
        return f"offer {self.give} {GOODS[self.good]} for {self.want} {GOODS[1 - self.good]}"

    @property
    def code(self) -> str:
        return f"{self.give}{GOODS[self.good][0]}{self.want}{GOODS[1 - self.good][0]}"


@dataclass(frozen=True)
class Talks(Position):
    """Holdings, what lies on the table, and what was said: ``Talks(holdings=((7, 12), (13, 8)), said=("offer ...", "accept"))``."""

    holdings: tuple[tuple[int, int], tuple[int, int]] = ((START, START), (START, START))
    """Pieces of wood and gold of each player."""
    offer: Offer | None = None
    """Made by the player who is not to move."""
    said: tuple[str, ...] = ()

    @property
    def to_move(self) -> int:
        return OVER if len(self.said) == NUM_TURNS else len(self.said) % 2

    def actions(self) -> tuple[str, ...]:
        if self.to_move == OVER:
            return ()
        answers = ("accept", "deny") if self.offer else ()
        return (*answers, *(offer.text for offer in self._offers()))

    def _offers(self) -> list[Offer]:
        """Exchanges that both sides could carry out."""
        mine, theirs = self.holdings[self.to_move], self.holdings[1 - self.to_move]
        return [
            Offer(give=give, good=good, want=want)
            for good in (0, 1)
            for give in range(1, mine[good] + 1)
            for want in range(1, theirs[1 - good] + 1)
        ]

    def play(self, action: str) -> "Talks":
        said = (*self.said, action)
        if self.offer is not None and action == "deny":
            return replace(self, offer=None, said=said)
        if self.offer is not None and action == "accept":
            return replace(self, holdings=self._exchanged(self.offer), offer=None, said=said)
        offer = _parsed(action)
        if self.to_move == OVER or offer is None or offer.text != action or not self._is_covered(offer):
            raise IllegalMove(f"{action!r} cannot be said here")
        return replace(self, offer=offer, said=said)

    def _is_covered(self, offer: Offer) -> bool:
        mine, theirs = self.holdings[self.to_move], self.holdings[1 - self.to_move]
        return 1 <= offer.give <= mine[offer.good] and 1 <= offer.want <= theirs[1 - offer.good]

    def _exchanged(self, offer: Offer) -> tuple[tuple[int, int], tuple[int, int]]:
        giver = 1 - self.to_move
        change = [0, 0]
        change[offer.good] -= offer.give
        change[1 - offer.good] += offer.want
        signs = (1, -1) if giver == 0 else (-1, 1)
        first, second = (
            (wood + sign * change[0], gold + sign * change[1])
            for sign, (wood, gold) in zip(signs, self.holdings, strict=True)
        )
        return (first, second)

    @property
    def gains(self) -> tuple[int, int]:
        """By how much the value of each player's holdings has changed since the beginning."""
        first, second = (
            sum(worth * (pieces - START) for worth, pieces in zip(VALUES[seat], self.holdings[seat], strict=True))
            for seat in (0, 1)
        )
        return (first, second)

    @property
    def returns(self) -> tuple[float, float]:
        ahead = self.gains[0] - self.gains[1]
        won = float((ahead > 0) - (ahead < 0))
        return (won, -won)

    def observation(self, player: int) -> str:
        (wood, gold), (their_wood, their_gold) = self.holdings[player], self.holdings[1 - player]
        said = [f"{'You' if place % 2 == player else 'They'}: {text}." for place, text in enumerate(self.said)] or [
            "Nothing has been said yet."
        ]
        worth = VALUES[player]
        return (
            f"To you a piece of wood is worth {worth[0]} and a piece of gold {worth[1]}. You hold {wood} wood and {gold} gold; "
            f"the other player holds {their_wood} wood and {their_gold} gold. {' '.join(said)} "
            f"{NUM_TURNS - len(self.said)} turns are left."
        )

    def code(self, player: int) -> str:
        """``g9,7w12g,3w2g``: the dearer good, turns left, own holdings and the offer on the table."""
        wood, gold = self.holdings[player]
        dearer = GOODS[VALUES[player].index(max(VALUES[player]))][0]
        offer = self.offer.code if self.offer else ""
        return f"{dearer}{NUM_TURNS - len(self.said)},{wood}w{gold}g,{offer}"

    def scene(self) -> Scene:
        facts = {}
        for seat, (wood, gold) in enumerate(self.holdings):
            worth = VALUES[seat]
            facts[f"Player {seat} holds"] = f"{wood} wood at {worth[0]}, {gold} gold at {worth[1]}"
            facts[f"Player {seat} gained"] = f"{self.gains[seat]:+d}"
        return Scene(facts={**facts, "On the table": self.offer.text if self.offer else "nothing"})


class Negotiation(Game):
    """Winning pays 1, whatever the difference."""

    name = "negotiation"
    title = "Negotiation"
    rules = (
        "You negotiate over wood and gold with another player, to whom they are worth other amounts than to you. Each of you "
        f"began with {START} wood and {START} gold, and {NUM_TURNS} turns are taken in all. A move is an offer such as "
        "'offer 3 wood for 2 gold', which gives 3 wood for 2 gold, or, while the other player's offer lies on the table, "
        "'accept' or 'deny'. A new offer denies the old one. You win if the value of your holdings rises more than theirs."
    )

    def start(self) -> Talks:
        return Talks()

    def code_of(self, action: str) -> str:
        if action in _CODES:
            return _CODES[action]
        offer = _parsed(action)
        assert offer is not None
        return offer.code

    def random_action(self, position: Position, rng: random.Random) -> str:
        """Answers and offers get equal chances: of all moves nearly all are offers."""
        actions = position.actions()
        answers = [action for action in actions if action in _CODES]
        place = rng.randrange(len(answers) + 1)
        return answers[place] if place < len(answers) else rng.choice(actions[len(answers) :])

    def read(self, text: str, actions: Sequence[str]) -> str | None:
        offer = _parsed(plain_words(text))
        return super().read(offer.text if offer else text, actions)


def _parsed(words: str) -> Offer | None:
    found = _OFFER.fullmatch(words)
    if found is None or found[2] == found[4]:
        return None
    return Offer(give=int(found[1]), good=GOODS.index(found[2]), want=int(found[3]))
