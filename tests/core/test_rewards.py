import pytest

from training_core.rewards.scores import normalised_score, read_score
from training_core.rewards.tags import format_score, last_tag


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<answer>1</answer>", "1"),
        ("<answer>1</answer> or <answer> 2 </answer>", "2"),
        ("<answer>1</answer> <answer>2", "1"),
        ("<answer>old <answer>new</answer>", "new"),
        ("<answer>1</answer></answer>", "1"),
        ("</answer>1<answer>", None),
        ("<answer>  </answer>", None),
        ("<Answer>1</Answer>", None),
        ("", None),
    ],
)
def test_the_last_closed_pair_is_read(text, found):
    assert last_tag(text, "answer") == found


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("<question>1+1</question>", 1.0),
        ("words <question></question> words", 1.0),
        ("<question>a</question><question>b</question>", 0.5),
        ("<question><question>a</question></question>", 0.5),
        ("<question>a", 0.0),
        ("a</question>", 0.0),
        ("</question>a<question>", 0.0),
        ("<question>a</question><question>b", 0.0),
        ("", 0.0),
    ],
)
def test_format_pays_one_for_one_pair_and_half_for_several(text, score):
    assert format_score(text, "question") == score


@pytest.mark.parametrize(
    ("inside", "score"),
    [
        ("8", 8.0),
        (" 8 ", 8.0),
        ("10", 10.0),
        ("1", 1.0),
        ("8.5", 8.5),
        ("8/10", 8.0),
        ("8 / 10", 8.0),
        ("10/10", 10.0),
        ("0", None),
        ("11", None),
        ("0.8", None),
        ("-8", None),
        ("8/9", None),
        ("8/100", None),
        ("8 9", None),
        ("eight", None),
        ("", None),
        ("8,5", None),
        ("9" * 5_000, None),
        ("nan", None),
        ("1e1", None),
    ],
)
def test_the_score_grammar(inside, score):
    assert read_score(f"<think>3</think><score>{inside}</score>") == score


def test_eight_out_of_ten_is_a_good_verdict_and_not_the_worst():
    score = read_score("<score>8/10</score>")
    assert score is not None
    assert normalised_score(score) == pytest.approx(7 / 9)


def test_without_a_tag_only_the_lenient_grammar_reads_the_last_number():
    assert read_score("I would say 3, no, 7.") is None
    assert read_score("I would say 3, no, 7.", lenient=True) == 7.0
    assert read_score("Overall 8/10", lenient=True) == 8.0
    assert read_score("Overall 8/10.", lenient=True) == 8.0
    assert read_score("It deserves 250", lenient=True) is None
    assert read_score("<score>none</score> 4", lenient=True) == 4.0


@pytest.mark.parametrize(("score", "value"), [(1, 0.0), (5.5, 0.5), (10, 1.0), (0, 0.0), (12, 1.0)])
def test_scores_become_numbers_from_zero_to_one(score, value):
    assert normalised_score(score) == pytest.approx(value)
