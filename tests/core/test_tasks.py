import json
import random
import time

import pytest

from training_core.spec.tasks import ArithmeticTask, JsonlTask, StringsTask
from training_core.tasks.base import DataError, hash_share
from training_core.tasks.registry import make_domain

RULED = [
    ArithmeticTask(),
    ArithmeticTask(min_digits=2, max_digits=4, operations=("-",)),
    StringsTask(),
    StringsTask(max_length=2),
]
HOSTILE = [
    "",
    " ",
    "9" * 1_000_000,
    "1+" * 500_000,
    "\x00",
    "__import__('os')+1",
    "1e9+1",
    "٣+٤",
    "1+1\n2+2",
    "\ud800",
    "+" * 99,
]


@pytest.fixture(params=RULED, ids=lambda task: f"{task.kind}-{','.join(task.operations)}")
def domain(request):
    return make_domain(request.param)


def test_training_items_are_never_held_out_and_know_their_answer(domain):
    rng = random.Random(1)
    items = [domain.sample(rng) for _ in range(500)]
    assert not any(domain.is_held_out(item.question) for item in items)
    assert all(domain.canonical(item.question) == item.question for item in items)
    assert all(domain.truth(item.question) == item.answer for item in items)
    assert all(0 <= item.difficulty <= 1 for item in items)


def test_held_out_items_are_distinct_deterministic_and_a_prefix_of_a_longer_suite(domain):
    held_out = domain.held_out(60)
    questions = [item.question for item in held_out]
    assert len(set(questions)) == len(questions) > 0
    assert all(domain.is_held_out(question) for question in questions)
    assert domain.held_out(60) == held_out
    assert domain.held_out(10) == held_out[:10]


def test_about_a_tenth_of_the_questions_is_held_out():
    arithmetic = make_domain(ArithmeticTask())
    share = sum(arithmetic.is_held_out(f"{a}-{b}") for a in range(100, 200) for b in range(100)) / 10_000
    assert 0.08 < share < 0.12


def test_the_split_is_fixed_for_ever():
    assert hash_share("345-12") == pytest.approx(0.3408, abs=1e-4)


def test_a_sum_and_its_mirror_image_are_on_the_same_side():
    arithmetic = make_domain(ArithmeticTask())
    sides = [
        (arithmetic.is_held_out(f"{a}+{b}"), arithmetic.is_held_out(f"{b}+{a}")) for a in range(50) for b in range(50)
    ]
    assert all(one == other for one, other in sides)
    assert any(one for one, _ in sides)


def test_rewriting_a_held_out_question_does_not_move_it_to_the_training_side():
    arithmetic = make_domain(ArithmeticTask())
    question = next(item.question for item in arithmetic.held_out(50) if "+" in item.question)
    assert arithmetic.is_held_out(f"What is {question.replace('+', ' + ')}?")


def test_wrong_answers_are_never_right(domain):
    rng = random.Random(2)
    items = [domain.sample(rng) for _ in range(2_000)]
    assert not any(domain.check(domain.wrong_answer(item, rng), item.answer) for item in items)


def test_hostile_text_is_no_question_and_no_answer_and_costs_no_time(domain):
    begin = time.process_time()
    assert all(domain.canonical(text) is None for text in HOSTILE)
    assert all(domain.truth(text) is None for text in HOSTILE)
    assert not any(domain.check(text, "7") for text in HOSTILE)
    assert not any(domain.is_held_out(text) for text in HOSTILE)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("question", "truth"),
    [
        ("345-12", "333"),
        ("345 - 12", "333"),
        ("What is 999 + 999?", "1998"),
        ("7+8=", "15"),
        ("5\u22125", "0"),
        ("0+0", "0"),
        ("12-345", None),
        ("1234+5", None),
        ("012+3", None),
        ("12+", None),
        ("1+2+3", None),
        ("2*3", None),
        ("-3+4", None),
    ],
)
def test_arithmetic_truth(question, truth):
    assert make_domain(ArithmeticTask()).truth(question) == truth


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("1234", True),
        (" 1234. ", True),
        ("1,234", True),
        ("$1234$", True),
        ("01234", True),
        ("12,34", False),
        ("-1234", False),
        ("", False),
    ],
)
def test_arithmetic_answers_are_compared_by_value(answer, right):
    assert make_domain(ArithmeticTask(max_digits=4)).check(answer, "1234") is right


