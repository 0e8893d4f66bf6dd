"""SPIN against cases worked out by hand, with a scripted opponent in place of the model."""

import pytest

from training_core.methods.spin import Spin
from training_core.play.play import Play
from training_core.play.prompts import prompts_for
from training_core.play.records import Blend
from training_core.play.requests import Completion
from training_core.play.rounds import Place, Plan, Shape, exact_plan, fitting_plan, step_size
from training_core.play.scheduler import run
from training_core.spec.io import SpecError, parse_spec
from training_core.tasks.registry import make_domain


class Opponent:
    """An engine that gives every answer its own number, or the one it is told."""

    def __init__(self, text=None, *, ended=True):
        self.text, self.ended = text, ended
        self.asked = []

    def generate(self, requests):
        return [[self._answer(request)] for request in requests]

    def _answer(self, request):
        self.asked.append((request.policy, request.prompt))
        text = self.text or f"<think></think><answer>{len(self.asked)}</answer>"
        return Completion(
            text=text,
            prompt_ids=(1, 2),
            token_ids=(len(self.asked), 0),
            logprobs=(-1.0, -1.0),
            entropies=(0.5, 0.5),
            ended=self.ended,
        )


def make(*, steps, **knobs):
    method = {"name": "spin", "iterations": 2, "epochs_per_iteration": 1, "pairs_per_step": 4, **knobs}
    experiment = parse_spec({"steps": steps, "method": method, "evaluation": {"num_items": 20}})
    return Spin(experiment, make_domain(experiment.task), prompts_for("spin", "starter"))


def play_step(method, engine, step):
    play = Play(
        policies={"player": "main", "opponent": "iterate"},
        sampling=method.spec.sampling,
        seed=0,
        step=step,
        stream="step",
    )
    return run(method.step(play), engine)


def play_steps(method, engine, steps):
    return [play_step(method, engine, step) for step in steps]


def test_steps_are_dealt_to_rounds_by_their_pairs():
    shape = Shape(rounds=3, epochs=2, pairs_per_step=10, carries=True)
    assert fitting_plan(shape, 20) == Plan(num_prompts=20, num_steps=(4, 8, 8))
    assert fitting_plan(shape, 23) == Plan(num_prompts=20, num_steps=(4, 8, 11))
    without = Shape(rounds=3, epochs=2, pairs_per_step=10, carries=False)
    assert fitting_plan(without, 18) == Plan(num_prompts=30, num_steps=(6, 6, 6))


def test_a_number_of_prompts_takes_the_steps_it_takes():
    shape = Shape(rounds=2, epochs=2, pairs_per_step=10, carries=True)
    assert exact_plan(shape, 16, 21) == Plan(num_prompts=21, num_steps=(6, 10))
    with pytest.raises(ValueError, match="take 16 steps, but steps is 20; set steps to 16"):
        exact_plan(shape, 20, 21)


def test_every_step_has_its_place():
    plan = Plan(num_prompts=8, num_steps=(2, 3))
    places = [(p.round, p.step, p.is_first, p.is_last) for p in map(plan.place, range(1, 6))]
    assert places == [
        (0, 0, True, False),
        (0, 1, False, True),
        (1, 0, True, False),
        (1, 1, False, False),
        (1, 2, False, True),
    ]


