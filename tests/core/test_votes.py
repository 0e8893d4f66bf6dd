"""Votes, verdicts and edit distances, by hand."""

import pytest

from training_core.play.edits import edit_distance, edit_share
from training_core.play.votes import majority
from training_core.rewards.verdicts import read_verdict


@pytest.mark.parametrize(
    ("votes", "accepts", "value", "first", "is_unanimous"),
    [
        ([True, False, True, True, False], True, 0.6, 0, False),
        ([False, True, False], False, 1 / 3, 0, False),
        ([True, False, False], False, 1 / 3, 1, False),
        ([None, True, None], True, 1.0, 1, True),
        ([False, False], False, 0.0, 0, True),
        ([None, False, True, True], True, 2 / 3, 2, False),
    ],
)
def test_majorities_by_hand(votes, accepts, value, first, is_unanimous):
    found = majority(votes)
    assert (found.accepts, found.first, found.is_unanimous) == (accepts, first, is_unanimous)
    assert found.value == pytest.approx(value)


@pytest.mark.parametrize("votes", [[], [None], [True, False], [True, None, False]])
def test_ties_and_unreadable_votes_have_no_outcome(votes):
    assert majority(votes) is None


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("<verdict>Yes</verdict>", True),
        ("No, it is wrong. <verdict> no.</verdict>", False),
        ("<verdict>Yes</verdict> wait <verdict>No</verdict>", False),
        ("<verdict>Nothing is wrong</verdict>", None),
        ("<verdict>Not yes</verdict>", None),
        ("Yes", None),
        ("<verdict></verdict>", None),
    ],
)
def test_verdicts_by_hand(text, verdict):
    assert read_verdict(text) is verdict


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "abc", 0), ("abc", "bca", 2), ("aXb", "ab", 1)],
)
def test_edit_distances_by_hand(first, second, distance):
    assert edit_distance(first, second) == distance
    assert edit_distance(second, first) == distance


def test_the_edit_share_is_by_letters_and_for_long_texts_by_words():
    assert edit_share("badge", "bAdge") == 0.2
    assert edit_share("", "") == 0.0
    long = "word " * 100
    assert edit_share(long, long + "more") == pytest.approx(1 / 101)
