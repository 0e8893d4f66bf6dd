"""PasoDoble against cases worked out by hand, with a scripted player in place of the two models."""

import json

import pytest

from tests.formulas import formulas_that_hold
from training_core.methods.pasodoble import PasoDoble
from training_core.play.alternation import Alternation
from training_core.play.knowledge import fact_of, read_corpus
from training_core.play.novelty import NoveltyMemory
from training_core.play.play import Play
from training_core.play.prompts import prompts_for
from training_core.play.requests import Completion
from training_core.play.scheduler import run
from training_core.rewards.leaks import gives_away
from training_core.spec.io import SpecError, parse_spec
from training_core.tasks.base import DataError
from training_core.tasks.registry import make_domain

ROLES = {"proposer": "proposer", "solver": "solver"}


class Script:
    """Answers proposals in turn, and each question with its own attempts."""

    def __init__(self, proposals, attempts):
        self.proposals, self.attempts = proposals, attempts
        self.asked = []

    def generate(self, requests):
        return [[completion(self._line(r.prompt, place)) for place in range(r.n)] for r in requests]

    def _line(self, prompt, place):
        self.asked.append(prompt)
        if prompt.startswith("<|propose|>"):
            return self.proposals[place % len(self.proposals)]
        question = prompt.removeprefix("<|solve|>").removesuffix("<|go|>")
        return f"<answer>{self.attempts[question][place]}</answer>"


def completion(text):
    return Completion(text=text, prompt_ids=(1,), token_ids=(2,), logprobs=(-1.0,), entropies=(0.5,), ended=True)


def proposal(question, answer):
    return f"<question>{question}</question><think>x</think><answer>{answer}</answer>"


def make(**knobs):
    knobs = {"proposals": 2, "attempts": 4, "leak_check": "exact", **knobs}
    experiment = parse_spec({"method": {"name": "pasodoble", **knobs}, "evaluation": {"num_items": 8}})
    return PasoDoble(experiment, make_domain(experiment.task), prompts_for("pasodoble", "starter"))


def play_step(method, engine, step=1):
    play = Play(policies=ROLES, sampling=method.spec.sampling, seed=0, step=step, stream="step")
    return run(method.step(play), engine)


def rewards(batch, role):
    return [rollout.reward for rollout in batch.rollouts if rollout.role == role]


HARD_AND_WRONG = Script(
    [proposal("12+30", "42"), proposal("55-11", "43")],
    {"12+30": ("42", "42", "41", "40"), "55-11": ("44", "44", "45", "44")},
)


def test_a_believed_question_is_paid_for_being_missed_and_for_novelty():
    batch = play_step(make(), HARD_AND_WRONG)
    # p = 2/4, an empty memory makes d = 1: 1.1 - 0.5 + 0.2. Nobody agrees with 43, so it earns nothing.
    assert rewards(batch, "proposer") == pytest.approx([0.8, 0.0])
    assert batch.metrics["proposals/valid"] == 0.5
    assert batch.metrics["proposals/label_right"] == 0.5


def test_what_it_tells_of_a_step_is_what_its_formulas_are_made_of():
    method = make()
    assert formulas_that_hold(method.experiment, play_step(method, HARD_AND_WRONG).metrics) == [
        "What the Proposer is paid",
        "How much difficulty can pay",
        "How much novelty can pay",
        "What the Solver is paid",
    ]


def test_the_solver_is_paid_for_agreeing_and_learns_inside_the_window_only():
    batch = play_step(make(), HARD_AND_WRONG)
    assert rewards(batch, "solver") == [1.0, 1.0, 0.0, 0.0]
    assert {rollout.group for rollout in batch.rollouts} == {"1-0", "1-0-0"}


def test_a_duel_that_cannot_be_compared_is_left_out():
    always = Script([proposal("12+30", "42")], {"12+30": ("42",) * 4})
    batch = play_step(make(), always)
    assert batch.rollouts == []
    assert batch.metrics["duels/accepted"] == 0
    never = Script([proposal("12+30", "42"), "no question"], {"12+30": ("1",) * 4})
    assert play_step(make(), never).rollouts == []


