import random

import pytest

from training_core.spec.tasks import PairSumTask
from training_core.tasks.registry import make_domain


@pytest.fixture(params=[5, 7], ids=lambda num: f"{num} digits")
def domain(request):
    return make_domain(PairSumTask(num_digits=request.param))


@pytest.mark.parametrize(
    ("question", "truth"),
    [
        ("73614=13", "76"),
        ("73614=3", None),  # no pair
        ("73614=7", None),  # 3+4 and 6+1
        ("33614=9", None),  # a digit twice
        ("7361=8", None),  # too few digits
        ("73614=08", None),
        ("80153=13", "85"),
        (" 80153=13 ", "85"),
        ("80153=130", None),
        ("9" * 1_000_000, None),
        ("", None),
    ],
)
def test_truth_by_hand(question, truth):
    assert make_domain(PairSumTask()).truth(question) == truth


@pytest.mark.parametrize(
    ("answer", "right"),
    [("85", True), ("58", True), ("5+8", True), ("8, 5", True), ("8 and 5", True), ("83", False), ("8", False)],
)
def test_an_answer_is_a_pair_in_any_order(answer, right):
    assert make_domain(PairSumTask()).check(answer, "85") is right


def test_hostile_answers_are_wrong_and_cost_nothing():
    domain = make_domain(PairSumTask())
    assert not any(
        domain.check(text, "85") for text in ("", "8" * 1_000_000, "8" + " " * 1_000_000 + "5", "\x00", "٨٥")
    )


def test_every_question_has_exactly_one_right_pair(domain):
    rng = random.Random(1)
    for item in (domain.sample(rng) for _ in range(300)):
        digits, target = item.question.split("=")
        pairs = [a + b for i, a in enumerate(digits) for b in digits[i + 1 :] if int(a) + int(b) == int(target)]
        assert pairs == [item.answer]
        assert len(set(digits)) == len(digits)
        assert domain.truth(item.question) == item.answer
        assert 0 <= item.difficulty <= 1
        assert not domain.check(domain.wrong_answer(item, rng), item.answer)


def test_all_orders_of_a_question_are_on_one_side(domain):
    rng = random.Random(2)
    for item in (domain.draw(rng) for _ in range(50)):
        digits, target = item.question.split("=")
        orders = ["".join(rng.sample(digits, len(digits))) for _ in range(10)]
        sides = {domain.is_held_out(f"{order}={target}") for order in orders}
        assert sides == {domain.is_held_out(item.question)}


def test_there_are_enough_held_out_items_and_training_never_draws_one(domain):
    held_out = domain.held_out(800)
    assert len({item.question for item in held_out}) == 800
    rng = random.Random(3)
    assert not any(domain.is_held_out(domain.sample(rng).question) for _ in range(300))
