"""Turns what a step handed over into one update of the weights of every trained policy."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from training_core.distributed.parallel import Alone, Parallel
from training_core.learn.advantages import Baselines, advantage_means, estimate_advantages
from training_core.learn.logprobs import Text
from training_core.learn.objectives.base import MiniBatch
from training_core.learn.optimizers import OptimizerSet
from training_core.learn.trainer import PolicyTrainer
from training_core.play.records import Rollout, StepBatch
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learner import LearnerSpec
from training_core.spec.learning import AdvantageSpec, NoBaseline
from training_core.spec.orders import OrderRefused
from training_core.spec.trained import TrainedSpec
from training_core.stopwatch import Stopwatch

Item = TypeVar("Item")


class Learner:
    """Advantages, losses and optimisers of a run, for all its trained policies.

    ``policy_of`` names the policy of each role; what roles do whose policy is not trained is left alone. ``references`` has the
    policy that the KL penalty and the preference loss of each trained one compare with; policies that are adapters take their
    base with the adapter switched off where none is given. ``sampler_is_learner`` says that completions come from the very
    weights learnt here, so that no correction is needed. With ``keeps_logprobs`` rollouts are told the log-probs of their tokens.
    """

    def __init__(
        self,
        method: TrainedSpec,
        settings: LearnerSpec,
        policies: Mapping[str, LoadedPolicy],
        *,
        policy_of: Mapping[str, str],
        references: Mapping[str, LoadedPolicy],
        parallel: Parallel = Alone(),  # noqa: B008 (it has no state)
        sampler_is_learner: bool = True,
        keeps_logprobs: bool = False,
    ) -> None:
        self._method = method
        self._policy_of = policy_of
        self._parallel = parallel
        self._watch = Stopwatch()
        self._baselines = Baselines()
        self._trainers = {
            name: PolicyTrainer(
                method,
                settings,
                policy,
                reference=references.get(name) or (policy.without_adapter() if policy.adapter else None),
                sampler_is_learner=sampler_is_learner,
                parallel=parallel,
                watch=self._watch,
                keeps_logprobs=keeps_logprobs,
            )
            for name, policy in policies.items()
        }

    @property
    def optimizers(self) -> dict[str, OptimizerSet]:
        """The optimisers by policy."""
        return {name: trainer.optimizer for name, trainer in self._trainers.items()}

    @property
    def num_skipped(self) -> int:
        """Updates left out because a gradient was not finite, over all policies."""
        return sum(optimizer.num_skipped for optimizer in self.optimizers.values())

    @property
    def num_skipped_in_a_row(self) -> int:
        """The same without an update in between, of the policy that fares worst."""
        return max(optimizer.num_skipped_in_a_row for optimizer in self.optimizers.values())

    def state_dict(self) -> dict[str, Any]:
        """What is remembered between updates beside weights and optimisers, as JSON values."""
        return {"baselines": self._baselines.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._baselines.restore(state["baselines"])

    def retune(self, method: TrainedSpec) -> None:
        """Go on with other losses and another step size; raises ``OrderRefused`` for a penalty whose reference was not loaded."""
        if method.needs_reference and not all(trainer.has_reference for trainer in self._trainers.values()):
            raise OrderRefused(
                "The run was started without a KL penalty, so no reference is loaded to compare with. Fork it from a checkpoint "
                "with the penalty switched on."
            )
        self._method = method
        for trainer in self._trainers.values():
            trainer.retune(method)

    def update(
        self, batch: StepBatch, lessons: Sequence[Text], *, rng: random.Random, corrections: StepBatch | None = None
    ) -> dict[str, float]:
        """Estimate advantages, take the optimiser steps, return metrics; with several policies, each has its own ``name/policy``.

        ``rng`` spreads what is learnt from over mini-batches. ``corrections`` are rollouts and pairs of earlier steps, learnt from with
        the advantages and factors that they bring. Rollouts of advantage 0 are not run where the loss has neither
        bonus nor penalty: ``loss/policy`` and ``loss/clip_share`` count their zeros, the means over what the model said
        (``kl/*``, ``mismatch/*``) and ``tokens/trained`` leave them out. Raises ``ValueError`` for a batch that the method's spec
        has no loss for.
        """
        self._check(batch)
        for name in batch.restart_optimizer:
            self._trainers[name].optimizer.restart()
        again = corrections or StepBatch()
        if not (batch.rollouts or batch.pairs or batch.demonstrations or lessons or again.rollouts or again.pairs):
            return {}
        metrics = {"tokens/trained": 0.0, **self._estimate_advantages(batch.rollouts)}
        kept = [rollout for rollout in batch.rollouts if rollout.advantage != 0 or not rollout.droppable]
        rollouts, pairs = [*kept, *again.rollouts], [*batch.pairs, *again.pairs]
        parts = self._minibatches(replace(batch, rollouts=rollouts, pairs=pairs), lessons, rng)
        for name, trainer in self._trainers.items():
            own = [part.of(name, self._policy_of) for part in parts]
            meter, num_tokens = trainer.update(own, lr_scale=batch.lr_scale * batch.lr_scale_of.get(name, 1.0))
            metrics["tokens/trained"] += num_tokens
            suffix = f"/{name}" if len(self._trainers) > 1 else ""
            found = {"grad/norm": 0.0, **meter.take(self._parallel)}
            found["grad/skipped_updates"] = float(trainer.optimizer.num_skipped)
            metrics |= {f"{metric}{suffix}": value for metric, value in found.items()}
        return metrics | {f"time/{part}_s": seconds for part, seconds in self._watch.take().items()}

    def _check(self, batch: StepBatch) -> None:
        for items, loss, family in (
            (batch.rollouts, "loss", "OnlineSpec"),
            (batch.pairs, "preference", "PreferenceSpec"),
        ):
            if items and not hasattr(self._method, loss):
                kind = type(items[0]).__name__.lower()
                raise ValueError(
                    f"the method {self._method.name} hands over a {kind}, but its spec has no field `{loss}` to learn from it "
                    f"with; derive the spec from {family}"
                )
        if unknown := set(batch.restart_optimizer) - self._trainers.keys():
            raise ValueError(
                f"restart_optimizer names {', '.join(sorted(unknown))}, but the trained policies are "
                f"{', '.join(self._trainers)}; name policies, not roles"
            )

    def _estimate_advantages(self, rollouts: Sequence[Rollout]) -> dict[str, float]:
        """Write the advantages into the rollouts and their turns; returns their means and the running baselines as metrics."""
        spec: AdvantageSpec = getattr(self._method, "advantage", NoBaseline())
        estimates = estimate_advantages(spec, rollouts, self._baselines)
        for rollout, found in zip(rollouts, estimates, strict=True):
            rollout.advantage = found.advantage * rollout.scale
            if (turn := rollout.turn) is None:
                continue
            turn.advantage, turn.scale = rollout.advantage, rollout.scale
            turn.baseline, turn.divisor = found.baseline, found.divisor
            if rollout.droppable and rollout.advantage == 0:
                turn.discarded = "its advantage is 0, so there is nothing to learn from it"
        return {**advantage_means(rollouts, estimates), **self._baselines.metrics()}

    def _minibatches(self, batch: StepBatch, lessons: Sequence[Text], rng: random.Random) -> list[MiniBatch]:
        num_parts = self._method.optimizer.minibatches
        rollouts, pairs = _dealt(batch.rollouts, num_parts, rng), _dealt(batch.pairs, num_parts, rng)
        demonstrations = _dealt(batch.demonstrations, num_parts, rng)
        return [
            MiniBatch(rollouts=rollouts[part], pairs=pairs[part], demonstrations=demonstrations[part], lessons=lessons)
            for part in range(num_parts)
        ]


def _dealt(items: Sequence[Item], num_parts: int, rng: random.Random) -> list[list[Item]]:
    """The items in random order, dealt out in turn."""
    order = list(range(len(items)))
    rng.shuffle(order)
    return [[items[index] for index in order[part::num_parts]] for part in range(num_parts)]
