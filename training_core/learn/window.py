"""What the newest steps handed over, kept so that a reward or preference which a person corrects can still be learnt from."""

from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from training_core.learn.advantages import estimate_advantages
from training_core.play.records import Alternatives, Choice, Pair, Rollout, StepBatch
from training_core.play.requests import Completion
from training_core.spec.events import SampleData, Turn
from training_core.spec.learning import AdvantageSpec, GroupRelative, LeaveOneOut, RoleConditioned

MAX_TOKENS = 400_000
"""Completion tokens kept beside those of the newest step; older steps go first."""

Correct = Callable[[SampleData, int, float], None]
Prefer = Callable[[SampleData], list[Choice]]


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What an overruled verdict changes: ``Correction(before=0.5, after=1.0, rollouts=[...], pairs=[])``."""

    before: float | None
    after: float | None
    """Reward of the judged turn, or where it has none what its verdict counts for."""
    rollouts: list[Rollout]
    """To be learnt from once; the advantage of each is the difference to what was learnt before."""
    pairs: list[Pair] = field(default_factory=list)
    """To be learnt from once: those that now are right, and with the factor -1 those that no longer are."""

    def __bool__(self) -> bool:
        return bool(self.rollouts or self.pairs)


@dataclass(kw_only=True)
class _Kept:
    """A step that was learnt from."""

    step: int
    rollouts: list[Rollout]
    samples: list[SampleData]
    """What the rollouts' turns stand in, without the texts."""
    learnt: list[float]
    """Advantage that each rollout was learnt with so far, corrections included."""
    alternatives: dict[str, Alternatives] = field(default_factory=dict)
    """Answers that pairs are made of, by episode."""
    chosen: dict[str, list[Choice]] = field(default_factory=dict)
    """The pairs that were learnt so far, corrections included, by episode."""
    originals: dict[str, SampleData] = field(default_factory=dict)
    """Corrected episodes as the judge had left them."""
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    """What people said of turns, by episode."""


