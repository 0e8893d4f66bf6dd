"""How likely given completions are under a policy, from the learner's own forward passes without gradient."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import torch

from training_core.learn.logprobs import Text
from training_core.learn.scoring import Scorer
from training_core.play.requests import Score
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learner import LearnerSpec

TOKENS_AT_ONCE = 16_384
"""Tokens read in one forward pass."""
_AS_SAMPLED = LearnerSpec(precision="float32")
"""No autocast: sampling computes in the precision of the weights, and so does scoring."""


@dataclass(frozen=True, kw_only=True)
class _Place(Text):
    """A text to be scored: which of its request's."""

    request: int
    place: int


class Likelihood:
    """Scores texts in batches; all requests of one policy share them, and a prompt is read once for all its texts."""

    def __init__(self, policies: Mapping[str, LoadedPolicy]) -> None:
        self._policies = policies
        self._scorers: dict[str, Scorer] = {}

    def score(self, requests: Sequence[Score]) -> list[list[float]]:
        """Summed log-prob of each text with its end token, in nats, per request; minus infinity where they have no room in the
        context, because no such completion can be given."""
        results = [[-inf] * len(request.texts) for request in requests]
        waiting: dict[str, list[_Place]] = defaultdict(list)
        for index, request in enumerate(requests):
            policy = self._policies[request.policy]
            prompt_ids = policy.encode(request.prompt)
            for place, text in enumerate(request.texts):
                ids = policy.encode_completion(text)
                if prompt_ids and len(prompt_ids) + len(ids) <= policy.max_context:
                    waiting[request.policy].append(
                        _Place(prompt_ids=prompt_ids, token_ids=ids, request=index, place=place)
                    )
        for name, texts in waiting.items():
            for found, logp in zip(texts, self._logprobs(name, texts), strict=True):
                results[found.request][found.place] = logp
        return results

    def _logprobs(self, name: str, texts: Sequence[Text]) -> list[float]:
        """Summed log-prob of each text, under the weights and the adapter as they are now."""
        policy = self._policies[name]
        scorer = self._scorers.get(name)
        if scorer is None:
            scorer = self._scorers[name] = Scorer(policy, _AS_SAMPLED)
        sums = [0.0] * len(texts)
        was_training = policy.model.training
        policy.model.eval()
        with torch.no_grad(), policy.active():
            for batch in scorer.cut(texts, budget_tokens=TOKENS_AT_ONCE):
                chosen = [texts[index] for index in batch]
                logp_N, _ = scorer(chosen, temperature=1.0)
                pieces = torch.split(logp_N, [len(text.token_ids) for text in chosen])
                for index, piece in zip(batch, pieces, strict=True):
                    sums[index] = float(piece.double().sum())
        policy.model.train(was_training)
        return sums
