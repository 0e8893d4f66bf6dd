"""Ratings from results, against values worked out by hand and a simulated league."""

import random
from math import log, log10, sqrt

import pytest

from training_core.play.league import PER_NAT, Results, ratings


def test_two_players_are_as_far_apart_as_the_odds_between_them():
    found = ratings({("a", "b"): (3.0, 4)}, anchor="b", prior=0.0)
    assert found["a"].points - 1000 == pytest.approx(400 * log10(3))
    assert found["b"].points == 1000


def test_the_prior_is_drawn_games():
    found = ratings({("a", "b"): (3.0, 4)}, anchor="b", prior=1.0)
    assert found["a"].points - 1000 == pytest.approx(400 * log10(3.5 / 1.5))
    spread = ratings({("a", "b"): (3.0, 4)}, anchor="b", prior=2.0)
    assert spread["a"].points - 1000 == pytest.approx(400 * log10(4 / 2))


def test_the_interval_is_that_of_a_binomial_share():
    """Of 100 games, 75 won: the log-odds have the variance 1 / (n p (1 - p))."""
    rating = ratings({("a", "b"): (75.0, 100)}, anchor="b", prior=0.0)["a"]
    half = 1.96 * PER_NAT / sqrt(100 * 0.75 * 0.25)
    assert (rating.low, rating.high) == (pytest.approx(rating.points - half), pytest.approx(rating.points + half))


def test_the_anchor_is_certain_and_moves_all_others_with_it():
    results = {("a", "b"): (7.0, 10), ("b", "c"): (6.0, 10)}
    at_1000, at_0 = ratings(results, anchor="c"), ratings(results, anchor="c", at=0.0)
    assert (at_1000["c"].low, at_1000["c"].points, at_1000["c"].high) == (1000, 1000, 1000)
    assert all(at_1000[name].points == pytest.approx(at_0[name].points + 1000) for name in "abc")
    other = ratings(results, anchor="a", at=0.0)
    assert other["b"].points == pytest.approx(at_0["b"].points - at_0["a"].points)


def test_a_chain_of_players_adds_up():
    """Without games between a and c, a is as far above c as both gaps together; so are the variances."""
    found = ratings({("a", "b"): (30.0, 40), ("b", "c"): (40.0, 60)}, anchor="c", at=0.0, prior=0.0)
    assert found["a"].points == pytest.approx(400 * (log10(3) + log10(2)))
    variance = 1 / (40 * 3 / 16) + 1 / (60 * 2 / 9)
    assert found["a"].high - found["a"].points == pytest.approx(1.96 * PER_NAT * sqrt(variance))


def test_who_won_everything_has_a_finite_rating_and_a_wide_interval():
    rating = ratings({("a", "b"): (20.0, 20)}, anchor="b")["a"]
    assert rating.points - 1000 == pytest.approx(400 * log10(20.5 / 0.5))
    assert rating.high - rating.low > 400


def test_players_who_never_met_are_still_on_one_scale():
    found = ratings({("a", "b"): (8.0, 10), ("c", "d"): (5.0, 10)}, anchor="b")
    assert found["a"].points > found["c"].points > found["b"].points
    assert found["c"].points == pytest.approx(found["d"].points)


def test_nobody_but_the_anchor_is_a_league_of_one():
    assert ratings({}, anchor="a")["a"].points == 1000


def test_true_strengths_lie_in_their_intervals():
    truth = {"strong": 300.0, "middle": 120.0, "weak": -150.0, "anchor": 0.0}
    rng, names = random.Random(4), list(truth)
    inside = 0
    for _ in range(40):
        results = {}
        for place, first in enumerate(names):
            for second in names[place + 1 :]:
                chance = 1 / (1 + 10 ** ((truth[second] - truth[first]) / 400))
                results[first, second] = (float(sum(rng.random() < chance for _ in range(60))), 60)
        found = ratings(results, anchor="anchor", at=0.0)
        inside += sum(found[name].low <= truth[name] <= found[name].high for name in names[:3])
    assert 108 <= inside <= 120


def test_results_become_the_table_a_reader_is_shown():
    results = Results()
    for points in (1.0, 1.0, 0.5, 0.0):
        results.add("new", "old", points)
    results.add("random", "new", 0.0)
    league = results.league(anchor="random")
    assert [row.name for row in league.players] == ["new", "old", "random"]
    row = league.players[0]
    assert (row.games, row.won, row.drawn, row.lost) == (5, 3, 1, 1)
    assert league.matrix == [[None, 0.625, 1.0], [0.375, None, None], [0.0, None, None]]
    old = league.players[1]
    assert (old.games, old.won, old.drawn, old.lost) == (4, 1, 1, 2)
    assert league.players[2].rating == 1000


def test_results_survive_being_written_down():
    results, again = Results(), Results()
    results.add("a", "b", 1.0)
    results.add("b", "a", 0.5)
    again.load_state_dict(results.state_dict())
    assert again.league(anchor="a") == results.league(anchor="a")
    assert again.players == ["a", "b"]


@pytest.mark.parametrize(("game", "part"), [(("a", "a", 1.0), "against itself"), (("a", "b", 0.7), "not 0.7")])
def test_games_that_cannot_be_are_refused(game, part):
    with pytest.raises(ValueError, match=part):
        Results().add(*game)


def test_a_refused_game_leaves_no_trace():
    results = Results()
    with pytest.raises(ValueError, match="points"):
        results.add("a", "b", 2.0)
    assert results.players == []


def test_odds_of_e_are_the_unit():
    assert pytest.approx(400 / log(10)) == PER_NAT
