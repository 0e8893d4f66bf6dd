"""This project's preference learner on pairs: reference log-probs, loss, update."""

import torch

from bench.contenders.gate import Gate
from bench.contenders.kumite import build_policy
from bench.contenders.workloads import WORKLOADS, draw_pairs
from training_core.learn.preference import Pair, PreferenceLearner
from training_core.policies.loaded import LoadedPolicy, start_copy
from training_core.spec.learner import LearnerSpec
from training_core.spec.learning import DpoLoss, OptimizerSpec


def build_learner(policy: LoadedPolicy) -> PreferenceLearner:
    return PreferenceLearner(
        DpoLoss(beta=0.1), OptimizerSpec(lr=1e-6), LearnerSpec(), policy, reference=start_copy(policy)
    )


def pairs_of(policy: LoadedPolicy, step: int) -> list[Pair]:
    """The pairs of a step; completions end with the end token, as TRL has them."""
    (end,) = policy.end_ids
    return [
        Pair(
            prompt_ids=policy.encode(prompt),
            chosen_ids=[*policy.encode(chosen), end],
            rejected_ids=[*policy.encode(rejected), end],
        )
        for prompt, chosen, rejected in draw_pairs(step)
    ]


def main() -> None:
    torch.set_num_threads(1)
    policy = build_policy(WORKLOADS["mixed"])
    learner = build_learner(policy)
    gate = Gate()
    gate.wait()
    for step in range(400):
        metrics = learner.update(pairs_of(policy, step))
        gate.wait(tokens=round(metrics["tokens/trained"]))


if __name__ == "__main__":
    main()
