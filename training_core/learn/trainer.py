"""The gradient and the optimiser steps of one policy."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import torch

from training_core.distributed.parallel import Parallel
from training_core.learn.meter import Meter
from training_core.learn.objectives.base import MiniBatch, Objective, PolicyPasses, Share
from training_core.learn.objectives.imitation import Imitation, Rehearsal
from training_core.learn.objectives.policy_gradient import PolicyGradient
from training_core.learn.objectives.preference import Preference
from training_core.learn.optimizers import OptimizerSet
from training_core.learn.scoring import Scorer
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learner import LearnerSpec
from training_core.spec.trained import TrainedSpec
from training_core.stopwatch import Stopwatch


class PolicyTrainer:
    """Objectives and optimiser of one trained policy.

    The losses of all objectives that have something to learn from in a mini-batch are added up into one gradient. It does not
    depend on how the mini-batch is cut into micro-batches or dealt to processes, whose gradients are to be summed.
    """

    def __init__(
        self,
        method: TrainedSpec,
        settings: LearnerSpec,
        policy: LoadedPolicy,
        *,
        reference: LoadedPolicy | None,
        sampler_is_learner: bool,
        parallel: Parallel,
        watch: Stopwatch,
        keeps_logprobs: bool,
    ) -> None:
        self._epochs = method.optimizer.epochs
        self._policy = policy
        self._parallel = parallel
        self._watch = watch
        score = Scorer(policy, settings)
        # An engine samples in the precision of the weights.
        same = sampler_is_learner and not score.autocasts
        self.corrects = settings.corrects(sampler_is_learner=same)
        passes = PolicyPasses(
            score,
            None if reference is None else Scorer(reference, settings),
            budget_tokens=method.optimizer.pass_tokens(policy.model.device.type),
            parallel=parallel,
            watch=watch,
        )
        self._passes = passes
        self._correction_cap = settings.correction_cap if self.corrects else None
        self._keeps_logprobs = keeps_logprobs
        self._objectives = self._objectives_of(method)
        self.optimizer = OptimizerSet(method.optimizer, policy.trained_parameters())

    @property
    def has_reference(self) -> bool:
        return self._passes.reference is not None

    def retune(self, method: TrainedSpec) -> None:
        """Go on with other losses and another step size, between two updates."""
        self._objectives = self._objectives_of(method)
        self.optimizer.retune(method.optimizer)

    def _objectives_of(self, method: TrainedSpec) -> list[Objective]:
        return _objectives(
            method, self._passes, correction_cap=self._correction_cap, keeps_logprobs=self._keeps_logprobs
        )

    def update(self, batches: Sequence[MiniBatch], *, lr_scale: float) -> tuple[Meter, int]:
        """All optimiser steps of one batch; returns the metrics and the number of tokens that went through the model."""
        meter, num_tokens = Meter(), 0
        batches = [batch for batch in batches if batch]
        num_updates = len(batches) * self._epochs
        with self._policy.active():
            self._policy.model.train()
            shares = [objective.shares(batches, num_updates=num_updates) for objective in self._objectives]
            for parts in list(zip(*shares, strict=True)) * self._epochs:
                num_tokens += self._step(parts, meter, lr_scale=lr_scale)
        for objective in self._objectives:
            objective.finish()
        return meter, num_tokens

    def _step(self, shares: Sequence[Share], meter: Meter, *, lr_scale: float) -> int:
        """Gradient of one mini-batch and one optimiser step; returns the tokens that went through the model."""
        for share in shares:
            for loss in share.losses(meter):
                with self._watch("backward"):
                    torch.autograd.backward(loss)
        with self._watch("optimizer"):
            norm = self.optimizer.step(lr_scale=lr_scale)
        if isfinite(norm) and self._parallel.rank == 0:
            meter.add("grad/norm", norm, weight=1)
        return sum(share.num_tokens for share in shares)


def _objectives(
    method: Any, passes: PolicyPasses, *, correction_cap: float | None, keeps_logprobs: bool
) -> list[Objective]:
    """What the method's spec has fields for; demonstrations and lessons need none."""
    found: list[Objective] = []
    if hasattr(method, "loss"):
        temperature = method.sampling.temperature
        found.append(
            PolicyGradient(
                method.loss,
                passes,
                temperature=temperature,
                correction_cap=correction_cap,
                keeps_logprobs=keeps_logprobs,
            )
        )
    if hasattr(method, "preference"):
        coef = getattr(method, "imitation_coef", 0.0)
        found.append(Preference(method.preference, passes, imitation_coef=coef))
    found.append(Imitation(passes))
    found.append(Rehearsal(passes, coef=method.rehearsal.coef if method.rehearsal else 0.0))
    return found
