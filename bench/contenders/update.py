"""The share of the machine's fastest matrix product that an update of a 100M-parameter model reaches: prints JSON.

Eight texts of 512 tokens go through the learner; log-probs without gradient are measured beside it.
"""

import random
import time
from collections.abc import Callable

import torch

from bench.contenders.gate import answer
from bench.contenders.kumite import build_method, build_policy
from bench.contenders.workloads import Workload, vocabulary_size
from training_core.bench.roofline import measure_bandwidth, measure_peaks, shape_of
from training_core.learn.learner import Learner
from training_core.learn.logprobs import Text
from training_core.learn.scoring import Scorer
from training_core.memory import set_up_memory
from training_core.play.records import Rollout, StepBatch
from training_core.play.requests import Completion
from training_core.spec.learner import LearnerSpec

WORKLOAD = Workload(
    prompt_tokens=(16, 16), max_tokens=496, fixed_length=True, shape="100M", num_prompts=8, num_samples=1
)
REPEATS = 2


def completions() -> list[Completion]:
    rng = random.Random(0)

    def tokens(number: int) -> tuple[int, ...]:
        return tuple(rng.choices(range(1, vocabulary_size(with_end=False)), k=number))

    return [
        Completion(
            text="",
            prompt_ids=tokens(WORKLOAD.prompt_tokens[0]),
            token_ids=tokens(WORKLOAD.max_tokens),
            logprobs=(-4.5,) * WORKLOAD.max_tokens,
            entropies=(),
            ended=False,
        )
        for _ in range(WORKLOAD.num_completions)
    ]


def least_cpu_s(action: Callable[[], object]) -> float:
    """CPU seconds of the cheapest of several repetitions, after one that is not counted."""
    action()
    found = []
    for _ in range(REPEATS):
        begin = time.process_time()
        action()
        found.append(time.process_time() - begin)
    return min(found)


def main() -> None:
    torch.set_num_threads(1)
    set_up_memory()
    device = torch.device("cpu")
    policy = build_policy(WORKLOAD)
    learner = Learner(
        build_method(WORKLOAD), LearnerSpec(), {"main": policy}, policy_of={"solver": "main"}, references={}
    )
    score = Scorer(policy, LearnerSpec())
    rollouts = [
        Rollout(role="solver", group=str(place // 2), completion=each, reward=float(place % 2))
        for place, each in enumerate(completions())
    ]
    texts = [Text(prompt_ids=each.completion.prompt_ids, token_ids=each.completion.token_ids) for each in rollouts]

    def logprob() -> None:
        with torch.no_grad():
            for batch in score.cut(texts, budget_tokens=2048):
                score([texts[index] for index in batch], temperature=1.0)

    peak = next(each for each in measure_peaks(device, threads=1) if each.dtype == "float32")
    update_s = least_cpu_s(lambda: learner.update(StepBatch(rollouts=rollouts), [], rng=random.Random(0)))
    logprob_s = least_cpu_s(logprob)
    again = next(each for each in measure_peaks(device, threads=1) if each.dtype == "float32")
    best = max(peak.flops_per_s, again.flops_per_s)
    shape = shape_of(policy.model)
    flops = shape.forward_flops(
        [(len(text.prompt_ids), len(text.token_ids)) for text in texts],
        new_prompts=[len(text.prompt_ids) for text in texts],
    )
    answer(
        parameters=sum(parameter.numel() for parameter in policy.model.parameters()),
        tokens=sum(text.length for text in texts),
        peak_gflops=round(best / 1e9, 1),
        bandwidth_gb_s=round(measure_bandwidth(device) / 1e9, 1),
        update_cpu_s=round(update_s, 2),
        update_share=round(3 * flops / update_s / best, 3),
        logprob_cpu_s=round(logprob_s, 2),
        logprob_share=round(flops / logprob_s / best, 3),
    )


if __name__ == "__main__":
    main()
