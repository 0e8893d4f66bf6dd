"""Turns scored rollouts into one update of the weights of every trained policy."""

from collections.abc import Mapping, Sequence

from training_core.distributed.parallel import Alone, Parallel
from training_core.learn.advantages import estimate_advantages
from training_core.learn.logprobs import Text
from training_core.learn.optimizers import OptimizerSet
from training_core.learn.trainer import PolicyTrainer
from training_core.play.records import Rollout
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learner import LearnerSpec
from training_core.spec.online import OnlineSpec
from training_core.stopwatch import Stopwatch


class Learner:
    """Advantages, losses and optimisers of a run, for all its trained policies.

    ``policy_of`` names the policy of each role; rollouts of roles whose policy is not trained are left alone. ``reference`` is the
    policy the KL penalty pulls towards; policies that are adapters take their base with the adapter switched off instead.
    ``sampler_is_learner`` says that completions come from the very weights learnt here, so that no correction is needed.
    """

    def __init__(
        self,
        method: OnlineSpec,
        settings: LearnerSpec,
        policies: Mapping[str, LoadedPolicy],
        *,
        policy_of: Mapping[str, str],
        reference: LoadedPolicy | None,
        parallel: Parallel = Alone(),  # noqa: B008 (it has no state)
        sampler_is_learner: bool = True,
    ) -> None:
        self._method = method
        self._policy_of = policy_of
        self._parallel = parallel
        self._watch = Stopwatch()
        self._trainers = {
            name: PolicyTrainer(
                method,
                settings,
                policy,
                reference=policy.without_adapter() if policy.adapter else reference,
                sampler_is_learner=sampler_is_learner,
                parallel=parallel,
                watch=self._watch,
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

    def update(self, rollouts: Sequence[Rollout], lessons: Sequence[Text], *, order: Sequence[int]) -> dict[str, float]:
        """Estimate advantages, take the optimiser steps, return metrics; with several policies, each has its own ``name/policy``.

        ``order`` is a permutation of the rollouts that spreads them over mini-batches. Rollouts of advantage 0 are not run where
        the loss has neither bonus nor penalty: ``loss/policy`` and ``loss/clip_share`` count their zeros, the means over what
        the model said (``kl/*``, ``mismatch/*``) and ``tokens/trained`` leave them out.
        """
        if not rollouts and not lessons:
            return {}
        for rollout, advantage in zip(rollouts, estimate_advantages(self._method.advantage, rollouts), strict=True):
            rollout.advantage = advantage
            if rollout.turn is not None:
                rollout.turn.advantage = advantage
        num_parts = self._method.optimizer.minibatches
        parts = [[rollouts[index] for index in order[part::num_parts]] for part in range(num_parts)]
        metrics: dict[str, float] = {"tokens/trained": 0.0}
        for name, trainer in self._trainers.items():
            own = [[rollout for rollout in part if self._policy_of[rollout.role] == name] for part in parts]
            meter, num_tokens = trainer.update(own, lessons)
            metrics["tokens/trained"] += num_tokens
            suffix = f"/{name}" if len(self._trainers) > 1 else ""
            found = {"grad/norm": 0.0, **meter.take(self._parallel)}
            found["grad/skipped_updates"] = float(trainer.optimizer.num_skipped)
            metrics |= {f"{metric}{suffix}": value for metric, value in found.items()}
        return metrics | {f"time/{part}_s": seconds for part, seconds in self._watch.take().items()}
