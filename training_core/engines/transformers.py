"""Sampling in the run's own process, with any causal language model that transformers loads and with the learner's own weights."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import torch

from training_core.engine_health import EngineHealth
from training_core.engines.batch import Batch, Limits
from training_core.engines.decoder import Decoder, make_decoder
from training_core.engines.ledger import Finished, Row
from training_core.engines.likelihood import Likelihood
from training_core.engines.stops import StopFinder
from training_core.play.requests import Completion, Request, Score
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.engine import TransformersEngine as Settings
from training_core.spec.learning import SamplingSpec
from training_core.stopwatch import Stopwatch

DEFAULT_CACHE_MIB: int = Settings.model_fields["max_cache_mib"].default


class TransformersEngine:
    """Batched sampling: unique prompts are read once, finished rows make room for waiting ones, log-probs come with the tokens."""

    def __init__(
        self, policies: Mapping[str, LoadedPolicy], *, max_batch: int, max_cache_mib: int = DEFAULT_CACHE_MIB
    ) -> None:
        """At most ``max_batch`` completions, and about ``max_cache_mib`` of their keys and values, are in memory at a time."""
        self._policies = policies
        self._max_batch = max_batch
        self._max_bytes = max_cache_mib << 20
        self._decoders: dict[str, Decoder] = {}
        self._likelihood = Likelihood(policies)
        self._version = 0
        self._on_cuda = any(policy.model.device.type == "cuda" for policy in policies.values())
        self.watch, self.health = Stopwatch(), EngineHealth()

    def publish(self, version: int, *, blended: Collection[str] = ()) -> None:
        """Weights are shared with the learner and with snapshots; what was made of them is made anew."""
        self._version = version
        with self.watch("publish"):
            for decoder in self._decoders.values():
                decoder.release()

    def sleep(self) -> None:
        """Give back the copies of weights that decoding is faster with; they are made again when needed."""
        for decoder in self._decoders.values():
            decoder.release()
        if self._on_cuda:
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Give back the copies of weights."""
        self.sleep()

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Completions of every request, in order. All requests of one policy share batches, whatever their settings."""
        specs = list(dict.fromkeys(request.sampling for request in requests))
        rows: dict[str, list[Row]] = defaultdict(list)
        encoded: dict[tuple[str, str], tuple[int, ...]] = {}
        for index, request in enumerate(requests):
            policy = self._policies[request.policy]
            ids = encoded.get((request.policy, request.prompt))
            if ids is None:
                ids = encoded[request.policy, request.prompt] = _encode(policy, request.prompt)
            limit = min(request.sampling.max_tokens, policy.max_context - len(ids))
            spec = specs.index(request.sampling)
            rows[request.policy] += [
                Row(request=index, place=place, prompt_ids=ids, seed=request.seed + place, spec=spec, limit=limit)
                for place in range(request.n)
            ]
        results: list[dict[int, Completion]] = [{} for _ in requests]
        for name, group in rows.items():
            if not group:
                continue
            for row, completion in self._complete(name, group, specs):
                results[row.request][row.place] = completion
        return [[found[place] for place in range(len(found))] for found in results]

    def score(self, requests: Sequence[Score]) -> list[list[float]]:
        """Log-probs of every text of every request, in order, from the weights as they are now."""
        with self.watch("score"):
            return self._likelihood.score(requests)

    def _complete(self, name: str, rows: Sequence[Row], specs: Sequence[SamplingSpec]) -> list[tuple[Row, Completion]]:
        policy = self._policies[name]
        limits = Limits(max_rows=self._max_batch, max_bytes=self._max_bytes, max_context=policy.max_context)
        batch = Batch(
            self._decoder(name),
            specs,
            limits,
            end_ids=policy.end_ids,
            stops=StopFinder(specs, policy.decode),
            device=policy.model.device,
            watch=self.watch,
            health=self.health,
        )
        finished = batch.run(rows)
        texts = policy.decode([found.token_ids[: found.num_text_tokens] for found in finished])
        return [(found.row, self._completion(found, text)) for found, text in zip(finished, texts, strict=True)]

    def _decoder(self, name: str) -> Decoder:
        policy = self._policies[name]
        decoder = self._decoders.get(name)
        if decoder is None:
            decoder = self._decoders[name] = make_decoder(policy, name=name)
        decoder.refresh()
        return decoder

    def _completion(self, found: Finished, text: str) -> Completion:
        return Completion(
            text=text[: found.text_end],
            prompt_ids=found.row.prompt_ids,
            token_ids=found.token_ids,
            logprobs=found.logprobs,
            entropies=found.entropies,
            ended=found.ended,
            version=self._version,
        )


def _encode(policy: LoadedPolicy, prompt: str) -> tuple[int, ...]:
    ids = tuple(policy.encode(prompt))
    if not ids:
        raise ValueError("an empty prompt cannot be completed; give the model at least one token to start from")
    if len(ids) >= policy.max_context:
        raise ValueError(
            f"a prompt of {len(ids)} tokens leaves no room in the model's context of {policy.max_context} tokens; "
            "shorten the prompt or choose a model with a longer context"
        )
    return ids
