"""The rollouts of the newest steps, kept so that a reward which a person corrects can still be learnt from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from training_core.learn.advantages import estimate_advantages
from training_core.play.records import Rollout, StepBatch
from training_core.spec.events import SampleData, Turn
from training_core.spec.learning import AdvantageSpec, GroupRelative, LeaveOneOut, RoleConditioned

MAX_TOKENS = 1_000_000
"""Completion tokens kept beside those of the newest step; older steps go first."""

Correct = Callable[[SampleData, int, float], None]


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What an overruled verdict changes: ``Correction(before=0.5, after=1.0, rollouts=[...])``."""

    before: float | None
    after: float | None
    """Reward of the judged turn."""
    rollouts: list[Rollout]
    """To be learnt from once; the advantage of each is the difference to what was learnt before."""


@dataclass(kw_only=True)
class _Kept:
    """A step that was learnt from."""

    step: int
    batch: StepBatch
    learnt: list[float]
    """Advantage that each rollout was learnt with so far, corrections included."""
    originals: dict[str, SampleData] = field(default_factory=dict)
    """Corrected episodes as the judge had left them."""
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    """What people said of turns, by episode."""


class Window:
    """The rollouts of at most ``num_steps`` steps.

    A reward that changes from r to r' is learnt from once more, at the next update, with the advantage A(r') - A(r): as the
    update would have been with r', less what it was. A(r') is the estimator's answer over all rollouts of that step with every
    correction so far; with a running baseline it is A(r) + r' - r. Where answers are compared with their siblings the siblings
    are learnt from again too; elsewhere the small shift of what the others of a role were compared with is left out.
    """

    def __init__(self, num_steps: int) -> None:
        self._num_steps = num_steps
        self._kept: list[_Kept] = []

    def remember(self, step: int, batch: StepBatch) -> None:
        """Keep a step that has just been learnt from, in place of the oldest."""
        if not self._num_steps:
            return
        ours = StepBatch(rollouts=batch.rollouts, samples=batch.samples)
        self._kept.append(_Kept(step=step, batch=ours, learnt=[rollout.advantage for rollout in batch.rollouts]))
        sizes = [sum(len(each.completion.token_ids) for each in kept.batch.rollouts) for kept in self._kept]
        while len(self._kept) > self._num_steps or (len(self._kept) > 1 and sum(sizes[:-1]) > MAX_TOKENS):
            del self._kept[0], sizes[0]

    def overrule(
        self, spec: AdvantageSpec, correct: Correct, *, episode: str, turn: int, value: float | None
    ) -> Correction | None:
        """Correct what a judged turn is worth, or take that back; None where the episode is not kept any more.

        ``correct`` rewards the turns of a sample anew. Raises what it raises, and then nothing has changed.
        """
        kept, sample = self._find(episode)
        if kept is None or sample is None:
            return None
        original = kept.originals.get(episode) or sample.model_copy(deep=True)
        values = {**kept.values.get(episode, {})}
        values.pop(turn, None)
        if value is not None:
            values[turn] = value
        corrected = original.model_copy(deep=True)
        for place, said in values.items():
            correct(corrected, place, said)
        judged = _judged_place(sample, turn)
        before = sample.turns[judged].reward if judged is not None else None
        rewards = [rollout.reward for rollout in kept.batch.rollouts]
        _put(corrected, sample)
        kept.originals[episode], kept.values[episode] = original, values
        for rollout in kept.batch.rollouts:
            if rollout.turn is not None and rollout.turn.reward is not None:
                rollout.reward = rollout.turn.reward
        after = sample.turns[judged].reward if judged is not None else None
        return Correction(before=before, after=after, rollouts=self._differences(spec, kept, rewards))

    def _find(self, episode: str) -> tuple[_Kept | None, SampleData | None]:
        for kept in self._kept:
            for sample in kept.batch.samples:
                if sample.episode == episode:
                    return kept, sample
        return None, None

    @staticmethod
    def _differences(spec: AdvantageSpec, kept: _Kept, before: Sequence[float]) -> list[Rollout]:
        rollouts = kept.batch.rollouts
        changed = {place for place, rollout in enumerate(rollouts) if rollout.reward != before[place]}
        groups = {(rollouts[place].role, rollouts[place].group) for place in changed}
        if isinstance(spec, GroupRelative | LeaveOneOut):
            changed |= {place for place, each in enumerate(rollouts) if (each.role, each.group) in groups}
        if isinstance(spec, RoleConditioned):
            now = [
                had + each.scale * (each.reward - old)
                for had, each, old in zip(kept.learnt, rollouts, before, strict=True)
            ]
        else:
            estimated = estimate_advantages(spec, rollouts)
            now = [one.advantage * each.scale for one, each in zip(estimated, rollouts, strict=True)]
        found = []
        for place in sorted(changed):
            difference = now[place] - kept.learnt[place]
            kept.learnt[place] = now[place]
            if difference:
                found.append(replace(rollouts[place], advantage=difference, turn=None))
        return found

    def state(self) -> list[dict[str, Any]]:
        """What is kept, as JSON values."""
        return [
            {
                "step": kept.step,
                "batch": kept.batch.to_json(),
                "learnt": kept.learnt,
                "originals": {episode: sample.model_dump(mode="json") for episode, sample in kept.originals.items()},
                "values": {episode: list(values.items()) for episode, values in kept.values.items()},
            }
            for kept in self._kept
        ]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """Restore what ``state`` returned."""
        self._kept = [
            _Kept(
                step=each["step"],
                batch=StepBatch.from_json(each["batch"]),
                learnt=each["learnt"],
                originals={name: SampleData.model_validate(sample) for name, sample in each["originals"].items()},
                values={name: dict(values) for name, values in each["values"].items()},
            )
            for each in state
        ]


def _judged_place(sample: SampleData, turn: int) -> int | None:
    """The turn that a verdict is on; a turn that is no verdict is meant itself."""
    if turn >= len(sample.turns):
        return None
    named: Turn = sample.turns[turn]
    return named.parent if named.role == "judge" and named.parent is not None else turn


def _put(source: SampleData, target: SampleData) -> None:
    """Give the turns of ``target``, which rollouts share, the rewards of ``source``."""
    for ours, theirs in zip(target.turns, source.turns, strict=True):
        ours.rewards, ours.reward = theirs.rewards, theirs.reward
