"""SPPO, APO and SPO against cases worked out by hand, with a scripted player in place of the model."""

from math import exp, log

import pytest
import torch

from bench.bandit import suboptimality
from tests.core.test_methods_mae import Script
from tests.tiny_model import random_qwen2
from training_core.methods.registry import find_method
from training_core.play.play import Play
from training_core.play.prompts import prompts_for
from training_core.play.records import Blend, StepBatch
from training_core.play.scheduler import run
from training_core.policies.loaded import LoadedPolicy
from training_core.policies.snapshots import carry_out, take_snapshot
from training_core.spec.io import SpecError, parse_spec
from training_core.tasks.registry import make_domain

LADDER = {"kind": "verifier", "temperature": 0.5}


class Scoring(Script):
    """A script that also scores: every text is as likely as ``chances`` says."""

    def __init__(self, lines, chances):
        super().__init__(lines)
        self.chances = chances

    def score(self, requests):
        return [[log(self.chances[text]) for text in request.texts] for request in requests]


def make(name, *, steps=4, task=None, **knobs):
    experiment = parse_spec(
        {
            "steps": steps,
            "method": {"name": name, **knobs},
            "evaluation": {"num_items": 8},
            **({"task": task} if task else {}),
        }
    )
    method = find_method(name)
    prompts = prompts_for(method, "starter", task=experiment.task.kind)
    return method(experiment, make_domain(experiment.task), prompts)


def play_step(method, engine, step=1):
    policies = {"player": "main", "opponent": "iterate", "start": "start", "hat": "hat"}
    play = Play(policies=policies, sampling=method.spec.sampling, seed=0, step=step, stream="step")
    return run(method.step(play), engine)


def digits_wrong(*how_many):
    """Answers to a sum with so many digits wrong, counted from the left."""

    def say(prompt, place):
        first, sign, second = prompt.removeprefix("<|solve|>").removesuffix("<|go|>").partition("+")
        truth = str(int(first) + int(second)) if sign else "0"
        wrong = "".join(str((int(digit) + 1) % 10) for digit in truth[: how_many[place]])
        return f"<think>x</think><answer>{wrong}{truth[how_many[place] :]}</answer>"

    return say


def sums(name, **knobs):
    """The method on sums of two numbers of three digits."""
    task = {"kind": "arithmetic", "min_digits": 3, "max_digits": 3, "operations": ["+"]}
    return make(name, task=task, iterations=2, prompts_per_step=2, oracle=LADDER, **knobs)


# SPPO


def test_best_and_worst_answer_carry_their_win_rates_in_the_group():
    method = sums("sppo", k_samples=3)
    batch = play_step(method, Script(digits_wrong(9, 0, 9)))
    assert len(batch.pairs) == 2
    for pair in batch.pairs:
        # Two wrong answers draw; the right one scores 1 against 0, and sigmoid(1 / 0.5) = 0.8808.
        assert pair.win_rates == pytest.approx(((0.5 + 2 * 0.8808) / 3, (0.5 + 0.5 + 0.1192) / 3), abs=1e-4)
        assert pair.chosen.text.endswith("</answer>")
        assert [turn.correct for turn in pair.turns] == [True, False]
    assert batch.samples[0].layout == "pairs"
    assert len(batch.samples[0].turns) == 3
    assert batch.samples[0].pairs[0].chosen == 1


def test_without_oneself_win_rates_reach_further():
    method = sums("sppo", k_samples=3, include_self=False)
    pair = play_step(method, Script(digits_wrong(9, 0, 9))).pairs[0]
    assert pair.win_rates == pytest.approx((0.8808, (0.5 + 0.1192) / 2), abs=1e-4)


def test_the_single_loss_takes_the_one_comparison():
    method = sums("sppo", k_samples=3, preference={"kind": "sppo_single"})
    pair = play_step(method, Script(digits_wrong(9, 0, 9))).pairs[0]
    assert pair.win_rates == pytest.approx((0.8808, 0.1192), abs=1e-4)


