"""Statistics of comparisons against closed forms, tables and sums done by hand."""

import math

import pytest

from webapp.compare.significance import compare, hedges_g, permutation_p, seeds_needed, together
from webapp.compare.student import quantile, two_sided_p


@pytest.mark.parametrize("t", [0.3, 1.0, 4.5, 40.0])
def test_student_agrees_with_the_closed_forms_of_one_and_two_degrees_of_freedom(t: float) -> None:
    assert two_sided_p(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t), rel=1e-9)
    assert two_sided_p(t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-9)


@pytest.mark.parametrize(
    ("p", "dof", "table"), [(0.975, 4, 2.776445), (0.975, 10, 2.228139), (0.95, 5, 2.015048), (0.8, 2, 1.060660)]
)
def test_quantiles_are_those_of_printed_tables(p: float, dof: int, table: float) -> None:
    assert quantile(p, dof) == pytest.approx(table, abs=1e-6)


def test_welch_by_hand() -> None:
    # means 5 and 2, variances 1 and 4, three seeds each: se^2 = 1/3 + 4/3 = 5/3, t = 3 / 1.2910 = 2.3238,
    # dof = (5/3)^2 / ((1/3)^2 / 2 + (4/3)^2 / 2) = 2.7778 / 0.94444 = 2.9412
    found = compare([4, 5, 6], [0, 2, 4])
    assert found is not None
    assert found.difference == 3
    assert found.t == pytest.approx(2.32379, abs=1e-5)
    assert found.dof == pytest.approx(2.94118, abs=1e-5)
    assert found.p == pytest.approx(two_sided_p(2.32379, 2.94118), rel=1e-4)
    reach = quantile(0.975, 2.94118) * math.sqrt(5 / 3)
    assert (found.low, found.high) == pytest.approx((3 - reach, 3 + reach), abs=1e-4)
    assert not found.is_clear


def test_effect_by_hand() -> None:
    # pooled variance (2 * 1 + 2 * 4) / 4 = 2.5; 3 / 1.5811 = 1.8974; correction 1 - 3 / (4 * 6 - 9) = 0.8
    assert hedges_g([4, 5, 6], [0, 2, 4]) == pytest.approx(1.51789, abs=1e-5)


def test_permutations_by_hand() -> None:
    # 6 ways to deal 1, 2 | 5, 7: only {1, 2} and {5, 7} differ as far
    assert permutation_p([1, 2], [5, 7]) == pytest.approx(2 / 6)
    # of 20 ways to deal 4, 5, 6 | 0, 2, 4 with difference 3: {4,5,6}, {4',5,6} and their mirrors
    assert permutation_p([4, 5, 6], [0, 2, 4]) == pytest.approx(4 / 20)
    assert permutation_p(range(10), range(10)) is None


def test_smallest_possible_p_of_few_seeds_is_told() -> None:
    found = compare([4, 5, 6], [0, 1, 2])
    assert found is not None
    assert found.least_p_permutation == pytest.approx(2 / 20)
    assert found.p_permutation == pytest.approx(2 / 20)
    assert found.is_clear


def test_seeds_that_are_needed_by_hand() -> None:
    # spread 1, difference 2: n = 6 has t(0.975, 10) = 2.2281 and t(0.8, 10) = 0.8791, so n >= 2 * (3.1072 / 2)^2 = 4.83;
    # n = 5 has 2.3060 and 0.8889, so n >= 2 * (3.1949 / 2)^2 = 5.10: five are too few
    assert seeds_needed(2, 1) == 6
    assert seeds_needed(0, 1) is None
    assert seeds_needed(0.01, 1) is None


def test_one_seed_tells_nothing_and_asks_for_a_second() -> None:
    found = compare([0.8], [0.7, 0.71])
    assert found is not None
    assert (found.p, found.more_seeds, found.is_clear) == (None, 1, False)


def test_seeds_without_any_spread_give_no_verdict() -> None:
    found = compare([0.8, 0.8], [0.7, 0.7])
    assert found is not None
    assert (found.p, found.is_clear) == (None, False)


def test_nothing_is_compared_with_nothing() -> None:
    assert compare([], [1.0]) is None


def test_holm_by_hand() -> None:
    # sorted p 0.01, 0.02, 0.03 times 3, 2, 1, never falling: 0.03, 0.04, 0.04
    found = [compare([4, 5, 6], [0, 2, 4]) for _ in range(3)]
    told = [f and f.__class__(**{**f.__dict__, "p": p}) for f, p in zip(found, (0.03, 0.01, 0.02), strict=True)]
    assert [f.p_holm for f in together([*told, None]) if f] == pytest.approx([0.04, 0.03, 0.04])
