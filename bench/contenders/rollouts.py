"""Rollouts alone: this project's engine, ``transformers.generate`` or vLLM complete the same prompts, log-probs included."""

import argparse
import os
import random
import tempfile
from collections.abc import Callable

import torch

from bench.contenders.gate import Gate
from bench.contenders.kumite import build_policy
from bench.contenders.workloads import WORKLOADS, Workload, draw_prompts
from training_core.engines.transformers import TransformersEngine
from training_core.memory import set_up_memory
from training_core.play.requests import Request, derive_seed
from training_core.policies.load import load_policy
from training_core.policies.loaded import LoadedPolicy
from training_core.policies.models_dir import default_models_dir
from training_core.spec.learning import SamplingSpec
from training_core.spec.model import ModelSpec
from training_core.spec.tasks import ArithmeticTask
from training_core.tasks import language
from training_core.tasks.registry import make_domain

STARTER = Workload(prompt_tokens=(8, 16), max_tokens=72, fixed_length=False)
"""The taught starter answering questions of its task; it ends by itself."""

VLLM_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}

Sampler = Callable[[int], int]
"""Takes the number of a step, completes its prompts, returns the number of sampled tokens."""


def kumite(policy: LoadedPolicy, workload: Workload, prompts: Callable[[int], list[str]]) -> Sampler:
    engine = TransformersEngine({"main": policy}, max_batch=256)
    sampling = SamplingSpec(max_tokens=workload.max_tokens)

    def sample(step: int) -> int:
        requests = [
            Request(
                policy="main", prompt=prompt, n=workload.num_samples, sampling=sampling, seed=derive_seed(step, place)
            )
            for place, prompt in enumerate(prompts(step))
        ]
        return sum(len(completion.token_ids) for found in engine.generate(requests) for completion in found)

    return sample


def generate(policy: LoadedPolicy, workload: Workload, prompts: Callable[[int], list[str]]) -> Sampler:
    """Log-probs from ``output_logits``, gathered at each position: cheaper than ``compute_transition_scores``."""
    policy.tokenizer.padding_side = "left"
    end_ids = torch.tensor(sorted(policy.end_ids))

    @torch.inference_mode()
    def sample(step: int) -> int:
        inputs = policy.tokenizer(prompts(step), return_tensors="pt", padding=True, add_special_tokens=False)
        output = policy.model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            num_return_sequences=workload.num_samples,
            max_new_tokens=workload.max_tokens,
            do_sample=True,
            top_k=0,
            output_logits=True,
            return_dict_in_generate=True,
        )
        drawn_BT = output.sequences[:, inputs["input_ids"].shape[1] :]
        logp_BT = torch.stack(
            [
                logits_BV.gather(-1, drawn_BT[:, place, None])[:, 0] - logits_BV.logsumexp(-1)
                for place, logits_BV in enumerate(output.logits)
            ],
            dim=1,
        )
        ended_BT = torch.isin(drawn_BT, end_ids).cumsum(1) - torch.isin(drawn_BT, end_ids).long()
        policy.tokenizer.batch_decode(drawn_BT)
        return int((ended_BT[:, : logp_BT.shape[1]] == 0).sum())

    return sample


def vllm(policy: LoadedPolicy, workload: Workload, prompts: Callable[[int], list[str]]) -> Sampler:
    """In this process, one thread, prefix cache on; texts are not made, so that only sampling is counted."""
    os.environ.update(VLLM_ENVIRONMENT)
    from vllm import LLM, SamplingParams

    with tempfile.TemporaryDirectory() as folder:
        policy.model.save_pretrained(folder)
        llm = LLM(
            model=folder,
            skip_tokenizer_init=True,
            dtype="float32",
            max_model_len=workload.max_context,
            max_num_seqs=256,
            block_size=32,
            kv_cache_memory_bytes=1 << 30,
            distributed_executor_backend="uni",
            enforce_eager=True,
            disable_log_stats=True,
        )

    def sample(step: int) -> int:
        params = SamplingParams(
            n=workload.num_samples,
            max_tokens=workload.max_tokens,
            logprobs=0,
            detokenize=False,
            ignore_eos=workload.fixed_length,
        )
        found = llm.generate(
            [{"prompt_token_ids": policy.encode(prompt)} for prompt in prompts(step)], params, use_tqdm=False
        )
        return sum(len(each.token_ids) for output in found for each in output.outputs)

    return sample


def starter_policy() -> LoadedPolicy:
    return load_policy(
        ModelSpec(source="starter"),
        task=ArithmeticTask(),
        models_dir=default_models_dir(),
        device="cpu",
        progress=lambda *_: None,
    )


def starter_prompts(step: int) -> list[str]:
    domain = make_domain(ArithmeticTask())
    rng = random.Random(step)
    return [language.solve_prompt(domain.sample(rng).question) for _ in range(STARTER.num_prompts)]


SAMPLERS: dict[str, Callable[[LoadedPolicy, Workload, Callable[[int], list[str]]], Sampler]] = {
    "kumite": kumite,
    "generate": generate,
    "vllm": vllm,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sampler", choices=SAMPLERS, required=True)
    parser.add_argument("--workload", choices=["starter", *WORKLOADS], required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.sampler == "kumite":
        set_up_memory()
    workload = STARTER if options.workload == "starter" else WORKLOADS[options.workload]
    if options.workload == "starter":
        policy, prompts = starter_policy(), starter_prompts
    else:
        policy = build_policy(workload)

        def prompts(step: int) -> list[str]:
            return draw_prompts(workload, step)

    sample = SAMPLERS[options.sampler](policy, workload, prompts)
    gate = Gate()
    gate.wait()
    for step in range(400):
        gate.wait(tokens=sample(step))


if __name__ == "__main__":
    main()
