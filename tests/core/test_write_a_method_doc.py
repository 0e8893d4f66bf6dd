"""The method of docs/write-a-method.md, taken from the document as printed, is found, shown, played and resumed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.claims import merged
from tests.formulas import formulas_that_hold
from tests.tiny_model import make_tiny_model
from tests.tutorial import block, quorum_known, write_method
from training_core import Run, preset
from training_core.play.play import Play
from training_core.play.prompts import prompts_for
from training_core.play.requests import Completion
from training_core.play.scheduler import run
from training_core.spec.estimate import estimate
from training_core.spec.forms import find_field
from training_core.spec.io import dump_yaml, load_yaml, parse_spec
from training_core.tasks.registry import make_domain

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("my_methods")
    write_method(folder)
    return folder


@pytest.fixture
def quorum(folder):
    with quorum_known(folder) as method:
        yield method


class Model:
    """An engine that asks one question and answers it by a list."""

    def __init__(self, question, answers):
        self.question, self.answers = question, answers

    def generate(self, requests):
        return [[self._say(request, place) for place in range(request.n)] for request in requests]

    def _say(self, request, place):
        asks = request.prompt.startswith("<|propose|>")
        text = self.question if asks else self.answers[place]
        return Completion(text=text, prompt_ids=(1,), token_ids=(2,), logprobs=(-1.0,), entropies=(), ended=True)


def one_step(quorum, question, answers):
    experiment = parse_spec({"method": {"name": "quorum", "questions": 1, "tries": len(answers)}})
    domain = make_domain(experiment.task)
    method = quorum(experiment, domain, prompts_for("quorum", "starter"))
    policies = {"proposer": "main", "solver": "main"}
    play = Play(policies=policies, sampling=experiment.method.sampling, seed=0, step=1, stream="step")
    return domain, run(method.step(play), Model(question, answers))


def test_the_method_has_less_than_sixty_lines():
    assert len([line for line in block("python").splitlines() if line]) < 60


def test_the_variable_of_the_document_makes_the_method_known(folder):
    environment = {**os.environ, "KUMITE_METHODS": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "training_core", "methods"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "quorum: Quorum." in told.stdout
    environment["KUMITE_METHODS"] = str(folder / "nowhere")
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "KUMITE_METHODS names" in refused.stderr


def test_its_knobs_stand_in_the_form_with_their_help(quorum):
    knob = find_field("quorum", "method.tries")
    assert knob is not None
    assert knob.help == "Answers to each question. More make the vote surer and cost more."
    assert knob.range_text == "2 to 64"


def test_its_preset_survives_yaml_and_can_be_estimated(quorum):
    spec = preset("quorum", "starter")
    assert load_yaml(dump_yaml(spec)) == spec
    assert estimate(spec).completions_per_step == {"questions": 32, "answers": 256}


def test_the_answer_of_most_tries_is_rewarded_and_doubt_pays_the_proposer(quorum):
    answers = [f"<answer>{text}</answer>" for text in ("42", "41", "42")] + ["no tag"]
    _, batch = one_step(quorum, "<question>12+30</question>", answers)
    rewards = [(rollout.role, rollout.reward) for rollout in batch.rollouts]
    assert rewards == [("solver", 1.0), ("solver", 0.0), ("solver", 1.0), ("solver", 0.0), ("proposer", 1.0)]
    assert [turn.parsed for turn in batch.samples[0].turns] == ["42", "41", "42", None]


def test_its_formula_holds_for_what_a_step_measures(quorum):
    answers = [f"<answer>{text}</answer>" for text in ("42", "41", "42", "40")]
    _, batch = one_step(quorum, "<question>12+30</question>", answers)
    assert batch.metrics["votes/doubt"] == 0.5
    spec = parse_spec({"method": {"name": "quorum"}})
    assert "What the Proposer is paid" in formulas_that_hold(spec, batch.metrics)


def test_tries_that_give_no_answer_win_nothing(quorum):
    _, batch = one_step(quorum, "<question>12+30</question>", ["no tag"] * 3)
    assert [rollout.reward for rollout in batch.rollouts] == [0.0, 0.0, 0.0, 0.0]


def test_held_out_questions_are_left_alone(quorum):
    held_out = make_domain(parse_spec({"method": {"name": "quorum"}}).task).held_out(1)[0].question
    _, batch = one_step(quorum, f"<question>{held_out}</question>", ["<answer>1</answer>"] * 2)
    assert batch.rollouts == []


def test_it_trains_and_goes_on_where_it_stopped(quorum, tmp_path):
    small = {
        "steps": 1,
        "model": {"source": str(make_tiny_model(tmp_path / "tiny"))},
        "evaluation": {"num_items": 4},
        "method": {"questions": 3, "tries": 2, "sampling": {"max_tokens": 8}},
    }
    spec = parse_spec(merged(quorum.presets[0].spec, small))
    assert Run(spec, tmp_path / "run").execute() == "succeeded"
    longer = spec.model_copy(update={"steps": 2})
    again = Run(longer, tmp_path / "run")
    assert again.execute(resume=True) == "succeeded"
    assert [step for step, _ in again.series("eval/accuracy_sampled")] == [0, 1, 2]
