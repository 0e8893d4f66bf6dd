"""Multi-Agent Evolve against cases worked out by hand, with a scripted player in place of the model."""

import random

import pytest

from tests.formulas import formulas_that_hold
from training_core.evaluate.held_out import Evaluation
from training_core.methods.mae import MultiAgentEvolve
from training_core.play.play import Play
from training_core.play.prompts import prompts_for
from training_core.play.requests import Completion
from training_core.play.scheduler import run
from training_core.spec.io import SpecError, parse_spec
from training_core.tasks.registry import make_domain

QUESTION = "12+30"


class Script:
    """An engine that reads its lines from a function of the prompt and the number of the completion."""

    def __init__(self, lines):
        self.lines = lines
        self.prompts = []

    def generate(self, requests):
        results = []
        for request in requests:
            self.prompts.append((request.policy, request.prompt, request.n))
            texts = [self.lines(request.prompt, place) for place in range(request.n)]
            results.append(
                [
                    Completion(
                        text=text, prompt_ids=(1,), token_ids=(2,), logprobs=(-1.0,), entropies=(0.5,), ended=True
                    )
                    for text in texts
                ]
            )
        return results


def lines(*, proposal="<question>12+30</question>", review="8", verdict=None, answers=("42", "41", "42", "42", "42")):
    verdict = verdict or (lambda answer: "10" if answer == "42" else "1")

    def say(prompt, place):
        if prompt.startswith("<|propose|>"):
            return proposal
        if prompt.startswith("<|review|>"):
            return f"<score>{review}</score>"
        if prompt.startswith("<|judge|>"):
            answer = prompt.removeprefix("<|judge|>").split("<|reply|>")[0]
            return f"<think>x</think><score>{verdict(answer)}</score>"
        return f"<think>x</think><answer>{answers[place % len(answers)]}</answer>"

    return say


def make(seed_questions=16, **knobs):
    experiment = parse_spec(
        {
            "method": {"name": "mae", "batch_per_role": 2, "seed_questions": seed_questions, **knobs},
            "evaluation": {"num_items": 20},
        }
    )
    domain = make_domain(experiment.task)
    assert not domain.is_held_out(QUESTION)
    return MultiAgentEvolve(experiment, domain, prompts_for("mae", "starter"))


def play_step(method, engine, step=1):
    play = Play(
        policies={"proposer": "main", "solver": "main", "judge": "main"},
        sampling=method.spec.sampling,
        seed=0,
        step=step,
        stream="step",
    )
    return run(method.step(play), engine)


def rollouts(batch, role):
    return [rollout for rollout in batch.rollouts if rollout.role == role]


def test_proposer_is_paid_for_quality_difficulty_and_format():
    batch = play_step(make(), Script(lines()))
    # Quality (8-1)/9; four of five answers accepted: difficulty 1 - 4/5; format 1.
    assert rollouts(batch, "proposer")[0].reward == pytest.approx((7 / 9 + 0.2 + 1) / 3)
    assert rollouts(batch, "proposer")[0].turn.rewards == pytest.approx(
        {"quality": 7 / 9, "difficulty": 0.2, "format": 1}
    )


def test_frontier_difficulty_pays_for_questions_solved_half_the_time():
    batch = play_step(make(difficulty="frontier"), Script(lines()))
    assert rollouts(batch, "proposer")[0].turn.rewards["difficulty"] == pytest.approx(4 * 0.8 * 0.2)


def test_solver_is_paid_half_for_the_verdict_and_half_for_format():
    batch = play_step(make(), Script(lines(answers=("42",), verdict=lambda _: "4")))
    assert [r.reward for r in rollouts(batch, "solver")] == pytest.approx([0.5 * 3 / 9 + 0.5] * 2)


def test_difficulty_answers_are_thrown_away_unless_asked_for():
    assert len(rollouts(play_step(make(), Script(lines())), "solver")) == 2
    kept = rollouts(play_step(make(train_on_difficulty_answers=True, solver_questions=0), Script(lines())), "solver")
    assert len(kept) == 2 * 5
    assert {rollout.group for rollout in kept} == {"1-p0", "1-p1"}


def test_only_good_questions_enter_the_pool():
    good, weak = make(), make()
    play_step(good, Script(lines(review="8")))
    play_step(weak, Script(lines(review="7")))  # (7-1)/9 = 0.67 < 0.7
    assert len(good.questions) == 18
    assert len(weak.questions) == 16


def test_difficulty_may_need_quality():
    batch = play_step(make(difficulty_needs_quality=True), Script(lines(review="4")))
    assert rollouts(batch, "proposer")[0].reward == pytest.approx((3 / 9 + 0 + 1) / 3)


