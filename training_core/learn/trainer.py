"""The gradient and the optimiser steps of one policy.

Shapes: N completion tokens, laid end to end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import torch

from training_core.distributed.parallel import Parallel
from training_core.learn.correction import truncated_importance
from training_core.learn.dealing import AnyText, own_micro_batches
from training_core.learn.logprobs import Text
from training_core.learn.losses import clipped_policy_loss, k3
from training_core.learn.meter import Meter
from training_core.learn.optimizers import OptimizerSet
from training_core.learn.scoring import Scorer
from training_core.play.records import Rollout
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learner import LearnerSpec
from training_core.spec.online import OnlineSpec
from training_core.stopwatch import Stopwatch


@dataclass(frozen=True, kw_only=True)
class Row(Text):
    """One completion to learn from: ``Row(prompt_ids=(4, 9), token_ids=(7, 0), advantage=0.5, sampler_logp=(-1.2, -0.3))``."""

    advantage: float
    sampler_logp: Sequence[float]
    """Log-probs under the distribution it was sampled from."""
    old_logp: Sequence[float] | None = None
    """Log-probs under the learner's weights before the first update; None where these are the present ones."""
    place: int = 0
    """Where it stands in its mini-batch."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A mini-batch: the rows that have a gradient, and the completion tokens of all its rows."""

    rows: list[Row]
    num_tokens: int


