"""Rules of the games, perfect play, and exact exploitability against known values."""

import random

import pytest

from training_core.evaluate.exploitability import (
    best_answer_value,
    expected_value,
    exploitability,
    information_sets,
    uniform,
)
from training_core.games.base import CHANCE, OVER, Game, IllegalMove, Position, settle
from training_core.games.kuhn_poker import VALUE, Hand, KuhnPoker, equilibrium
from training_core.games.minimax import Minimax
from training_core.games.negotiation import Negotiation, Offer, Talks
from training_core.games.registry import make_game, make_games
from training_core.games.tic_tac_toe import Board, TicTacToe

KUHN = KuhnPoker()


def played(position: Position, *actions: str) -> Position:
    for action in actions:
        position = position.play(action)
    return position


def random_game(game: Game, seed: int) -> list[Position]:
    rng = random.Random(seed)
    positions = [settle(game.start(), rng)]
    while positions[-1].to_move != OVER:
        positions.append(settle(positions[-1].play(rng.choice(positions[-1].actions())), rng))
    return positions


@pytest.mark.parametrize("name", ["kuhn_poker", "tic_tac_toe", "negotiation"])
def test_random_games_end_with_returns_that_add_up_to_nothing(name):
    game = make_game(name)
    games = [random_game(game, seed) for seed in range(25)]
    ends = [positions[-1].returns for positions in games]
    assert all(sum(end) == 0 and abs(end[0]) <= game.most for end in ends)
    assert len(set(ends)) > 1
    assert all(position.to_move in {0, 1} and position.actions() for moves in games for position in moves[:-1])
    assert all(positions[-1].actions() == () for positions in games)


@pytest.mark.parametrize("name", ["kuhn_poker", "tic_tac_toe", "negotiation"])
def test_a_game_reads_its_own_moves_in_words_and_in_code_and_nothing_else(name):
    game = make_game(name)
    position = random_game(game, 1)[1]
    for action in position.actions():
        assert game.read(action, position.actions()) == action
        assert game.read(f"[{action.upper()}].", position.actions()) == action
        assert game.read(game.code_of(action), position.actions()) == action
    assert game.read("resign", position.actions()) is None
    assert game.read("", position.actions()) is None
    with pytest.raises(IllegalMove):
        position.play("resign")


def test_chips_move_on_bets_and_calls():
    dealt = Hand(cards=(2, 0))  # king against jack
    assert played(dealt, "check", "check").returns == (1, -1)
    assert played(dealt, "bet", "call").returns == (2, -2)
    assert played(dealt, "bet", "fold").returns == (1, -1)
    assert played(dealt, "check", "bet", "fold").returns == (-1, 1)
    assert played(Hand(cards=(0, 1)), "check", "bet", "call").returns == (-2, 2)
    assert played(dealt, "check", "bet").paid == (1, 2)


def test_the_deal_is_fair_and_hidden_from_the_other_player():
    outcomes = KUHN.start().outcomes()
    assert KUHN.start().to_move == CHANCE
    assert {hand.cards for _, hand in outcomes} == {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)}
    assert sum(chance for chance, _ in outcomes) == pytest.approx(1)
    first, second = Hand(cards=(0, 1)), Hand(cards=(0, 2))
    assert first.observation(0) == second.observation(0)
    assert first.code(0) == second.code(0) == "J"
    assert first.observation(1) != second.observation(1)


def test_uniform_play_of_kuhn_poker_is_worth_an_eighth_and_exploitable_by_eleven_twentyfourths():
    strategy = uniform(KUHN)
    assert len(information_sets(KUHN)) == 12
    assert expected_value(KUHN, strategy) == pytest.approx(1 / 8)
    assert best_answer_value(KUHN, strategy, 0) == pytest.approx(1 / 2)
    assert best_answer_value(KUHN, strategy, 1) == pytest.approx(5 / 12)
    assert exploitability(KUHN, strategy) == pytest.approx(11 / 24)


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1 / 3])
def test_the_value_of_kuhn_poker_is_minus_an_eighteenth_at_its_equilibria(alpha):
    strategy = equilibrium(alpha)
    assert expected_value(KUHN, strategy) == pytest.approx(VALUE)
    assert best_answer_value(KUHN, strategy, 0) == pytest.approx(-1 / 18)
    assert exploitability(KUHN, strategy) == pytest.approx(0, abs=1e-12)


