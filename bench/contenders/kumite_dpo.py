"""This project's preference learning on pairs: reference log-probs, loss, update."""

import random

import torch

from bench.contenders.gate import Gate
from bench.contenders.kumite import build_policy
from bench.contenders.workloads import WORKLOADS, draw_pairs
from training_core.learn.learner import Learner
from training_core.memory import set_up_memory
from training_core.play.records import Pair, StepBatch
from training_core.policies.loaded import LoadedPolicy, start_copy
from training_core.spec.learner import LearnerSpec
from training_core.spec.learning import DpoLoss, OptimizerSpec, PreferenceLossSpec
from training_core.spec.preference import PreferenceSpec


def build_learner(
    policy: LoadedPolicy,
    loss: PreferenceLossSpec | None = None,
    *,
    reference: LoadedPolicy | None = None,
    grad_clip: float = 1.0,
) -> Learner:
    """A learner with DPO as TRL has it by default, or with another loss; the reference is the start where none is given."""
    optimizer = OptimizerSpec(lr=1e-6, grad_clip=grad_clip)
    method = PreferenceSpec(name="bench", preference=loss or DpoLoss(beta=0.1), optimizer=optimizer)
    references = {"main": reference or start_copy(policy)}
    return Learner(method, LearnerSpec(), {"main": policy}, policy_of={"player": "main"}, references=references)


def pairs_of(step: int) -> StepBatch:
    """The pairs of a step; completions end with the end token, as TRL has them."""
    return StepBatch(
        pairs=[
            Pair(role="player", prompt=prompt, chosen=chosen, rejected=rejected)
            for prompt, chosen, rejected in draw_pairs(step)
        ]
    )


def main() -> None:
    torch.set_num_threads(1)
    set_up_memory()
    policy = build_policy(WORKLOADS["mixed"])
    learner = build_learner(policy)
    gate = Gate()
    gate.wait()
    for step in range(400):
        metrics = learner.update(pairs_of(step), [], rng=random.Random(step))
        gate.wait(tokens=round(metrics["tokens/trained"]))


if __name__ == "__main__":
    main()