class PolicyTrainer:
    """Clipped policy loss, rehearsal and optimiser of one trained policy.

    The gradient does not depend on how a mini-batch is cut into micro-batches or dealt to processes: every token's loss is
    divided by the number of tokens of the whole mini-batch, and the gradients of all processes are to be summed.
    """

    def __init__(
        self,
        method: OnlineSpec,
        settings: LearnerSpec,
        policy: LoadedPolicy,
        *,
        reference: LoadedPolicy | None,
        sampler_is_learner: bool,
        parallel: Parallel,
        watch: Stopwatch,
    ) -> None:
        self._method = method
        self._settings = settings
        self._policy = policy
        self._parallel = parallel
        self._watch = watch
        self._score = Scorer(policy, settings)
        self._reference = None if reference is None else Scorer(reference, settings)
        # An engine samples in the precision of the weights.
        same = sampler_is_learner and not self._score.autocasts
        self.corrects = settings.corrects(sampler_is_learner=same)
        self._rehearsal_coef = method.rehearsal.coef if method.rehearsal else 0.0
        self.optimizer = OptimizerSet(method.optimizer, policy.trained_parameters())

    def update(self, minibatches: Sequence[Sequence[Rollout]], lessons: Sequence[Text]) -> tuple[Meter, int]:
        """All optimiser steps of one batch; returns the metrics and the number of tokens that went through the model."""
        meter = Meter()
        epochs = self._method.optimizer.epochs
        with self._policy.active():
            self._policy.model.train()
            parts = [self._part(rollouts) for rollouts in minibatches if rollouts or lessons]
            if self.corrects and len(parts) * epochs > 1:
                parts = [replace(part, rows=self._with_old_logprobs(part.rows)) for part in parts]
            num_tokens = sum(self._step(part, lessons, meter) for part in parts * epochs)
        return meter, num_tokens

    def _part(self, rollouts: Sequence[Rollout]) -> Part:
        loss = self._method.loss
        # Without bonus and penalty, an advantage of 0 has no gradient.
        idle_teach = loss.entropy_coef > 0 or loss.kl_coef > 0
        rows = [_row(rollout) for rollout in rollouts if rollout.advantage != 0 or idle_teach]
        return Part(rows=rows, num_tokens=sum(len(rollout.completion.token_ids) for rollout in rollouts))

    # One mini-batch

    def _step(self, part: Part, lessons: Sequence[Text], meter: Meter) -> int:
        """Gradient of one mini-batch and one optimiser step; returns the tokens that went through the model."""
        num_lesson_tokens = sum(len(text.token_ids) for text in lessons)
        for rows, counts in self._micro_batches(part.rows):
            with self._watch("forward"):
                loss_sum = self._policy_loss(rows, meter if counts else Meter())
            self._backward(loss_sum * (counts / part.num_tokens))
        for texts, counts in self._micro_batches(lessons):
            with self._watch("forward"):
                logp_N, _ = self._score(texts, temperature=1.0)
            if counts:
                meter.add("loss/rehearsal", -logp_N.detach().sum(), weight=logp_N.numel())
            self._backward(logp_N.sum() * (-counts * self._rehearsal_coef / num_lesson_tokens))
        with self._watch("optimizer"):
            norm = self.optimizer.step()
        num_tokens = sum(len(row.token_ids) for row in part.rows)
        if self._parallel.rank == 0:
            if isfinite(norm):
                meter.add("grad/norm", norm, weight=1)
            self._count_idle(part.num_tokens - num_tokens, meter)
        return num_tokens + num_lesson_tokens

    @staticmethod
    def _count_idle(num_tokens: int, meter: Meter) -> None:
        """Tokens left out because they have no gradient: their policy loss is 0 and none of them is clipped."""
        for name in ("loss/policy", "loss/clip_share"):
            meter.add(name, 0.0, weight=num_tokens)

    def _policy_loss(self, rows: Sequence[Row], meter: Meter) -> torch.Tensor:
        """Summed loss of the tokens of one micro-batch."""
        device, loss = self._policy.model.device, self._method.loss
        temperature = self._method.sampling.temperature
        logp_N, entropy_N = self._score(rows, temperature=temperature, with_entropy=loss.entropy_coef > 0)
        reference_logp_N = self._reference_logprobs(rows)
        old_logp_N = sampler_logp_N = _flat([row.sampler_logp for row in rows], device)
        weight_N, num_tokens = None, logp_N.numel()
        meter.add("kl/sampler_learner", k3(sampler_logp_N, logp_N.detach()).sum(), weight=num_tokens)
        if self.corrects:
            own = [row.old_logp for row in rows]
            old_logp_N = logp_N.detach() if None in own else _flat([logp or () for logp in own], device)
            mismatch = truncated_importance(old_logp_N, sampler_logp_N, cap=self._settings.correction_cap)
            weight_N = mismatch.weight_N
            meter.add("mismatch/kl", mismatch.kl, weight=num_tokens)
            meter.add("mismatch/truncated_share", mismatch.num_truncated, weight=num_tokens)
            meter.highest("mismatch/ratio_max", mismatch.ratio_max)
        token_loss = clipped_policy_loss(
            loss,
            logp_N=logp_N,
            old_logp_N=old_logp_N,
            advantage_N=_flat([[row.advantage] * len(row.token_ids) for row in rows], device),
            entropy_N=entropy_N,
            reference_logp_N=reference_logp_N,
            weight_N=weight_N,
        )
        for name, value in token_loss.sums.items():
            meter.add(name, value, weight=num_tokens)
        return token_loss.loss_N.sum()

    def _reference_logprobs(self, texts: Sequence[Text]) -> torch.Tensor | None:
        if self._reference is None or self._method.loss.kl_coef == 0:
            return None
        with self._watch("logprobs"), torch.no_grad(), self._reference.policy.active():
            logp_N, _ = self._reference(texts, temperature=self._method.sampling.temperature)
        return logp_N

    def _with_old_logprobs(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with their log-probs under the weights as they are now; every process computes a part."""
        found: list[tuple[int, list[float]]] = []
        places = [replace(row, place=place) for place, row in enumerate(rows)]
        with self._watch("logprobs"), torch.no_grad():
            for batch, counts in self._micro_batches(places):
                logp_N, _ = self._score(batch, temperature=self._method.sampling.temperature)
                if counts:
                    pieces = torch.split(logp_N, [len(row.token_ids) for row in batch])
                    found += [(row.place, piece.tolist()) for row, piece in zip(batch, pieces, strict=True)]
        logps = dict(self._parallel.gather_lists(found))
        return [replace(row, old_logp=logps[place]) for place, row in enumerate(rows)]

    def _micro_batches(self, texts: Sequence[AnyText]) -> list[tuple[list[AnyText], int]]:
        budget_tokens = self._method.optimizer.micro_batch_tokens
        return own_micro_batches(self._score, texts, budget_tokens=budget_tokens, parallel=self._parallel)

    def _backward(self, loss: torch.Tensor) -> None:
        with self._watch("backward"):
            torch.autograd.backward(loss)


def _row(rollout: Rollout) -> Row:
    completion = rollout.completion
    return Row(
        prompt_ids=completion.prompt_ids,
        token_ids=completion.token_ids,
        advantage=rollout.advantage,
        sampler_logp=completion.logprobs,
    )


def _flat(rows: Sequence[Sequence[float]], device: Any) -> torch.Tensor:
    return torch.tensor([value for row in rows for value in row], dtype=torch.float32, device=device)
