"""Oracles, win rates and pairs against cases worked out by hand."""

import random
from math import log

import pytest

from tests.core.test_methods_mae import Script
from training_core.evaluate.choice_game import exploitability, good_mass, mixed_in
from training_core.play.candidate_queue import CandidateQueue
from training_core.play.deck import Deck
from training_core.play.oracle import Candidate, Oracle
from training_core.play.play import Play
from training_core.play.prompts import ChatPrompts, prompts_for
from training_core.play.scheduler import run
from training_core.play.strengths import Strengths
from training_core.play.win_rates import pick_pairs, rebuilt_from_scores, table_of, win_rates
from training_core.rewards.closeness import share_in_place
from training_core.spec.learning import SamplingSpec
from training_core.spec.preference_oracle import CyclicOracle, JudgeOracle, LengthOracle, VerifierOracle
from training_core.spec.tasks import ArithmeticTask, ChoicesTask
from training_core.tasks.arithmetic import Arithmetic
from training_core.tasks.choices import Choices, payoffs

CIRCLE = [[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]]


def said(answer, *, num_tokens=4):
    return Candidate(text=f"<answer>{answer}</answer>", answer=answer, num_tokens=num_tokens)


def compare(spec, pairs, *, question="12+30", domain=None, prompts=None, lines=None, seed=0):
    oracle = Oracle(
        spec, domain or Arithmetic(ArithmeticTask()), prompts or prompts_for("sppo", "starter"), sampling=SamplingSpec()
    )
    play = Play(policies={"judge": "start"}, sampling=SamplingSpec(), seed=seed, step=1, stream="step")
    return run(oracle.compare(play, None, question, pairs), Script(lines or (lambda prompt, place: "")))


# Closeness and the verifier


@pytest.mark.parametrize(
    ("answer", "expected", "share"),
    [("42", "42", 1), ("43", "42", 0.5), ("142", "42", 2 / 3), ("2", "42", 0.5), ("dab", "dba", 1 / 3), ("", "42", 0)],
)
def test_share_in_place_counts_digits_from_the_right_and_letters_from_the_left(answer, expected, share):
    assert share_in_place(answer, expected) == pytest.approx(share)


def test_the_verifier_prefers_by_the_logistic_of_the_score_difference():
    spec = VerifierOracle(temperature=0.25)
    chances = compare(spec, [(said("42"), said("43")), (said("43"), said("42")), (said("42"), said("042"))])
    assert chances == pytest.approx([1 / (1 + 2.718281828**-2), 1 / (1 + 2.718281828**2), 0.5])


def test_an_exact_verifier_gives_nothing_for_being_close():
    assert compare(VerifierOracle(score="exact"), [(said("43"), said("99"))]) == [0.5]


def test_an_answer_without_tags_loses_to_one_that_is_half_right():
    nothing = Candidate(text="42", answer=None, num_tokens=2)
    (chance,) = compare(VerifierOracle(temperature=0.5), [(nothing, said("43"))])
    assert chance == pytest.approx(1 / (1 + 2.718281828))


def test_noise_turns_comparisons_around():
    sure, noisy = VerifierOracle(temperature=0.01), VerifierOracle(temperature=0.01, noise=0.2)
    pair = [(said("42"), said("99"))]
    assert compare(sure, pair) == pytest.approx([1])
    assert compare(noisy, pair) == pytest.approx([0.8])


def test_outcomes_are_drawn_anew_for_every_comparison():
    wins = compare(VerifierOracle(outcomes=True), [(said("41"), said("49"))] * 200)
    assert set(wins) == {0.0, 1.0}
    assert 0.3 < sum(wins) / 200 < 0.7


def test_length_prefers_the_side_it_is_told_to():
    pair = [(said("1", num_tokens=9), said("2", num_tokens=4))]
    assert compare(LengthOracle(temperature=5), pair) == pytest.approx([1 / (1 + 2.718281828**-1)])
    assert compare(LengthOracle(prefers="shorter", temperature=5), pair) == pytest.approx([1 / (1 + 2.718281828)])


# The judge


def test_a_judge_with_a_liking_for_the_first_place_knows_nothing():
    chances = compare(
        JudgeOracle(),
        [(said("42"), said("43"))],
        prompts=ChatPrompts("sppo"),
        lines=lambda prompt, place: "<better>1</better>",
    )
    assert chances == [0.5]


def test_a_judge_that_reads_pairs_is_heard_in_both_orders():
    def lines(prompt, place):
        first, second = prompt.index(">42<"), prompt.index(">43<")
        return "<better>1</better>" if first < second else "<better>2</better>"

    pairs = [(said("42"), said("43")), (said("43"), said("42"))]
    assert compare(JudgeOracle(), pairs, prompts=ChatPrompts("sppo"), lines=lines) == [1, 0]
    assert compare(JudgeOracle(swap_order=False), pairs, prompts=ChatPrompts("sppo"), lines=lines) == [1, 0]


def test_an_unreadable_verdict_counts_half():
    lines = {0: "<better>1</better>", 1: "I cannot say"}
    chances = compare(
        JudgeOracle(verdicts=2, swap_order=False),
        [(said("42"), said("43"))] * 20,
        prompts=ChatPrompts("sppo"),
        lines=lambda prompt, place: lines[place],
    )
    # In random order: 0.75 where the pair stood as given, 1 - 0.75 where it was turned.
    assert set(chances) == {0.75, 0.25}


