"""From the spec to the engine that samples for a run."""

from collections.abc import Sequence

from training_core.distributed.parallel import Parallel
from training_core.engines.transformers import TransformersEngine
from training_core.play.requests import Completion, Engine, Request
from training_core.policies.replica import Replica
from training_core.policies.roster import Roster
from training_core.spec.experiment import ExperimentSpec
from training_core.stopwatch import Stopwatch


class ReplicaEngine:
    """The transformers engine on weights of its own, which are the learner's as of the last ``publish``."""

    def __init__(self, roster: Roster, *, max_batch: int) -> None:
        self._roster = roster
        self._replica = Replica(roster.policies)
        self._engine = TransformersEngine(self._replica.policies, max_batch=max_batch)

    @property
    def watch(self) -> Stopwatch:
        return self._engine.watch

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Completions of every request, in order."""
        return self._engine.generate(requests)

    def publish(self, version: int) -> None:
        """Copy the learner's weights; nothing may be being sampled meanwhile."""
        with self.watch("publish"):
            for name in self._roster.trained:
                self._replica.refresh(name, self._roster.policies[name].trained_parameters())
        self._engine.publish(version)

    def sleep(self) -> None:
        """The replica stays where it is."""

    def close(self) -> None:
        self._engine.close()


def make_engine(spec: ExperimentSpec, roster: Roster, parallel: Parallel) -> Engine:
    """The engine the spec asks for, holding the policies of the roster."""
    if spec.learner.ahead or parallel.size > 1:
        return ReplicaEngine(roster, max_batch=spec.engine.max_batch)
    return TransformersEngine(roster.policies, max_batch=spec.engine.max_batch)


def samples_learners_weights(spec: ExperimentSpec) -> bool:
    """Whether completions come from the very weights that are learnt, so that sampler and learner agree."""
    return not spec.learner.ahead
