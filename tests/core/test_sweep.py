"""One experiment as several runs."""

import pytest

from training_core.spec.io import SpecError, parse_spec
from training_core.spec.sweep import Knob, plan_runs, read_seeds, read_values

SPEC = parse_spec({"method": {"name": "mae"}, "seed": 4})


def test_a_grid_takes_every_combination_with_every_seed():
    knobs = (Knob(path="method.optimizer.lr", values=("1e-3", 3e-4)), Knob(path="steps", values=(10, 20)))
    runs = plan_runs(SPEC, seeds=(1, 2), knobs=knobs)
    assert len(runs) == 8
    assert [(run.seed, run.spec.steps) for run in runs[:4]] == [(1, 10), (2, 10), (1, 20), (2, 20)]
    assert runs[0].overrides == {"method.optimizer.lr": 0.001, "steps": 10}
    assert (runs[7].spec.seed, runs[7].spec.method.optimizer.lr) == (2, 3e-4)


def test_paired_values_go_together():
    knobs = (Knob(path="steps", values=(10, 20)), Knob(path="method.w_judge", values=(0.5, 1)))
    assert [run.overrides for run in plan_runs(SPEC, knobs=knobs, paired=True)] == [
        {"steps": 10, "method.w_judge": 0.5},
        {"steps": 20, "method.w_judge": 1.0},
    ]


def test_without_seeds_and_knobs_there_is_the_run_itself():
    (only,) = plan_runs(SPEC)
    assert (only.seed, only.overrides, only.spec) == (4, {}, SPEC)


def test_another_variant_of_a_block_drops_the_fields_of_the_old_one():
    spec = parse_spec({"method": {"name": "mae", "advantage": {"kind": "group_relative", "scale": "none"}}})
    knob = Knob(path="method.advantage.kind", values=("group_relative", "leave_one_out"))
    first, second = (run.spec.method.advantage for run in plan_runs(spec, knobs=(knob,)))
    assert (first.kind, first.scale, second.kind) == ("group_relative", "none", "leave_one_out")


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("", ()), ("3", (7, 8, 9)), ("1, 5, 9", (1, 5, 9)), ("2-4", (2, 3, 4)), ("5,", (5,)), (" 1 ", (7,))],
)
def test_seeds_are_a_count_a_list_or_a_range(text, seeds):
    assert read_seeds(text, first=7) == seeds


@pytest.mark.parametrize("text", ["many", "-1", "1, x", "4-2", "65", "1-400", "9999999999, 1"])
def test_what_is_no_seed_is_refused(text):
    with pytest.raises(SpecError):
        read_seeds(text, first=0)


@pytest.mark.parametrize(
    ("knobs", "options", "sentence"),
    [
        ([("steps", range(1, 66))], {}, "this makes 65 runs"),
        ([("steps", ())], {}, "at least one value"),
        ([("seed", (1,))], {}, "give several seeds instead"),
        ([("steps", (1,)), ("steps", (2,))], {}, "stands twice"),
        ([(f"method.w_{n}", (1,)) for n in ("judge", "quality", "format", "difficulty")], {}, "at most 3 knobs"),
        ([("steps", (1, 2)), ("method.w_judge", (1,))], {"paired": True}, "as many for every knob"),
        ([("steps", (0,))], {}, "with steps = 0: must be at least 1"),
        ([("method.nothing", (0,))], {}, "not known here"),
        ([], {"seeds": (1, 1)}, "stands twice"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_in_a_sentence(knobs, options, sentence):
    with pytest.raises(SpecError, match=sentence):
        plan_runs(SPEC, knobs=[Knob(path=path, values=tuple(values)) for path, values in knobs], **options)


def test_values_are_read_as_yaml():
    assert read_values("1e-3, [1, 2], on", path="x") == ("1e-3", [1, 2], True)
    with pytest.raises(SpecError, match="no list of values"):
        read_values("[1, 2", path="x")