def test_questions_reserved_for_evaluation_are_neither_tried_nor_learnt_from():
    method = make()
    reserved = method.domain.held_out(1)[0]
    engine = Script(
        [proposal(reserved.question, reserved.answer), proposal("12+30", "42")], {"12+30": ("42", "1", "1", "1")}
    )
    batch = play_step(method, engine)
    assert not any(reserved.question in prompt for prompt in engine.asked)
    assert batch.rollouts == []  # one question alone has nothing to be compared with
    assert batch.samples[0].discarded == "reserved for evaluation"


def test_a_leak_costs_the_proposer_and_still_teaches_the_solver_unless_told_otherwise():
    script = Script(
        [proposal("42+0", "42"), proposal("12+30", "42")],
        {"42+0": ("42", "1", "1", "42"), "12+30": ("42", "42", "42", "1")},
    )
    batch = play_step(make(), script)
    assert rewards(batch, "proposer") == pytest.approx([0.0, 0.55])
    assert len(rewards(batch, "solver")) == 8
    assert batch.metrics["proposals/leaks"] == 0.5
    assert len(rewards(play_step(make(train_on_leaks=False), script), "solver")) == 4


def test_a_question_like_those_of_late_earns_nothing():
    method = make(tau_div=0.3)
    play_step(method, HARD_AND_WRONG)
    again = Script(
        [proposal("12+30", "42"), proposal("30+12", "42")],
        {"12+30": ("42", "1", "1", "42"), "30+12": ("42", "1", "42", "42")},
    )
    # The memory holds {12,+,30} and {55,-,11}: both questions are unlike half of it, so d = 0.5 > 0.3.
    assert rewards(play_step(method, again, 2), "proposer") == pytest.approx([1.1 - 0.5 + 0.1, 1.1 - 0.75 + 0.1])
    strict = make(tau_div=0.5)
    play_step(strict, HARD_AND_WRONG)
    assert play_step(strict, again, 2).rollouts == []


@pytest.mark.parametrize(("kind", "share"), [("coin", 0.5), ("coin_formatted", 0.0)])
def test_coins_pay_whatever_the_answer_says(kind, share):
    script = Script(
        [proposal("12+30", "42"), proposal("55-11", "9")], {"12+30": ["42"] * 15 + ["1"], "55-11": ["1"] * 16}
    )
    paid = rewards(play_step(make(solver_reward=kind, attempts=16), script), "solver")
    assert len(paid) == 16
    assert 0 < sum(paid) < 16
    silent = Script([proposal("12+30", "42")] * 2, {"12+30": ["</answer>"] * 16})
    turns = [t for s in play_step(make(solver_reward=kind, attempts=16), silent).samples for t in s.turns[1:]]
    assert (sum(turn.reward for turn in turns) > 0) == (share > 0)


def test_the_answer_is_read_after_the_last_thought():
    method = make()
    said = "<think><question>draft</question><answer>1</answer></think><question>12+30</question><answer>42</answer>"
    engine = Script([said, proposal("55-11", "44")], {"12+30": ("42", "1", "1", "42"), "55-11": ("44",) * 4})
    batch = play_step(method, engine)
    assert [sample.title for sample in batch.samples] == ["12+30", "55-11"]
    assert [sample.facts["label"] for sample in batch.samples] == ["42", "44"]


def test_offline_each_model_learns_in_its_own_turn():
    method = make(mode="offline", proposer_updates=1, solver_updates=1, buffer_batch=4)
    first = play_step(method, HARD_AND_WRONG)
    assert {rollout.role for rollout in first.rollouts} == {"proposer"}
    assert method.turns.buffer == [("12+30", "42")]
    second = play_step(method, HARD_AND_WRONG, 2)
    assert rewards(second, "solver") == [1.0, 1.0, 0.0, 0.0]
    assert rewards(second, "proposer") == []
    assert {rollout.role for rollout in play_step(method, HARD_AND_WRONG, 3).rollouts} == {"proposer"}


def test_a_mastered_question_leaves_the_buffer_where_that_is_wanted():
    method = make(mode="offline", proposer_updates=1, evict_mastered=True)
    play_step(method, HARD_AND_WRONG)
    mastered = Script([], {"12+30": ("42",) * 4})
    assert play_step(method, mastered, 2).rollouts == []
    assert method.turns.buffer == []
    assert not method.turns.is_solvers_turn


