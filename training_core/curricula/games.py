"""What the starter of SPIRAL is taught: how a move is written in each game, and hardly more.

Every lesson is one move at a position of a random game: mostly by chance, now and then from a habit, which makes the starter look
at its cards and its board. Later the pupil sometimes writes a move that belongs to another position. So the starter knows the
format, plays weakly, and often illegally.

    <|play|>Qxb<|go|>          c<|end|>         Kuhn poker: a queen, check, bet; call
    <|play|>a234E6789<|go|>    7<|end|>         tic-tac-toe: own cells a to i, the other's A to I
    <|play|>g9,10w10g,3w2g<|go|>  a<|end|>      negotiation: accept
"""

import random
from typing import Any

from training_core.curricula.base import Curriculum, School, say_each
from training_core.games.base import OVER, Game, Games, Position, settle
from training_core.games.kuhn_poker import Hand
from training_core.games.tic_tac_toe import Board
from training_core.play.match import read_move
from training_core.tasks import language

PLAY = "<|play|>"
SLIPS = 0.25
"""Chance that a careless pupil's move belongs to another position."""
HABITS = {"kuhn_poker": 0.12, "tic_tac_toe": 0.8}
"""Chance that a pupil moves from habit where there is one."""
_EXAM_SEED = 37


def move_prompt(*, code: str, **_: Any) -> str:
    """Ask for a move."""
    return PLAY + language.plain(code) + language.GO


def reply(*, code: str, **_: Any) -> str:
    """A move as the starter writes it."""
    return code


def lesson(games: Games, rng: random.Random, careful: bool) -> tuple[str, str]:
    """A position and a move by chance."""
    game = rng.choice(games.games)
    position = random_position(game, rng)
    shown = position if careful or rng.random() >= SLIPS else random_position(game, rng)
    habit = _habit(shown) if rng.random() < HABITS.get(game.name, 0.0) else None
    move = game.code_of(habit or game.random_action(shown, rng))
    return move_prompt(code=position.code(position.to_move)), move + language.END


def _habit(position: Position) -> str | None:
    """At poker: bets and calls with a king, not with a jack. At tic-tac-toe: completes a line or else blocks one."""
    if isinstance(position, Hand):
        card, actions = position.code(position.to_move)[0], position.actions()
        wanted = {"J": {"check", "fold"}, "K": {"bet", "call"}}.get(card, set())
        return next((action for action in actions if action in wanted), None)
    if isinstance(position, Board):
        return next(iter(position.completing(position.to_move) or position.completing(1 - position.to_move)), None)
    return None


def random_position(game: Game, rng: random.Random) -> Position:
    """A position of a random game in which a player is to move."""
    positions = [settle(game.start(), rng)]
    while positions[-1].to_move != OVER:
        positions.append(settle(positions[-1].play(game.random_action(positions[-1], rng)), rng))
    return rng.choice(positions[:-1])


async def exam(play: Any, games: Games, num_items: int) -> dict[str, float]:
    """``legal``: the share of moves that the rules allow, at temperature 1."""
    rng = random.Random(_EXAM_SEED)
    asked = [(game, random_position(game, rng)) for _ in range(num_items) for game in games.games]
    prompts = [move_prompt(code=position.code(position.to_move)) for _, position in asked]
    said = await say_each(play, prompts, max_tokens=8)
    legal = [read_move(game, at, text) is not None for (game, at), text in zip(asked, said, strict=True)]
    return {"legal": sum(legal) / len(legal)}


CURRICULUM = Curriculum(
    name="games",
    tasks=("games",),
    lessons={"move": lesson},
    mixture={"move": 1.0},
    prompts={"move": move_prompt, "reply": reply},
    exam=exam,
    least={"legal": 0.5},
    marks=(PLAY,),
    rehearsed=("move",),
    school=School(intermediate_size=256, num_steps=600, careful_share=0.7, extra_steps=100),
)