def test_all_pairs_of_the_group_may_be_learnt_from():
    method = sums("sppo", k_samples=4, pair_rule="all_k")
    assert len(play_step(method, Script(digits_wrong(0, 1, 2, 9))).pairs) == 2 * 6


def test_ties_are_kept_unless_asked_otherwise():
    engine = Script(digits_wrong(9, 9, 9))
    assert len(play_step(sums("sppo", k_samples=3), engine).pairs) == 2
    skipping = play_step(sums("sppo", k_samples=3, skip_ties=True), engine)
    assert skipping.pairs == []
    assert skipping.metrics["win_rate/no_signal"] == 1


def test_the_opponent_answers_and_no_prompt_comes_twice():
    method, engine = sums("sppo", k_samples=2), Script(digits_wrong(0, 9))
    for step in (1, 2, 3, 4):
        play_step(method, engine, step)
    prompts = [prompt for policy, prompt, _ in engine.prompts]
    assert {policy for policy, _, _ in engine.prompts} == {"iterate"}
    assert len(set(prompts)) == len(prompts) == 8


def test_a_later_pass_asks_the_same_prompts_again():
    method, engine = sums("sppo", k_samples=2, epochs_per_iteration=2), Script(digits_wrong(0, 9))
    for step in (1, 2, 3, 4):
        play_step(method, engine, step)
    prompts = [prompt for _, prompt, _ in engine.prompts]
    assert set(prompts[:2]) == set(prompts[2:4])
    assert set(prompts[:2]).isdisjoint(prompts[4:])


def test_a_round_ends_with_a_new_frozen_copy_and_a_fresh_optimizer():
    method, engine = sums("sppo", k_samples=2, scheduled_epochs=None), Script(digits_wrong(0, 9))
    batches = [play_step(method, engine, step) for step in (1, 2, 3, 4)]
    copy = Blend(into="iterate", parts={"main": 1.0})
    assert [batch.blends for batch in batches] == [[], [copy], [], [copy]]
    assert [batch.restart_optimizer for batch in batches] == [(), (), ("main",), ()]


def test_the_papers_schedule_ends_inside_its_warm_up():
    spec = parse_spec({"steps": 300, "method": {"name": "sppo"}}).method
    plan = spec.plan(300)
    sizes = [spec.step_size(plan.place(step)) for step in range(1, 301)]
    # One pass of 100 steps of the 1800 laid out, of which 180 are warm-up.
    assert sizes[99] == pytest.approx(100 / 181)
    assert sizes[:99] == sorted(sizes[:99])
    assert sizes[100] == sizes[0] == pytest.approx(1 / 181)


# APO


def test_momentum_runs_from_hat_to_hat():
    method, engine = sums("apo", k_samples=2, alpha=0.5, max_step_norm=3.0), Script(digits_wrong(0, 9))
    blends = play_step(method, engine, step=2).blends
    assert blends == [
        Blend(into="momentum", parts={"momentum": 0.0}),
        Blend(into="momentum", parts={"main": 1.0, "hat": -1.0}, longest=3.0, measures=True),
        Blend(into="hat", parts={"main": 1.0}),
        Blend(into="iterate", parts={"hat": 1.0, "momentum": 0.5}),
        Blend(into="main", parts={"iterate": 1.0}),
    ]
    assert play_step(method, engine, step=4).blends[2].parts == {"hat": 1.0, "momentum": 0.0}
    kept = sums("apo", k_samples=2, alpha=0.5, return_hat=False)
    assert play_step(kept, engine, step=4).blends[2].parts == {"hat": 1.0, "momentum": 0.5}


