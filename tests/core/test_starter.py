import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load_file

from training_core.curricula import base
from training_core.curricula.base import School
from training_core.curricula.registry import find_curriculum
from training_core.games.tic_tac_toe import Board
from training_core.policies.load import load_policy
from training_core.policies.recipe import Recipe, starter_recipe
from training_core.policies.starter import ensure_recipe
from training_core.spec.model import ModelSpec
from training_core.spec.tasks import ArithmeticTask, GamesTask, StringsTask
from training_core.tasks import language

TINY = Recipe(
    task=ArithmeticTask(max_digits=1).model_dump(mode="json"),
    curriculum="evolve",
    seed=0,
    school=School(
        hidden_size=32,
        num_layers=1,
        intermediate_size=48,
        batch_size=8,
        num_steps=4,
        extra_steps=1,
        max_extra_courses=0,
        exam_items=8,
    ),
)
SCRIPT = """
import json, sys
from pathlib import Path
from training_core.curricula import base
from training_core.policies.recipe import Recipe
from training_core.policies.starter import ensure_recipe
base.MAX_TOKENS = 4
values = json.loads(sys.argv[1])
recipe = Recipe(**{**values, "school": base.School(**values["school"])})
print(ensure_recipe(recipe, models_dir=Path(sys.argv[2]), progress=lambda fraction, text: print(text, flush=True)))
"""


@pytest.fixture(autouse=True)
def short_examinations(monkeypatch):
    """Untaught models never end by themselves, and the tests have better things to do than to listen."""
    monkeypatch.setattr(base, "MAX_TOKENS", 4)


def taught_for(num_steps):
    return replace(TINY, school=replace(TINY.school, num_steps=num_steps))


def silent(fraction, text):
    pass


def start(recipe, models_dir):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(asdict(recipe)), str(models_dir)], stdout=subprocess.PIPE, text=True
    )


def test_a_starter_is_made_once_and_found_again(tmp_path):
    told = []
    folder = ensure_recipe(TINY, models_dir=tmp_path, progress=lambda fraction, text: told.append((fraction, text)))
    card = json.loads((folder / "starter.json").read_text())
    assert card["recipe"] == asdict(TINY)
    assert card["num_steps"] == 4
    assert set(card["scores"]) >= {"solver_greedy", "solver_sampled", "judge_auc", "proposals_well_posed"}
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert told[0][0] == 0
    assert told[-1] == (1.0, "The starter model is ready")

    def never(fraction, text):
        raise AssertionError("it was made a second time")

    assert ensure_recipe(TINY, models_dir=tmp_path, progress=never) == folder


def test_equal_recipes_make_equal_weights_and_other_seeds_others(tmp_path):
    one, again, other = (
        load_file(ensure_recipe(recipe, models_dir=tmp_path / place, progress=silent) / "model.safetensors")
        for place, recipe in (("one", TINY), ("again", TINY), ("other", replace(TINY, seed=1)))
    )
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_starter_with_a_missing_file_is_made_anew(tmp_path):
    folder = ensure_recipe(TINY, models_dir=tmp_path, progress=silent)
    before = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    assert ensure_recipe(TINY, models_dir=tmp_path, progress=silent) == folder
    assert (folder / "model.safetensors").read_bytes() == before


def test_two_processes_in_need_of_one_starter_make_it_once(tmp_path):
    slow = taught_for(60)
    processes = [start(slow, tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum("Teaching" in output for output in outputs) == 1
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [slow.name]


def test_a_kill_while_teaching_leaves_nothing_that_looks_like_a_starter(tmp_path):
    endless = taught_for(1_000_000)
    process = start(endless, tmp_path)
    assert any("Teaching" in line for line in process.stdout)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (tmp_path / endless.name).exists()
    # The lock died with its holder, and what it left aside is in nobody's way.
    (tmp_path / f".tmp-{TINY.name}").mkdir()
    assert ensure_recipe(TINY, models_dir=tmp_path, progress=silent).is_dir()


def test_the_recipe_s_name_changes_with_everything_that_matters():
    task, evolve = ArithmeticTask(), find_curriculum("evolve")
    whole = starter_recipe(task, curriculum=evolve)
    recipes = [
        whole,
        replace(whole, seed=9),
        starter_recipe(ArithmeticTask(max_digits=2), curriculum=evolve),
        starter_recipe(StringsTask(), curriculum=evolve),
        replace(whole, school=replace(whole.school, num_steps=1)),
        replace(whole, curriculum="revise"),
    ]
    assert len({recipe.name for recipe in recipes}) == 6
    assert whole.name == starter_recipe(ArithmeticTask(), curriculum=evolve).name
    assert whole.name.startswith("starter-evolve-arithmetic-")


def test_the_recipe_s_name_changes_when_a_lesson_shows_something_else(monkeypatch):
    task, games = GamesTask(games=["tic_tac_toe"]), find_curriculum("games")
    before = starter_recipe(task, curriculum=games).name
    assert starter_recipe(task, curriculum=games).name == before
    monkeypatch.setattr(Board, "code", lambda self, player: "".join(cell or "." for cell in self.cells))
    assert starter_recipe(task, curriculum=games).name != before


@pytest.fixture(scope="module")
def scores(arithmetic_starter):
    return json.loads((arithmetic_starter / "starter.json").read_text())["scores"]


def test_the_taught_solver_is_mediocre_when_sampled_and_better_when_greedy(scores):
    assert 0.3 <= scores["solver_sampled"] <= 0.55
    assert scores["solver_greedy"] >= 0.8


def test_the_taught_judge_tells_right_from_wrong(scores):
    assert scores["judge_kept"] >= 0.95
    assert scores["judge_caught"] >= 0.92
    assert scores["judge_auc"] >= 0.95


def test_the_taught_proposer_asks_proper_questions(scores):
    assert scores["proposals_well_posed"] >= 0.88


def test_the_taught_starter_loads_as_an_ordinary_hugging_face_folder(arithmetic_starter):
    policy = load_policy(
        ModelSpec(source=str(arithmetic_starter)),
        task=ArithmeticTask(),
        models_dir=arithmetic_starter.parent,
        device="cpu",
        progress=silent,
    )
    assert policy.style == "starter"
    ids = torch.tensor([policy.encode(language.solve_prompt("5+3"))])
    assert policy.model.config.hidden_size // policy.model.config.num_attention_heads == 32, (
        "vLLM takes no narrower heads"
    )
    text = policy.decode(policy.model.generate(ids, max_new_tokens=40, do_sample=False)[:, ids.shape[1] :])[0]
    assert text == f"<think>5+3=8</think><answer>8</answer>{language.END}"
    assert sum(parameter.numel() for parameter in policy.model.parameters()) < 400_000
