"""Runs of several policies: roles with weights or adapters of their own, and methods that train several models."""

from collections.abc import Iterator
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file

from tests.core.test_runner import facts, read
from tests.own_methods import known_as
from tests.tiny_model import make_tiny_model, spec_of
from training_core import checkpoints
from training_core.evaluate.held_out import Evaluation
from training_core.methods.base import Role, RolloutCost, SelfPlay
from training_core.play.records import Rollout, StepBatch
from training_core.policies.files import ADAPTER_FILE
from training_core.policies.load import load_policy
from training_core.runner import Run
from training_core.spec.events import RunPhase
from training_core.spec.io import SpecError
from training_core.spec.model import ModelSpec
from training_core.spec.online import OnlineSpec
from training_core.spec.tasks import ArithmeticTask

LORA = {"rank": 4, "dropout": 0.1}


class DuelSpec(OnlineSpec):
    name: Literal["duel"] = "duel"
    prize: float = 1.0
    """Reward of each answer, per token of its question."""


class Duel(SelfPlay):
    """Two models of their own: one asks, the other answers; each is paid for the other's length."""

    title = "Duel"
    Spec = DuelSpec

    @classmethod
    def roles(cls, spec):
        return tuple(
            Role(name=name, title=name, policy=policy, trained=policy != "start", reads="", writes="")
            for name, policy in (("asker", "asks"), ("answerer", "answers"), ("witness", "start"))
        )

    @classmethod
    def rollout_cost(cls, experiment):
        return RolloutCost(completions={"questions": 4, "answers": 4, "remarks": 4}, trained=8)

    async def step(self, play):
        return StepBatch(rollouts=await play.gather(self._round(play, index) for index in range(4)))

    async def _round(self, play, index):
        question = (await play.say("asker", self.prompts.render("propose")))[0]
        answer = (await play.say("answerer", self.prompts.render("solve", question="1+2")))[0]
        await play.say("witness", self.prompts.render("review", question="1+2"))
        self.num_rounds = getattr(self, "num_rounds", 0) + 1
        return [
            Rollout(role="asker", group="a", completion=question, reward=float(len(answer.token_ids))),
            Rollout(
                role="answerer",
                group="b",
                completion=answer,
                reward=len(question.token_ids) * self.experiment.method.prize,
            ),
        ][index % 2]

    async def evaluate(self, play):
        said = await play.say("answerer", self.prompts.render("solve", question="2+2"))
        return Evaluation(num_items=1, scores={"surprise": -sum(said[0].logprobs)})

    def state_dict(self):
        return {"num_rounds": getattr(self, "num_rounds", 0)}

    def load_state_dict(self, state):
        self.num_rounds = state["num_rounds"]


@pytest.fixture(scope="module", autouse=True)
def duel() -> Iterator[None]:
    with known_as("duel", Duel):
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def mae(model, *, weights, judge="current", adapter=None, **changes):
    method = {**spec_of(model).method.model_dump(), "judge": {"kind": judge}, "loss": {"kl_coef": 0.1}}
    source = {"source": str(model), "adapter": adapter}
    return spec_of(model, method=method, model=source, weights={"kind": weights}, **{"steps": 4, **changes})


def saved(folder, policy, file="model.safetensors", step=4):
    return load_file(folder / "checkpoints" / f"step-{step:06d}" / checkpoints.policy_folder(policy) / file)


def differ(left, right):
    assert left.keys() == right.keys()
    return any(not left[name].equal(right[name]) for name in left)


def test_separate_gives_every_trained_role_weights_of_its_own(model, tmp_path):
    assert Run(mae(model, weights="separate"), tmp_path).execute() is RunPhase.SUCCEEDED
    start = load_file(model / "model.safetensors")
    found = {role: saved(tmp_path, role) for role in ("proposer", "solver", "judge")}
    assert all(differ(weights, start) for weights in found.values())
    assert differ(found["proposer"], found["solver"])
    assert differ(found["solver"], found["judge"])
    last = dict(Run(None, tmp_path).series("grad/norm/solver"))
    assert set(last) == {1, 2, 3, 4}


