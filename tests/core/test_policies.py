import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from training_core.curricula.base import School
from training_core.policies.load import ModelError, load_policy, with_adapters
from training_core.policies.recipe import Recipe
from training_core.policies.replica import Replica
from training_core.policies.teaching import new_policy
from training_core.policies.tokenizer import build_tokenizer, load_tokenizer
from training_core.spec.model import LoraSpec, ModelSpec
from training_core.spec.tasks import ArithmeticTask, JsonlTask
from training_core.tasks import language

TINY = Recipe(
    task={"kind": "arithmetic"},
    curriculum="evolve",
    seed=3,
    school=School(hidden_size=32, num_layers=2, intermediate_size=48),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved, untaught starter."""
    path = tmp_path_factory.mktemp("models") / "tiny"
    policy = new_policy(TINY)
    policy.model.save_pretrained(path)
    policy.tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def own_folder(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "model")


def load(source, **settings):
    return load_policy(
        ModelSpec(source=str(source), **settings),
        task=ArithmeticTask(),
        models_dir=source,
        device="cpu",
        progress=lambda fraction, text: None,
    )


def test_every_mark_tag_and_character_is_one_token():
    tokenizer = build_tokenizer(max_context=512)
    assert tokenizer.convert_ids_to_tokens(range(len(tokenizer))) == list(language.VOCABULARY)
    assert len(tokenizer) == len(set(language.VOCABULARY)) < 128


@pytest.mark.parametrize(
    "text", ["a  b\n c ", language.solve_prompt("12 + 3"), "<think>5-2=3</think><answer>3</answer>"]
)
def test_the_tokenizer_gives_back_what_it_was_given_after_saving(text, folder):
    tokenizer = load_tokenizer(folder)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_characters_the_starter_does_not_know_become_one_unknown_token_each(folder):
    tokenizer = load_tokenizer(folder)
    assert tokenizer.encode("é1", add_special_tokens=False) == [tokenizer.unk_token_id, tokenizer.encode("1")[0]]


def test_tags_survive_decoding_without_special_tokens(folder):
    tokenizer = load_tokenizer(folder)
    ids = tokenizer.encode(f"<answer>3</answer>{language.END}", add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<answer>3</answer>"


def test_a_starter_folder_loads_with_its_own_style_and_weights(folder):
    policy = load(folder)
    assert policy.style == "starter"
    assert policy.max_context == 512
    assert policy.decode([policy.encode("<answer> 3</answer>")]) == ["<answer> 3</answer>"]
    assert policy.end_ids == {policy.encode(language.END)[0]}
    saved = load_file(folder / "model.safetensors")
    assert torch.equal(saved["model.norm.weight"], policy.model.model.norm.weight)


def test_new_starters_are_equal_for_equal_seeds_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, other = new_policy(TINY).model, new_policy(TINY).model
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_lora_trains_adapters_only_and_starts_as_the_base_model(folder):
    base, adapted = load(folder), load(folder, adapter=LoraSpec(rank=4))
    trained = [name for name, parameter in adapted.model.named_parameters() if parameter.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    ids = torch.tensor([base.encode(language.solve_prompt("1+2"))])
    assert torch.allclose(base.model(ids).logits, adapted.model(ids).logits)


def test_lora_starts_equal_every_time(folder):
    one, other = load(folder, adapter=LoraSpec()), load(folder, adapter=LoraSpec())
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))


def test_bfloat16_is_honoured(folder):
    assert load(folder, dtype="bfloat16").model.dtype is torch.bfloat16


def refused(source, **settings):
    with pytest.raises(ModelError) as caught:
        load(source, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_text_that_spells_a_special_token_is_read_as_one_by_the_starter_only(folder):
    starter = load(folder)
    (mark, end) = starter.encode_completion(language.SOLVE)
    assert {end} == starter.end_ids
    spelled = replace(starter, style="chat").encode_completion(language.SOLVE)
    assert mark not in spelled
    assert starter.decode([spelled[:-1]]) == [language.SOLVE]
    assert starter.encode_completion(language.SOLVE) == [mark, end]


def test_a_prompt_that_spells_a_special_token_ends_no_turn_of_a_chat(folder):
    chat = replace(load(folder), style="chat")
    (end,) = chat.end_ids
    assert end not in chat.encode(f"a{language.END}b")
    chat.tokenizer.chat_template = "{{ messages[0]['content'] }}" + language.END
    plain, spelled = chat.encode("ab"), chat.encode(f"a{language.END}b")
    assert (plain.count(end), spelled.count(end)) == (1, 1)
    assert chat.tokenizer.decode(spelled[:-1]) == f"a{language.END[0]} {language.END[1:]}b"


def test_a_missing_folder_is_refused(tmp_path):
    assert "no model folder at" in refused(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickled_weights_are_refused_unread(own_folder, name):
    (own_folder / "model.safetensors").rename(own_folder / name)
    assert f"pickled weights ({name})" in refused(own_folder)


def test_a_folder_without_weights_and_a_lone_adapter_are_refused(own_folder):
    (own_folder / "model.safetensors").unlink()
    assert "no safetensors weights" in refused(own_folder)
    (own_folder / "adapter_config.json").write_text("{}")
    assert "only a LoRA adapter" in refused(own_folder)


def test_a_model_that_needs_its_own_code_is_refused_and_its_code_not_run(own_folder, tmp_path):
    config = json.loads((own_folder / "config.json").read_text())
    config |= {"model_type": "homemade", "auto_map": {"AutoModelForCausalLM": "modeling.Homemade"}}
    (own_folder / "config.json").write_text(json.dumps(config))
    (own_folder / "modeling.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert "that code is never run" in refused(own_folder)
    assert not (tmp_path / "ran").exists()


def test_broken_or_wrong_weights_are_refused(own_folder):
    config = json.loads((own_folder / "config.json").read_text())
    config |= {"num_hidden_layers": 4, "layer_types": None}
    (own_folder / "config.json").write_text(json.dumps(config))
    assert "do not fit its config.json" in refused(own_folder)
    (own_folder / "model.safetensors").write_bytes(b"\xff" * 64)
    assert "cannot be loaded" in refused(own_folder)


def test_a_broken_config_is_refused(own_folder):
    (own_folder / "config.json").write_text("{")
    assert "no readable config.json" in refused(own_folder)


def test_a_prompt_style_or_context_the_model_does_not_have_is_refused(own_folder):
    assert "understands only its own marks" in refused(own_folder, prompt_style="chat")
    assert "made for at most 512" in refused(own_folder, max_context=4096)


def test_a_hub_model_without_a_network_is_refused(tmp_path):
    script = (
        "from training_core.policies.load import *; from training_core.spec.tasks import ArithmeticTask\n"
        "try: load_policy(ModelSpec(source='nobody/nothing'), task=ArithmeticTask(), models_dir=Path('.'), "
        "device='cpu', progress=lambda f, t: None)\n"
        "except ModelError as error: print(error)"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "the hub cannot be reached" in done.stdout, done.stderr


def test_the_starter_refuses_a_file_of_questions(tmp_path):
    with pytest.raises(ModelError, match="knows arithmetic and strings only"):
        load_policy(
            ModelSpec(),
            task=JsonlTask(path="questions.jsonl"),
            models_dir=tmp_path,
            device="cpu",
            progress=lambda fraction, text: None,
        )


def test_adapters_on_one_model_are_switched_and_put_back(folder):
    base = load(folder)
    ids = torch.tensor([base.encode(language.solve_prompt("1+2"))])
    plain = base.model(ids).logits
    model = with_adapters(base.model, LoraSpec(rank=2), ["red", "blue"])
    red, blue = replace(base, model=model, adapter="red"), replace(base, model=model, adapter="blue")
    with torch.no_grad():
        for policy in (red, blue):
            for name, parameter in policy.trained_parameters():
                parameter.add_(0.1 if policy is red else -0.1)
                assert f".{policy.adapter}." in name
    with red.active():
        first = model(ids).logits
        with blue.active():
            assert not torch.allclose(model(ids).logits, first)
            with red.without_adapter().active():
                assert torch.equal(model(ids).logits, plain)
            model(ids).logits.sum().backward()
        assert torch.equal(model(ids).logits, first)
    assert all(parameter.grad is not None for _, parameter in blue.trained_parameters())
    assert all(parameter.grad is None for _, parameter in red.trained_parameters())
    assert list(red.without_adapter().trained_parameters()) == []


def test_a_replica_holds_what_is_trained_twice_and_the_rest_once(folder):
    base = load(folder)
    model = with_adapters(base.model, LoraSpec(rank=2), ["red", "blue"])
    red = replace(base, model=model, adapter="red")
    policies = {"red": red, "blue": replace(red, adapter="blue"), "start": red.without_adapter()}
    replica = Replica(policies)
    twin = replica.policies["red"].model
    assert replica.policies["blue"].model is replica.policies["start"].model is twin
    trained = {name for policy in policies.values() for name, _ in policy.trained_parameters()}
    own = dict(twin.named_parameters())
    assert {name for name, tensor in model.named_parameters() if tensor is not own[name]} == trained
    with torch.no_grad():
        for _, parameter in red.trained_parameters():
            parameter.add_(0.1)
    ids = torch.tensor([base.encode(language.solve_prompt("1+2"))])

    def same(name):
        with policies[name].active(), replica.policies[name].active():
            return torch.equal(model(ids).logits, twin(ids).logits)

    assert (same("red"), same("blue"), same("start")) == (False, True, True)
    replica.refresh("red", red)
    assert (same("red"), same("blue"), same("start")) == (True, True, True)
