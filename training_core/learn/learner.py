"""Turns scored rollouts into one update of the weights."""

from collections import defaultdict
from collections.abc import Sequence
from math import isfinite
from typing import Any

import torch

from training_core.learn.advantages import estimate_advantages
from training_core.learn.logprobs import Text, completion_logprobs, micro_batches
from training_core.learn.losses import clipped_policy_loss
from training_core.learn.optimizers import OptimizerSet
from training_core.play.records import Rollout
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.online import OnlineSpec


class OnlineLearner:
    """Advantages, clipped policy loss and optimiser for one trained policy.

    The gradient does not depend on how a mini-batch is cut into micro-batches: every token's loss is divided by the number of
    tokens of the whole mini-batch.
    """

    def __init__(self, spec: OnlineSpec, policy: LoadedPolicy, reference: LoadedPolicy | None) -> None:
        self._spec = spec
        self._policy = policy
        self._reference = reference
        self.optimizer = OptimizerSet(spec.optimizer, policy.model.named_parameters())
        self.num_skipped = 0
        """Updates left out because loss or gradient was not finite."""

    def update(self, rollouts: Sequence[Rollout], lessons: Sequence[Text], *, order: Sequence[int]) -> dict[str, float]:
        """Estimate advantages, take the optimiser steps, return metrics.

        ``order`` is a permutation of the rollouts that spreads them over mini-batches.
        """
        if not rollouts and not lessons:
            return {}
        for rollout, advantage in zip(rollouts, estimate_advantages(self._spec.advantage, rollouts), strict=True):
            rollout.advantage = advantage
            if rollout.turn is not None:
                rollout.turn.advantage = advantage
        settings = self._spec.optimizer
        sums: dict[str, float] = defaultdict(float)
        norms: list[float] = []
        self._policy.model.train()
        for _ in range(settings.epochs):
            for part in range(settings.minibatches):
                chosen = [rollouts[index] for index in order[part :: settings.minibatches]]
                if chosen or lessons:
                    norms.append(self._step(chosen, lessons, sums))
        num_tokens = sum(len(rollout.completion.token_ids) for rollout in rollouts) * settings.epochs
        num_lesson_tokens = sum(len(lesson.token_ids) for lesson in lessons) * len(norms)
        rehearsal = sums.pop("loss/rehearsal", None)
        metrics = {name: value / max(1, num_tokens) for name, value in sums.items()}
        if rehearsal is not None:
            metrics["loss/rehearsal"] = rehearsal / num_lesson_tokens
        finite = [norm for norm in norms if isfinite(norm)]
        self.num_skipped += len(norms) - len(finite)
        metrics["grad/norm"] = sum(finite) / max(1, len(finite))
        metrics["grad/skipped_updates"] = float(self.num_skipped)
        metrics["tokens/trained"] = float(num_tokens + num_lesson_tokens)
        return metrics

    def _step(self, rollouts: Sequence[Rollout], lessons: Sequence[Text], sums: dict[str, float]) -> float:
        """Gradient of one mini-batch, one optimiser step; returns the gradient norm."""
        texts = [Text(prompt_ids=r.completion.prompt_ids, token_ids=r.completion.token_ids) for r in rollouts]
        num_tokens = sum(len(text.token_ids) for text in texts)
        for indices in micro_batches(texts, budget_tokens=self._spec.optimizer.micro_batch_tokens):
            batch = [texts[index] for index in indices]
            loss, found = self._policy_loss(batch, [rollouts[index] for index in indices])
            torch.autograd.backward(loss / num_tokens)
            for name, value in found.items():
                sums[name] += float(value)
        if lessons and self._spec.rehearsal is not None:
            self._rehearse(lessons, sums)
        return self.optimizer.step()

    def _policy_loss(self, batch: list[Text], rollouts: list[Rollout]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        device = self._policy.model.device
        temperature = self._spec.sampling.temperature
        logp_N, entropy_N = completion_logprobs(self._policy.model, batch, temperature=temperature, with_entropy=True)
        assert entropy_N is not None
        reference_logp_N = None
        if self._reference is not None and self._spec.loss.kl_coef > 0:
            with torch.no_grad():
                reference_logp_N, _ = completion_logprobs(
                    self._reference.model, batch, temperature=temperature, with_entropy=False
                )
        token_loss = clipped_policy_loss(
            self._spec.loss,
            logp_N=logp_N,
            old_logp_N=_flat([list(r.completion.logprobs) for r in rollouts], device),
            advantage_N=_flat([[r.advantage] * len(r.completion.token_ids) for r in rollouts], device),
            entropy_N=entropy_N,
            reference_logp_N=reference_logp_N,
        )
        return token_loss.loss_N.sum(), token_loss.sums

    def _rehearse(self, texts: Sequence[Text], sums: dict[str, float]) -> None:
        """Cross-entropy on labelled text, mean over its tokens, weighted by ``rehearsal.coef``."""
        assert self._spec.rehearsal is not None
        num_tokens = sum(len(text.token_ids) for text in texts)
        for indices in micro_batches(texts, budget_tokens=self._spec.optimizer.micro_batch_tokens):
            logp_N, _ = completion_logprobs(
                self._policy.model, [texts[i] for i in indices], temperature=1.0, with_entropy=False
            )
            torch.autograd.backward(-self._spec.rehearsal.coef * logp_N.sum() / num_tokens)
            sums["loss/rehearsal"] -= float(logp_N.detach().sum())


def _flat(rows: list[list[float]], device: Any) -> torch.Tensor:
    return torch.tensor([value for row in rows for value in row], dtype=torch.float32, device=device)
