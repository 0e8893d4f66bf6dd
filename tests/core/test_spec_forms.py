from typing import Any

import pytest

from training_core.methods.registry import all_methods
from training_core.spec.engine import TransformersEngine, VllmEngine
from training_core.spec.estimate import estimate, params_of
from training_core.spec.forms import (
    FieldKind,
    FormField,
    differences,
    find_field,
    form_of,
    join_texts,
    label_of,
    read_form,
    split_texts,
    value_at,
    walk,
)
from training_core.spec.io import SpecError, dump_dict, load_yaml, parse_spec
from training_core.spec.model import ModelSpec
from training_core.spec.run import ResourceSpec

EVERY_PRESET = [(method.slug, preset.slug, preset.spec) for method in all_methods() for preset in method.presets]


def fields_of(slug: str = "mae") -> list[FormField]:
    return [field for group in form_of(slug) for field in walk(group.fields)]


def as_posted(slug: str, spec: dict[str, Any]) -> dict[str, list[str]]:
    """What a browser would send for a form that shows this spec."""
    from webapp.experiments.compose import BoundField, Composition, Origin

    sent: dict[str, list[str]] = {}

    def send(bound: BoundField) -> None:
        match bound.field.kind:
            case FieldKind.SWITCH:
                sent.update({bound.field.path: ["on"]} if bound.is_on else {})
            case FieldKind.CHOICES:
                sent[bound.field.path] = list(bound.picked)
            case FieldKind.UNION:
                sent[bound.field.selector] = [bound.variant]
            case FieldKind.BLOCK:
                pass
            case _:
                sent[bound.field.path] = [bound.text]
                sent.update({bound.exact_name: [bound.exact]} if bound.exact else {})
        for child in bound.children:
            send(child)

    for group in Composition(slug, spec, Origin(title="", spec=spec)).groups:
        for bound in group.fields:
            send(bound)
    return sent


def test_a_number_shown_rounded_stays_exact_until_it_is_edited() -> None:
    spec = dump_dict(parse_spec({"method": {"name": "mae", "w_quality": 1 / 3}}))
    posted = as_posted("mae", spec)
    assert posted["method.w_quality"] == ["0.333333"]
    assert read_form("mae", posted)["method"]["w_quality"] == 1 / 3
    edited = read_form("mae", posted | {"method.w_quality": ["0.3333"]})
    assert edited["method"]["w_quality"] == "0.3333"
    wrong = read_form("mae", posted | {"exact.method.w_quality": ["nan"]})
    assert wrong["method"]["w_quality"] == "0.333333"


def test_another_block_is_told_without_the_defaults_it_brings() -> None:
    old = dump_dict(parse_spec({"method": {"name": "mae"}}))
    new = dump_dict(parse_spec({"method": {"name": "mae"}, "engine": {"kind": "vllm", "max_num_seqs": 64}}))
    told = [(found.path, found.old, found.new) for found in differences("mae", old, new)]
    assert told == [("engine.kind", "transformers", "vllm"), ("engine.max_num_seqs", None, 64)]


@pytest.mark.parametrize(("method", "preset", "spec"), EVERY_PRESET)
def test_form_shows_and_reads_back_every_preset_unchanged(method: str, preset: str, spec: dict[str, Any]) -> None:
    resolved = dump_dict(parse_spec(spec))
    posted = as_posted(method, resolved)
    assert dump_dict(parse_spec(read_form(method, posted))) == resolved


@pytest.mark.parametrize("method", [method.slug for method in all_methods()])
def test_every_setting_of_a_spec_has_a_field(method: str) -> None:
    spec = dump_dict(parse_spec({"method": {"name": method}}))
    known = {field.path for field in fields_of(method)} | {field.selector for field in fields_of(method)}

    def leaves(mapping: dict[str, Any], prefix: str = "") -> set[str]:
        found: set[str] = set()
        for key, value in mapping.items():
            found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
        return found

    constant = {"method.name", "method.loss.kind", "method.preference.kind", "engine.kind"}
    assert leaves(spec) - constant <= known


@pytest.mark.parametrize("method", [method.slug for method in all_methods()])
def test_every_field_has_help_and_a_label(method: str) -> None:
    assert [field.path for field in fields_of(method) if not field.help or not field.label] == []


def test_ranges_are_told_in_words() -> None:
    described = {field.path: field.range_text for field in fields_of()}
    assert described["method.quality_samples"] == "1 to 16"
    assert described["method.sampling.top_p"] == "above 0, at most 1"
    assert described["seed"] == "at least 0, below 2,147,483,648"


def test_a_default_inside_a_block_is_the_one_the_outer_block_gives_it() -> None:
    field = find_field("mae", "method.optimizer.lr")
    assert field is not None
    assert field.default == value_at(dump_dict(parse_spec({"method": {"name": "mae"}})), "method.optimizer.lr")


