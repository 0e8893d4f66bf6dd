"""This project's engine and learner on a workload: sample, score, update, publish."""

import argparse
import random
from dataclasses import dataclass

import torch

from bench.contenders.gate import Gate
from bench.contenders.workloads import (
    WORKLOADS,
    Workload,
    build_model,
    build_tokenizer,
    draw_prompts,
    reward,
)
from training_core.engines.transformers import TransformersEngine
from training_core.learn.learner import Learner
from training_core.memory import set_up_memory
from training_core.play.records import Rollout, StepBatch
from training_core.play.requests import Request, derive_seed
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learner import LearnerSpec
from training_core.spec.learning import ClippedPolicyLoss, GroupRelative, OptimizerSpec, SamplingSpec
from training_core.spec.online import OnlineSpec


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step is made of."""

    workload: Workload
    engine: TransformersEngine
    learner: Learner
    sampling: SamplingSpec

    def take(self, step: int) -> tuple[list[Rollout], dict[str, float]]:
        """One step; returns its rollouts and metrics."""
        requests = [
            Request(
                policy="main",
                prompt=prompt,
                n=self.workload.num_samples,
                sampling=self.sampling,
                seed=derive_seed(step, place),
            )
            for place, prompt in enumerate(draw_prompts(self.workload, step))
        ]
        rollouts = [
            Rollout(role="solver", group=request.prompt, completion=completion, reward=reward(completion.text))
            for request, found in zip(requests, self.engine.generate(requests), strict=True)
            for completion in found
        ]
        metrics = self.learner.update(StepBatch(rollouts=rollouts), [], rng=random.Random(step))
        self.engine.publish(step + 1)
        return rollouts, metrics


def build_method(workload: Workload) -> OnlineSpec:
    """The settings TRL is given too: on-policy, token mean over the whole batch, one baseline per prompt."""
    return OnlineSpec(
        name="bench",
        sampling=SamplingSpec(temperature=1.0, max_tokens=workload.max_tokens),
        advantage=GroupRelative(scale="none"),
        loss=ClippedPolicyLoss(clip_low=0.2, clip_high=0.28, dual_clip=None, entropy_coef=0.0),
        optimizer=OptimizerSpec(lr=1e-6),
    )


def build_policy(workload: Workload) -> LoadedPolicy:
    tokenizer = build_tokenizer()
    return LoadedPolicy(
        model=build_model(workload),
        tokenizer=tokenizer,
        style="starter",
        end_ids=frozenset([tokenizer.eos_token_id]),
        max_context=workload.max_context,
    )


def build_step(workload: Workload) -> Step:
    policy, method = build_policy(workload), build_method(workload)
    return Step(
        workload=workload,
        engine=TransformersEngine({"main": policy}, max_batch=256),
        learner=Learner(method, LearnerSpec(), {"main": policy}, policy_of={"solver": "main"}, references={}),
        sampling=method.sampling,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    set_up_memory()
    step = build_step(WORKLOADS[options.workload])
    gate = Gate()
    gate.wait()
    for number in range(400):
        rollouts, metrics = step.take(number)
        parts = {
            name.removeprefix("time/"): round(value, 3) for name, value in metrics.items() if name.startswith("time/")
        }
        gate.wait(tokens=sum(len(rollout.completion.token_ids) for rollout in rollouts), parts=parts)


if __name__ == "__main__":
    main()