def test_an_equilibrium_outside_the_family_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1/3"):
        equilibrium(0.5)


def test_a_best_answer_may_not_peek_at_the_other_card():
    always_bet = {code: dict.fromkeys(at.actions(), 0.0) for code, at in information_sets(KUHN).items()}
    for code, moves in always_bet.items():
        moves["bet" if "bet" in moves else "call"] = 1.0
        assert sum(moves.values()) == 1, code
    # Against somebody who bets and calls everything the second player folds jacks, calls kings, and gains as much with a
    # queen by calling as by folding loses: (-1 + 0 + 2) / 3. Who saw the cards would fold queens to kings and win 1/2.
    assert best_answer_value(KUHN, always_bet, 1) == pytest.approx(1 / 3)


def test_three_in_a_row_wins_and_a_full_board_draws():
    won = played(Board(), "1", "4", "2", "5", "3")
    assert won.to_move == OVER
    assert won.returns == (1, -1)
    assert won.scene().grid == [["X", "X", "X"], ["O", "O", ""], ["", "", ""]]
    assert won.scene().marked == (0, 2)
    drawn = played(Board(), "1", "2", "3", "5", "4", "6", "8", "7", "9")
    assert drawn.to_move == OVER
    assert drawn.returns == (0, 0)
    with pytest.raises(IllegalMove):
        played(Board(), "1", "1")


def test_both_seats_see_their_own_cells_alike():
    position = played(Board(), "1", "5")
    assert position.code(0) == "a234E6789"
    assert position.code(1) == "A234e6789"


def test_perfect_play_of_tic_tac_toe_draws_and_punishes():
    minimax = Minimax()
    assert minimax.value(TicTacToe().start()) == 0
    corner = played(Board(), "1")
    assert minimax.best(corner) == ("5",)  # every answer to a corner but the centre loses
    assert minimax.value(corner.play("2")) == 1
    threat = played(Board(), "1", "5", "2")
    assert minimax.best(threat) == ("3",)


def test_an_exchange_moves_goods_and_the_larger_gain_wins():
    talks = played(Talks(), "offer 2 wood for 3 gold")
    assert talks.offer == Offer(give=2, good=0, want=3)
    agreed = talks.play("accept")
    assert agreed.holdings == ((8, 13), (12, 7))
    assert agreed.gains == (-2 * 5 + 3 * 15, 2 * 15 - 3 * 5)
    assert agreed.offer is None
    assert talks.play("deny").holdings == Talks().holdings
    ended = played(agreed, *["offer 1 wood for 1 gold", "deny"] * 4)
    assert ended.to_move == OVER
    assert ended.returns == (1, -1)


def test_only_what_both_sides_hold_may_be_offered_and_only_the_other_accepts():
    assert "accept" not in Talks().actions()
    assert "offer 11 wood for 1 gold" not in Talks().actions()
    assert "offer 10 wood for 10 gold" in Talks().actions()
    uneven = Talks(holdings=((20, 1), (0, 19)))
    assert "offer 20 wood for 19 gold" in uneven.actions()
    assert "offer 1 gold for 1 wood" not in uneven.actions()  # the other player has no wood left


def test_offers_are_read_leniently():
    game, actions = Negotiation(), Talks().actions()
    assert game.read("[Offer: 3 Wood -> 2 Gold]", actions) == "offer 3 wood for 2 gold"
    assert game.read("3w2g", actions) == "offer 3 wood for 2 gold"
    assert game.read("offer 3 wood for 2 wood", actions) is None
    assert game.read("offer 99 wood for 2 gold", actions) is None


def test_private_values_stay_private():
    assert "worth 5" in Talks().observation(0)
    assert "worth 15 and" not in Talks().observation(0)
    assert Talks().code(0) != Talks().code(1)


def test_games_are_made_by_name():
    assert [game.name for game in make_games(["tic_tac_toe", "kuhn_poker"]).games] == ["tic_tac_toe", "kuhn_poker"]
    with pytest.raises(ValueError, match="known games: kuhn_poker"):
        make_game("chess")
