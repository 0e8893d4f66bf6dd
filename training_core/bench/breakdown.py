"""Where the time of whole self-play steps goes."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

from training_core.assembly import Parts
from training_core.curricula.registry import find_curriculum
from training_core.learn.rehearsal import rehearsal_texts
from training_core.play.play import Play
from training_core.play.requests import derive_seed
from training_core.play.scheduler import run as play_out
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.trained import TrainedSpec

PARTS = {"rollout": ("prefill", "decode"), "update": ("logprobs", "forward", "backward", "optimizer"), "publish": ()}
"""Parts of a step and, as far as engine and learner tell, the parts of these; the rest is Python and scoring."""


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """Mean wall seconds per step: ``Breakdown(steps=3, seconds={"rollout": 1.2, "decode": 1.0, ...})``."""

    steps: int
    seconds: Mapping[str, float]

    @property
    def step_s(self) -> float:
        return sum(self.seconds.get(part, 0.0) for part in PARTS)

    def rows(self) -> list[tuple[str, float, bool]]:
        """Name, seconds and whether it is a part of the row above, in the order of a step."""
        found: list[tuple[str, float, bool]] = []
        for part, inner in PARTS.items():
            found.append((part, self.seconds.get(part, 0.0), False))
            told = [(name, self.seconds[name], True) for name in inner if name in self.seconds]
            rest = self.seconds.get(part, 0.0) - sum(seconds for _, seconds, _ in told)
            found += [*told, ("other", max(0.0, rest), True)] if told else []
        return found


def measure_steps(spec: ExperimentSpec, parts: Parts, *, steps: int) -> Breakdown:
    """Play and learn ``steps`` whole steps of the spec's method, after one that is not counted."""
    totals: dict[str, float] = {}
    parts.engine.watch.take()
    for step in range(1, steps + 2):
        spent = _one_step(spec, parts, step)
        if step > 1:
            totals = {name: totals.get(name, 0.0) + seconds for name, seconds in spent.items()}
    return Breakdown(steps=steps, seconds={name: seconds / steps for name, seconds in totals.items()})


def _one_step(spec: ExperimentSpec, parts: Parts, step: int) -> dict[str, float]:
    assert isinstance(spec.method, TrainedSpec)
    play = Play(
        policies=parts.roster.policy_of, sampling=spec.method.sampling, seed=spec.seed, step=step, stream="bench"
    )
    begin = time.perf_counter()
    batch = play_out(parts.method.step(play), parts.engine)
    rolled_out = time.perf_counter()
    inner = parts.engine.watch.take()
    parts.engine.sleep()
    rng = random.Random(derive_seed(spec.seed, step, "lessons"))
    taught = find_curriculum(parts.method.curriculum)
    lessons = rehearsal_texts(spec.method.rehearsal, taught, parts.domain, parts.roster.first, rng)
    asleep = time.perf_counter()
    learnt = parts.learner.update(batch, lessons, rng=random.Random(0))
    updated = time.perf_counter()
    parts.engine.publish(step)
    published = time.perf_counter()
    inner |= {name[len("time/") : -len("_s")]: s for name, s in learnt.items() if name.startswith("time/")}
    return inner | {"rollout": rolled_out - begin, "update": updated - asleep, "publish": published - updated}
