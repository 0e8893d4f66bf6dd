"""SCoRe's two stages by hand: who is paid for what, who is held how firmly, and what the second attempt is shown."""

import random

import pytest

from tests.formulas import formulas_that_hold
from training_core.curricula.registry import find_curriculum
from training_core.curricula.revise import AGAIN
from training_core.evaluate.attempts import Attempt, transitions
from training_core.methods.score import Score
from training_core.play.play import Play
from training_core.play.prompts import prompts_for
from training_core.play.requests import Completion, Request
from training_core.play.scheduler import run
from training_core.rewards.tags import last_tag
from training_core.spec.io import SpecError, parse_spec
from training_core.spec.tasks import PairSumTask
from training_core.stopwatch import Stopwatch
from training_core.tasks import language
from training_core.tasks.registry import make_domain


class Actor:
    """Answers each request with what ``script(prompt, policy)`` says, and remembers what it was asked."""

    watch = Stopwatch()

    def __init__(self, script):
        self.script, self.asked = script, []

    def generate(self, requests):
        self.asked += [request for request in requests if isinstance(request, Request)]
        return [[completion(self.script(request)) for _ in range(request.n)] for request in requests]

    def score(self, requests):
        return [[-3.0 for _ in request.texts] for request in requests]


def completion(answer):
    text = f"<answer>{answer}</answer>"
    return Completion(
        text=text, prompt_ids=(1,), token_ids=(2, 3), logprobs=(-0.5, -0.5), entropies=(0.1, 0.1), ended=True
    )


def make(*, style="starter", task=None, steps=4, **knobs):
    spec = parse_spec(
        {
            "steps": steps,
            "task": task or {"kind": "pair_sum"},
            "method": {"name": "score", "problems_per_step": 2, "stage1_steps": 2, **knobs},
            "evaluation": {"num_items": 6, "samples_per_item": 2},
        }
    )
    return Score(spec, make_domain(spec.task), prompts_for("score", style))


def play_step(method, actor, step):
    policies = {"first": "main", "second": "main", "base": "start"}
    play = Play(policies=policies, sampling=method.spec.sampling, seed=5, step=step, stream="step")
    return run(method.step(play), actor)


def right_or(method, *, first, second):
    """A script that answers the first and the second prompt rightly or not, as told."""

    def script(request):
        question = request.prompt.split(language.SOLVE)[1].removesuffix(language.GO)
        wanted = second if request.prompt.startswith(AGAIN) else first
        return method.domain.truth(question) if wanted else "00"

    return script


@pytest.mark.parametrize(
    ("first", "second", "stage_1", "stage_2"),
    [
        (False, True, (0, 1), (0, 11)),
        (True, False, (0, 0), (1, -10)),
        (True, True, (0, 1), (1, 1)),
        (False, False, (0, 0), (0, 0)),
    ],
)
def test_rewards_of_both_stages_by_hand(first, second, stage_1, stage_2):
    method = make()
    for step, wanted in ((1, stage_1), (3, stage_2)):
        batch = play_step(method, Actor(right_or(method, first=first, second=second)), step)
        found = {(rollout.role, rollout.reward) for rollout in batch.rollouts}
        assert found == {("first", wanted[0]), ("second", wanted[1])}
        assert batch.metrics["stage/number"] == (1 if step == 1 else 2)


@pytest.mark.parametrize("knobs", [{}, {"offline_first_attempts": 0.5}, {"gamma_attempts": 0.8}])
def test_its_formulas_hold_in_both_stages(knobs):
    method = make(**knobs)
    for step in (1, 3):
        batch = play_step(method, Actor(right_or(method, first=step == 1, second=step == 3)), step)
        assert formulas_that_hold(method.experiment, batch.metrics) == [
            "What the first attempt is paid",
            "What the second attempt is paid",
            "The bonus for the change",
            "What a second look changes",
        ]


