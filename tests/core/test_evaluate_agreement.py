import pytest

from training_core.evaluate.agreement import agreement


def test_auc_counts_ordered_pairs_and_half_the_ties():
    # Right: 1.0 and 0.5; wrong: 0.5 and 0.0. Pairs: win, win, tie, win.
    found = agreement([1.0, 0.5, 0.5, 0.0], [True, True, False, False])
    assert found.auc == pytest.approx(3.5 / 4)
    assert found.false_accept == 0.5
    assert found.false_reject == 0.0


def test_a_judge_that_always_says_the_same_has_auc_one_half():
    assert agreement([1.0] * 4, [True, False, True, False]).auc == 0.5


def test_rates_without_their_class_are_unknown():
    found = agreement([1.0, 0.0], [True, True])
    assert (found.auc, found.false_accept, found.false_reject) == (None, None, 0.5)