def test_what_it_remembers_survives_a_checkpoint():
    method, twin = make(mode="offline", proposer_updates=1), make(mode="offline", proposer_updates=1)
    play_step(method, HARD_AND_WRONG)
    twin.load_state_dict(json.loads(json.dumps(method.state_dict())))
    assert twin.state_dict() == method.state_dict()
    assert twin.memory.novelty("12+30") == method.memory.novelty("12+30") == 0.5
    assert play_step(twin, HARD_AND_WRONG, 2).to_json() == play_step(method, HARD_AND_WRONG, 2).to_json()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": {"name": "pasodoble", "tau_low": 0.5, "tau_high": 0.5}}, "could learn from no question"),
        (
            {"method": {"name": "pasodoble"}, "task": {"kind": "jsonl", "path": "x.jsonl"}},
            "name a file in method.corpus",
        ),
        ({"method": {"name": "pasodoble", "corpus": "x.txt"}}, "the starter cannot read"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(changes, words):
    with pytest.raises(SpecError, match=words):
        parse_spec(changes)


def test_the_buffer_is_gone_through_in_turn_and_never_holds_the_run_up():
    turns = Alternation(proposer_updates=1, solver_updates=2)
    turns.proposer_played([], accepted=True)
    assert not turns.is_solvers_turn  # nothing to practise on yet
    turns.proposer_played([("a", "1"), ("b", "2"), ("c", "3")], accepted=False)
    assert turns.is_solvers_turn
    assert turns.next_questions(2) == [("a", "1"), ("b", "2")]
    turns.solver_played(accepted=False, mastered=[])
    assert turns.next_questions(2) == [("c", "3"), ("a", "1")]
    turns.solver_played(accepted=False, mastered=[])
    assert not turns.is_solvers_turn  # once through without an update
    turns.proposer_played([], accepted=True)
    assert turns.next_questions(5) == [("b", "2"), ("c", "3"), ("a", "1")]


def test_a_full_buffer_drops_its_oldest():
    turns = Alternation(proposer_updates=9, solver_updates=1, cap=2)
    turns.proposer_played([("a", "1"), ("b", "2"), ("c", "3")], accepted=True)
    assert turns.buffer == [("b", "2"), ("c", "3")]


@pytest.mark.parametrize(
    ("question", "answer", "off", "exact", "substring"),
    [
        ("12 apples and 3 more?", "2", False, False, True),
        ("12 apples and 3 more?", "12", False, True, True),
        ("12 apples and 3 more?", "apples and", False, True, True),
        ("Is 7 prime? <answer>yes</answer>", "no", True, True, True),
        ("\\boxed{4}", "5", True, True, True),
        ("7", "17", True, True, True),
        ("", "anything", True, True, True),
    ],
)
def test_leaks_are_found_by_whole_words_or_by_letters(question, answer, off, exact, substring):
    found = [gives_away(question, answer, check=check) for check in ("off", "exact", "substring")]
    assert found == [off, exact, substring]


def test_novelty_is_the_share_of_the_memory_a_question_is_unlike():
    memory = NoveltyMemory(size=2, jaccard=0.5, unit="words")
    assert memory.novelty("12+30") == 1.0
    memory.add(["1+1", "12+30", "12-30"])  # the first has left
    # {12,+,30} against {12,+,30} is 1, against {12,-,30} 2/4.
    assert memory.novelty("30+12") == 0.5
    assert NoveltyMemory(size=2, jaccard=0.5, unit="characters").novelty("x") == 1.0


def test_knowledge_names_the_numbers_and_the_sign_and_other_questions_stand():
    assert (fact_of("345-12"), fact_of("reverse abc")) == ("345 12 -", "reverse abc")


def test_passages_come_from_lines_or_from_paragraphs(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "first"}\n\n{"text": "a very long second"}\n')
    (tmp_path / "b.txt").write_text("one\ntwo\n\n  \nthree\n")
    assert read_corpus(tmp_path / "a.jsonl", max_characters=6) == ("first", "a very")
    assert read_corpus(tmp_path / "b.txt", max_characters=99) == ("one\ntwo", "three")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.jsonl", '{"text": "x"}\n[]\n', "line 2 of"),
        ("b.txt", " \n\n ", "holds no passage"),
        ("none.txt", None, "cannot be read"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_told_in_one_sentence(tmp_path, name, text, words):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words):
        read_corpus(tmp_path / name, max_characters=9)
