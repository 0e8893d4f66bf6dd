"""One game from its first move to its end, between players of any kind: policies, chance, perfect play."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from training_core.games.base import CHANCE, OVER, Game, Position, settle
from training_core.games.minimax import Minimax
from training_core.play.play import Play
from training_core.play.prompts import Prompts
from training_core.play.requests import Completion
from training_core.rewards.tags import last_tag
from training_core.spec.learning import SamplingSpec

SEATS = ("player_0", "player_1")
"""The roles of the two seats."""
_MOST_LISTED = 12
"""Legal moves named in a prompt; where there are more, the rules must do."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """A player's answer: ``Said(action="bet", completion=...)``; no action where the text names no legal move."""

    action: str | None
    completion: Completion | None = None
    """None where no model spoke."""


class Player(Protocol):
    """Whoever sits in a seat."""

    async def move(self, game: Game, position: Position, seat: int) -> Said: ...


class Speaker:
    """A policy that is asked for every move anew: it sees its own observation, never what the other player thought.

    ``role`` is asked in both seats where it is given, and else the seat's own role; ``policy`` names other weights than theirs.
    """

    def __init__(
        self,
        play: Play,
        prompts: Prompts,
        *,
        role: str | None = None,
        policy: str | None = None,
        sampling: SamplingSpec | None = None,
    ) -> None:
        self._play, self._prompts = play, prompts
        self._role, self._policy, self._sampling = role, policy, sampling

    async def move(self, game: Game, position: Position, seat: int) -> Said:
        prompt = move_prompt(self._prompts, game, position, seat)
        role = self._role or SEATS[seat]
        completion = (await self._play.say(role, prompt, sampling=self._sampling, policy=self._policy))[0]
        return Said(action=read_move(game, position, completion.text), completion=completion)


class RandomPlayer:
    """Any legal move."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    async def move(self, game: Game, position: Position, seat: int) -> Said:
        return Said(action=game.random_action(position, self._rng))


class PerfectPlayer:
    """Any of the moves that give nothing away; for games without chance or secrets."""

    def __init__(self, rng: random.Random, minimax: Minimax) -> None:
        self._rng, self._minimax = rng, minimax

    async def move(self, game: Game, position: Position, seat: int) -> Said:
        return Said(action=self._rng.choice(self._minimax.best(position)))


def move_prompt(prompts: Prompts, game: Game, position: Position, seat: int) -> str:
    """What a policy is asked when it is to move."""
    actions = position.actions()
    listed = ", ".join(actions) if len(actions) <= _MOST_LISTED else "as the rules say"
    return prompts.render(
        "move",
        game=game.name,
        rules=game.rules,
        observation=position.observation(seat),
        actions=listed,
        code=position.code(seat),
    )


def read_move(game: Game, position: Position, text: str) -> str | None:
    """The legal move inside the last answer tag, or of a text that is nothing but a move."""
    return game.read(last_tag(text, "answer") or text, position.actions())


@dataclass(frozen=True, kw_only=True)
class Deed:
    """One move: who, what was said, and the position after it (unchanged by an illegal one)."""

    seat: int
    said: Said
    after: Position


@dataclass(kw_only=True)
class Match:
    """A game that was played: its moves in order, and how it ended."""

    game: Game
    deeds: list[Deed] = field(default_factory=list)
    end: Position
    offender: int | None = None
    """The seat whose illegal move ended the game."""

    @property
    def is_cut(self) -> bool:
        """Whether it was broken off after too many turns."""
        return self.offender is None and self.end.to_move != OVER

    @property
    def returns(self) -> tuple[float, float]:
        """What the rules pay, as a share of the most they can pay; 0 for a game that was cut or ended by an illegal move."""
        if self.offender is not None or self.is_cut:
            return (0.0, 0.0)
        first, second = self.end.returns
        return (first / self.game.most, second / self.game.most)

    @property
    def outcome(self) -> tuple[int, int]:
        """1 for the winner, -1 for the loser, 0 for a draw; who makes an illegal move loses."""
        if self.offender is not None:
            return (-1, 1) if self.offender == 0 else (1, -1)
        first = self.returns[0]
        won = (first > 0) - (first < 0)
        return (won, -won)

    @property
    def result(self) -> str:
        """How it ended, for a reader."""
        if self.offender is not None:
            return f"player {self.offender} made an illegal move"
        if self.is_cut:
            return f"cut after {len(self.deeds)} turns"
        return "draw" if self.outcome[0] == 0 else f"player {0 if self.outcome[0] > 0 else 1} won"


async def play_match(
    game: Game,
    players: Sequence[Player],
    *,
    rng: random.Random,
    max_turns: int,
    num_by_chance: int = 0,
    start: Position | None = None,
) -> Match:
    """Play until the game is over, a move is illegal, or ``max_turns`` moves were made; ``rng`` rolls the game's dice.

    The first ``num_by_chance`` moves are nobody's: they are legal moves by chance. ``start`` is where to go on from.
    """
    match = Match(game=game, end=settle(game.start() if start is None else start, rng))
    chance = RandomPlayer(rng)
    while match.end.to_move not in {OVER, CHANCE} and len(match.deeds) < max_turns:
        seat = match.end.to_move
        player = chance if len(match.deeds) < num_by_chance else players[seat]
        said = await player.move(game, match.end, seat)
        if said.action is not None:
            match.end = settle(match.end.play(said.action), rng)
        match.deeds.append(Deed(seat=seat, said=said, after=match.end))
        if said.action is None:
            match.offender = seat
            break
    return match
