"""A person's word in every method that has verdicts: rewards and pairs by hand, and whole runs that are resumed through it."""

import json

import pytest

from tests.core import test_methods_pasodoble as pasodoble
from tests.core.test_every_method import facts, final_weights, small_run, spec_of  # noqa: F401
from tests.core.test_methods_mae import Script
from tests.core.test_methods_sppo import digits_wrong, make, play_step, sums
from tests.tiny_model import make_tiny_model
from training_core.learn.window import Window
from training_core.methods.registry import all_methods, find_method
from training_core.play.corrections import corrected_table
from training_core.runner import Run
from training_core.spec.events import EventKind, RunPhase, SampleData, Turn
from training_core.spec.io import parse_spec
from training_core.spec.learning import GroupRelative
from training_core.spec.orders import OrderRefused


def compared(*verdicts, table):
    turns = [Turn(role="opponent", text="", verdict=verdict) for verdict in verdicts]
    return SampleData(episode="1-0", title="3+4", turns=turns, table=table)


def say(sample, turn, value):
    sample.table = corrected_table(sample, turn, value)
    sample.turns[turn].verdict = value


def test_a_word_moves_comparisons_by_what_is_known_of_the_others_and_never_against_itself():
    # Said to be right against an answer that wins 0.8: 1/2 + (1 - 0.8) / 2 = 0.6.
    sample = compared(0.2, 0.8, table=[[0.5, 0.2], [0.8, 0.5]])
    say(sample, 0, 1.0)
    assert sample.table == [[0.5, pytest.approx(0.6)], [pytest.approx(0.4), 0.5]]
    # A right answer that won 0.9 stays there: 0.6 would be a step back.
    sample = compared(0.9, 0.8, table=[[0.5, 0.9], [0.1, 0.5]])
    assert corrected_table(sample, 0, 1.0)[0][1] == 0.9


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(
    ("said", "chance"), [((1.0, 0.0), 1.0), ((1.0, 1.0), 0.5), ((0.0, 0.0), 0.5), ((0.0, 1.0), 0.0)]
)
def test_two_words_settle_a_comparison_in_either_order(order, said, chance):
    sample = compared(0.3, 0.7, table=[[0.5, 0.3], [0.7, 0.5]])
    for turn in order:
        say(sample, turn, said[turn])
    assert sample.table[0][1] == chance


# Pairs


def window_of(batch):
    window = Window(4)
    window.remember(1, batch)
    return window


def told(correction):
    return [(pair.correction, pair.win_rates) for pair in correction.pairs]


def test_sppo_learns_the_new_pair_and_the_old_one_away():
    method = sums("sppo", k_samples=2, include_self=False)
    batch = play_step(method, Script(digits_wrong(9, 0)))
    window, (old, _) = window_of(batch), batch.pairs
    ask = {"episode": batch.samples[0].episode, "prefer": method.choices}
    assert (old.chosen, old.rejected) == tuple(batch.alternatives[0].answers[place] for place in (1, 0))
    # The wrong answer wins 0.1192. Said to be right it gets 1/2 + (1 - 0.8808) / 2 = 0.5596 and is preferred.
    found = window.overrule(None, method.correct, turn=0, value=1.0, **ask)
    assert told(found) == [
        (-1.0, pytest.approx((0.8808, 0.1192), abs=1e-4)),
        (1.0, pytest.approx((0.5596, 0.4404), abs=1e-4)),
    ]
    assert found.pairs[1].chosen.token_ids == old.rejected.token_ids
    assert (found.before, found.after) == (pytest.approx(0.1192, abs=1e-4), 1.0)
    # The other one is wrong, too: now it is certain. What was learnt a moment ago goes.
    again = Window(4)
    again.restore(json.loads(json.dumps(window.state())))
    found = again.overrule(None, method.correct, turn=1, value=0.0, **ask)
    assert told(found) == [(-1.0, pytest.approx((0.5596, 0.4404), abs=1e-4)), (1.0, (1.0, 0.0))]
    # Both taken back, the step's own pair stands again.
    again.overrule(None, method.correct, turn=1, value=None, **ask)
    found = again.overrule(None, method.correct, turn=0, value=None, **ask)
    assert told(found)[-1] == (1.0, old.win_rates)


