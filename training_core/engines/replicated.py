"""Sampling with transformers from weights of its own, while the learner's are in use or in pieces."""

from collections.abc import Collection, Sequence

from training_core.engine_health import EngineHealth
from training_core.engines.transformers import TransformersEngine
from training_core.play.requests import Completion, Request, Score
from training_core.policies.replica import Replica
from training_core.policies.roster import Roster
from training_core.stopwatch import Stopwatch


class ReplicaEngine:
    """The transformers engine on a replica, which holds the learner's weights as of the last ``publish``."""

    def __init__(self, roster: Roster, *, max_batch: int, max_cache_mib: int) -> None:
        self._roster = roster
        self._replica = Replica(roster.speakers)
        self._engine = TransformersEngine(self._replica.policies, max_batch=max_batch, max_cache_mib=max_cache_mib)

    @property
    def watch(self) -> Stopwatch:
        return self._engine.watch

    @property
    def health(self) -> EngineHealth:
        return self._engine.health

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Completions of every request, in order."""
        return self._engine.generate(requests)

    def score(self, requests: Sequence[Score]) -> list[list[float]]:
        """Log-probs of every text of every request, in order."""
        return self._engine.score(requests)

    def publish(self, version: int, *, blended: Collection[str] = ()) -> None:
        """Copy the learner's weights; nothing may be being sampled meanwhile. All ranks must publish together."""
        for name, policy in self._roster.speakers.items():
            if name in self._roster.trained or name in blended:
                self._replica.refresh(name, policy)
        self._engine.publish(version)

    def sleep(self) -> None:
        """The replica stays where it is."""

    def close(self) -> None:
        self._engine.close()