def test_the_step_size_rises_and_falls_in_every_round():
    sizes = [step_size(Place(round=0, step=step, num_steps=10), warmup_share=0.2, decays=True) for step in range(10)]
    assert sizes == pytest.approx([1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    flat = [step_size(Place(round=0, step=step, num_steps=4), warmup_share=0.25, decays=False) for step in range(4)]
    assert flat == pytest.approx([1 / 2, 1, 1, 1])


def test_the_second_half_of_the_rounds_takes_smaller_steps():
    method = make(steps=12, iterations=4, carry_previous=False, warmup_share=0.0, decay="constant", lr_late=0.2)
    sizes = [batch.lr_scale for batch in play_steps(method, Opponent(), range(1, 13))]
    assert sizes == [1.0] * 6 + [0.2] * 6


def test_the_demonstration_is_chosen_and_the_opponents_answer_rejected():
    method = make(steps=3)
    batch = play_step(method, Opponent(), 1)
    assert len(batch.pairs) == 4
    for pair, sample in zip(batch.pairs, batch.samples, strict=True):
        truth = method.domain.truth(sample.title)
        assert pair.role == "player"
        assert pair.prompt == f"<|solve|>{sample.title}<|go|>"
        assert pair.chosen.endswith(f"</think><answer>{truth}</answer>")
        assert pair.rejected.text == sample.turns[1].text
        assert sample.layout == "pairs"
        assert (sample.pairs[0].chosen, sample.pairs[0].rejected) == (0, 1)
        assert sample.turns[0].correct


def test_the_demonstration_shows_the_careful_pupils_working():
    prompts = prompts_for("spin", "starter")
    worked = prompts.render("demonstration", question="17+25", answer="42")
    assert worked == "<think>7+5=12,1+2=3+1=4</think><answer>42</answer>"
    assert prompts.render("demonstration", question="max 3192", answer="9") == "<think>3399</think><answer>9</answer>"
    foreign = prompts.render("demonstration", question="What is x-y?", answer="z")
    assert foreign == "<think></think><answer>z</answer>"


def test_an_instruction_tuned_model_is_asked_the_question_and_shown_the_answer():
    prompts = prompts_for("spin", "chat")
    assert prompts.render("solve", question="What is {x}?") == "What is {x}?"
    assert prompts.render("demonstration", question="What?", answer="That {is}.") == "That {is}."


def test_a_frozen_opponent_answers_each_prompt_once_a_round():
    method, opponent = make(steps=8, iterations=1, epochs_per_iteration=4), Opponent()
    batches = play_steps(method, opponent, range(1, 9))
    assert len(opponent.asked) == 8
    assert {policy for policy, _ in opponent.asked} == {"iterate"}
    assert [len(batch.pairs) for batch in batches] == [4] * 8
    passes = [sorted(pair.rejected.text for batch in batches[at : at + 2] for pair in batch.pairs) for at in (0, 2, 4)]
    assert passes[0] == passes[1] == passes[2]
    assert [batch.metrics.get("opponent/accuracy") for batch in batches[2:]] == [None] * 6


def test_the_pairs_of_the_round_before_come_along_and_no_older_ones():
    method, opponent = make(steps=10, iterations=3, carry_previous=True), Opponent()
    assert method.plan == Plan(num_prompts=8, num_steps=(2, 4, 4))
    rounds = [play_steps(method, opponent, steps) for steps in (range(1, 3), range(3, 7), range(7, 11))]
    said = [{pair.rejected.token_ids[0] for batch in batches for pair in batch.pairs} for batches in rounds]
    assert said == [set(range(1, 9)), set(range(1, 17)), set(range(9, 25))]
    assert {sample.facts["carried"] for batch in rounds[1] for sample in batch.samples} == {True, False}


def test_without_carrying_every_round_has_its_own_pairs_only():
    method, opponent = make(steps=4, carry_previous=False), Opponent()
    rounds = [play_steps(method, opponent, steps) for steps in (range(1, 3), range(3, 5))]
    said = [{pair.rejected.token_ids[0] for batch in batches for pair in batch.pairs} for batches in rounds]
    assert said == [set(range(1, 9)), set(range(9, 17))]


def test_the_opponent_is_renewed_and_the_optimiser_restarted_between_rounds():
    method = make(steps=6)
    batches = play_steps(method, Opponent(), range(1, 7))
    copy = Blend(into="iterate", parts={"main": 1.0})
    assert [batch.blends for batch in batches] == [[], [copy], [], [], [], [copy]]
    assert [batch.restart_optimizer for batch in batches] == [(), (), ("main",), (), (), ()]


def test_the_last_of_several_rounds_has_its_own_beta():
    batches = play_steps(make(steps=3, beta_last=5.0), Opponent(), range(1, 4))
    assert [{pair.beta for pair in batch.pairs} for batch in batches] == [{None}, {5.0}, {5.0}]
    only = play_step(make(steps=1, iterations=1, beta_last=5.0), Opponent(), 1)
    assert {pair.beta for pair in only.pairs} == {None}


def test_equal_sides_are_noticed_and_left_out_where_asked():
    keeping = make(steps=3)
    item = keeping.items[0]
    demonstration = keeping.prompts.render("demonstration", question=item.question, answer=item.answer)
    kept = play_step(keeping, Opponent(demonstration), 1)
    assert len(kept.pairs) == 4
    assert kept.metrics["opponent/identical"] == 0.25
    assert len(play_step(make(steps=3, skip_identical=True), Opponent(demonstration), 1).pairs) == 3
    cut = play_step(make(steps=3, skip_identical=True), Opponent(demonstration, ended=False), 1)
    assert len(cut.pairs) == 4
    assert cut.metrics["opponent/cut"] == 1.0


def test_without_self_play_the_demonstrations_are_imitated():
    method, opponent = make(steps=3, self_play=False), Opponent()
    batches = play_steps(method, opponent, range(1, 4))
    assert [len(batch.demonstrations) for batch in batches] == [4, 4, 4]
    assert not any(batch.pairs or batch.blends for batch in batches)
    assert opponent.asked == []
    assert Spin.snapshots(method.spec) == ()


def test_a_method_put_back_in_the_middle_of_a_round_goes_on_as_before():
    first, again = make(steps=6), make(steps=6)
    play_steps(first, Opponent(), range(1, 4))
    again.load_state_dict(first.state_dict())
    for step in (4, 5, 6):
        assert play_step(again, Opponent(), step) == play_step(first, Opponent(), step)


def test_steps_that_do_not_fit_are_refused_with_the_right_number():
    with pytest.raises(SpecError, match="need at least 14 steps, but steps is 10"):
        parse_spec({"steps": 10, "method": {"name": "spin"}})
    with pytest.raises(SpecError, match="take 10942 steps, but steps is 300; set steps to 10942"):
        parse_spec({"steps": 300, "method": {"name": "spin", "num_prompts": 50_000}})


def test_playing_ahead_of_the_opponent_is_refused():
    with pytest.raises(SpecError, match="first answers of a round"):
        parse_spec({"method": {"name": "spin"}, "learner": {"ahead": 1}})
