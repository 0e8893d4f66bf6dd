"""Learning by heart: demonstrations of a method, and lessons of the starter's teaching text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from training_core.learn.logprobs import Text
from training_core.learn.meter import Meter
from training_core.learn.objectives.base import MiniBatch, Objective, PolicyPasses, Share, completion_ids, flat
from training_core.play.records import Demonstration
from training_core.policies.loaded import LoadedPolicy


@dataclass(frozen=True, kw_only=True)
class WeightedText(Text):
    """A text to imitate; ``weight`` multiplies its negative log-likelihood."""

    weight: float


class Imitation(Objective):
    """Negative log-likelihood of the demonstrations, divided by the number of tokens of the whole mini-batch."""

    def __init__(self, passes: PolicyPasses) -> None:
        self._passes = passes

    def shares(self, batches: Sequence[MiniBatch], *, num_updates: int) -> list[Share]:
        texts = [[_text(self._passes.policy, each) for each in batch.demonstrations] for batch in batches]
        return [Share(num_tokens=_num_tokens(part), losses=partial(self._losses, part)) for part in texts]

    def _losses(self, texts: Sequence[WeightedText], meter: Meter) -> Iterator[torch.Tensor]:
        num_tokens = _num_tokens(texts)
        for batch, counts in self._passes.micro_batches(texts):
            with self._passes.watch("forward"):
                logp_N, _ = self._passes.score(batch, temperature=1.0)
                weight_N = flat([[text.weight] * len(text.token_ids) for text in batch], logp_N.device)
            if counts:
                meter.add("loss/imitation", -logp_N.detach().sum(), weight=logp_N.numel())
            yield (weight_N * logp_N).sum() * (-counts / num_tokens)


class Rehearsal(Objective):
    """Mean negative log-likelihood per token of the lessons, times a coefficient."""

    def __init__(self, passes: PolicyPasses, *, coef: float) -> None:
        self._passes = passes
        self._coef = coef

    def shares(self, batches: Sequence[MiniBatch], *, num_updates: int) -> list[Share]:
        return [
            Share(num_tokens=_num_tokens(batch.lessons), losses=partial(self._losses, batch.lessons))
            for batch in batches
        ]

    def _losses(self, lessons: Sequence[Text], meter: Meter) -> Iterator[torch.Tensor]:
        num_tokens = _num_tokens(lessons)
        for batch, counts in self._passes.micro_batches(lessons):
            with self._passes.watch("forward"):
                logp_N, _ = self._passes.score(batch, temperature=1.0)
            if counts:
                meter.add("loss/rehearsal", -logp_N.detach().sum(), weight=logp_N.numel())
            yield logp_N.sum() * (-counts * self._coef / num_tokens)


def _text(policy: LoadedPolicy, demonstration: Demonstration) -> WeightedText:
    return WeightedText(
        prompt_ids=policy.encode(demonstration.prompt),
        token_ids=completion_ids(policy, demonstration.completion),
        weight=demonstration.weight,
    )


def _num_tokens(texts: Sequence[Text]) -> int:
    return sum(len(text.token_ids) for text in texts)
