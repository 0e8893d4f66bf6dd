"""What a role asks of its policy, and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from training_core.spec.learning import SamplingSpec


@dataclass(frozen=True, kw_only=True)
class Request:
    """``n`` completions of one prompt.

    Example: ``Request(policy="main", prompt="<|solve|>2+3<|go|>", n=8, sampling=SamplingSpec(max_tokens=64), seed=7)``.
    Equal seeds give equal completions whatever else is in the batch.
    """

    policy: str
    prompt: str
    n: int
    sampling: SamplingSpec
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """One sampled text with the tokens it was made of; the three token sequences have equal length."""

    text: str
    """Decoded completion without the end token."""
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    """Sampled tokens, with the end token where the completion ended by itself."""
    logprobs: tuple[float, ...]
    """Log-probability of each token under the distribution it was drawn from, in nats."""
    entropies: tuple[float, ...]
    """Entropy of that distribution at each token, in nats."""
    ended: bool
    """False when the completion was cut at ``max_tokens``."""


class Engine(Protocol):
    """Anything that completes prompts. Results come in the order of the requests."""

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]: ...


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed fixed by its parts: ``derive_seed(run_seed, step, "episode", 4)``."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
