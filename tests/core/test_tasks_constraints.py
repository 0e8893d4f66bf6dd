"""Instructions of constraints: what they ask, who meets them, and that no set of them contradicts itself."""

import random

import pytest

from training_core.spec.tasks import ConstraintsTask
from training_core.tasks.registry import make_domain
from training_core.tasks.string_constraints import StringFamily, checked
from training_core.tasks.text_constraints import TextFamily

TASKS = [
    ConstraintsTask(),
    ConstraintsTask(min_clauses=6, max_clauses=6, max_length=4),
    ConstraintsTask(wording="sentences"),
    ConstraintsTask(family="texts", wording="sentences"),
    ConstraintsTask(family="texts", min_clauses=6, max_clauses=6),
]


@pytest.fixture(params=TASKS, ids=lambda task: f"{task.family}-{task.wording}-{task.max_clauses}")
def domain(request):
    return make_domain(request.param)


@pytest.fixture
def strings():
    return make_domain(ConstraintsTask())


@pytest.fixture
def texts():
    return make_domain(ConstraintsTask(family="texts"))


@pytest.mark.parametrize(
    ("instruction", "answer", "met"),
    [
        ("len=5", "abcde", True),
        ("len=5", "abcdef", False),
        ("start=b no=e", "Bad", True),
        ("start=b no=e", "abd", False),
        ("start=b no=e", "bEd", False),
        ("end=d has=c", "acD", True),
        ("end=d has=c", "add", False),
        ("upper=2", "aBCd", True),
        ("upper=0", "aBcd", False),
        ("len=3", "a-b", False),
        ("len=3", "a b", False),
        ("len=3", "", False),
    ],
)
def test_string_constraints_by_hand(strings, instruction, answer, met):
    assert strings.check(answer, instruction) is met


@pytest.mark.parametrize(
    ("instruction", "answer", "met"),
    [
        ("words_min=20", "word " * 20, True),
        ("words_min=20", "word " * 19, False),
        ("words_max=20", "It's a well-known fact.", True),
        ("words_max=20", "word " * 21, False),
        ("sentences=2", "One here. Two there!", True),
        ("sentences=2", 'He said "no." She left', True),
        ("sentences=2", "One. Two. Three.", False),
        ("sentences=3", "It costs 3.50 today. Why? Nobody knows", True),
        ("paragraphs=2", "One.\n\nTwo.", True),
        ("paragraphs=2", "One.\nTwo.", False),
        ("bullets=2", "- one\n* two", True),
        ("bullets=2", "-one\n- two", False),
        ("include=quiet", "A Quiet night", True),
        ("include=quiet", "He spoke quietly", False),
        ("repeat=quiet,2", "quiet, Quiet", True),
        ("repeat=quiet,2", "quiet", False),
        ("avoid=quiet", "A disquieting night", True),
        ("avoid=quiet", "QUIET!", False),
        ("first=once", '"Once" upon a time', True),
        ("first=once", "At once", False),
        ("last=still", "The sea was still.", True),
        ("last=still", "Still the sea moved", False),
        ("lower", "no capitals here", True),
        ("lower", "One capital", False),
        ("capitals", "LOUD 7!", True),
        ("capitals", "Loud", False),
        ("no_commas", "a b", True),
        ("no_commas", "a, b", False),
        ("no_digits", "seven", True),
        ("no_digits", "7 of them", False),
        ("no_digits", "...", False),
    ],
)
def test_text_constraints_by_hand(texts, instruction, answer, met):
    assert texts.check(answer, instruction) is met


def test_instructions_are_well_posed_and_their_truth_is_their_code(domain):
    rng = random.Random(3)
    items = [domain.sample(rng) for _ in range(200)]
    assert all(domain.canonical(item.question) == item.question for item in items)
    assert all(domain.truth(item.question) == item.answer for item in items)
    assert all(domain.truth(item.answer) == item.answer for item in items)
    assert not any(domain.is_held_out(item.question) for item in items)


def test_no_instruction_contradicts_itself_and_spoilt_answers_always_fail(domain):
    rng = random.Random(4)
    for item in (domain.draw(rng) for _ in range(300)):
        assert domain.check(domain.right_answer(item, rng), item.answer)
        assert not domain.check(domain.wrong_answer(item, rng), item.answer)