@pytest.mark.parametrize(
    ("question", "truth"),
    [
        ("reverse bad", "dab"),
        ("sort 4172", "1247"),
        ("count a banana", "3"),
        ("count z bad", "0"),
        ("max 3914", "9"),
        ("last hedge", "e"),
        ("Reverse  BAD ", "dab"),
        ("max bad", None),
        ("sort a1", None),
        ("reverse abcdefg", None),
        ("last x", None),
        ("shout bad", None),
        ("count banana", None),
    ],
)
def test_strings_truth(question, truth):
    assert make_domain(StringsTask()).truth(question) == truth


def test_operations_that_were_not_chosen_are_no_questions():
    assert make_domain(ArithmeticTask(operations=("+",))).canonical("5-3") is None
    assert make_domain(StringsTask(operations=("sort",))).canonical("reverse bad") is None


@pytest.fixture
def jsonl(tmp_path):
    def write(lines, **settings):
        path = tmp_path / "data.jsonl"
        path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
        return make_domain(JsonlTask(path=str(path), **settings))

    return write


def questions(num, answer="1/2"):
    return [{"question": f"Question {number}?", "answer": answer} for number in range(num)]


def test_a_file_is_split_by_a_hash_of_its_questions(jsonl):
    domain = jsonl(questions(300), held_out_share=0.2)
    held_out = {item.question for item in domain.held_out(1000)}
    assert 40 < len(held_out) < 80
    assert held_out.isdisjoint({domain.sample(random.Random(seed)).question for seed in range(2_000)})
    assert domain.is_held_out(f"  {next(iter(held_out))} ")


def test_only_questions_of_the_file_have_a_known_truth(jsonl):
    domain = jsonl(questions(100, answer=7))
    assert domain.truth("Question  3?") == "7"
    assert domain.truth("Something new?") is None
    assert domain.canonical("Something  new?") == "Something new?"


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("\\frac{1}{2}", "0.5", True),
        ("0.5", "1/2", True),
        ("$x^2+2x+1$", "$(x+1)^2$", True),
        ("2", "3", False),
        ("no idea", "3", False),
    ],
)
def test_mathematical_answers_are_compared_by_meaning(jsonl, answer, expected, right):
    assert jsonl(questions(100)).check(answer, expected) is right


def test_a_formula_that_never_ends_is_cut_off_counted_and_the_checker_goes_on(jsonl):
    domain = jsonl(questions(100))
    assert domain.check("1", "2") is False
    domain._checker.timeout_s = 1.0
    assert domain.check("$99999999!$", "$2$") is False
    assert domain.check_failures == 1
    domain._checker.timeout_s = 20.0
    assert domain.check("$0.50$", "$1/2$") is True
    assert domain.check("9" * 5_000, "2") is False
    assert domain.check_failures == 2
    assert domain.check("no idea", "2") is False
    assert domain.check_failures == 2


def test_exact_answers_ignore_case_and_spaces_only(jsonl):
    domain = jsonl(questions(100), check="exact")
    assert domain.check(" New York", "new york")
    assert not domain.check("0.5", "1/2")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"{broken", "line 3 of .* is not valid JSON"),
        (b"[" * 100_000, "line 3 of .* is not valid JSON"),
        (b"\xff\xfe", "line 3 of .* is not UTF-8"),
        (b"[1, 2]", "line 3 of .* is no JSON object"),
        ({"question": "Why?"}, "line 3 of .* has no field 'answer' .it has: 'question'."),
        ({"question": "Why?", "answer": None}, "field 'answer' in line 3 of .* is neither text nor a number"),
        ({"question": " ", "answer": "x"}, "field 'question' in line 3"),
    ],
)
def test_an_unreadable_line_is_named_in_one_sentence(jsonl, line, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        jsonl([*questions(2), line, *questions(50)])
    assert "\n" not in str(caught.value)


def test_a_missing_an_empty_and_a_tiny_file_are_refused_in_one_sentence(jsonl, tmp_path):
    with pytest.raises(DataError, match=r"cannot be read .No such file"):
        make_domain(JsonlTask(path=str(tmp_path / "nowhere.jsonl")))
    with pytest.raises(DataError, match="is empty"):
        jsonl([b"", b"  "])
    with pytest.raises(DataError, match="too few"):
        jsonl(questions(1))
