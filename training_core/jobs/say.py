"""Every speaker answers the same prompt with the same seed."""

import time
from typing import Any

from training_core.jobs.desk import Desk, engine_of
from training_core.play.requests import Completion, Request
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.jobs import SayJob, Weights


def run(job: SayJob, desk: Desk) -> dict[str, Any]:
    """``{"answers": [{"name", "prompt", "completions": [{"text", "ended", "num_tokens", "tokens"}], "seconds"}]}``, by speaker."""
    return {"answers": [_answer(job, desk, weights) for weights in job.speakers]}


def _answer(job: SayJob, desk: Desk, weights: Weights) -> dict[str, Any]:
    policy = desk.load(weights)
    prompt = job.prompt.text
    if job.prompt.name:
        try:
            prompt = desk.prompts(weights, policy).render(job.prompt.name, **job.prompt.values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"The prompt {job.prompt.name} of {weights.name} needs other values: {error}") from error
    desk.tell(None, f"{weights.name} is speaking")
    started = time.perf_counter()
    request = Request(policy="speaker", prompt=prompt, n=job.n, sampling=job.sampling, seed=job.seed)
    completions = engine_of({"speaker": policy}).generate([request])[0]
    return {
        "name": weights.name,
        "prompt": prompt,
        "completions": [_told(completion, policy, logprobs=job.logprobs) for completion in completions],
        "seconds": round(time.perf_counter() - started, 3),
    }


def _told(completion: Completion, policy: LoadedPolicy, *, logprobs: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "text": completion.text,
        "ended": completion.ended,
        "num_tokens": len(completion.token_ids),
        "logprob": round(sum(completion.logprobs), 4),
    }
    if logprobs:
        words = policy.decode([[token] for token in completion.token_ids])
        told["tokens"] = [[word, round(logprob, 4)] for word, logprob in zip(words, completion.logprobs, strict=True)]
    return told