def test_a_judge_that_reads_answers_grades_each_once():
    asked = []

    def lines(prompt, place):
        asked.append(prompt)
        return f"<score>{10 if prompt.startswith('<|judge|>42') else 1}</score>"

    one, other = said("42"), said("43")
    chances = compare(JudgeOracle(reads="answer", temperature=1), [(one, other), (other, one)], lines=lines)
    assert chances == pytest.approx([1 / (1 + 2.718281828**-1), 1 / (1 + 2.718281828)])
    assert len(asked) == 2


# The circle


def test_good_answers_beat_the_next_and_all_beat_the_rest():
    domain = Choices(ChoicesTask())
    a, b, c, d, e, none = (Candidate(text=text, answer=text, num_tokens=2) for text in ("a", "b", "c", "d", "e", "zz"))
    pairs = [(a, b), (b, a), (c, a), (b, d), (d, c), (d, e), (none, e), (a, none), (a, a)]
    assert compare(CyclicOracle(), pairs, domain=domain, question="choose") == pytest.approx(
        [0.9, 0.1, 0.9, 0.95, 0.05, 0.5, 0.05, 0.95, 0.5]
    )


def test_exploitability_is_one_half_for_the_even_mixture_and_nine_tenths_for_a_pure_answer():
    domain = Choices(ChoicesTask())
    table = payoffs(domain, cycle=0.9, over_rest=0.95)
    even, pure, bad = [1 / 3] * 3 + [0] * 6, [1] + [0] * 8, [0] * 3 + [1 / 6] * 6
    assert exploitability(even, table) == pytest.approx(0.5)
    assert exploitability(pure, table) == pytest.approx(0.9)
    assert exploitability(bad, table) == pytest.approx(0.95)
    assert exploitability([0.5] + [0] * 8, table) == pytest.approx(0.5 * 0.9 + 0.5 * 0.95)
    assert good_mass(domain, [0.5, 0.25] + [0] * 6 + [0.25]) == pytest.approx(0.75)


def test_the_mixture_is_the_mean_over_steps():
    mixture = mixed_in([], [1.0, 0.0], step=1)
    mixture = mixed_in(mixture, [0.0, 1.0], step=2)
    assert mixed_in(mixture, [0.0, 1.0], step=3) == pytest.approx([1 / 3, 2 / 3])


# Win rates and pairs


def test_a_table_follows_from_its_upper_triangle():
    assert table_of([0.9, 0.1, 0.9], 3) == [pytest.approx(row) for row in CIRCLE]


def test_win_rates_count_the_half_against_oneself_or_not():
    table = table_of([0.9, 0.8, 0.6], 3)
    assert win_rates(table, include_self=True) == pytest.approx([2.2 / 3, 1.2 / 3, 1.1 / 3])
    assert win_rates(table, include_self=False) == pytest.approx([0.85, 0.35, 0.3])


def test_scores_cannot_express_a_circle():
    assert rebuilt_from_scores(CIRCLE) == [pytest.approx([0.5] * 3)] * 3


def test_a_table_made_of_scores_is_rebuilt_as_it_was():
    scores = [0.0, 1.0, -0.5]
    table = [[1 / (1 + 2.718281828459045 ** (other - one)) for other in scores] for one in scores]
    assert rebuilt_from_scores(table) == [pytest.approx(row) for row in table]


def test_pairs_by_rule():
    rates, rng = [0.4, 0.7, 0.1, 0.7], random.Random(0)
    assert pick_pairs(rates, "best_worst", rng) == [(1, 2)]
    assert pick_pairs(rates, "all_k", rng) == [(1, 3), (1, 0), (1, 2), (3, 0), (3, 2), (0, 2)]
    drawn = {pick_pairs(rates, "random_pair", rng)[0] for _ in range(200)}
    assert drawn == set(pick_pairs(rates, "all_k", rng))


def test_equal_answers_still_make_a_pair_of_two():
    assert pick_pairs([0.5, 0.5, 0.5], "best_worst", random.Random(0)) == [(0, 2)]


# What is kept


def test_the_queue_drops_the_oldest_whatever_it_answers():
    queue = CandidateQueue(size=3)
    queue.add("one", [said("1"), said("2")])
    queue.add("two", [said("3"), said("4")])
    assert [each.answer for each in queue.of("one")] == ["2"]
    assert [each.answer for each in queue.of("two")] == ["3", "4"]
    again = CandidateQueue(size=3)
    again.restore(queue.state())
    again.add("three", [said("5")])
    assert again.of("one") == ()
    assert len(again) == 3


def test_a_deck_deals_no_item_twice_until_all_have_been_dealt():
    domain = Arithmetic(ArithmeticTask(max_digits=1, operations=("+",)))
    deck = Deck(domain, random.Random(1))
    questions = [item.question for item in deck.items(range(200))]
    size = len(set(questions))
    assert 80 < size < 100  # of the 100 sums, a tenth is held out
    assert questions[size:] == questions[: 200 - size]
    assert Deck(domain, random.Random(1)).items(range(20, 30)) == deck.items(range(20, 30))


def test_strengths_of_two_answers_follow_from_the_share_of_wins():
    strengths = Strengths()
    for won in [1.0] * 300 + [0.0] * 100:
        strengths.add("a", "b", won)
    strengths.add("a", "a", 1.0)
    for _ in range(200):
        strengths.fit()
    # The prior of one even comparison each with strength 0 pulls log 3 in a little.
    assert strengths.of("a") - strengths.of("b") == pytest.approx(log(3), abs=0.02)
    again = Strengths()
    again.restore(strengths.state())
    again.fit()
    strengths.fit()
    assert again.of("a") == strengths.of("a")
    assert again.of("never met") == 0
