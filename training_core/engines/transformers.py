"""Sampling with any causal language model that transformers loads.

Shapes: B rows (completions), T cached tokens, V vocabulary.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.cache_utils import DynamicCache

from training_core.play.requests import Completion, Request
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learning import SamplingSpec
from training_core.stopwatch import Stopwatch

COMPACT_BELOW = 0.7
"""Finished rows are dropped from the batch when fewer than this share of it is still open."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One completion to be sampled: where it belongs and what seeds it."""

    request: int
    prompt_ids: tuple[int, ...]
    seed: int


class TransformersEngine:
    """Batched sampling: unique prompts are read once, finished rows leave early, log-probs come with the tokens."""

    def __init__(self, policies: Mapping[str, LoadedPolicy], *, max_batch: int) -> None:
        self._policies = policies
        self._max_batch = max_batch
        self._version = 0
        self.watch = Stopwatch()

    def publish(self, version: int) -> None:
        """Weights are shared with the learner, so only the number is new."""
        self._version = version

    def sleep(self) -> None:
        """Nothing to free: the weights are the learner's own."""

    def close(self) -> None:
        """Nothing to free: the weights are the learner's own."""

    @torch.no_grad()
    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Completions of every request, in order. Requests with the same policy and sampling share batches."""
        rows: dict[tuple[str, SamplingSpec], list[_Row]] = defaultdict(list)
        for index, request in enumerate(requests):
            ids = tuple(self._policies[request.policy].encode(request.prompt))
            rows[request.policy, request.sampling].extend(
                _Row(request=index, prompt_ids=ids, seed=request.seed + place) for place in range(request.n)
            )
        results: list[list[Completion]] = [[] for _ in requests]
        for (name, sampling), group in rows.items():
            policy = self._policies[name]
            group.sort(key=lambda row: len(row.prompt_ids))  # stable: siblings stay together
            for start in range(0, len(group), self._max_batch):
                batch = group[start : start + self._max_batch]
                for row, completion in zip(batch, _complete(policy, batch, sampling, self._version), strict=True):
                    results[row.request].append(completion)
        return results


def _complete(policy: LoadedPolicy, rows: Sequence[_Row], sampling: SamplingSpec, version: int) -> list[Completion]:
    model, device = policy.model, policy.model.device
    was_training = model.training
    model.eval()
    prompts = list(dict.fromkeys(row.prompt_ids for row in rows))
    longest = max(map(len, prompts))
    max_tokens = min(sampling.max_tokens, policy.max_context - longest)
    if max_tokens < 1:
        raise ValueError(
            f"a prompt of {longest} tokens leaves no room in the model's context of {policy.max_context} tokens"
        )
    logits_BV, cache, mask_BT = _prefill(model, prompts, longest, device)
    place = {prompt: index for index, prompt in enumerate(prompts)}
    spread = torch.tensor([place[row.prompt_ids] for row in rows], device=device)
    if len(rows) != len(prompts) or rows[0].prompt_ids != prompts[0]:
        cache.batch_select_indices(spread)
    logits_BV, mask_BT = logits_BV[spread], mask_BT[spread]

    num_rows = len(rows)
    tokens = np.zeros((num_rows, max_tokens), dtype=np.int64)
    logprobs = np.zeros((num_rows, max_tokens), dtype=np.float32)
    entropies = np.zeros((num_rows, max_tokens), dtype=np.float32)
    lengths = np.full(num_rows, max_tokens)
    ended = np.zeros(num_rows, dtype=bool)
    seeds = np.array([row.seed for row in rows], dtype=np.uint64)
    end_ids = np.array(sorted(policy.end_ids))
    slots = np.arange(num_rows)  # which row each batch entry is
    open_B = np.ones(num_rows, dtype=bool)

    for t in range(max_tokens):
        uniform_B = torch.from_numpy(_uniform(seeds[slots], t)).to(device)
        token_B, logp_B, entropy_B = _sample(logits_BV, uniform_B, sampling)
        drawn = token_B.cpu().numpy()
        at = slots[open_B]
        tokens[at, t], logprobs[at, t] = drawn[open_B], logp_B.cpu().numpy()[open_B]
        entropies[at, t] = entropy_B.cpu().numpy()[open_B]
        done = open_B & np.isin(drawn, end_ids)
        lengths[slots[done]], ended[slots[done]] = t + 1, True
        open_B &= ~done
        if not open_B.any() or t + 1 == max_tokens:
            break
        if open_B.mean() < COMPACT_BELOW:
            keep = torch.from_numpy(np.flatnonzero(open_B)).to(device)
            cache.batch_select_indices(keep)
            token_B, mask_BT = token_B[keep], mask_BT[keep]
            slots, open_B = slots[open_B], np.ones(len(keep), dtype=bool)
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(mask_BT), 1)], dim=1)
        logits_BV = model(
            input_ids=token_B[:, None],
            attention_mask=mask_BT,
            position_ids=mask_BT.sum(1, keepdim=True) - 1,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
    model.train(was_training)

    texts = policy.decode([tokens[row, : lengths[row] - int(ended[row])].tolist() for row in range(num_rows)])
    return [
        Completion(
            text=texts[index],
            prompt_ids=row.prompt_ids,
            token_ids=tuple(tokens[index, : lengths[index]].tolist()),
            logprobs=tuple(logprobs[index, : lengths[index]].tolist()),
            entropies=tuple(entropies[index, : lengths[index]].tolist()),
            ended=bool(ended[index]),
            version=version,
        )
        for index, row in enumerate(rows)
    ]


def _prefill(
    model: Any, prompts: Sequence[tuple[int, ...]], longest: int, device: torch.device
) -> tuple[torch.Tensor, DynamicCache, torch.Tensor]:
    """Read every unique prompt once, padded on the left; gives the logits after its last token."""
    ids_BT = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask_BT = torch.zeros(len(prompts), longest, dtype=torch.long)
    for index, prompt in enumerate(prompts):
        ids_BT[index, longest - len(prompt) :] = torch.tensor(prompt)
        mask_BT[index, longest - len(prompt) :] = 1
    ids_BT, mask_BT = ids_BT.to(device), mask_BT.to(device)
    cache = DynamicCache()
    output = model(
        input_ids=ids_BT,
        attention_mask=mask_BT,
        position_ids=(mask_BT.cumsum(1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return output.logits[:, -1], cache, mask_BT


def _sample(
    logits_BV: torch.Tensor, uniform_B: torch.Tensor, sampling: SamplingSpec
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token, its log-prob and the entropy, under the distribution really drawn from (temperature, top-k, top-p applied)."""
    logits_BV = logits_BV.float()
    if sampling.temperature == 0:
        logp_BV = logits_BV.log_softmax(-1)
        token_B = logits_BV.argmax(-1)
    else:
        logp_BV = _truncate(logits_BV / sampling.temperature, sampling).log_softmax(-1)
        cumulative_BV = logp_BV.exp().double().cumsum(-1)
        threshold_B1 = uniform_B[:, None] * cumulative_BV[:, -1:]
        token_B = torch.searchsorted(cumulative_BV, threshold_B1, right=True)[:, 0].clamp(max=logits_BV.shape[-1] - 1)
    probs_BV = logp_BV.exp()
    entropy_B = -torch.where(probs_BV > 0, probs_BV * logp_BV, 0.0).sum(-1)
    return token_B, logp_BV.gather(-1, token_B[:, None])[:, 0], entropy_B


def _truncate(logits_BV: torch.Tensor, sampling: SamplingSpec) -> torch.Tensor:
    if 0 < sampling.top_k < logits_BV.shape[-1]:
        least = logits_BV.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < least, -torch.inf)
    if sampling.top_p < 1:
        sorted_BV, order_BV = logits_BV.sort(dim=-1, descending=True)
        probs_BV = sorted_BV.softmax(-1)
        dropped_BV = probs_BV.cumsum(-1) - probs_BV >= sampling.top_p  # the first token is always kept
        logits_BV = logits_BV.masked_fill(dropped_BV.gather(-1, order_BV.argsort(-1)), -torch.inf)
    return logits_BV


def _uniform(seeds_B: NDArray[np.uint64], t: int) -> NDArray[np.float64]:
    """One number in [0, 1) per row for token ``t``, from the row's seed alone (SplitMix64)."""
    with np.errstate(over="ignore"):
        z = _mix(seeds_B * np.uint64(0xD1342543DE82EF95)) + np.uint64(t + 1) * np.uint64(0x9E3779B97F4A7C15)
        return (_mix(z) >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
