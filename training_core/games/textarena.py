"""TextArena's two-player games whose moves can be listed (PyPI ``textarena``, an extra: ``requirements/textarena.txt``).

The package's environments change in place and draw from Python's global random numbers; here each position holds a copy, and
everything drawn comes from the position's own seed. Their Kuhn poker moves no chips on a bet or a call: the built-in game does.
"""

import copy
import importlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import ModuleType
from typing import Any

from training_core.games.base import CHANCE, OVER, Game, IllegalMove, Position
from training_core.play.requests import derive_seed
from training_core.spec.events import Scene
from training_core.tasks.base import DataError

PREFIX = "textarena/"
NUM_SEEDS = 256
"""Beginnings of a game that has chance in it."""


@dataclass(frozen=True, kw_only=True)
class _Kind:
    title: str
    moves: tuple[str, ...]
    """Everything that may be a move at some time; whether it is one now the environment says."""
    has_chance: bool = False
    whole_history: bool = False
    """Whether a player needs all that was said, not only the rules and the newest message."""


_KINDS = {
    "TicTacToe-v0": _Kind(title="Tic-tac-toe (TextArena)", moves=tuple(f"[{cell}]" for cell in range(9))),
    "ConnectFour-v0": _Kind(title="Connect four (TextArena)", moves=tuple(f"[col {column}]" for column in range(7))),
    "Nim-v0": _Kind(
        title="Nim (TextArena)", moves=tuple(f"[{pile} {num}]" for pile in range(3) for num in range(1, 6))
    ),
    "KuhnPoker-v0": _Kind(
        title="Kuhn poker without stakes (TextArena)",
        moves=("[check]", "[bet]", "[call]", "[fold]"),
        has_chance=True,
        whole_history=True,
    ),
    "PigDice-v0-short": _Kind(title="Pig (TextArena)", moves=("[roll]", "[hold]"), has_chance=True),
}


@contextmanager
def _own_randomness(*parts: int | str) -> Iterator[None]:
    """Python's global random numbers, from a seed of the caller's; afterwards they go on as if nothing had been."""
    before = random.getstate()
    random.seed(derive_seed("textarena", *parts))
    try:
        yield
    finally:
        random.setstate(before)


def _package() -> ModuleType:
    try:
        with _own_randomness("import"):
            return importlib.import_module("textarena")
    except ModuleNotFoundError as error:
        raise DataError(
            "games of TextArena need the package textarena, which is not installed: pip install -r requirements/textarena.txt"
        ) from error


@dataclass(frozen=True)
class ArenaPosition(Position):
    """``ArenaPosition("Nim-v0", seed=7, done=("[0 3]",))``; the environment and what was said follow from these three."""

    name: str
    seed: int | None = None
    """None before chance has chosen one."""
    done: tuple[str, ...] = ()
    after: Any = field(default=None, compare=False, repr=False)
    """The environment after ``done``, where somebody has it already."""
    before: tuple[tuple[str, ...], tuple[str, ...]] = field(default=((), ()), compare=False, repr=False)
    """What each player had been told before the last move."""

    @cached_property
    def _env(self) -> Any:
        if self.after is not None:
            return self.after
        package = _package()
        with _own_randomness(self.name, self.seed or 0):
            env = package.make(f"{self.name}-raw")
            env.reset(num_players=2, seed=derive_seed(self.seed or 0) % 2**31)
        return env

    @cached_property
    def _told(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        first, second = (
            (*old, *(str(message) for _, message, _ in self._env.state.observations[player]))
            for player, old in enumerate(self.before)
        )
        return (first, second)

    @property
    def to_move(self) -> int:
        if self.seed is None:
            return CHANCE
        return OVER if self._env.state.done else int(self._env.state.current_player_id)

    def outcomes(self) -> tuple[tuple[float, "ArenaPosition"], ...]:
        if self.seed is not None:
            return ()
        num = NUM_SEEDS if _KINDS[self.name].has_chance else 1
        return tuple((1 / num, replace(self, seed=seed)) for seed in range(num))

    def actions(self) -> tuple[str, ...]:
        return tuple(self._next)

    @cached_property
    def _next(self) -> dict[str, Any]:
        """The environment after each legal move: legal is what the environment does not refuse."""
        if self.to_move in {CHANCE, OVER}:
            return {}
        tried = {move: self._tried(move) for move in _KINDS[self.name].moves}
        return {move: env for move, env in tried.items() if env is not None}

    def _tried(self, move: str) -> Any:
        assert self.seed is not None
        with _own_randomness(self.name, self.seed, *self.done, move):
            env = copy.deepcopy(self._env)
            for messages in env.state.observations.values():
                messages.clear()
            env.step(move)
        return None if env.state.error_count else env

    def play(self, action: str) -> "ArenaPosition":
        if action not in self._next:
            raise IllegalMove(f"{action!r} is refused by {self.name}")
        return replace(self, done=(*self.done, action), after=self._next[action], before=self._told)

    @property
    def returns(self) -> tuple[float, float]:
        rewards = self._env.state.rewards
        return (float(rewards[0]), float(rewards[1]))

    def observation(self, player: int) -> str:
        told = self._told[player]
        return "\n\n".join(told if _KINDS[self.name].whole_history else (told[0], told[-1]))

    def code(self, player: int) -> str:
        return "\n".join(self._told[player])

    def scene(self) -> Scene:
        told = max(self._told, key=len)
        return Scene(facts={"Told last": told[-1]} if self.seed is not None else {})


class TextArenaGame(Game):
    """A game of TextArena under the name ``textarena/Nim-v0``; returns are 1 for winning."""

    rules = "You play a game against another player. A move is written in square brackets."

    def __init__(self, name: str) -> None:
        environment = name.removeprefix(PREFIX)
        if environment not in _KINDS:
            raise ValueError(f"{environment!r} is none of the games of TextArena known here: {', '.join(_KINDS)}")
        _package()
        self.name, self.title = name, _KINDS[environment].title  # type: ignore[misc]
        self._environment = environment

    def start(self) -> ArenaPosition:
        return ArenaPosition(self._environment)
