"""What a starter can do: the scores that decide when its teaching ends."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training_core.curricula.base import PUPIL, Curriculum
from training_core.engines.transformers import TransformersEngine
from training_core.play.play import Play
from training_core.play.requests import Completion, Request
from training_core.play.scheduler import run
from training_core.policies.loaded import LoadedPolicy
from training_core.spec.learning import SamplingSpec

BATCH = 256
SEED = 31
_POLICY = "main"


def examine(
    policy: LoadedPolicy, curriculum: Curriculum, domain: Any, *, num_items: int, breathe: Callable[[], None]
) -> dict[str, float]:
    """The scores of the curriculum's exam; ``breathe`` is called whenever the pupil is asked."""
    play = Play(policies={PUPIL: _POLICY}, sampling=SamplingSpec(), seed=SEED, step=0, stream="exam")
    engine = _Pupil({_POLICY: policy}, max_batch=BATCH)
    engine.breathe = breathe
    return run(curriculum.exam(play, domain, num_items), engine)


def reaches(scores: Mapping[str, float], least: Mapping[str, float]) -> bool:
    """Whether every score that ``least`` names is high enough."""
    return all(scores[name] >= score for name, score in least.items())


class _Pupil(TransformersEngine):
    """An engine that tells whenever it is asked, so that somebody can show that work goes on."""

    breathe: Callable[[], None]

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        self.breathe()
        return super().generate(requests)