def test_only_first_attempts_of_stage_one_are_held_firmly():
    method = make(beta1=0.02, beta2=0.5)
    actor = Actor(right_or(method, first=True, second=True))
    held = {rollout.role: rollout.kl_coef for rollout in play_step(method, actor, 1).rollouts}
    assert held == {"first": pytest.approx(0.52), "second": 0.02}
    assert {rollout.kl_coef for rollout in play_step(method, actor, 3).rollouts} == {0.02}


def test_a_share_of_the_second_reward_reaches_the_first_only_where_it_is_asked_for():
    method = make(gamma_attempts=0.8, alpha=1.0)
    actor = Actor(right_or(method, first=False, second=True))
    assert {(r.role, r.reward) for r in play_step(method, actor, 1).rollouts} == {("first", 0.8), ("second", 1.0)}
    assert {(r.role, r.reward) for r in play_step(method, actor, 3).rollouts} == {("first", 1.6), ("second", 2.0)}


def test_the_second_prompt_holds_the_first_answer_and_never_says_whether_it_is_right():
    for right in (True, False):
        method = make()
        actor = Actor(right_or(method, first=right, second=True))
        play_step(method, actor, 1)
        firsts = [request.prompt for request in actor.asked if not request.prompt.startswith(AGAIN)]
        seconds = [request.prompt for request in actor.asked if request.prompt.startswith(AGAIN)]
        for first, second in zip(firsts, seconds, strict=True):
            question = first.removeprefix(language.SOLVE).removesuffix(language.GO)
            assert second == AGAIN + (method.domain.truth(question) if right else "00") + first


def test_chat_models_are_told_the_instruction_of_the_spec():
    method = make(style="chat", task={"kind": "arithmetic"}, correction_instruction="Look again {closely}.")
    actor = Actor(lambda request: "7")
    play_step(method, actor, 1)
    second = [request.prompt for request in actor.asked if "Look again {closely}." in request.prompt]
    assert len(second) == 2
    assert all("<answer>7</answer>" in prompt for prompt in second)


def test_offline_first_attempts_are_the_base_model_s_and_are_not_trained():
    method = make(offline_first_attempts=1.0)
    actor = Actor(right_or(method, first=True, second=False))
    batch = play_step(method, actor, 3)
    assert {request.policy for request in actor.asked if not request.prompt.startswith(AGAIN)} == {"start"}
    assert {(rollout.role, rollout.reward) for rollout in batch.rollouts} == {("second", -10.0)}
    assert [turn.role for turn in batch.samples[0].turns] == ["base", "second"]
    assert [turn.trained for turn in batch.samples[0].turns] == [False, True]


def test_each_attempt_has_siblings_of_its_own():
    method = make(episodes_per_problem=3)
    batch = play_step(method, Actor(right_or(method, first=True, second=True)), 1)
    groups = {}
    for rollout in batch.rollouts:
        groups.setdefault(rollout.group, set()).add(rollout.role)
    assert len(batch.rollouts) == 12
    assert len(groups) == 4
    assert all(len(roles) == 1 for roles in groups.values())


def test_a_plateau_ends_stage_one_early_and_for_good():
    method = make(steps=50, stage1_steps=40, stage1_stop="plateau", plateau_patience=3)
    better, worse = (Actor(right_or(method, first=False, second=right)) for right in (True, False))
    stages = [play_step(method, worse, 1).metrics["stage/number"]]
    stages += [play_step(method, better, step).metrics["stage/number"] for step in (2, 3)]
    stages += [play_step(method, worse, step).metrics["stage/number"] for step in (4, 5, 6)]
    assert stages == [1] * 6
    twin = make(steps=50, stage1_steps=40, stage1_stop="plateau", plateau_patience=3)
    twin.load_state_dict(method.state_dict())
    assert play_step(method, better, 7).metrics["stage/number"] == 2
    assert play_step(twin, better, 7).metrics["stage/number"] == 2
    assert play_step(method, better, 8).metrics["stage/number"] == 2