def test_two_rounds_of_momentum_move_weights_as_the_formula_says():
    engine = Script(digits_wrong(0, 9))
    method = sums("apo", k_samples=2, alpha=0.5)
    policies = with_snapshots("iterate", "hat", "momentum")
    start = weights(policies["main"])
    found = []
    for step in (2, 4):
        nudge(policies["main"], 1.0)  # the round's own optimisation
        metrics = {}
        carry_out(play_step(method, engine, step).blends, policies, moving=policies, metrics=metrics)
        found.append((weights(policies["main"]) - start, weights(policies["hat"]) - start, metrics))
    (first, first_hat, measured), (last, last_hat, later) = found
    # hat_2 = 1 and theta_2 = 1 + 0.5 (1 - 0); hat_3 = 1.5 + 1, given back without momentum.
    assert torch.allclose(first_hat, torch.ones_like(start), atol=1e-4)
    assert torch.allclose(first, torch.full_like(start, 1.5), atol=1e-4)
    assert torch.allclose(last_hat, torch.full_like(start, 2.5), atol=1e-4)
    assert torch.allclose(last, last_hat)
    assert measured == {"blend/momentum_norm": pytest.approx(len(start) ** 0.5, rel=1e-3)}
    assert later["blend/momentum_norm"] == pytest.approx(1.5 * len(start) ** 0.5, rel=1e-3)
    assert later["blend/momentum_cosine"] == pytest.approx(1.0, abs=1e-4)


def test_a_blend_is_shortened_to_the_length_it_may_have():
    policies = with_snapshots("old", "step")
    start = weights(policies["main"])
    nudge(policies["main"], 1.0)
    blend = Blend(into="step", parts={"main": 1.0, "old": -1.0}, longest=2.0, measures=True)
    metrics = {}
    carry_out([blend], policies, moving=policies, metrics=metrics)
    assert weights(policies["step"]).norm() == pytest.approx(2.0, rel=1e-3)
    assert metrics["blend/step_norm"] == pytest.approx(2.0, rel=1e-3)
    assert torch.allclose(weights(policies["step"]) * len(start) ** 0.5 / 2, torch.ones_like(start), atol=1e-3)
    batch = StepBatch(blends=[blend])
    assert StepBatch.from_json(batch.to_json()) == batch


def test_exact_rounds_of_two_actions_grow_by_the_geometric_sum():
    plain = suboptimality([1.0, 0.0], alpha=0.0, beta=2.0, rounds=3)
    faster = suboptimality([1.0, 0.0], alpha=0.5, beta=2.0, rounds=3)
    # The gap between the logits grows by 1 / beta a round, with momentum by 0.5, 0.75, 0.875.
    assert plain == pytest.approx([1 / (1 + exp(gap)) for gap in (0.5, 1.0, 1.5)])
    assert faster == pytest.approx([1 / (1 + exp(gap)) for gap in (0.5, 1.25, 2.125)])


def with_snapshots(*names):
    model, tokenizer = random_qwen2()
    main = LoadedPolicy(model=model, tokenizer=tokenizer, style="starter", end_ids=frozenset({1}), max_context=64)
    return {"main": main, **{name: take_snapshot(main, name) for name in names}}


@torch.no_grad()
def nudge(policy, amount):
    for tensor in policy.tensors().values():
        tensor.add_(amount)


def weights(policy):
    return torch.cat([tensor.detach().flatten().clone() for tensor in policy.tensors().values()])


# SPO


def test_an_answer_is_paid_the_share_of_its_siblings_that_it_beats():
    task = {"kind": "arithmetic", "min_digits": 3, "max_digits": 3, "operations": ["+"]}
    method = make("spo", task=task, prompts_per_step=1, completions=3, partners="batch", oracle=LADDER)
    rewards = [rollout.reward for rollout in play_step(method, Script(digits_wrong(9, 0, 9))).rollouts]
    assert rewards == pytest.approx([(0.5 + 0.1192) / 2, 0.8808, (0.5 + 0.1192) / 2], abs=1e-4)
    assert sum(rewards) / 3 == pytest.approx(0.5)


