"""What a game is: two players, turns, and what one wins the other loses. Positions never change; a move gives a new one."""

import random
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from training_core.spec.events import Scene

CHANCE, OVER = -1, -2
"""Who is to move where no player is: the dice or the dealer, and nobody any more."""
_SPACES = re.compile(r"\s+")


class IllegalMove(ValueError):
    """A move that the rules do not allow here."""


class Position(ABC):
    """One moment of a game. Hashable; equal positions have the same future."""

    @property
    @abstractmethod
    def to_move(self) -> int:
        """0 or 1 for a player, or ``CHANCE``, or ``OVER``."""

    @abstractmethod
    def actions(self) -> tuple[str, ...]:
        """The moves the player may make here, always in the same order; at least one unless the game is over."""

    @abstractmethod
    def play(self, action: str) -> Self:
        """The position after a move; raises ``IllegalMove`` for what is not among ``actions``."""

    def outcomes(self) -> tuple[tuple[float, Self], ...]:
        """Where to move is ``CHANCE``: what may happen and how likely it is."""
        return ()

    @property
    @abstractmethod
    def returns(self) -> tuple[float, float]:
        """What each player has won when the game is over; they add up to 0."""

    @abstractmethod
    def observation(self, player: int) -> str:
        """All that the player knows, in sentences."""

    @abstractmethod
    def code(self, player: int) -> str:
        """What matters of all that the player knows, in a few characters. Where the player is to move, it names the information
        set: positions with equal codes are one and the same to the player."""

    @abstractmethod
    def scene(self) -> Scene:
        """The whole position as a reader sees it, hidden cards included."""


class Game(ABC):
    """The rules of a game."""

    name: ClassVar[str]
    title: ClassVar[str]
    rules: ClassVar[str]
    """Told to a model before every move, in sentences."""
    most: ClassVar[float] = 1.0
    """The most that ``returns`` can give."""

    @abstractmethod
    def start(self) -> Position:
        """The position before anything has happened."""

    def code_of(self, action: str) -> str:
        """The move in a few characters, as the starter writes it."""
        return action

    def random_action(self, position: Position, rng: random.Random) -> str:
        """A legal move by chance."""
        return rng.choice(position.actions())

    def read(self, text: str, actions: Sequence[str]) -> str | None:
        """The move of ``actions`` that a text names, by its words or its code; None where it names none of them."""
        said = plain_words(text)
        for action in actions:
            if said in {action.casefold(), self.code_of(action).casefold()}:
                return action
        return None


@dataclass(frozen=True)
class Games:
    """The games of a task: ``Games((KuhnPoker(),))``."""

    games: tuple[Game, ...]


def plain_words(text: str) -> str:
    """A move as it was meant: without brackets around it, in small letters, with single spaces."""
    return _SPACES.sub(" ", text.strip(" \t\r\n.[](){}\"'`*")).casefold()


def settle(position: Position, rng: random.Random) -> Position:
    """The position once chance has decided all it has to decide."""
    while position.to_move == CHANCE:
        weights, positions = zip(*position.outcomes(), strict=True)
        position = rng.choices(positions, weights)[0]
    return position
