"""Sampling with vLLM, in the run's own process or in servers apart from it."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import fsum, inf
from pathlib import Path
from typing import Any, Protocol

import torch

from training_core.engine_health import EngineHealth
from training_core.engines.vllm_model import NamedTensors, PrivateFolder, checkpoint_tensors, write_adapter
from training_core.engines.vllm_setup import sampling_dtype
from training_core.failures import EngineError
from training_core.play.requests import Completion, Request, Score
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.engine import VllmEngine as VllmSpec
from training_core.stopwatch import Stopwatch


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One request in vLLM's terms: ``Ask(prompt_ids=(5, 9), params={"n": 8, "seed": 7, ...}, adapter="solver-3")``."""

    prompt_ids: tuple[int, ...]
    params: dict[str, Any]
    """Fields of vLLM's ``SamplingParams``."""
    adapter: str | None


_READ: dict[str, Any] = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, "detokenize": False}
"""Settings of an ask whose prompt is to be scored; vLLM always draws a token, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """One completion as vLLM gives it: ``Drawn(token_ids=(4, 2), logprobs=(-0.1, -1.2), stopped=True)``."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    stopped: bool
    """False when it was cut at the token limit."""


class Instance(Protocol):
    """One model in vLLM, wherever it runs."""

    def wait_until_ready(self) -> None:
        """Return once it can be used."""

    def generate(self, asks: Sequence[Ask]) -> list[list[Drawn]]:
        """Completions of every ask, in order."""

    def score(self, asks: Sequence[Ask]) -> list[list[float]]:
        """Log-probs of the tokens of every ask's prompt but the first, in nats at temperature 1."""

    def load(self, tensors: NamedTensors, version: int) -> None:
        """Replace the weights and forget what was cached with the old ones."""

    def add_adapter(self, name: str, folder: Path) -> None:
        """Make an adapter known; ``folder`` stays until ``remove_adapter``."""

    def remove_adapter(self, name: str) -> None: ...

    def sleep(self, level: int) -> None: ...

    def wake(self, part: str) -> None:
        """Take back the memory of "weights" or "kv_cache"."""

    def close(self) -> None: ...


class Start(Protocol):
    """Starts vLLM with a model that several policies may share."""

    def __call__(self, policies: Mapping[str, LoadedPolicy], *, share: float, health: EngineHealth) -> Instance: ...


@dataclass(kw_only=True)
class _Shared:
    """A model in vLLM and the policies that speak with it: one with its weights, or several with adapters on them."""

    instance: Instance
    policies: dict[str, LoadedPolicy]


