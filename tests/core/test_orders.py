"""What people ask of a run at work: verdicts overruled, knobs turned, questions marked, and resuming through all of it."""

import json

import pytest

from tests.core.test_runner import assert_same_run, weights
from tests.tiny_model import make_tiny_model, spec_of
from training_core.learn.window import Window
from training_core.orders import OrderBook
from training_core.play.records import Rollout, StepBatch
from training_core.play.requests import Completion
from training_core.run_folder import Control
from training_core.runner import Run
from training_core.spec.events import EventKind, RunPhase, SampleData, Turn
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import SpecError, dump_dict
from training_core.spec.learning import GroupRelative, ReinforcePlusPlus, RoleConditioned
from training_core.spec.live import live_fields, turned
from training_core.spec.orders import OrderRefused, TurnKnob


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert Run(spec_of(model), folder).execute() is RunPhase.SUCCEEDED
    return folder


def order(folder, id, command, **payload):
    with (folder / "control.jsonl").open("a") as file:
        file.write(json.dumps({"id": id, "command": command, "by": "Ada", **payload}) + "\n")


def changes(folder):
    return [(event["step"], event["data"]) for event in Run(None, folder).events(EventKind.CHANGE)]


# The window of rollouts, by hand


def rollout(reward, *, group="q", role="solver", advantage=0.0, scale=1.0):
    completion = Completion(
        text="", prompt_ids=(1,), token_ids=(2, 3), logprobs=(-1.0, -1.0), entropies=(), ended=True, version=0
    )
    turn = Turn(role=role, text="", rewards={"judge": reward}, reward=reward)
    return Rollout(
        role=role, group=group, completion=completion, reward=reward, advantage=advantage, scale=scale, turn=turn
    )


def kept(rewards, advantages, *, num_steps=4):
    rollouts = [rollout(reward, advantage=had) for reward, had in zip(rewards, advantages, strict=True)]
    sample = SampleData(episode="7-s0", title="3+4", turns=[each.turn for each in rollouts])
    window = Window(num_steps)
    window.remember(7, StepBatch(rollouts=rollouts, samples=[sample]))
    return window


def say(sample, turn, value):
    sample.turns[turn].reward = sample.turns[turn].rewards["judge"] = value


def test_a_corrected_reward_is_learnt_with_the_difference_of_advantages():
    # Rewards 1, 0 have mean 1/2 and spread 1/2: advantages 1, -1. With 1, 1 both are 0: the second is off by +1.
    window = kept([1.0, 0.0], [1.0, -1.0])
    found = window.overrule(ReinforcePlusPlus(), say, episode="7-s0", turn=1, value=1.0)
    assert (found.before, found.after) == (0.0, 1.0)
    assert [each.advantage for each in found.rollouts] == [1.0]
    # Taken back, exactly that is learnt away again.
    found = window.overrule(ReinforcePlusPlus(), say, episode="7-s0", turn=1, value=None)
    assert [each.advantage for each in found.rollouts] == pytest.approx([-1.0])
    assert (found.before, found.after) == (1.0, 0.0)


def test_siblings_that_share_a_baseline_are_learnt_from_again_too():
    window = kept([1.0, 1.0, 0.0, 0.0], [0.5, 0.5, -0.5, -0.5])
    found = window.overrule(GroupRelative(scale="none"), say, episode="7-s0", turn=0, value=0.0)
    # Rewards 0, 1, 0, 0 have mean 1/4.
    assert [each.advantage for each in found.rollouts] == pytest.approx([-0.75, 0.25, 0.25, 0.25])


def test_a_running_baseline_passes_on_the_difference_of_rewards():
    window = kept([1.0, 0.0], [0.3, -0.7])
    found = window.overrule(RoleConditioned(), say, episode="7-s0", turn=0, value=0.25)
    assert [each.advantage for each in found.rollouts] == pytest.approx([-0.75])


def test_what_is_too_old_or_not_kept_is_not_found():
    window = kept([1.0, 0.0], [1.0, -1.0], num_steps=1)
    window.remember(8, StepBatch())
    assert window.overrule(ReinforcePlusPlus(), say, episode="7-s0", turn=0, value=0.0) is None
    nothing = kept([1.0], [0.0], num_steps=0)
    assert nothing.overrule(ReinforcePlusPlus(), say, episode="7-s0", turn=0, value=0.0) is None


def test_the_window_comes_back_from_json_in_the_middle_of_corrections():
    window = kept([1.0, 0.0], [1.0, -1.0])
    window.overrule(ReinforcePlusPlus(), say, episode="7-s0", turn=1, value=1.0)
    again = Window(4)
    again.restore(json.loads(json.dumps(window.state())))
    found = again.overrule(ReinforcePlusPlus(), say, episode="7-s0", turn=1, value=None)
    assert [each.advantage for each in found.rollouts] == pytest.approx([-1.0])


# Live knobs


def test_only_live_fields_can_be_turned_and_only_to_what_they_take():
    spec = ExperimentSpec(method={"name": "mae"})
    paths = {field.path for field in live_fields(dump_dict(spec))}
    assert {
        "method.sampling.temperature",
        "method.loss.kl_coef",
        "method.optimizer.lr",
        "method.w_judge",
        "method.judge_temperature",
        "method.pool_sampling",
        "evaluation.every",
    } <= paths
    assert "method.batch_per_role" not in paths
    assert turned(spec, "method.optimizer.lr", 0.5).method.optimizer.lr == 0.5
    with pytest.raises(SpecError, match="cannot be changed while the run is at work"):
        turned(spec, "method.batch_per_role", 4)
    with pytest.raises(SpecError, match="at most 1"):
        turned(spec, "method.optimizer.lr", 5)


# Whole runs


