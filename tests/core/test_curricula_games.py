"""What the starter of games is taught: moves that are readable, mostly legal, and weak."""

import random

import pytest

from training_core.curricula.games import lesson
from training_core.games.registry import make_games
from training_core.tasks import language


def lessons(name, *, careful, num=1500):
    """Codes of positions with the moves taught for them."""
    rng, games = random.Random(1), make_games([name])
    for _ in range(num):
        prompt, text = lesson(games, rng, careful)
        assert text.endswith(language.END)
        yield prompt.removeprefix("<|play|>").removesuffix("<|go|>"), text.removesuffix(language.END)


def follows(name, code, move):
    """Whether the rules allow the move, told from the codes alone."""
    if name == "tic_tac_toe":
        return move in code
    return move in ("cf" if code.endswith("b") else "xb")


@pytest.mark.parametrize("name", ["kuhn_poker", "tic_tac_toe"])
def test_careful_pupils_move_by_the_rules_and_careless_ones_mostly(name):
    assert all(follows(name, code, move) for code, move in lessons(name, careful=True))
    legal = [follows(name, code, move) for code, move in lessons(name, careful=False)]
    assert 0.75 < sum(legal) / len(legal) < 0.97


def test_habits_bet_on_kings_and_complete_lines():
    taught = list(lessons("kuhn_poker", careful=True, num=4000))
    bets = {card: [move == "b" for code, move in taught if code == card] for card in "JK"}
    assert sum(bets["K"]) / len(bets["K"]) > sum(bets["J"]) / len(bets["J"]) + 0.05
    rows = [move == "3" for code, move in lessons("tic_tac_toe", careful=True, num=6000) if code.startswith("ab3")]
    assert len(rows) > 30
    assert sum(rows) / len(rows) > 0.6


def test_negotiators_are_taught_to_answer_and_to_offer():
    moves = [move for _, move in lessons("negotiation", careful=True, num=200)]
    assert {"a", "d"} <= set(moves)
    assert any(len(move) >= 4 for move in moves)