class VllmEngine:
    """The engine protocol on vLLM: token ids in, token ids and log-probs out, new weights at every ``publish``.

    Policies that share a model share one vLLM; each model of its own gets another. Policies with adapters are served as LoRA
    adapters on the shared model, under a new name at every version, so that nothing cached with the old one is used again.
    """

    def __init__(
        self,
        policies: Mapping[str, LoadedPolicy],
        *,
        trained: Sequence[str],
        spec: VllmSpec,
        device: torch.device,
        start: Start,
    ) -> None:
        self._policies = policies
        self._trained = frozenset(trained)
        self._spec = spec
        self._on_gpu = device.type != "cpu"
        self._version = 0
        self._asleep = False
        self._adapters: dict[str, str] = {}
        self._numbers = count(1)
        self.watch, self.health = Stopwatch(), EngineHealth()
        self._files = PrivateFolder(Path(spec.weights_dir) if spec.weights_dir else None)
        self._shared: list[_Shared] = []
        try:
            models: dict[int, dict[str, LoadedPolicy]] = defaultdict(dict)
            for name, policy in policies.items():
                models[id(policy.model)][name] = policy
            if spec.urls and len(models) > 1:
                raise EngineError(
                    "engine.urls names servers for one set of weights, but the roles of this run speak with "
                    f"{len(models)}; leave engine.urls empty, or use adapters (weights.kind and model.adapter)."
                )
            for group in models.values():
                instance = start(group, share=1 / len(models), health=self.health)
                self._shared.append(_Shared(instance=instance, policies=group))
            for shared in self._shared:
                shared.instance.wait_until_ready()
                self._publish(shared, self._policies.keys())
        except BaseException:
            self.close()
            raise

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Completions of every request, in order. Raises ``EngineLost`` when a vLLM process died."""
        if self._asleep:
            self.publish(self._version)
        results: list[list[Completion]] = [[] for _ in requests]
        with self.watch("decode"):  # vLLM reads prompts and writes completions in the same passes
            for shared in self._shared:
                places = [place for place, request in enumerate(requests) if self._speaks(request.policy, shared)]
                asks = [self._ask(requests[place]) for place in places]
                for place, drawn, ask in zip(places, shared.instance.generate(asks) if asks else [], asks, strict=True):
                    results[place] = self._completions(requests[place], ask, drawn)
        return results

    def score(self, requests: Sequence[Score]) -> list[list[float]]:
        """Log-probs of every text of every request, in order; minus infinity where prompt, text and end token fill the context,
        because vLLM reads no more than leaves room for one token. Raises ``EngineLost`` when a vLLM process died."""
        if self._asleep:
            self.publish(self._version)
        results = [[-inf] * len(request.texts) for request in requests]
        with self.watch("score"):
            for shared in self._shared:
                places, asks = self._readings(requests, shared)
                for (index, place, num_tokens), logps in zip(
                    places, shared.instance.score(asks) if asks else [], strict=True
                ):
                    results[index][place] = fsum(logps[-num_tokens:])
        return results

    def _readings(self, requests: Sequence[Score], shared: _Shared) -> tuple[list[tuple[int, int, int]], list[Ask]]:
        """What an instance has to read, and for each the request, the text's place in it and the tokens that count."""
        places, asks = [], []
        for index, request in enumerate(requests):
            if not self._speaks(request.policy, shared):
                continue
            policy = self._policies[request.policy]
            prompt_ids = policy.encode(request.prompt)
            for place, text in enumerate(request.texts):
                ids = policy.encode_completion(text)
                if prompt_ids and len(prompt_ids) + len(ids) < policy.max_context:
                    places.append((index, place, len(ids)))
                    asks.append(
                        Ask(prompt_ids=(*prompt_ids, *ids), params=_READ, adapter=self._adapters.get(request.policy))
                    )
        return places, asks

    def publish(self, version: int, *, blended: Collection[str] = ()) -> None:
        """Hand over the weights that changed. Where a model is sharded over processes, all of them must publish together."""
        changed = self._policies.keys() if self._lost_weights else self._trained.union(blended)
        with self.watch("publish"):
            self._version = version
            for shared in self._shared:
                if self._asleep:
                    shared.instance.wake("weights")
                self._publish(shared, changed)
                if self._asleep:
                    shared.instance.wake("kv_cache")
            self._asleep = False

    def sleep(self) -> None:
        """Give back GPU memory until the next ``publish``, as far as ``sleep_level`` says."""
        if not self._on_gpu or self._spec.sleep_level == 0 or self._asleep:
            return
        for shared in self._shared:
            shared.instance.sleep(self._level(shared))
        self._asleep = True

    def close(self) -> None:
        """End every vLLM process and remove the files handed to them."""
        for shared in self._shared:
            shared.instance.close()
        self._shared.clear()
        self._files.close()

    @property
    def _lost_weights(self) -> bool:
        return self._asleep and self._spec.sleep_level == 2

    def _level(self, shared: _Shared) -> int:
        """Weights below adapters are given to vLLM only once, when it starts, so they must not be dropped."""
        return 1 if _with_adapters(shared) else self._spec.sleep_level

    def _publish(self, shared: _Shared, changed: Collection[str]) -> None:
        """Hand over those of the ``changed`` policies that speak with this model."""
        if _with_adapters(shared):
            for name, policy in shared.policies.items():
                if self._needs_adapter(policy) and name in changed:
                    self._publish_adapter(shared.instance, name, policy)
            return
        name, policy = next(iter(shared.policies.items()))
        if name not in changed:
            return
        tensors = checkpoint_tensors(policy.model, dtype=sampling_dtype(self._spec, policy), untie=not self._on_gpu)
        shared.instance.load(tensors, self._version)

    def _speaks(self, name: str, shared: _Shared) -> bool:
        """Whether the policy speaks with this model; a ``KeyError`` names one that vLLM was not given."""
        return shared.policies.get(name) is self._policies[name]

    def _needs_adapter(self, policy: LoadedPolicy) -> bool:
        """vLLM's CPU build speaks with the last adapter it holds where none is asked for, if another one is in the batch; so
        the model below the adapters gets one as well, which changes nothing."""
        return policy.adapter is not None or not self._on_gpu

    def _publish_adapter(self, instance: Instance, name: str, policy: LoadedPolicy) -> None:
        # A name of its own every time, also among the runs that share a server: vLLM finds cached keys and values by it.
        before, now = self._adapters.get(name), f"{name}-{self._files.path.name}-{next(self._numbers)}"
        write_adapter(policy, self._files.path / now)
        instance.add_adapter(now, self._files.path / now)
        self._adapters[name] = now
        if before is not None:
            instance.remove_adapter(before)
            _remove(self._files.path / before)

    def _ask(self, request: Request) -> Ask:
        policy, sampling = self._policies[request.policy], request.sampling
        prompt_ids = tuple(policy.encode(request.prompt))
        room = policy.max_context - len(prompt_ids)
        if room < 1:
            raise ValueError(
                f"a prompt of {len(prompt_ids)} tokens leaves no room in the model's context of "
                f"{policy.max_context} tokens"
            )
        params: dict[str, Any] = {
            "n": request.n if sampling.temperature > 0 else 1,  # greedy siblings are all the same
            "seed": request.seed,  # vLLM gives sample i the seed + i
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "max_tokens": min(sampling.max_tokens, room),
            "stop_token_ids": sorted(policy.end_ids),
            "ignore_eos": True,  # the line above says it all
            "logprobs": 0,  # only that of the token drawn
            "detokenize": bool(sampling.stop),
        }
        if sampling.stop:
            marks_are_text = policy.style == "starter"
            params |= {"stop": list(sampling.stop), "skip_special_tokens": not marks_are_text}
        return Ask(prompt_ids=prompt_ids, params=params, adapter=self._adapters.get(request.policy))

    def _completions(self, request: Request, ask: Ask, drawn: Sequence[Drawn]) -> list[Completion]:
        policy = self._policies[request.policy]
        bodies = [
            each.token_ids[:-1] if each.stopped and each.token_ids[-1] in policy.end_ids else each.token_ids
            for each in drawn
        ]
        completions = [
            Completion(
                text=_before(text, request.sampling.stop),
                prompt_ids=ask.prompt_ids,
                token_ids=each.token_ids,
                logprobs=each.logprobs,
                entropies=(),
                ended=each.stopped,
                version=self._version,
            )
            for each, text in zip(drawn, policy.decode(bodies), strict=True)
        ]
        return completions if len(completions) == request.n else completions * request.n


def _with_adapters(shared: _Shared) -> bool:
    return any(policy.adapter is not None for policy in shared.policies.values())


def _before(text: str, stops: Sequence[str]) -> str:
    """The text up to the stop string that comes first."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
