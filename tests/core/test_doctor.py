"""The collapse doctor: each disease is named on a run that has it, and a healthy run is left in peace."""

import json

import pytest

from training_core.methods.base import Role
from training_core.methods.doctor import RULES, Patient, examine
from training_core.methods.registry import all_methods
from training_core.spec.forms import find_field


def role(name, *, trained=True):
    return Role(name=name, title=name.capitalize(), policy="main", trained=trained, reads="", writes="")


ROLES = (role("proposer"), role("solver"), role("judge"))


def line(start, end, *, steps=40, bend=0.5):
    """A line that stays at ``start`` for half of the steps, goes to ``end`` over a quarter, and stays there."""
    bent, arrived = int(steps * bend), int(steps * (bend + 0.25))
    values = [
        start if n < bent else end if n >= arrived else start + (end - start) * (n - bent) / (arrived - bent)
        for n in range(steps)
    ]
    return list(enumerate(values, start=1))


HEALTHY = {
    "eval/accuracy_sampled": [(step, 0.42 + 0.011 * step) for step in range(0, 45, 5)],
    "entropy/solver": line(0.11, 0.03),
    "reward/solver": line(0.70, 0.87),
    "reward/proposer": line(0.94, 0.71),
    "zero_signal/solver": line(0.04, 0.3),
    "frontier/edge": line(0.95, 0.6),
    "frontier/too_easy": line(0.0, 0.35),
    "frontier/too_hard": line(0.04, 0.03),
    "frontier/ill_posed": line(0.01, 0.02),
    "judge/live_score": line(0.40, 0.76),
    "judge/live_truth": line(0.40, 0.75),
    "judge/live_false_accept": line(0.0, 0.05),
    "questions/duplicate": line(0.0, 0.14),
    "format/solver": line(1.0, 0.99),
    "length/solver_tokens": line(23.0, 25.0),
    "length/solver_cut": line(0.0, 0.0),
    "grad/skipped_updates": line(0.0, 0.0),
    "kl/policy_start": line(0.0, 0.2),
    "mismatch/kl": line(0.0, 0.001),
}


def examined(**changed):
    lines = HEALTHY | {name.replace("__", "/"): value for name, value in changed.items()}
    return examine(Patient(lines=lines, roles=ROLES, headline="eval/accuracy_sampled", total_steps=45))


def test_a_healthy_run_has_nothing():
    assert examined() == []


def test_a_short_run_is_not_judged():
    lines = {name: points[:4] for name, points in HEALTHY.items()}
    assert examine(Patient(lines=lines, roles=ROLES, headline="eval/accuracy_sampled", total_steps=45)) == []


SICK = {
    "entropy_collapse": {"entropy__solver": line(0.6, 0.01), "zero_signal__solver": line(0.04, 0.65)},
    "judge_inflation": {"judge__live_score": line(0.4, 0.9), "judge__live_truth": line(0.4, 0.45)},
    "audit_gap": {"audit__gap": line(0.02, 0.3)},
    "lenient_judge": {"judge__live_false_accept": line(0.1, 0.5)},
    "wrong_reward": {
        "eval__accuracy_sampled": [(n, 0.8 - 0.02 * n) for n in range(12)],
        "reward__solver": line(0.5, 0.9),
    },
    "questions_too_easy": {"frontier__too_easy": line(0.1, 0.9), "frontier__edge": line(0.8, 0.05)},
    "questions_too_hard": {"frontier__too_hard": line(0.1, 0.9), "frontier__edge": line(0.8, 0.05)},
    "questions_ill_posed": {"frontier__ill_posed": line(0.1, 0.9), "frontier__edge": line(0.8, 0.05)},
    "duplicate_questions": {"questions__duplicate": line(0.05, 0.8)},
    "format_drift": {"format__solver": line(0.98, 0.5)},
    "length_hacking": {"length__solver_tokens": line(40, 120), "judge__length_pull": line(0.0, 0.6)},
    "skipped_updates": {"grad__skipped_updates": line(0.0, 3.0)},
    "kl_blow_up": {"kl__policy_start": line(0.1, 4.0)},
    "silent_groups": {"zero_signal__solver": line(0.2, 0.9)},
    "illegal_moves": {"games__illegal_moves": line(0.3, 0.31)},
    "plateau": {"eval__accuracy_sampled": [(n, 0.6 + 0.03 * min(n, 4)) for n in range(20)]},
}


@pytest.mark.parametrize("disease", SICK)
def test_a_disease_is_named_with_three_facts_and_since_when(disease):
    found = {each.disease: each for each in examined(**SICK[disease])}
    assert set(found) == {disease}
    diagnosis = found[disease]
    assert len(diagnosis.facts) == 3
    assert len({(fact.metric, fact.step) for fact in diagnosis.facts}) == 3
    assert diagnosis.since > 0 or disease in {"wrong_reward"}
    assert diagnosis.title
    assert diagnosis.words


def test_a_disease_began_where_its_line_crossed():
    found = examined(judge__live_false_accept=line(0.1, 0.5))[0]
    assert found.since == 29  # 0.1 + 0.04 (29 - 23): the mean of steps 25 to 29 is the first from 0.33 on
    assert found.facts[0].value == pytest.approx(0.5)


def test_what_has_passed_is_no_disease():
    recovered = line(0.1, 0.5)[:-8] + [(step, 0.1) for step in range(33, 41)]
    assert examined(judge__live_false_accept=recovered) == []


def test_every_rule_is_shown_above():
    assert len(RULES) <= len(SICK)


def test_every_cure_is_a_knob_of_some_method():
    methods = [method.slug for method in all_methods()]
    cures = {
        (cure.path, json.dumps(cure.value))
        for sick in SICK.values()
        for each in examined(**sick)
        for cure in each.cures
    }
    assert cures
    assert [path for path, _ in cures if not any(find_field(slug, path) for slug in methods)] == []