class Window:
    """The rollouts and pairs of at most ``num_steps`` steps.

    A reward that changes from r to r' is learnt from once more, at the next update, with the advantage A(r') - A(r): as the
    update would have been with r', less what it was. A(r') is the estimator's answer over all rollouts of that step with every
    correction so far; with a running baseline it is A(r) + r' - r. Where answers are compared with their siblings the siblings
    are learnt from again too; elsewhere the small shift of what the others of a role were compared with is left out.

    Where a corrected verdict makes other pairs, the next update adds the loss of each new pair and takes away that of each old
    one, on the scale of the step's own pairs and beside the reference as it is then. For DPO a pair turned around so is
    -ln s(-m) + ln s(m) = m with m = beta (c - r), whatever the weights are by now; for SPPO the gradient moves by the difference of
    the win rates.
    """

    def __init__(self, num_steps: int) -> None:
        self._num_steps = num_steps
        self._kept: list[_Kept] = []

    def remember(self, step: int, batch: StepBatch) -> None:
        """Keep a step that has just been learnt from, in place of the oldest."""
        if not self._num_steps:
            return
        rollouts, samples = _without_texts(batch)
        learnt = [rollout.advantage for rollout in rollouts]
        kept = _Kept(step=step, rollouts=rollouts, samples=samples, learnt=learnt)
        kept.alternatives, kept.chosen = _alternatives(batch)
        self._kept.append(kept)
        sizes = [_num_tokens(kept) for kept in self._kept]
        while len(self._kept) > self._num_steps or (len(self._kept) > 1 and sum(sizes[:-1]) > MAX_TOKENS):
            del self._kept[0], sizes[0]

    def overrule(
        self,
        spec: AdvantageSpec | None,
        correct: Correct,
        *,
        episode: str,
        turn: int,
        value: float | None,
        prefer: Prefer | None = None,
    ) -> Correction | None:
        """Correct what a judged turn is worth, or take that back; None where the episode is not kept any more.

        ``correct`` rewards the turns of a sample anew, ``prefer`` tells the pairs that then are right. Raises what they raise, and
        then nothing has changed.
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
        choices = prefer(corrected) if prefer is not None and episode in kept.alternatives else None
        before = _worth(sample, turn)
        rewards = [rollout.reward for rollout in kept.rollouts]
        _put(corrected, sample)
        kept.originals[episode], kept.values[episode] = original, values
        for rollout in kept.rollouts:
            if rollout.turn is not None and rollout.turn.reward is not None:
                rollout.reward = rollout.turn.reward
        after = _worth(sample, turn)
        rollouts = self._differences(spec, kept, rewards) if spec is not None else []
        pairs = [] if choices is None else _repaired(kept, episode, choices)
        return Correction(before=before, after=after, rollouts=rollouts, pairs=pairs)

    def _find(self, episode: str) -> tuple[_Kept | None, SampleData | None]:
        for kept in self._kept:
            for sample in kept.samples:
                if sample.episode == episode:
                    return kept, sample
        return None, None

    @staticmethod
    def _differences(spec: AdvantageSpec, kept: _Kept, before: Sequence[float]) -> list[Rollout]:
        rollouts = kept.rollouts
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
                "samples": [_sample_state(sample) for sample in kept.samples],
                "rollouts": _rollout_states(kept),
                "learnt": kept.learnt,
                "originals": {episode: _sample_state(sample) for episode, sample in kept.originals.items()},
                "values": {episode: list(values.items()) for episode, values in kept.values.items()},
                "alternatives": [_alternatives_state(each) for each in kept.alternatives.values()],
                "chosen": {episode: [asdict(choice) for choice in found] for episode, found in kept.chosen.items()},
            }
            for kept in self._kept
        ]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """Restore what ``state`` returned."""
        self._kept = []
        for each in state:
            samples = [SampleData.model_validate(sample) for sample in each["samples"]]
            turns = [turn for sample in samples for turn in sample.turns]
            self._kept.append(
                _Kept(
                    step=each["step"],
                    samples=samples,
                    rollouts=[_rollout(values, turns) for values in each["rollouts"]],
                    learnt=each["learnt"],
                    originals={name: SampleData.model_validate(sample) for name, sample in each["originals"].items()},
                    values={name: dict(values) for name, values in each["values"].items()},
                    alternatives={one["episode"]: _alternatives_of(one) for one in each.get("alternatives", ())},
                    chosen={name: [_choice(one) for one in found] for name, found in each.get("chosen", {}).items()},
                )
            )


def _without_texts(batch: StepBatch) -> tuple[list[Rollout], list[SampleData]]:
    """The rollouts with as much of their samples as correcting needs, sharing turns of their own."""
    ours: dict[int, Turn] = {}
    samples = []
    for sample in batch.samples:
        turns = [_light(turn) for turn in sample.turns]
        ours |= {id(turn): light for turn, light in zip(sample.turns, turns, strict=True)}
        light = SampleData(episode=sample.episode, title=sample.title, turns=turns, facts=sample.facts)
        light.pairs, light.table = sample.pairs, sample.table
        samples.append(light)
    rollouts = [
        replace(
            rollout,
            completion=replace(rollout.completion, text="", entropies=()),
            turn=ours.get(id(rollout.turn)) if rollout.turn is not None else None,
            parts={},
            learner_logprobs=(),
        )
        for rollout in batch.rollouts
    ]
    return rollouts, samples


def _light(turn: Turn) -> Turn:
    return Turn(
        role=turn.role,
        text="",
        parsed=turn.parsed,
        parent=turn.parent,
        rewards=dict(turn.rewards),
        reward=turn.reward,
        correct=turn.correct,
        verdict=turn.verdict,
    )


def _sample_state(sample: SampleData) -> dict[str, Any]:
    turns = [
        {"role": turn.role, "text": "", **turn.model_dump(mode="json", exclude_defaults=True)} for turn in sample.turns
    ]
    pairs = [pair.model_dump(mode="json") for pair in sample.pairs]
    told = {"episode": sample.episode, "title": sample.title, "facts": sample.facts, "turns": turns}
    return {**told, **({"pairs": pairs} if pairs else {}), **({"table": sample.table} if sample.table else {})}


_PLAIN = ("role", "group", "reward", "baseline", "scale", "kl_coef", "advantage")


def _rollout_states(kept: _Kept) -> list[dict[str, Any]]:
    """Tokens and log-probs as base64 of their bytes: exact, and a third of their length as numbers."""
    places = {id(turn): place for place, turn in enumerate(turn for sample in kept.samples for turn in sample.turns)}
    found = []
    for rollout in kept.rollouts:
        said = rollout.completion
        values: dict[str, Any] = {name: getattr(rollout, name) for name in _PLAIN}
        values |= {"prompt": _packed("i", said.prompt_ids), "tokens": _packed("i", said.token_ids)}
        values |= {"logprobs": _packed("d", said.logprobs), "ended": said.ended, "version": said.version}
        values["turn"] = places.get(id(rollout.turn)) if rollout.turn is not None else None
        found.append(values)
    return found


def _rollout(values: dict[str, Any], turns: Sequence[Turn]) -> Rollout:
    completion = Completion(
        text="",
        prompt_ids=_unpacked("i", values["prompt"]),
        token_ids=_unpacked("i", values["tokens"]),
        logprobs=_unpacked("d", values["logprobs"]),
        entropies=(),
        ended=values["ended"],
        version=values["version"],
    )
    turn = None if values["turn"] is None else turns[values["turn"]]
    return Rollout(completion=completion, turn=turn, **{name: values[name] for name in _PLAIN})


def _packed(kind: str, numbers: Sequence[float]) -> str:
    return b64encode(array(kind, numbers).tobytes()).decode("ascii")


def _unpacked(kind: str, text: str) -> tuple[Any, ...]:
    found = array(kind)
    found.frombytes(b64decode(text))
    return tuple(found)


def _judged_place(sample: SampleData, turn: int) -> int | None:
    """The turn that a verdict is on; a turn that is no verdict is meant itself."""
    if turn >= len(sample.turns):
        return None
    named: Turn = sample.turns[turn]
    return named.parent if named.role == "judge" and named.parent is not None else turn


def _put(source: SampleData, target: SampleData) -> None:
    """Give the turns of ``target``, which rollouts share, the rewards of ``source``."""
    for ours, theirs in zip(target.turns, source.turns, strict=True):
        ours.rewards, ours.reward, ours.verdict = theirs.rewards, theirs.reward, theirs.verdict
    target.table = source.table


def _worth(sample: SampleData, turn: int) -> float | None:
    """The reward of what a turn judges or is; the verdict on it where no reward is given."""
    place = _judged_place(sample, turn)
    if place is None:
        return None
    judged = sample.turns[place]
    return judged.verdict if judged.reward is None else judged.reward


# Pairs


def _alternatives(batch: StepBatch) -> tuple[dict[str, Alternatives], dict[str, list[Choice]]]:
    """What pairs were made of, without texts that tokens tell, and the pairs that were made."""
    offered = {each.episode: replace(each, answers=_light_answers(each.answers)) for each in batch.alternatives}
    places = {
        id(turn): (sample.episode, place)
        for sample in batch.samples
        if sample.episode in offered
        for place, turn in enumerate(sample.turns)
    }
    chosen: dict[str, list[Choice]] = {episode: [] for episode in offered}
    for pair in batch.pairs:
        if pair.turns and id(pair.turns[0]) in places:
            episode, place = places[id(pair.turns[0])]
            other = places[id(pair.turns[1])][1]
            chosen[episode].append(Choice(chosen=place, rejected=other, win_rates=pair.win_rates))
    return offered, chosen


def _repaired(kept: _Kept, episode: str, choices: list[Choice]) -> list[Pair]:
    """The pairs that are new, and with the factor -1 those that are right no longer."""
    before, offered = kept.chosen[episode], kept.alternatives[episode]
    kept.chosen[episode] = choices
    return [
        *(offered.pair(choice, correction=-1.0) for choice in before if choice not in choices),
        *(offered.pair(choice, correction=1.0) for choice in choices if choice not in before),
    ]


def _light_answers(answers: dict[int, Completion | str]) -> dict[int, Completion | str]:
    return {
        place: said if isinstance(said, str) else replace(said, text="", entropies=(), logprobs=(), prompt_ids=())
        for place, said in answers.items()
    }


def _num_tokens(kept: _Kept) -> int:
    rollouts = sum(len(each.completion.token_ids) for each in kept.rollouts)
    answers = (said for each in kept.alternatives.values() for said in each.answers.values())
    return rollouts + sum(len(said) if isinstance(said, str) else len(said.token_ids) for said in answers)


def _alternatives_state(offered: Alternatives) -> dict[str, Any]:
    answers = [
        [place, said] if isinstance(said, str) else [place, _packed("i", said.token_ids), said.ended, said.version]
        for place, said in offered.answers.items()
    ]
    return {"role": offered.role, "episode": offered.episode, "prompt": offered.prompt, "answers": answers}


def _alternatives_of(values: dict[str, Any]) -> Alternatives:
    answers: dict[int, Completion | str] = {}
    for place, said, *rest in values["answers"]:
        if not rest:
            answers[place] = said
            continue
        ended, version = rest
        tokens = _unpacked("i", said)
        answers[place] = Completion(
            text="", prompt_ids=(), token_ids=tokens, logprobs=(), entropies=(), ended=ended, version=version
        )
    return Alternatives(role=values["role"], episode=values["episode"], prompt=values["prompt"], answers=answers)


def _choice(values: dict[str, Any]) -> Choice:
    rates = values["win_rates"]
    return Choice(
        chosen=values["chosen"], rejected=values["rejected"], win_rates=None if rates is None else tuple(rates)
    )
