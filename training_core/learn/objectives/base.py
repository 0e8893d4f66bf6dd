"""What the objectives of a policy have in common: a mini-batch in, losses to be added up out.

Shapes: N completion tokens, laid end to end.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from training_core.distributed.parallel import Parallel
from training_core.learn.dealing import AnyText, own_micro_batches
from training_core.learn.logprobs import Text
from training_core.learn.meter import Meter
from training_core.learn.scoring import Scorer
from training_core.play.records import Demonstration, Pair, Rollout
from training_core.play.requests import Completion
from training_core.policies.loaded import LoadedPolicy
from training_core.stopwatch import Stopwatch


@dataclass(frozen=True, kw_only=True)
class MiniBatch:
    """What one optimiser step learns from."""

    rollouts: Sequence[Rollout] = ()
    pairs: Sequence[Pair] = ()
    demonstrations: Sequence[Demonstration] = ()
    lessons: Sequence[Text] = ()

    def __bool__(self) -> bool:
        return bool(self.rollouts or self.pairs or self.demonstrations or self.lessons)

    def of(self, policy: str, policy_of: Mapping[str, str]) -> "MiniBatch":
        """The part that is for one policy; lessons are for all."""
        return MiniBatch(
            rollouts=[each for each in self.rollouts if policy_of[each.role] == policy],
            pairs=[each for each in self.pairs if policy_of[each.role] == policy],
            demonstrations=[each for each in self.demonstrations if policy_of[each.role] == policy],
            lessons=self.lessons,
        )


@dataclass(frozen=True, kw_only=True)
class Share:
    """One objective's part of one mini-batch."""

    num_tokens: int
    """Completion tokens that go through the model, over all processes."""
    losses: Callable[[Meter], Iterator[torch.Tensor]]
    """The loss in pieces, one per micro-batch of this process, each to be sent backward before the next is asked for.

    Over all pieces and all processes they add up to the loss of the whole mini-batch, so no split changes the gradient.
    """


class Objective(ABC):
    """One kind of thing a policy learns from."""

    @abstractmethod
    def shares(self, batches: Sequence[MiniBatch], *, num_updates: int) -> list[Share]:
        """One share per mini-batch, prepared under the weights as they are before the first of ``num_updates`` updates."""

    def finish(self) -> None:
        """All updates are done: tell readers what was found on the way."""
        return


class PolicyPasses:
    """Passes of one policy and of its reference, cut into micro-batches and dealt to the processes."""

    def __init__(
        self, score: Scorer, reference: Scorer | None, *, budget_tokens: int, parallel: Parallel, watch: Stopwatch
    ) -> None:
        self.score = score
        self.reference = reference
        self.parallel = parallel
        self.watch = watch
        self._budget_tokens = budget_tokens

    @property
    def policy(self) -> LoadedPolicy:
        return self.score.policy

    def micro_batches(
        self, texts: Sequence[AnyText], *, score: Scorer | None = None
    ) -> list[tuple[list[AnyText], int]]:
        """Micro-batches of this process for the policy, or for ``score``; each with 1, or with 0 where it must not count."""
        return own_micro_batches(score or self.score, texts, budget_tokens=self._budget_tokens, parallel=self.parallel)

    @contextmanager
    def as_reference(self) -> Iterator[Scorer]:
        """The reference, ready to score without gradient."""
        assert self.reference is not None
        with torch.no_grad(), self.reference.policy.active():
            yield self.reference

    @property
    def tells(self) -> bool:
        """Whether this process is the one that counts what all processes know."""
        return self.parallel.rank == 0


def flat(rows: Sequence[Sequence[float]], device: torch.device) -> torch.Tensor:
    """Rows of numbers end to end."""
    return torch.tensor([value for row in rows for value in row], dtype=torch.float32, device=device)


def completion_ids(policy: LoadedPolicy, completion: Completion | str) -> Sequence[int]:
    """The tokens that were sampled, or those of a text with the token that ends it."""
    return policy.encode_completion(completion) if isinstance(completion, str) else completion.token_ids
