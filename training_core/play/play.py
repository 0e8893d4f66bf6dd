"""The table at which a step is played: who speaks with which policy, and with which seed."""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from training_core.play.requests import Completion, Request, Score, derive_seed
from training_core.play.scheduler import Ask, AskScore, Episode, Gather
from training_core.spec.learning import SamplingSpec


class Play:
    """Handed to a method at every step; all randomness of the step comes from here.

    ``policies`` maps roles to policies, ``tokens_of`` counts what each role said. A role speaks with its own policy unless another
    one is named, such as a snapshot.
    """

    def __init__(
        self, *, policies: Mapping[str, str], sampling: SamplingSpec, seed: int, step: int, stream: str
    ) -> None:
        self.step = step
        self.rng = random.Random(derive_seed(seed, step, stream))
        self.tokens_of: dict[str, int] = {}
        self._policies = policies
        self._sampling = sampling
        self._seed = derive_seed(seed, step, stream, "requests")
        self._num_requests = 0

    @property
    def num_tokens(self) -> int:
        """Tokens sampled so far."""
        return sum(self.tokens_of.values())

    def policy_of(self, role: str) -> str:
        """Name of the policy the role speaks with, as blends need it: ``"main"`` or, with weights of its own, the role's."""
        return self._policies[role]

    async def say(
        self, role: str, prompt: str, *, n: int = 1, sampling: SamplingSpec | None = None, policy: str | None = None
    ) -> list[Completion]:
        """``n`` completions of ``prompt`` by the role's policy, or by ``policy``."""
        self._num_requests += 1
        request = Request(
            policy=policy or self._policies[role],
            prompt=prompt,
            n=n,
            sampling=sampling or self._sampling,
            seed=derive_seed(self._seed, self._num_requests),
        )
        completions = await Ask(request)
        num_tokens = sum(len(completion.token_ids) for completion in completions)
        self.tokens_of[role] = self.tokens_of.get(role, 0) + num_tokens
        return completions

    async def aside(self, role: str, prompt: str, *, key: str, sampling: SamplingSpec | None = None) -> Completion:
        """One completion by the role's policy that leaves no trace: seeds of other requests and the step's tokens are as without."""
        seed = derive_seed(self._seed, "aside", key)
        request = Request(
            policy=self._policies[role], prompt=prompt, n=1, sampling=sampling or self._sampling, seed=seed
        )
        return (await Ask(request))[0]

    async def score(self, role: str, prompt: str, texts: Sequence[str], *, policy: str | None = None) -> list[float]:
        """Log-prob of each text as the whole answer to ``prompt``: summed over its tokens and the end token, in nats."""
        if not texts:
            return []
        return await AskScore(Score(policy=policy or self._policies[role], prompt=prompt, texts=tuple(texts)))

    async def gather(self, episodes: Iterable[Episode[Any]]) -> list[Any]:
        """Run episodes side by side; their requests are batched. Results come in order."""
        return await Gather(list(episodes))