def test_labels_read_as_words() -> None:
    assert label_of("w_quality", "W Quality") == "Weight of quality"
    assert label_of("kl_coef", "Kl Coef") == "KL coefficient"
    assert label_of("num_items", "Num Items") == "Number of items"
    assert label_of("beta", "Trust region") == "Trust region"


def test_switch_left_out_by_the_browser_is_off() -> None:
    posted = as_posted("mae", dump_dict(parse_spec({"method": {"name": "mae"}})))
    del posted["method.train_judge"]
    assert parse_spec(read_form("mae", posted)).method.train_judge is False  # type: ignore[attr-defined]


@pytest.mark.parametrize("texts", [[], ["</answer>"], ["a, b", "\n\n", " x ", "\\n", "\t|,"]])
def test_texts_survive_the_one_line_they_are_written_on(texts: list[str]) -> None:
    line = join_texts(texts)
    assert "\n" not in line
    assert split_texts(line) == texts


def test_stop_strings_are_read_as_a_person_writes_them() -> None:
    posted = {"method.sampling.stop": ["</answer>, \\n\\n"]}
    assert read_form("mae", posted)["method"]["sampling"]["stop"] == ["</answer>", "\n\n"]


def test_optional_block_comes_and_goes_with_its_selector() -> None:
    posted = as_posted("mae", dump_dict(parse_spec({"method": {"name": "mae"}})))
    posted |= {"model.adapter": ["lora"], "model.adapter.rank": ["8"]}
    assert parse_spec(read_form("mae", posted)).model.adapter.rank == 8  # type: ignore[union-attr]
    posted["model.adapter"] = [""]
    assert parse_spec(read_form("mae", posted)).model.adapter is None


