"""The hidden audit: what it counts, and that a run with it learns exactly what it learns without."""

import pytest

from tests.core import test_methods_pasodoble as pasodoble
from tests.core.test_methods_mae import Script, lines, make
from tests.core.test_methods_sppo import digits_wrong, sums
from tests.core.test_methods_sppo import play_step as play_sums
from training_core.methods.mae import MultiAgentEvolve
from training_core.play.play import Play
from training_core.play.scheduler import run
from training_core.spec.io import parse_spec


def played(engine=None, *, steps=1, **knobs):
    """Batches of some steps, with a judge that accepts everything, and the engine they were played on."""
    method = make(seed_pairs=True, **knobs)
    engine = engine or Script(lines(verdict=lambda answer: "10"))
    policies = {"proposer": "main", "solver": "main", "judge": "main", "auditor": "start"}
    batches = []
    for step in range(1, steps + 1):
        play = Play(policies=policies, sampling=method.spec.sampling, seed=0, step=step, stream="step")
        batches.append((run(method.step(play), engine), play))
    return batches, engine


def without_audit(metrics):
    return {name: value for name, value in metrics.items() if not name.startswith("audit/")}


def test_the_gap_is_between_the_judge_and_the_truth():
    [(batch, _)], _ = played(
        audit={"kind": "verifier", "share": 1.0}, solver_questions=0, train_on_difficulty_answers=True
    )
    found = {name: value for name, value in batch.metrics.items() if name.startswith("audit/")}
    # Two proposals of 12+30, five answers each, four of them right; the judge accepts all of them.
    assert found == {
        "audit/judge_score": 1.0,
        "audit/auditor_score": pytest.approx(0.8),
        "audit/gap": pytest.approx(0.2),
        "audit/gap_sd": pytest.approx((1.6 / 9) ** 0.5),  # two gaps of 1 among ten, n - 1 below
        "audit/disagree": pytest.approx(0.2),
        "audit/answers": 10.0,
    }


def test_a_frozen_auditor_is_the_start_and_its_word_is_never_learnt():
    [(batch, _)], engine = played(audit={"kind": "frozen", "share": 1.0})
    asked = [prompt for policy, prompt, _ in engine.prompts if policy == "start"]
    assert asked
    assert all(prompt.startswith("<|judge|>") for prompt in asked)
    assert batch.metrics["audit/gap"] == 0.0
    assert {rollout.role for rollout in batch.rollouts} <= {"proposer", "solver", "judge"}
    assert [turn.role for sample in batch.samples for turn in sample.turns if turn.role == "auditor"] == []


def test_only_a_share_is_audited_and_the_same_one_every_time():
    counts = [
        played(audit={"kind": "verifier", "share": 0.5}, batch_per_role=40)[0][0][0].metrics["audit/answers"]
        for _ in range(2)
    ]
    assert counts[0] == counts[1]
    assert 0.4 * 240 < counts[0] < 0.6 * 240  # 40 proposals with 5 answers, 40 questions with one


@pytest.mark.parametrize("audit", [{"kind": "verifier", "share": 0.5}, {"kind": "frozen", "share": 0.5}])
def test_what_is_learnt_is_the_same_with_and_without(audit):
    plain, _ = played(steps=3)
    audited, _ = played(steps=3, audit=audit)
    for (one, table), (other, other_table) in zip(plain, audited, strict=True):
        assert one.rollouts == other.rollouts
        assert one.metrics == without_audit(other.metrics)
        assert table.num_tokens == other_table.num_tokens


def test_without_an_audit_nothing_is_told():
    [(batch, _)], _ = played()
    assert without_audit(batch.metrics) == batch.metrics


def test_an_audit_costs_a_verdict_for_each_answer_of_its_share():
    spec = parse_spec({"method": {"name": "mae", "audit": {"kind": "frozen", "share": 0.25}}})
    assert MultiAgentEvolve.rollout_cost(spec).completions["audit verdicts"] == (128 * 5 + 128) // 4


def test_an_oracle_is_audited_on_the_pairs_it_makes():
    method = sums("sppo", k_samples=3, audit={"kind": "verifier", "share": 1.0})
    found = play_sums(method, Script(digits_wrong(9, 0, 9))).metrics
    # The right answer is chosen over a wrong one: the oracle is sure by sigmoid(1 / 0.5), the auditor entirely, in both prompts.
    assert found["audit/judge_score"] == pytest.approx(0.8808, abs=1e-4)
    assert (found["audit/auditor_score"], found["audit/answers"]) == (1.0, 2.0)
    plain = play_sums(sums("sppo", k_samples=3), Script(digits_wrong(9, 0, 9)))
    assert without_audit(found) == plain.metrics


def test_agreement_on_a_wrong_answer_opens_pasodobles_gap():
    method = pasodoble.make(audit={"kind": "verifier", "share": 1.0})
    both_wrong = pasodoble.Script([pasodoble.proposal("12+30", "41")] * 2, {"12+30": ("41", "41", "41", "42")})
    found = pasodoble.play_step(method, both_wrong).metrics
    # Of eight answers six agree, and the two others are right.
    assert (found["audit/judge_score"], found["audit/auditor_score"]) == (0.75, 0.25)
    assert found["audit/gap"] == pytest.approx(0.5)


def test_a_frozen_auditor_grades_both_answers_of_a_pair():
    answers = digits_wrong(9, 0, 9)
    script = Script(lambda prompt, place: "<score>8</score>" if "<|judge|>" in prompt else answers(prompt, place))
    method = sums("sppo", k_samples=3, audit={"kind": "frozen", "share": 1.0})
    policies = {"player": "main", "opponent": "iterate", "start": "start", "auditor": "start"}
    play = Play(policies=policies, sampling=method.spec.sampling, seed=0, step=1, stream="step")
    found = run(method.step(play), script).metrics
    # To it both are alike: 1/2 + (g - g) / 2.
    assert (found["audit/auditor_score"], found["audit/answers"]) == (0.5, 2.0)
    assert method.rollout_cost(method.experiment).completions["audit verdicts"] == 4