def test_the_step_size_is_scaled_in_stage_two_only():
    method = make(stage2_lr_scale=0.25)
    actor = Actor(right_or(method, first=True, second=True))
    assert [play_step(method, actor, step).lr_scale for step in (1, 2, 3)] == [1.0, 1.0, 0.25]


def test_an_adaptive_beta2_follows_reward_over_divergence():
    method = make(adaptive_beta2=True, beta2=0.1)
    # The sampled log-probs sum to -1, the base says -3: a divergence of 2. All second attempts are right: reward 1.
    batch = play_step(method, Actor(right_or(method, first=True, second=True)), 1)
    assert batch.metrics["kl/first_to_base"] == pytest.approx(2.0)
    assert method.beta2 == pytest.approx(0.1**0.9 * 0.5**0.1)
    for step in (2, 2, 2):
        play_step(method, Actor(right_or(method, first=True, second=False)), step)
    assert method.beta2 > 0.01


def attempt(answer, right):
    return Attempt(completion=completion(answer), answer=answer, right=right)


def test_transitions_by_hand():
    good, bad, other = attempt("12", True), attempt("34", False), attempt("56", False)
    found = transitions([(bad, good), (good, good), (good, other), (bad, other), (bad, bad)])
    assert found == pytest.approx(
        {
            "accuracy_1": 0.4,
            "accuracy_2": 0.4,
            "delta": 0.0,
            "wrong_to_right": 0.2,
            "right_to_wrong": 0.2,
            "copies": 0.4,
        }
    )


def test_evaluation_asks_for_as_many_attempts_as_it_is_told():
    method = make(evaluation_attempts=3)
    actor = Actor(right_or(method, first=False, second=True))
    policies = {"first": "main", "second": "main", "base": "start"}
    play = Play(policies=policies, sampling=method.spec.sampling, seed=5, step=0, stream="evaluation")
    found = run(method.evaluate(play), actor)
    assert found.num_items == 6
    assert found.scores["delta_sampled"] == found.scores["delta_greedy"] == 1.0
    assert found.scores["accuracy_3_sampled"] == found.scores["accuracy_sampled"] == 1.0
    assert found.scores["wrong_to_right_greedy"] == 1.0
    assert found.items[0].answer.startswith("00 -> ")
    assert len(actor.asked) == 6 * (1 + 2 * 2) + 6 * (1 + 2)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"loss": {"kl_coef": 0.1}}, "leave loss.kl_coef at 0"),
        ({"advantage": {"kind": "leave_one_out"}}, "episodes_per_problem is 1"),
        ({"adaptive_beta2": True, "sampling": {"temperature": 0.7}}, "holds at temperature 1 only"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(method, message):
    with pytest.raises(SpecError, match=message):
        parse_spec({"method": {"name": "score", **method}})


def test_attempts_of_different_weights_are_refused():
    with pytest.raises(SpecError, match="both attempts are made by one set of weights"):
        parse_spec({"method": {"name": "score"}, "weights": {"kind": "separate"}})


def test_the_starter_s_lessons_copy_six_times_out_of_ten_and_are_right_otherwise():
    domain, lessons = make_domain(PairSumTask()), find_curriculum("revise").lessons
    rng = random.Random(3)
    copies = right = 0
    for _ in range(2_000):
        prompt, text = lessons["revise"](domain, rng, False)
        shown, question = prompt.removeprefix(AGAIN).removesuffix(language.GO).split(language.SOLVE)
        assert not domain.is_held_out(question)
        second = last_tag(text, "answer")
        copies += second == shown
        right += domain.check(second, domain.truth(question))
        assert second == shown or domain.check(second, domain.truth(question))
    assert 0.73 < copies / 2_000 < 0.79  # 0.6, and the truth is the first answer in 0.4 of the rest
    assert 0.61 < right / 2_000 < 0.67