def test_union_takes_the_chosen_variants_inputs_and_ignores_the_others() -> None:
    posted = as_posted("mae", dump_dict(parse_spec({"method": {"name": "mae"}})))
    posted |= {
        "task.kind": ["strings"],
        "task.max_length": ["9"],
        "task.operations": ["sort"],
        "task.max_digits": ["99"],
    }
    assert dump_dict(parse_spec(read_form("mae", posted)))["task"] == {
        "kind": "strings",
        "max_length": 9,
        "operations": ["sort"],
    }


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"task": {"kind": "arithmetic", "max_digits": 99}}, "task.max_digits", "must be at most 6 (you wrote 99)"),
        ({"task": {"kind": "poker"}}, "task", "'poker' is not known here"),
        ({"task": {}}, "task", "say which one is meant with 'kind'"),
        ({"model": {"adapter": {"rank": 0}}}, "model.adapter.rank", "must be at least 1 (you wrote 0)"),
        ({"steps": "many"}, "steps", "must be a whole number (you wrote 'many')"),
        ({"stepz": 3}, "stepz", "not known here; check its spelling"),
        ({"method": {"name": "mae", "w_quality": 3}}, "method.w_quality", "must be at most 1 (you wrote 3)"),
        (
            {"method": {"name": "mae", "advantage": {"kind": "group_relative", "scale": 1}}},
            "method.advantage.scale",
            "choose one of 'std' or 'none'",
        ),
        ({"method": {"name": "mae", "loss": {"dual_clip": "x"}}}, "method.loss.dual_clip", "must be a number"),
        ({"method": {"name": "nothing"}}, "method", "no method is called 'nothing'"),
        ({"name": "x" * 500}, "name", "must have at most 120 characters"),
    ],
)
def test_an_error_names_the_field_as_a_person_writes_it(value: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec({"method": {"name": "mae"}, **value})
    assert [error.path for error in caught.value.errors] == [path]
    assert message in caught.value.errors[0].message


def test_a_very_long_wrong_value_is_shortened_in_its_message() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec({"method": {"name": "mae"}, "steps": "9" * 5000 + "x"})
    assert len(str(caught.value)) < 200


def test_yaml_that_is_no_mapping_is_refused_in_one_sentence() -> None:
    with pytest.raises(SpecError, match="a spec is a mapping"):
        load_yaml("- 1\n- 2")


def test_differences_list_only_what_changed_with_its_label() -> None:
    old = dump_dict(parse_spec({"method": {"name": "mae"}}))
    new = dump_dict(parse_spec({"method": {"name": "mae", "judge": {"kind": "frozen"}}, "steps": 61}))
    assert [(d.path, d.label, d.new) for d in differences("mae", old, new)] == [
        ("steps", "Steps", 61),
        ("method.judge.kind", "Judge", "frozen"),
    ]


@pytest.mark.parametrize(
    ("source", "params"),
    [
        ("starter", 0.2e6),
        ("Qwen/Qwen2.5-3B-Instruct", 3e9),
        ("Qwen/Qwen2.5-0.5B", 0.5e9),
        ("EleutherAI/pythia-160m", 160e6),
        ("./models/mine", None),
        ("owner/model-v2", None),
        ("/models/run_7b_lora", 7e9),
    ],
)
def test_size_is_read_from_the_models_name(source: str, params: float | None) -> None:
    assert params_of(ModelSpec(source=source)) == params


def test_estimate_counts_what_the_method_asks_for() -> None:
    spec = parse_spec({"method": {"name": "mae", "batch_per_role": 10}, "steps": 7})
    found = estimate(spec)
    assert found.completions_per_step["proposals"] == 10
    assert found.sampled_per_step == found.completions_total_per_step * found.assumed_completion_tokens
    assert found.sampled_total == 7 * found.sampled_per_step


def test_estimate_says_so_where_it_knows_nothing() -> None:
    found = estimate(parse_spec({"method": {"name": "mae"}, "model": {"source": "./mine"}}))
    assert (found.params, found.memory_bytes, found.seconds) == (None, None, None)
    assert "cannot be read from its name" in found.notes[0]


def test_adapter_needs_less_memory_and_more_gpus_less_time_and_less_memory_each() -> None:
    big = {"method": {"name": "mae"}, "model": {"source": "Qwen/Qwen2.5-3B", "dtype": "bfloat16"}}
    full, lora, spread = (
        estimate(
            parse_spec(
                {
                    **big,
                    "model": {**big["model"], "adapter": adapter},
                    "resources": {"num_gpus": gpus, "device": "cuda"},
                }
            )
        )
        for adapter, gpus in ((None, 1), ({"rank": 16}, 1), (None, 8))
    )
    assert lora.memory_bytes < full.memory_bytes
    assert spread.memory_bytes / 8 < full.memory_bytes / 2
    assert spread.seconds < full.seconds


def test_large_model_on_a_cpu_gets_a_warning() -> None:
    found = estimate(parse_spec({"method": {"name": "mae"}, "model": {"source": "Qwen/Qwen2.5-3B"}}))
    assert any("slow on a CPU" in note for note in found.notes)


@pytest.mark.parametrize(
    ("resources", "part"),
    [
        ({"device": "cpu", "num_gpus": 2}, "device is cpu but num_gpus is 2; set device to auto or cuda"),
        ({"num_gpus": 4, "processes": 2}, "leave processes at 1"),
        ({"hosts": 0}, "hosts"),
    ],
)
def test_resources_that_contradict_each_other_are_refused(resources: dict[str, object], part: str) -> None:
    with pytest.raises(SpecError, match=part):
        parse_spec({"method": {"name": "mae"}, "resources": resources})


def test_processes_follow_from_gpus_or_are_asked_for() -> None:
    def resources(**given: int) -> ResourceSpec:
        return ResourceSpec.model_validate(given)

    assert resources().num_processes == 1
    assert resources(num_gpus=4, hosts=2).num_processes == 8
    assert resources(processes=3, hosts=2).num_processes == 6


def test_memory_counts_every_copy_of_the_weights() -> None:
    def memory(**changes: Any) -> float:
        model = {"source": "Qwen/Qwen2.5-3B-Instruct", "adapter": changes.pop("adapter", None)}
        found = estimate(parse_spec({"method": {"name": "mae"}, "model": model, **changes})).memory_bytes
        assert found is not None
        return found

    lora, weights, state = {"rank": 16}, 3e9 * 4, 3e9 * 16 * 1.2
    one_adapter = state * 16 / 3500
    assert memory(weights={"kind": "separate"}) - memory() == pytest.approx(2 * state)
    assert memory(weights={"kind": "adapters"}, adapter=lora) - memory(adapter=lora) == pytest.approx(2 * one_adapter)
    assert memory(learner={"ahead": 1}) - memory() == pytest.approx(weights)
    assert 0 < memory(learner={"ahead": 1}, adapter=lora) - memory(adapter=lora) < one_adapter
    penalised = {"name": "mae", "loss": {"kl_coef": 0.1}}
    assert memory(method=penalised) - memory(method={"name": "mae"}) == pytest.approx(1.2 * weights)


def test_a_plain_word_chooses_the_engine():
    method = {"method": {"name": "mae"}}
    assert parse_spec({**method, "engine": "vllm"}).engine == VllmEngine()
    assert parse_spec({**method, "engine": "transformers"}).engine == TransformersEngine()
    assert parse_spec({**method, "engine": {"max_batch": 8}}).engine == TransformersEngine(max_batch=8)
    with pytest.raises(SpecError, match="'sglang' is not known here"):
        parse_spec({**method, "engine": "sglang"})


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"tensor_parallel": 2}, "set placement to server"),
        ({"placement": "server", "urls": ["10.0.0.7:8000"]}, "is no server"),
        ({"placement": "server", "urls": ["unix:/run/vllm.sock"], "num_servers": 2}, "num_servers must stay 1"),
    ],
)
def test_vllm_settings_that_contradict_each_other_are_refused(engine, message):
    with pytest.raises(SpecError, match=message):
        parse_spec({"method": {"name": "mae"}, "engine": {"kind": "vllm", **engine}})