def choosing(*answers, **knobs):
    """SPO on choices whose player names these answers in turn, and the engine that does it."""
    method = make("spo", prompts_per_step=1, completions=len(answers), rival_items=0, **knobs)
    chances = dict.fromkeys(method.domain.answers, 0.1)
    return method, Scoring(lambda prompt, place: answers[place], chances)


def test_partners_come_from_the_queue_once_there_are_some():
    method, engine = choosing("a", "b", queue_size=100, comparisons_per_item=400)
    first = [rollout.reward for rollout in play_step(method, engine, step=1).rollouts]
    assert first == pytest.approx([0.9, 0.1])
    engine.lines = lambda prompt, place: "c"
    batch = play_step(method, engine, step=2)
    # Two earlier answers and one sibling that is the same: c beats a with 0.9 and b with 0.1, and draws with itself.
    assert [rollout.reward for rollout in batch.rollouts] == pytest.approx([0.5, 0.5], abs=0.05)
    assert batch.metrics["queue/answers"] == 4
    assert batch.metrics["share/rest"] == pytest.approx(0.7)


def test_the_average_of_policies_is_measured_exactly():
    method, engine = choosing("a", "b")
    even = dict.fromkeys(method.domain.answers, 0.0001)
    for step, answer in enumerate("abc", 1):
        engine.chances = {**even, answer: 0.999}
        play_step(method, engine, step)
    play = Play(policies={"player": "main"}, sampling=method.spec.sampling, seed=0, step=0, stream="evaluate")
    scores = run(method.evaluate(play), engine).scores
    assert scores["exploitability"] == pytest.approx(0.9, abs=0.001)
    assert scores["exploitability_average"] == pytest.approx(0.5, abs=0.001)
    assert scores["good_mass_average"] == pytest.approx(0.999, abs=0.001)
    again, _ = choosing("a", "b")
    again.load_state_dict(method.state_dict())
    assert again.state_dict() == method.state_dict()


def test_weights_are_averaged_over_all_steps_or_lately():
    method, engine = choosing("a", "b")
    first, second = (play_step(method, engine, step).blends for step in (1, 2))
    assert first == [Blend(into="average", parts={"average": 0.5, "main": 0.5})]
    assert second[0].parts == pytest.approx({"average": 2 / 3, "main": 1 / 3})
    moving, engine = choosing("a", "b", average_policy="ema", average_decay=0.9)
    (blend,) = play_step(moving, engine).blends
    assert blend.parts == pytest.approx({"average": 0.9, "main": 0.1})


def test_a_bradley_terry_reward_ranks_what_it_saw():
    method, engine = choosing("a", "d", reward="bradley_terry", partners="batch", comparisons_per_item=40)
    for step in (1, 2, 3):
        batch = play_step(method, engine, step)
    a, d = (rollout.reward for rollout in batch.rollouts)
    assert a - d == pytest.approx(log(0.95 / 0.05), abs=0.2)


# What cannot be


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"steps": 2, "method": {"name": "sppo"}}, "at least 3 steps"),
        ({"method": {"name": "sppo", "oracle": {"kind": "cyclic"}}}, "set task.kind to choices"),
        ({"method": {"name": "sppo", "oracle": {"kind": "judge"}}}, "set method.oracle.reads to answer"),
        ({"method": {"name": "apo"}, "learner": {"ahead": True}}, "switch learner.ahead off"),
        ({"method": {"name": "spo", "oracle": {"kind": "verifier"}}}, "choose the cyclic oracle"),
        ({"method": {"name": "spo"}, "model": {"source": "Qwen/Qwen2.5-3B-Instruct"}}, "set model.source to starter"),
        (
            {
                "method": {"name": "spo", "reward": "bradley_terry", "oracle": {"kind": "verifier"}},
                "task": {"kind": "arithmetic"},
            },
            "method.reward to win_rate",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(spec, words):
    with pytest.raises(SpecError, match=words.replace(".", r"\.")):
        parse_spec(spec)
