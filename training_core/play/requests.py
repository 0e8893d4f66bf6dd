"""What a role asks of its policy, and what comes back."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol, Self

from training_core.engine_health import EngineHealth
from training_core.spec.learning import SamplingSpec
from training_core.stopwatch import Stopwatch


@dataclass(frozen=True, kw_only=True)
class Request:
    """``n`` completions of one prompt.

    Example: ``Request(policy="main", prompt="<|solve|>2+3<|go|>", n=8, sampling=SamplingSpec(max_tokens=64), seed=7)``.
    Sample ``i`` is drawn with seed ``seed + i``; equal seeds give equal completions whatever else is in the batch.
    """

    policy: str
    prompt: str
    n: int
    sampling: SamplingSpec
    seed: int


@dataclass(frozen=True, kw_only=True)
class Score:
    """How likely given completions of one prompt are: ``Score(policy="main", prompt="<|solve|>2+3<|go|>", texts=("5", "6"))``."""

    policy: str
    prompt: str
    texts: tuple[str, ...]
    """Whole completions without the end token, which is scored with them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """One sampled text with the tokens it was made of; ``logprobs`` is as long as ``token_ids``."""

    text: str
    """Decoded completion without the end token, cut before the stop string that ended it."""
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    """Sampled tokens, with the end token or the tokens of the stop string where the completion ended by itself."""
    logprobs: tuple[float, ...]
    """Log-probability of each token under the distribution it was drawn from, in nats."""
    entropies: tuple[float, ...]
    """Entropy of that distribution at each token, in nats; empty where the engine cannot tell."""
    ended: bool
    """False when the completion was cut at ``max_tokens``."""
    version: int = 0
    """Number of updates the weights had seen, as last told to ``Engine.publish``."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The completion whose fields, as ``dataclasses.asdict`` gives them, went through JSON."""
        found: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**found)


class Engine(Protocol):
    """Anything that completes prompts and knows how likely a completion is."""

    @property
    def watch(self) -> Stopwatch:
        """Where the engine's time goes: prefill, decode, publish."""

    @property
    def health(self) -> EngineHealth:
        """How busy it is, and how full its memory."""

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Completions of every request, in order; equal seeds give equal completions whatever else is in the batch."""

    def score(self, requests: Sequence[Score]) -> list[list[float]]:
        """Log-prob of every text of every request as the whole completion, end token included: summed, in nats, at temperature 1."""

    def publish(self, version: int, *, blended: Collection[str] = ()) -> None:
        """The trained weights, and the ``blended`` snapshots, changed: later completions come from them and carry ``version``.
        Wakes a sleeping engine."""

    def sleep(self) -> None:
        """Nothing is asked until the next ``publish``, so accelerator memory may be given to others."""

    def close(self) -> None:
        """Free everything the engine holds, processes included; nothing is asked of it afterwards."""


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed fixed by its parts: ``derive_seed(run_seed, step, "episode", 4)``."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