@pytest.mark.parametrize(("weights", "adapter"), [("separate", None), ("adapters", LORA)])
def test_several_policies_resume_like_one(weights, adapter, model, tmp_path):
    spec = mae(model, weights=weights, adapter=adapter, judge="frozen")
    Run(spec, tmp_path / "whole").execute()
    Run(spec.model_copy(update={"steps": 2}), tmp_path / "parts").execute()
    assert Run(spec, tmp_path / "parts").execute(resume=True) is RunPhase.SUCCEEDED
    file = "model.safetensors" if adapter is None else ADAPTER_FILE
    for role in ("proposer", "solver"):
        assert not differ(saved(tmp_path / "whole", role, file), saved(tmp_path / "parts", role, file))
    assert [fact for fact in facts(tmp_path / "whole") if fact["step"] == 4] == [
        fact for fact in facts(tmp_path / "parts") if fact["step"] == 4
    ]


def test_adapters_of_a_checkpoint_load_as_adapters(model, tmp_path):
    from peft import PeftModel

    Run(mae(model, weights="adapters", adapter=LORA), tmp_path).execute()
    assert differ(saved(tmp_path, "proposer", ADAPTER_FILE), saved(tmp_path, "solver", ADAPTER_FILE))
    base = load_policy(
        ModelSpec(source=str(model)), task=ArithmeticTask(), models_dir=model, device="cpu", progress=lambda *_: None
    )
    folder = tmp_path / "checkpoints" / "step-000004" / checkpoints.policy_folder("solver")
    ids = torch.tensor([base.encode("12")])
    plain = base.model(ids).logits
    assert not torch.equal(PeftModel.from_pretrained(base.model, folder)(ids).logits, plain)


def test_a_method_may_train_two_models_of_its_own(model, tmp_path):
    spec = spec_of(model, steps=4, method={"name": "duel", "sampling": {"max_tokens": 8}, "optimizer": {"lr": 1e-2}})
    assert Run(spec, tmp_path / "whole").execute() is RunPhase.SUCCEEDED
    start = load_file(model / "model.safetensors")
    asks, answers = saved(tmp_path / "whole", "asks"), saved(tmp_path / "whole", "answers")
    assert differ(asks, start)
    assert differ(answers, start)
    assert differ(asks, answers)
    Run(spec.model_copy(update={"steps": 2}), tmp_path / "parts").execute()
    Run(spec, tmp_path / "parts").execute(resume=True)
    assert not differ(saved(tmp_path / "parts", "asks"), asks)
    assert not differ(saved(tmp_path / "parts", "answers"), answers)


def test_evaluation_measures_the_newest_weights_also_when_rollouts_are_ahead(model, tmp_path):
    method = {"name": "duel", "sampling": {"max_tokens": 8}, "optimizer": {"lr": 1e-2}}
    spec = spec_of(model, steps=3, method=method, learner={"ahead": 1})
    Run(spec, tmp_path / "run").execute()
    measured = Run(None, tmp_path / "run").series("eval/surprise")
    assert [step for step, _ in measured] == [0, 3]
    folder = tmp_path / "run" / "checkpoints" / "step-000003" / checkpoints.policy_folder("answers")
    Run(spec_of(folder, steps=1, method=method), tmp_path / "again").execute()
    assert Run(None, tmp_path / "again").series("eval/surprise")[0][1] == measured[1][1] != measured[0][1]


def test_one_policy_whose_gradients_are_not_finite_ends_the_run(model, tmp_path):
    method = {"name": "duel", "sampling": {"max_tokens": 8}, "prize": 1e308}
    assert Run(spec_of(model, steps=9, method=method), tmp_path).execute() is RunPhase.FAILED
    assert read(tmp_path)[-1]["data"]["failure"] == "diverged"
    skipped = [dict(Run(None, tmp_path).series(f"grad/skipped_updates/{name}")) for name in ("asks", "answers")]
    assert skipped == [{1: 0, 2: 0, 3: 0, 4: 0}, {1: 1, 2: 2, 3: 3, 4: 4}]


def test_a_checkpoint_of_other_policies_is_refused(model, tmp_path):
    Run(mae(model, weights="separate", steps=2), tmp_path).execute()
    assert Run(mae(model, weights="shared"), tmp_path).execute(resume=True) is RunPhase.FAILED
    data = read(tmp_path)[-1]["data"]
    assert data["failure"] == "model"
    assert "holds the policies proposer, solver, judge, but the spec trains main" in data["text"]


@pytest.mark.parametrize(
    ("weights", "adapter", "part"),
    [("adapters", None, "set model.adapter to lora"), ("separate", LORA, "set weights.kind to adapters")],
)
def test_weights_that_do_not_fit_the_model_are_refused(weights, adapter, part, model):
    with pytest.raises(SpecError, match=part):
        mae(model, weights=weights, adapter=adapter)
