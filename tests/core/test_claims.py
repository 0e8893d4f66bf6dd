"""The measured claims of the method pages: files that read, experiments that parse, curves that are drawn and judged."""

import pytest

from bench import methods, methods_page
from bench.claims import all_claims, merged
from training_core.methods.registry import all_methods
from training_core.spec.io import parse_spec

CLAIMS = list(all_claims().values())


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.slug)
def test_every_arm_of_a_claim_is_an_experiment_that_parses(claim):
    for arm in claim.arms:
        spec = parse_spec(claim.spec_of(arm, seed=arm.seeds[0]))
        assert (spec.method.name, spec.seed) == (claim.method, arm.seeds[0])


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.slug)
def test_the_first_arm_is_the_method_with_three_seeds_and_the_panels_name_known_arms(claim):
    names = [arm.name for arm in claim.arms]
    assert len(claim.arms[0].seeds) >= 3
    assert not claim.arms[0].changes
    assert all(set(panel.arms) <= set(names) for panel in claim.figure)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.slug)
def test_what_is_stored_has_every_arm_and_seed_and_bears_the_claim_out(claim):
    records = methods.stored(claim)
    wanted = {(arm.name, seed) for arm in claim.arms for seed in arm.seeds}
    assert {(record["arm"], record["seed"]) for record in records} >= wanted
    assert methods.holds(claim, records)


def test_every_method_has_a_claim():
    assert {claim.method for claim in CLAIMS} == {method.slug for method in all_methods()}


def test_changes_are_merged_deeply_and_another_kind_replaces_a_block():
    old = {"method": {"loss": {"kind": "dpo", "beta": 1}, "lr": 1, "keep": 2}}
    assert merged(old, {"method": {"lr": 3}}) == {"method": {"loss": {"kind": "dpo", "beta": 1}, "lr": 3, "keep": 2}}
    assert merged(old, {"method": {"loss": {"beta": 2}}})["method"]["loss"] == {"kind": "dpo", "beta": 2}
    assert merged(old, {"method": {"loss": {"kind": "ipo"}}})["method"]["loss"] == {"kind": "ipo"}
    assert old["method"]["lr"] == 1


def test_a_claim_holds_only_when_the_metric_moves_with_every_seed():
    claim = all_claims()["mae"]
    metric = claim.metric

    def record(seed, last):
        return {"arm": "method", "seed": seed, "curves": {metric: [[0, 0, 0.4], [5, 1, last]]}}

    assert methods.holds(claim, [record(0, 0.5), record(1, 0.6)])
    assert not methods.holds(claim, [record(0, 0.5), record(1, 0.4)])
    assert not methods.holds(claim, [])


def test_long_curves_are_thinned_and_keep_their_end():
    points = [[step, 0.0, 0.0] for step in range(1000)]
    thinned = methods._thin(points)
    assert len(thinned) <= methods.MOST_POINTS
    assert thinned[-1] == points[-1]


def test_the_figure_has_an_axis_below_zero_for_negative_curves(tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "FIGURES", tmp_path)
    claim = all_claims()["mae"]
    curves = {metric: [[0, 0, -0.3], [10, 1, 0.2]] for metric in claim.metrics}
    open_ended = claim.figure[0].__class__(title="Below", metrics={claim.metric: "x"}, arms=("method",))
    drawn = claim.__class__(**{**vars(claim), "figure": (open_ended,)})
    methods.draw(drawn, [{"arm": "method", "seed": 0, "curves": curves}])
    text = (tmp_path / "mae-curves.svg").read_text()
    assert ">-0.4<" in text
    assert text.count("<polyline") == 1


def test_the_page_of_methods_has_a_row_for_every_arm_that_was_measured():
    claim = all_claims()["spin"]
    points = [[0, 0.0, 0.4], [5, 9.0, 0.75]]
    records = [
        {"arm": arm, "seed": seed, "cpu_s": cpu_s, "curves": {claim.metric: points}}
        for arm, seed, cpu_s in [("method", 0, 30.0), ("method", 1, 33.0), ("low beta", 0, 20.0)]
    ]
    assert methods_page.measured_rows(claim, records) == [
        "| [SPIN](spin.md) | Held-out accuracy: Sampled | 0.400 → 0.750, 0.400 → 0.750 | 32 |\n",
        "| – low beta |  | 0.400 → 0.750 | 20 |\n",
    ]
    assert methods_page.measured_rows(claim, []) == []
