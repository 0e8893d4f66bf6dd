"""Learning from pairs of completions of which one is preferred.

Shapes: P pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

import torch
import torch.nn.functional as F

from training_core.distributed.parallel import Alone, Parallel
from training_core.learn.dealing import own_micro_batches
from training_core.learn.logprobs import Text
from training_core.learn.meter import Meter
from training_core.learn.optimizers import OptimizerSet
from training_core.learn.scoring import Scorer
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learner import LearnerSpec
from training_core.spec.learning import DpoLoss, OptimizerSpec
from training_core.stopwatch import Stopwatch


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two completions of one prompt: ``Pair(prompt_ids=(4, 9), chosen_ids=(7, 0), rejected_ids=(3, 0))``."""

    prompt_ids: Sequence[int]
    chosen_ids: Sequence[int]
    rejected_ids: Sequence[int]
    reference_logp: tuple[float, float] | None = None
    """Summed log-probs of chosen and rejected under the reference, in nats; None until they are computed."""


@dataclass(frozen=True, kw_only=True)
class _PairText(Text):
    """A pair as one text, so that both completions come into one micro-batch; the prompt counts once."""

    pair: Pair
    place: int


def dpo_loss(
    spec: DpoLoss,
    *,
    chosen_logp_P: torch.Tensor,
    rejected_logp_P: torch.Tensor,
    reference_chosen_logp_P: torch.Tensor,
    reference_rejected_logp_P: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and margin of each pair (Rafailov et al. 2023, equation 7); log-probs are sums over the completion.

    margin = beta ((chosen_logp - reference_chosen_logp) - (rejected_logp - reference_rejected_logp))
    loss = -ln sigmoid(margin)
    """
    gain_P = (chosen_logp_P - reference_chosen_logp_P) - (rejected_logp_P - reference_rejected_logp_P)
    margin_P = spec.beta * gain_P
    return -F.logsigmoid(margin_P), margin_P


class PreferenceLearner:
    """DPO on one policy; a prompt runs once for both completions.

    ``reference`` scores each pair once, before the first update that sees it; a policy that is an adapter takes its base for that.
    """

    def __init__(
        self,
        loss: DpoLoss,
        optimizer: OptimizerSpec,
        settings: LearnerSpec,
        policy: LoadedPolicy,
        *,
        reference: LoadedPolicy | None,
        parallel: Parallel = Alone(),  # noqa: B008 (it has no state)
    ) -> None:
        reference = policy.without_adapter() if policy.adapter else reference
        if reference is None:
            raise ValueError(
                "DPO compares with a reference policy, but none was given; pass a frozen copy of the start"
            )
        self._loss = loss
        self._budget_tokens = optimizer.micro_batch_tokens
        self._policy = policy
        self._parallel = parallel
        self._watch = Stopwatch()
        self._score = Scorer(policy, settings)
        self._reference = Scorer(reference, settings)
        self.optimizer = OptimizerSet(optimizer, policy.trained_parameters())

    def with_reference(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs with their reference log-probs; those that have them keep them."""
        todo = [place for place, pair in enumerate(pairs) if pair.reference_logp is None]
        found: list[tuple[int, tuple[float, float]]] = []
        with self._watch("logprobs"), torch.no_grad(), self._reference.policy.active():
            for batch, counts in self._micro_batches(self._reference, [(place, pairs[place]) for place in todo]):
                chosen_P, rejected_P = _pair_logprobs(self._reference, [text.pair for text in batch])
                if counts:
                    sums = zip(chosen_P.tolist(), rejected_P.tolist(), strict=True)
                    found += [(text.place, both) for text, both in zip(batch, sums, strict=True)]
        logps = dict(self._parallel.gather_lists(found))
        return [
            replace(pair, reference_logp=logps[place]) if place in logps else pair for place, pair in enumerate(pairs)
        ]

    def update(self, pairs: Sequence[Pair]) -> dict[str, float]:
        """One optimiser step on the mean loss of ``pairs``; returns metrics. Pairs without reference log-probs get them first."""
        if not pairs:
            return {}
        pairs = self.with_reference(pairs)
        meter = Meter()
        with self._policy.active():
            self._policy.model.train()
            for batch, counts in self._micro_batches(self._score, list(enumerate(pairs))):
                with self._watch("forward"):
                    loss = self._pair_loss([text.pair for text in batch], meter if counts else Meter())
                with self._watch("backward"):
                    torch.autograd.backward(loss * (counts / len(pairs)))
            with self._watch("optimizer"):
                norm = self.optimizer.step()
        if isfinite(norm) and self._parallel.rank == 0:
            meter.add("grad/norm", norm, weight=1)
        return {
            "grad/norm": 0.0,
            **meter.take(self._parallel),
            "grad/skipped_updates": float(self.optimizer.num_skipped),
            "tokens/trained": float(sum(len(pair.chosen_ids) + len(pair.rejected_ids) for pair in pairs)),
            **{f"time/{part}_s": seconds for part, seconds in self._watch.take().items()},
        }

    def _pair_loss(self, pairs: Sequence[Pair], meter: Meter) -> torch.Tensor:
        """Summed loss of the pairs of one micro-batch."""
        chosen_P, rejected_P = _pair_logprobs(self._score, pairs)
        reference_P2 = torch.tensor([pair.reference_logp for pair in pairs], device=chosen_P.device)
        loss_P, margin_P = dpo_loss(
            self._loss,
            chosen_logp_P=chosen_P,
            rejected_logp_P=rejected_P,
            reference_chosen_logp_P=reference_P2[:, 0],
            reference_rejected_logp_P=reference_P2[:, 1],
        )
        meter.add("loss/preference", loss_P.detach().sum(), weight=len(pairs))
        meter.add("preference/margin", margin_P.detach().sum(), weight=len(pairs))
        meter.add("preference/accuracy", (margin_P > 0).sum(), weight=len(pairs))
        return loss_P.sum()

    def _micro_batches(self, score: Scorer, pairs: Sequence[tuple[int, Pair]]) -> list[tuple[list[_PairText], int]]:
        texts = [
            _PairText(
                prompt_ids=pair.prompt_ids, token_ids=[*pair.chosen_ids, *pair.rejected_ids], pair=pair, place=place
            )
            for place, pair in pairs
        ]
        return own_micro_batches(score, texts, budget_tokens=self._budget_tokens, parallel=self._parallel)


def _pair_logprobs(score: Scorer, pairs: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed log-probs of chosen and of rejected completions: P numbers each."""
    texts = [
        Text(prompt_ids=pair.prompt_ids, token_ids=ids)
        for pair in pairs
        for ids in (pair.chosen_ids, pair.rejected_ids)
    ]
    logp_N, _ = score(texts, temperature=1.0)
    owner_N = torch.repeat_interleave(torch.tensor([len(text.token_ids) for text in texts])).to(logp_N.device)
    sums = logp_N.new_zeros(len(texts)).index_add(0, owner_N, logp_N).view(-1, 2)
    return sums[:, 0], sums[:, 1]