def first_answer(events):
    """An answer of the solver that was judged and learnt from, as ``episode, turn, reward``."""
    for event in events:
        for place, turn in enumerate(event["data"]["turns"]):
            if turn["role"] == "solver" and turn["trained"]:
                return event["data"]["episode"], place, turn["reward"]
    raise AssertionError("no answer")


def overruling(folder, model, *, kill_at=None, **changes_):
    """A run in which a verdict of step 2 is overruled after step 2, and the step size raised after step 3."""
    said = []

    def listen(event):
        if event["kind"] == "metric" and event["step"] == kill_at:
            raise KeyboardInterrupt
        said.append(event)
        samples = [each for each in said if each["kind"] == "sample" and each["step"] == 2]
        if event["kind"] == "sample" and event["step"] == 2 and len(samples) == 8:
            episode, turn, reward = first_answer(samples)
            order(folder, 1, "overrule", episode=episode, turn=turn, value=0.0 if reward > 0.5 else 1.0)
        if event["kind"] == "metric" and event["step"] == 3 and "reward/solver" in event["data"]["values"]:
            order(folder, 2, "knob", path="method.optimizer.lr", value=0.01)

    return Run(spec_of(model, **changes_), folder, listener=listen)


@pytest.fixture(scope="module")
def steered(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("steered")
    assert overruling(folder, model).execute() is RunPhase.SUCCEEDED
    return folder


def test_an_overruled_verdict_reaches_the_next_update_and_a_knob_the_step_after_it(whole, steered):
    (step, overruled), (knob_step, knob) = changes(steered)
    assert (step, overruled["update"], overruled["obeyed"], overruled["by"]) == (3, 3, True, "Ada")
    assert abs(overruled["after"] - overruled["before"]) > 0
    assert (knob_step, knob["what"], knob["before"], knob["after"]) == (3, "method.optimizer.lr", 0.001, 0.01)
    run = Run(None, steered)
    assert [step for step, _ in run.series("overrule/rollouts")] == [3]
    ours, theirs = dict(run.series("grad/norm")), dict(Run(None, whole).series("grad/norm"))
    assert (ours[1], ours[2]) == (theirs[1], theirs[2])
    assert ours[3] != theirs[3]


def test_a_run_with_orders_that_is_broken_off_and_resumed_equals_one_that_was_not(steered, model, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        overruling(tmp_path, model, kill_at=4).execute()
    order(tmp_path, 1, "overrule", episode="2-s0", turn=0, value=0.0)  # sent again: it was obeyed already
    assert Run(spec_of(model), tmp_path).execute(resume=True) is RunPhase.SUCCEEDED
    assert_same_run(tmp_path, steered)
    assert [data["order"] for _, data in changes(tmp_path)] == [1, 2]


def test_orders_that_cannot_be_obeyed_are_answered_and_change_nothing(whole, model, tmp_path):
    order(tmp_path, 1, "overrule", episode="9-s0", turn=0, value=1.0)
    order(tmp_path, 2, "knob", path="method.loss.kl_coef", value=0.1)
    order(tmp_path, 3, "knob", path="seed", value=7)
    order(tmp_path, 4, "question", action="add", question="no sum")
    order(tmp_path, 4, "question", action="add", question="1+2")
    assert Run(spec_of(model), tmp_path).execute() is RunPhase.SUCCEEDED
    told = changes(tmp_path)
    assert [(step, data["order"], data["obeyed"]) for step, data in told] == [(0, n, False) for n in (1, 2, 3, 4)]
    assert "no longer kept" in told[0][1]["text"]
    assert "no reference is loaded" in told[1][1]["text"]
    assert "no well-posed question" in told[3][1]["text"]
    ours, theirs = weights(tmp_path), weights(whole)
    assert all(ours[name].equal(theirs[name]) for name in ours)


def test_a_question_marked_bad_leaves_the_pool_for_good_and_one_may_be_added(model, tmp_path):
    from training_core.methods.registry import find_method
    from training_core.play.prompts import prompts_for
    from training_core.tasks.registry import make_domain

    spec = spec_of(model)
    method = find_method("mae")(spec, make_domain(spec.task), prompts_for("mae", "starter"))
    bad = method.questions.questions[0].text
    before = len(method.questions)
    assert method.remove_question(f" {bad} ") >= 1
    assert len(method.questions) < before
    assert bad not in method.questions
    state = json.loads(json.dumps(method.state_dict()))
    method.load_state_dict(state)
    assert method._key(bad) in method.banned
    method.add_question(bad, None, step=3)
    assert bad in method.questions and not method.banned
    spin = find_method("spin")
    with pytest.raises(OrderRefused, match="keeps no pool"):
        spin.remove_question(spin.__new__(spin), "3+4")


def test_commands_and_orders_are_read_from_one_file(tmp_path):
    order(tmp_path, 1, "question", action="remove", question="3+4")
    with (tmp_path / "control.jsonl").open("a") as file:
        file.write('{"id": 1, "command": "pause"}\nno json\n{"id": 2, "command": "knob", "path": "seed"}\n')
    assert [each.command for each in Control(tmp_path).new_commands()] == ["question", "pause"]


def test_new_orders_wait_until_those_of_before_have_come_again(tmp_path):
    first, second = (TurnKnob(id=n, by="Ada", path="method.optimizer.lr", value=n / 1000) for n in (1, 2))
    book = OrderBook(tmp_path)
    book.begin(resume=False, obeyed=())
    assert book.due(4, [first]) == [first]
    again = OrderBook(tmp_path)
    again.begin(resume=True, obeyed=())
    assert again.due(2, [second]) == []
    assert again.due(3, [second]) == []
    assert again.due(4, []) == [first, second]
    assert again.due(5, [second]) == []