def test_a_proposal_without_a_question_earns_nothing():
    batch = play_step(make(), Script(lines(proposal="12+30")))
    assert [r.reward for r in rollouts(batch, "proposer")] == [0.0, 0.0]
    assert batch.samples[0].discarded == "no question tag"


def test_what_it_tells_of_a_step_is_what_its_formulas_are_made_of():
    proposals = iter(["<question>12+30</question>", "no question"])
    spoken = lines()
    engine = Script(
        lambda prompt, place: next(proposals) if prompt.startswith("<|propose|>") else spoken(prompt, place)
    )
    method = make(reference_prob=0.0, seed_pairs=True)
    metrics = play_step(method, engine).metrics
    # One of two proposals holds a question, of whose five tries four are accepted: half of 1 - 0.8.
    assert (metrics["questions/posed"], metrics["questions/solved"]) == pytest.approx((0.5, 0.8))
    assert metrics["reward_term/proposer_difficulty"] == pytest.approx(0.1)
    found = formulas_that_hold(method.experiment, metrics)
    assert found == [
        "What the Proposer is paid",
        "How hard a question is",
        "What the Solver is paid",
        "What the Judge is paid",
    ]


@pytest.mark.parametrize("knobs", [{"difficulty": "frontier"}, {"difficulty_needs_quality": True}])
def test_its_other_formulas_of_difficulty_are_bounds(knobs):
    method = make(**knobs)
    assert "How hard a question is" in formulas_that_hold(method.experiment, play_step(method, Script(lines())).metrics)


def test_every_question_and_every_verdict_is_kept_with_what_became_of_it():
    batch = play_step(make(seed_pairs=True), Script(lines(review="4")))
    by_kind = {kind: [s for s in batch.samples if s.episode.split("-")[1][0] == kind] for kind in "psj"}
    assert {kind: len(samples) for kind, samples in by_kind.items()} == {"p": 2, "s": 2, "j": 2}
    assert by_kind["p"][0].discarded == "quality 0.33 below the threshold of 0.70"
    turn = by_kind["p"][0].turns[0]
    assert turn.reward == pytest.approx(sum(turn.parts.values()))
    assert turn.parts["quality"] == pytest.approx(turn.rewards["quality"] / 3)
    assert sum(turn.trained for sample in batch.samples for turn in sample.turns) == len(batch.rollouts)


def test_two_questions_earn_half_the_format_and_the_last_one_counts():
    batch = play_step(make(), Script(lines(proposal="<question>1+1</question><question>12+30</question>")))
    turn = rollouts(batch, "proposer")[0].turn
    assert turn.rewards["format"] == 0.5
    assert turn.parsed == QUESTION


def test_unreadable_verdicts_count_as_one_half():
    batch = play_step(make(), Script(lines(verdict=lambda _: "great")))
    assert rollouts(batch, "solver")[0].reward == pytest.approx(0.5 * 0.5 + 0.5)
    assert batch.metrics["judge/unreadable"] > 0


def test_judge_practises_for_format_once_the_pair_pool_is_large_enough():
    method = make(train_on_difficulty_answers=False)
    batch = play_step(method, Script(lines()))
    assert len(method.pairs) == 2 * 5 + 2  # every answer, good or bad
    assert [r.reward for r in rollouts(batch, "judge")] == [1.0, 1.0]
    empty = play_step(make(solver_questions=0, train_on_difficulty_answers=True, batch_per_role=20), Script(lines()))
    assert empty.metrics["judge/skipped"] == 0.0


def test_judge_is_skipped_while_the_pair_pool_is_small():
    batch = play_step(make(draw_at_start=True), Script(lines()))
    assert batch.metrics["judge/skipped"] == 1.0
    assert rollouts(batch, "judge") == []


def test_a_question_born_in_a_step_is_solved_in_it_unless_drawn_at_start():
    late = make(seed_questions=0, draw_at_start=True)
    assert rollouts(play_step(late, Script(lines())), "solver") == []
    assert len(rollouts(play_step(late, Script(lines()), step=2), "solver")) == 2
    assert len(rollouts(play_step(make(seed_questions=0), Script(lines())), "solver")) == 2


def test_a_held_out_question_is_never_solved_judged_or_learnt_from():
    method = make(seed_questions=0, train_on_difficulty_answers=True)
    reserved = method.domain.held_out(1)[0].question
    engine = Script(lines(proposal=f"<question>{reserved}</question>"))
    batch = play_step(method, engine)
    assert batch.rollouts == []
    assert not any(reserved in prompt for _, prompt, _ in engine.prompts)
    assert batch.metrics["questions/reserved"] == 1.0