def test_of_a_pair_drawn_at_random_the_same_two_answers_are_turned_around():
    method = sums("sppo", k_samples=4, pair_rule="random_pair")
    batch = play_step(method, Script(digits_wrong(0, 0, 9, 9)))
    sample = next(each for each in batch.samples if {each.pairs[0].chosen, each.pairs[0].rejected} & {2, 3})
    worst = sample.pairs[0].rejected
    found = window_of(batch).overrule(
        None, method.correct, episode=sample.episode, turn=worst, value=1.0, prefer=method.choices
    )
    assert {pair.correction for pair in found.pairs} == {-1.0, 1.0}


# Rewards


def test_spo_pays_the_answer_and_its_siblings_anew():
    task = {"kind": "arithmetic", "min_digits": 3, "max_digits": 3, "operations": ["+"]}
    oracle = {"kind": "verifier", "temperature": 0.5}
    method = make("spo", task=task, prompts_per_step=1, completions=2, comparisons_per_item=1, oracle=oracle)
    batch = play_step(method, Script(digits_wrong(9, 0)))
    assert [rollout.reward for rollout in batch.rollouts] == pytest.approx([0.1192, 0.8808], abs=1e-4)
    found = window_of(batch).overrule(
        GroupRelative(scale="none"), method.correct, episode="1-0", turn=0, value=1.0, prefer=method.choices
    )
    assert (found.before, found.after) == pytest.approx((0.1192, 0.5596), abs=1e-4)
    # Both rewards moved by 0.4404, to and fro, about the mean of one half; nothing was learnt of them before.
    assert [rollout.advantage for rollout in found.rollouts] == pytest.approx([0.0596, -0.0596], abs=1e-4)
    assert found.pairs == []


def test_pasodoble_pays_the_answer_and_the_question_that_now_is_solved_more_often():
    method = pasodoble.make()
    batch = pasodoble.play_step(method, pasodoble.HARD_AND_WRONG)
    sample = batch.samples[0]
    assert [turn.verdict for turn in sample.turns] == [1.0, 1.0, 1.0, 0.0, 0.0]
    method.correct(sample, 3, 1.0)
    # p goes from 2/4 to 3/4: 1.1 - 0.75 + 0.2.
    assert (sample.turns[3].reward, sample.turns[0].reward) == (1.0, pytest.approx(0.55))
    method.correct(sample, 0, 0.0)
    assert sample.turns[0].reward == 0
    # Nobody agreed with 43; who calls that question sound pays it as if it were believed: 1.1 - 0 + 0.2.
    other = batch.samples[1]
    method.correct(other, 0, 1.0)
    assert other.turns[0].reward == pytest.approx(1.3)


def test_a_question_that_gives_its_answer_away_earns_nothing_whatever_is_said_of_answers():
    leaking = pasodoble.Script([pasodoble.proposal("42-10", "42")] * 2, {"42-10": ("42", "42", "41", "41")})
    method = pasodoble.make()
    sample = pasodoble.play_step(method, leaking).samples[0]
    for place, value in ((1, 0.0), (2, 0.0), (3, 1.0)):
        method.correct(sample, place, value)
    assert sample.turns[0].reward == 0


def test_score_pays_both_attempts_anew(tmp_path):
    lines = [json.dumps({"question": f"q{number}", "answer": str(number)}) for number in range(40)]
    (tmp_path / "task.jsonl").write_text("\n".join(lines))
    task = {"kind": "jsonl", "path": str(tmp_path / "task.jsonl")}
    experiment = parse_spec({"method": {"name": "score", "alpha": 10.0, "gamma_attempts": 0.5}, "task": task})
    method = object.__new__(find_method("score"))
    method.spec, method.experiment = experiment.method, experiment
    turns = [
        Turn(role="first", text="", rewards={"right": 0.0}, reward=0.5 * 11, verdict=0.0),
        Turn(role="second", text="", rewards={"right": 1.0, "bonus": 10.0}, reward=11.0, verdict=1.0),
    ]
    sample = SampleData(episode="1-0-0", title="q", turns=turns, facts={"stage": 2})
    method.correct(sample, 0, 1.0)
    # r1 = r2 = 1: no bonus, R2 = 1, R1 = 1 + 0.5 * 1.
    assert [turn.reward for turn in sample.turns] == [1.5, 1.0]
    assert method.why_uncorrectable(experiment) == ""
    assert "rule" in method.why_uncorrectable(parse_spec({"method": {"name": "score"}}))


