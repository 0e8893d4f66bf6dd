"""The adapter to TextArena's games, played with the package itself; without it there is one sentence to say."""

import importlib.util
import random

import pytest

from training_core.games.base import CHANCE, OVER, IllegalMove, settle
from training_core.games.registry import make_game
from training_core.tasks.base import DataError

INSTALLED = importlib.util.find_spec("textarena") is not None
needs_textarena = pytest.mark.skipif(not INSTALLED, reason="the extra textarena is not installed")
NAMES = ["TicTacToe-v0", "ConnectFour-v0", "Nim-v0", "KuhnPoker-v0", "PigDice-v0-short"]


@pytest.mark.skipif(INSTALLED, reason="the extra textarena is installed")
def test_without_the_package_a_sentence_says_how_to_install_it():
    with pytest.raises(DataError, match=r"pip install -r requirements/textarena\.txt"):
        make_game("textarena/Nim-v0")


def test_an_unknown_environment_is_refused():
    with pytest.raises(ValueError, match="TicTacToe-v0"):
        make_game("textarena/Chess-v0")


@needs_textarena
@pytest.mark.parametrize("name", NAMES)
def test_random_games_end_and_repeat_themselves(name):
    def ended(seed: int) -> tuple[tuple[str, ...], tuple[float, float]]:
        rng = random.Random(seed)
        game = make_game(f"textarena/{name}")
        position = game.start()
        assert position.to_move == CHANCE
        position = settle(position, rng)
        for _ in range(400):
            if position.to_move == OVER:
                break
            assert position.actions()
            position = position.play(game.random_action(position, rng))
        return position.done, position.returns

    random.seed(5)
    before = random.getstate()
    games = [ended(seed) for seed in (1, 2, 3)]
    assert random.getstate() == before  # the package draws from the global numbers; we give them back
    assert games == [ended(seed) for seed in (1, 2, 3)]
    assert {sum(returns) for _, returns in games} == {0}
    assert len({done for done, _ in games}) == 3


@needs_textarena
def test_a_move_leaves_the_position_before_it_as_it_was():
    start = settle(make_game("textarena/TicTacToe-v0").start(), random.Random(0))
    after = start.play("[4]")
    assert start.to_move == 0
    assert "[4]" in start.actions()
    assert after.to_move == 1
    assert "[4]" not in after.actions()
    assert len(after.actions()) == 8
    assert after.observation(1) != start.observation(1)
    assert "placed their symbol" in " ".join(after.scene().facts.values()) or after.scene().facts["Told last"]
    with pytest.raises(IllegalMove):
        after.play("[4]")


@needs_textarena
def test_what_a_player_may_not_see_is_not_told():
    dealt = settle(make_game("textarena/KuhnPoker-v0").start(), random.Random(0))
    told = [dealt.observation(player) for player in (0, 1)]
    cards = [next(card for card in "JQK" if f"card is: '{card}'" in text) for text in told]
    assert cards[0] != cards[1]
    assert all(f"card is: '{cards[1 - player]}'" not in told[player] for player in (0, 1))