def test_verifier_judge_asks_no_model_and_pays_the_truth():
    engine = Script(lines(verdict=lambda _: "10"))
    batch = play_step(make(judge={"kind": "verifier"}), engine)
    assert not any(prompt.startswith(("<|judge|>", "<|review|>")) for _, prompt, _ in engine.prompts)
    by_answer = {
        r.turn.parsed: r.turn.rewards["judge"] for r in rollouts(batch, "solver") if r.turn.correct is not None
    }
    assert all(value == float(r.turn.correct) for r in rollouts(batch, "solver") for value in [r.turn.rewards["judge"]])
    assert by_answer


def test_agreement_with_the_truth_is_measured_on_every_answer():
    # The judge accepts everything; one of five answers to the proposals is wrong.
    batch = play_step(make(solver_questions=0, train_on_difficulty_answers=True), Script(lines(verdict=lambda _: "10")))
    assert batch.metrics["judge/live_score"] == 1.0
    assert batch.metrics["judge/live_truth"] == pytest.approx(0.8)
    assert batch.metrics["judge/live_false_accept"] == 1.0


def test_references_come_from_the_pool_with_the_chance_asked_for():
    engine = Script(lines())
    play_step(make(reference_prob=1.0), engine)
    assert all("<|reference|>" in p for _, p, _ in engine.prompts if p.startswith("<|propose|>"))
    engine = Script(lines())
    play_step(make(reference_prob=0.0), engine)
    assert not any("<|reference|>" in p for _, p, _ in engine.prompts)
    engine = Script(lines())
    play_step(make(reference_prob=1.0, show_reference_answer=True), engine)
    assert all("<|reply|>" in p for _, p, _ in engine.prompts if p.startswith("<|propose|>"))


def test_state_goes_through_json_and_back():
    import json

    method = make()
    play_step(method, Script(lines()))
    twin = make()
    twin.load_state_dict(json.loads(json.dumps(method.state_dict())))
    assert twin.state_dict() == method.state_dict()
    rng, same = random.Random(1), random.Random(1)
    assert method.questions.draw(rng, 5) == twin.questions.draw(same, 5)


def test_evaluation_measures_solver_and_judge_and_leaves_the_state_alone():
    method = make(probe_items=20)
    before = method.state_dict()
    domain = method.domain

    def say(prompt, place):
        if prompt.startswith("<|judge|>"):
            return "<score>10</score>"
        question = prompt.removeprefix("<|solve|>").removesuffix("<|go|>")
        return f"<answer>{domain.truth(question)}</answer>"

    play = Play(policies={"solver": "main", "judge": "main"}, sampling=method.spec.sampling, seed=0, step=0, stream="e")
    found: Evaluation = run(method.evaluate(play), Script(say))
    assert found.scores == {"accuracy_sampled": 1.0, "accuracy_greedy": 1.0}
    assert found.metrics["judge/auc"] == 0.5
    assert found.metrics["judge/false_accept"] == 1.0
    assert "judge/own_false_accept" not in found.metrics  # no wrong answer of its own to accept
    assert found.stop_reason is None
    assert method.state_dict() == before


def test_a_judge_below_the_limit_stops_the_run_with_a_sentence():
    method = make(min_judge_auc=0.8)
    play = Play(policies={"solver": "main", "judge": "main"}, sampling=method.spec.sampling, seed=0, step=0, stream="e")
    found = run(method.evaluate(play), Script(lines(verdict=lambda _: "10")))
    assert "AUC of 0.50" in found.stop_reason


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ({"method": {"name": "mae", "w_judge": 0, "w_solver_format": 0}}, "method", "Solver could earn nothing"),
        ({"method": {"name": "mae", "solver_questions": 0}}, "method", "never be trained"),
        (
            {"method": {"name": "mae", "judge": {"kind": "verifier"}}, "task": {"kind": "jsonl", "path": "/x.jsonl"}},
            "",
            "choose the current or the frozen judge",
        ),
        (
            {"method": {"name": "mae", "rehearsal": {}}, "model": {"source": "owner/name"}},
            "",
            "needs model.source: starter",
        ),
    ],
)
def test_combinations_that_cannot_work_are_refused_with_a_sentence(spec, path, part):
    with pytest.raises(SpecError) as caught:
        parse_spec(spec)
    assert caught.value.errors[0].path == path
    assert part in caught.value.errors[0].message