def test_spar_turns_drops_and_restores_its_pair():
    method = object.__new__(find_method("spar"))
    turns = [Turn(role="actor", text="", verdict=verdict) for verdict in (1.0, 0.2)]
    sample = SampleData(episode="1-0", title="q", turns=turns, pairs=[{"chosen": 0, "rejected": 1}])
    assert [(each.chosen, each.rejected) for each in method.choices(sample)] == [(0, 1)]
    method.correct(sample, 1, 1.0)
    assert method.choices(sample) == []
    method.correct(sample, 0, 0.0)
    assert [(each.chosen, each.rejected) for each in method.choices(sample)] == [(1, 0)]
    sample.turns.append(Turn(role="refiner", text=""))
    with pytest.raises(OrderRefused, match="Nobody judged"):
        method.correct(sample, 2, 0.0)


# Whole runs


def test_methods_without_verdicts_say_why():
    reasons = {}
    for method in all_methods():
        preset = next(preset for preset in method.presets if preset.slug == "starter")
        reasons[method.slug] = method.why_uncorrectable(parse_spec(preset.spec))
    assert {slug for slug, reason in reasons.items() if not reason} >= {"mae", "pasodoble", "sppo", "apo", "spar"}
    assert "rules of the game" in reasons["spiral"]
    assert "nobody judges" in reasons["spin"]
    choices = parse_spec({"method": {"name": "spo"}})
    assert "no answer is right or wrong" in find_method("spo").why_uncorrectable(choices)


def overruling(spec, folder, *, stop=False):
    """A run in which the first paired answer of step 1 is overruled after it, and perhaps one that stops after step 2."""

    def listen(event):
        if event["kind"] == "sample" and event["step"] == 1 and not (folder / "said").exists():
            views = event["data"].get("pairs", [])
            if views:
                (folder / "said").touch()
                order = {"id": 1, "command": "overrule", "by": "Ada", "episode": event["data"]["episode"]}
                order |= {"turn": views[0]["rejected"], "value": 1.0}
                with (folder / "control.jsonl").open("a") as file:
                    file.write(json.dumps(order) + "\n")
        if stop and event["kind"] == "metric" and event["step"] == 2:
            with (folder / "control.jsonl").open("a") as file:
                file.write(json.dumps({"id": 1, "command": "stop"}) + "\n")

    return Run(spec, folder, listener=listen)


@pytest.fixture(scope="module")
def sppo_spec(tmp_path_factory):
    method = find_method("sppo")
    return spec_of(method, make_tiny_model(tmp_path_factory.mktemp("sppo") / "model", curriculum=method.curriculum))


def test_an_overruled_pair_reaches_the_next_update_and_a_resumed_run_equals_one_that_was_not(sppo_spec, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    assert overruling(sppo_spec, whole).execute() is RunPhase.SUCCEEDED
    (change,) = Run(None, whole).events(EventKind.CHANGE)
    assert (change["step"], change["data"]["update"], change["data"]["obeyed"]) == (2, 2, True)
    assert [step for step, _ in Run(None, whole).series("overrule/pairs")] == [2]
    assert overruling(sppo_spec, broken, stop=True).execute() is RunPhase.STOPPED
    assert Run(sppo_spec, broken).execute(resume=True) is RunPhase.SUCCEEDED
    assert facts(broken) == facts(whole)
    left, right = final_weights(broken), final_weights(whole)
    assert all(left[name].equal(right[name]) for name in left)