@pytest.mark.parametrize(
    "question",
    [
        "start=b no=b",
        "len=3 upper=4",
        "len=99",
        "start=z",
        "len=4 len=5",
        "len=4 dance=5",
        "len=four",
        "",
        "len=4 " * 1000,
        "<|go|>",
    ],
)
def test_what_contradicts_itself_or_is_no_instruction_has_no_truth(strings, question):
    assert strings.canonical(question) is None
    assert strings.truth(question) is None
    assert not strings.is_held_out(question)


def test_text_instructions_refuse_clauses_that_stand_in_each_others_way(texts):
    assert texts.truth("about=rivers sentences=2 bullets=2") is None
    assert texts.truth("about=rivers avoid=rivers") is None
    assert texts.truth("include=red avoid=red") is None
    assert texts.truth("sentences=99") is None
    assert texts.truth("about=rivers lower no_commas") == "about=rivers lower no_commas"


def test_both_wordings_of_an_instruction_are_one_and_on_one_side():
    code, words = make_domain(ConstraintsTask()), make_domain(ConstraintsTask(wording="sentences"))
    sentence = words.canonical("no=e len=6")
    assert sentence == (
        "Write one string of letters without spaces. It has exactly 6 letters. It does not contain the letter e in either case."
    )
    assert code.canonical(sentence) == "len=6 no=e"
    questions = [code.draw(random.Random(seed)).question for seed in range(300)]
    sides = [code.is_held_out(question) for question in questions]
    assert sides == [words.is_held_out(question) for question in questions]
    assert 10 < sum(sides) < 60


def test_the_share_of_constraints_met_counts_single_ones(strings):
    assert strings.share_met("Bad", "len=4 start=b no=e upper=2") == 0.5
    assert strings.share_met("b?d", "len=3 start=b") == 0.0


def test_long_or_hostile_answers_are_refused_quickly(texts):
    assert not texts.check("word. " * 100_000, "sentences=2")
    assert not texts.check("- " * 9_000 + "\n \n" * 600, "bullets=2")


def test_a_repair_mends_every_failed_answer_and_leaves_a_right_one_alone():
    family, domain, rng = StringFamily(max_length=8), make_domain(ConstraintsTask()), random.Random(5)
    for item in (domain.draw(rng) for _ in range(300)):
        clauses = domain.clauses(item.question)
        right, wrong = domain.right_answer(item, rng), domain.wrong_answer(item, rng)
        assert family.repair(clauses, right, rng) == right
        assert domain.check(family.repair(clauses, wrong, rng), item.answer)


def test_a_repair_changes_only_what_failed(strings):
    rng = random.Random(0)
    clauses = strings.clauses("len=5 start=b no=e")
    assert family_repair(clauses, "Cabdg", rng) == "Babdg"
    assert family_repair(clauses, "bagEd", rng)[:3] == "bag"
    assert family_repair(strings.clauses("upper=1"), "abc", rng).lower() == "abc"


def family_repair(clauses, text, rng):
    return StringFamily(max_length=8).repair(clauses, text, rng)


def test_a_check_shows_each_clause_with_what_was_found(strings):
    clauses = strings.clauses("len=6 start=b no=e upper=2")
    assert checked(clauses, "cabdeA") == "len=6:6.start=b:c!no=e:1!upper=2:1!"
    assert checked(clauses, "cabdeA", ["6", "b", "0", "2"]) == "len=6:6.start=b:b.no=e:0.upper=2:2."


def test_every_kind_of_constraint_is_drawn():
    rng = random.Random(6)
    for family in (StringFamily(max_length=8), TextFamily()):
        drawn = {clause.kind.name for _ in range(300) for clause in family.draw(4, rng)}
        assert drawn == {kind.name for kind in family.kinds}


def test_more_least_than_most_clauses_are_refused():
    with pytest.raises(ValueError, match=r"min_clauses \(5\) is larger than max_clauses \(4\)"):
        ConstraintsTask(min_clauses=5)
