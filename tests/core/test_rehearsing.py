"""Forms made small for a minute, and blocks that fit together."""

import pytest

from training_core.curricula.taught import taught_tasks
from training_core.methods.registry import all_methods, find_method
from training_core.spec.estimate import estimate
from training_core.spec.fitting import unfit
from training_core.spec.io import dump_dict, load_yaml, parse_spec
from training_core.spec.presets import preset
from training_core.spec.rehearsing import rehearsal_of


def rehearse(spec):
    return rehearsal_of(spec, taught=taught_tasks, max_seconds=60)


@pytest.mark.parametrize("method", [method.slug for method in all_methods()])
def test_every_demo_is_rehearsed_in_seconds_with_its_own_method(method):
    spec = preset(method, find_method(method).presets[0].slug)
    small = rehearse(spec)
    assert small.notes == ()
    assert (small.spec.method.name, small.spec.task) == (method, spec.task)
    assert estimate(small.spec).seconds < 20
    assert small.spec.resources.max_hours == pytest.approx(1 / 60)


def test_a_rehearsal_keeps_the_knobs_and_shrinks_the_counts():
    paper = find_method("mae").presets[-1].spec
    spec = parse_spec({**paper, "method": {"name": "mae", "w_judge": 0.9, "judge": {"kind": "frozen"}}})
    small = rehearse(spec)
    assert small.notes == ("on the starter instead of Qwen/Qwen2.5-3B-Instruct",)
    assert (small.spec.method.w_judge, small.spec.method.judge.kind) == (0.9, "frozen")
    assert (small.spec.method.batch_per_role, small.spec.method.sampling.max_tokens, small.spec.steps) == (8, 96, 2)
    assert (small.spec.resources.num_gpus, small.spec.model.dtype) == (0, "float32")


def test_a_file_the_starter_cannot_read_is_replaced_and_said_so():
    spec = parse_spec({"method": {"name": "mae"}, "task": {"kind": "jsonl", "path": "/data/x.jsonl"}})
    small = rehearse(spec)
    assert small.spec.task.kind == "arithmetic"
    assert small.notes == ("on arithmetic instead of a JSONL file, which the starter was not taught",)


def test_a_form_that_no_starter_can_play_says_why():
    with pytest.raises(ValueError, match=r"cannot be rehearsed on the starter: method\.corpus holds passages"):
        rehearse(preset("pasodoble", "paper"))


def closed(method, spec):
    return unfit(method, dump_dict(parse_spec({**spec, "method": {"name": method, **spec.get("method", {})}})))


def test_a_variant_that_cannot_work_beside_the_rest_is_closed_with_the_reason():
    reasons = closed("mae", {"task": {"kind": "jsonl", "path": "/x.jsonl"}})
    assert list(reasons["method.judge.kind"]) == ["verifier"]
    assert (
        "a verifier knows the answers of a .jsonl task's own questions only" in reasons["method.judge.kind"]["verifier"]
    )
    assert "method.judge.kind" not in closed("mae", {})


def test_a_block_that_still_lacks_a_value_is_no_reason_against_it():
    assert "task.kind" not in closed("mae", {})


def test_weights_of_one_kind_close_the_others():
    assert set(closed("score", {})["weights.kind"]) == {"separate", "adapters"}
    assert set(closed("mae", {"model": {"adapter": {}}})["weights.kind"]) == {"separate"}


def test_what_is_wrong_anyway_closes_nothing():
    mapping = dump_dict(parse_spec({"method": {"name": "mae"}}))
    assert set(unfit("mae", {**mapping, "steps": "many"})) <= {"weights.kind"}


def test_errors_of_yaml_name_their_line():
    text = "steps: 5\nmethod:\n  name: mae\n  w_judge: 3\n  judge:\n    kind: nobody\ntask:\n  kind: jsonl\n"
    with pytest.raises(ValueError, match="w_judge") as caught:
        load_yaml(text)
    lines = {error.path: error.line for error in caught.value.errors}
    assert (lines["method.w_judge"], lines["method.judge"], lines["task.path"]) == (4, 5, 7)
