"""Everything one step adds up: rollouts to learn from, samples to read, sums behind the metrics."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean as mean

from training_core.evaluate.agreement import ACCEPT_AT, agreement
from training_core.play.findings import (
    Judged,
    confusion,
    length_pull,
    reward_parts,
    reward_spread,
    spread_of,
    zero_signal,
)
from training_core.play.frontier import Frontier
from training_core.play.records import Alternatives, Blend, Choice, Demonstration, Pair, Rollout, StepBatch
from training_core.play.requests import Completion
from training_core.spec.events import PairView, SampleData, Turn


class StepLog:
    """Filled by the episodes of one step; ``batch`` closes it.

    Metric names are ``area/role_term``: ``reward/solver``, ``reward_term/solver_judge``, ``length/solver_tokens``. The numbers of
    pairs and demonstrations of a role are ``pairs/role`` and ``demonstrations/role``. ``play/findings.py`` says what more is told
    of rewards and verdicts, ``play/frontier.py`` of questions.
    """

    def __init__(self) -> None:
        self.samples: list[SampleData] = []
        self._rollouts: list[Rollout] = []
        self._pairs: list[Pair] = []
        self._demonstrations: list[Demonstration] = []
        self._alternatives: list[Alternatives] = []
        self._values: dict[str, list[float]] = defaultdict(list)
        self._rewarded: list[Rollout] = []
        self._judged: list[Judged] = []
        self._frontier = Frontier()

    def count(self, name: str, value: float | None) -> None:
        """One more value of a metric, which is the mean over the step; None is not counted."""
        if value is not None:
            self._values[name].append(float(value))

    def spoke(self, role: str, completion: Completion, form: float) -> None:
        """A role wrote something with format score ``form``."""
        self.count(f"format/{role}", form)
        self.count(f"length/{role}_tokens", len(completion.token_ids))
        self.count(f"length/{role}_cut", not completion.ended)
        if completion.entropies:
            self.count(f"entropy/{role}", mean(completion.entropies))

    def learn(self, rollout: Rollout, *, train: bool) -> None:
        """A rollout got its reward; with ``train`` it also goes to the learner."""
        self.count(f"reward/{rollout.role}", rollout.reward)
        self._rewarded.append(rollout)
        if rollout.turn is not None:
            rollout.turn.reward, rollout.turn.trained = rollout.reward, train
            rollout.turn.parts = dict(rollout.parts)
            for term, value in rollout.turn.rewards.items():
                self.count(f"reward_term/{rollout.role}_{term}", value)
        if train:
            self._rollouts.append(rollout)

    def discard(self, what: SampleData | Turn, reason: str) -> None:
        """A sample or one of its completions does not count; it is kept, and a reader is told why."""
        what.discarded = reason

    def prefer(self, pair: Pair) -> None:
        """A pair goes to the learner; a reader sees its turns side by side if one sample holds both."""
        self._pairs.append(pair)
        for turn in pair.turns or ():
            turn.trained = True

    def choose(
        self,
        sample: SampleData,
        choices: Sequence[Choice],
        *,
        role: str,
        prompt: str,
        answers: Mapping[int, Completion | str],
    ) -> None:
        """Pairs among the answers of a sample, by the places of their turns; all of them are kept for corrected verdicts."""
        offered = Alternatives(role=role, episode=sample.episode, prompt=prompt, answers=dict(answers))
        self._alternatives.append(offered)
        for choice in choices:
            turns = (sample.turns[choice.chosen], sample.turns[choice.rejected])
            self.prefer(offered.pair(choice, turns=turns))

    def imitate(self, demonstration: Demonstration) -> None:
        """A completion goes to the learner to be imitated."""
        self._demonstrations.append(demonstration)
        if demonstration.turn is not None:
            demonstration.turn.trained = True

    def judged(self, value: float, right: bool | None, *, length: int | None = None) -> None:
        """An answer of ``length`` tokens got its value from the judge; ``right`` is the truth where it is known."""
        if right is not None:
            self._judged.append(Judged(value=value, right=right, length=length))

    def asked(self, answers: Sequence[tuple[bool | None, float | None]], *, ill_posed: bool = False) -> None:
        """A question was answered: whether each answer is right, and what the judge thought of it where nobody knows."""
        found = [value is not None and value >= ACCEPT_AT if right is None else right for right, value in answers]
        self._frontier.asked(found, ill_posed=ill_posed)

    def new_sample(
        self,
        episode: str,
        title: str,
        *,
        parent: str | None = None,
        practice: bool = False,
        **facts: str | float | bool | None,
    ) -> SampleData:
        """Begin a sample; its turns are appended by the episode. ``parent`` is the question that its question was made from."""
        sample = SampleData(episode=episode, title=title, turns=[], parent=parent, practice=practice, facts=facts)
        self.samples.append(sample)
        return sample

    def batch(
        self,
        metrics: Mapping[str, float] | None = None,
        *,
        blends: Sequence[Blend] = (),
        restart_optimizer: Sequence[str] = (),
        lr_scale: float = 1.0,
        lr_scale_of: Mapping[str, float] | None = None,
    ) -> StepBatch:
        """The step's outcome; further ``metrics`` come by full name."""
        self._show_pairs()
        means = {name: mean(values) for name, values in self._values.items()}
        return StepBatch(
            rollouts=self._rollouts,
            pairs=self._pairs,
            demonstrations=self._demonstrations,
            alternatives=self._alternatives,
            samples=self.samples,
            metrics=means | self._spread() | self._agreement() | self._numbers() | dict(metrics or {}),
            blends=list(blends),
            restart_optimizer=tuple(restart_optimizer),
            lr_scale=lr_scale,
            lr_scale_of=dict(lr_scale_of or {}),
        )

    def _show_pairs(self) -> None:
        places = {id(turn): (sample, place) for sample in self.samples for place, turn in enumerate(sample.turns)}
        for chosen, rejected in (pair.turns for pair in self._pairs if pair.turns):
            if id(chosen) not in places or id(rejected) not in places:
                continue
            (sample, place), (other, other_place) = places[id(chosen)], places[id(rejected)]
            view = PairView(chosen=place, rejected=other_place)
            if sample is other and view not in sample.pairs:
                sample.pairs.append(view)

    def _numbers(self) -> dict[str, float]:
        pairs = Counter(pair.role for pair in self._pairs)
        demonstrations = Counter(demonstration.role for demonstration in self._demonstrations)
        return {
            **{f"pairs/{role}": float(number) for role, number in pairs.items()},
            **{f"demonstrations/{role}": float(number) for role, number in demonstrations.items()},
        }

    def _spread(self) -> dict[str, float]:
        """How rewards are made up and spread, and where questions stand."""
        silent = zero_signal(self._rollouts)
        return {**reward_parts(self._rewarded), **reward_spread(self._rewarded), **silent, **self._frontier.metrics()}

    def _agreement(self) -> dict[str, float]:
        """The judge beside the truth on the step's own answers; a gap that grows is judge inflation."""
        if not self._judged:
            return {}
        found = agreement([each.value for each in self._judged], [each.right for each in self._judged])
        rates = {"judge/live_false_accept": found.false_accept, "judge/live_false_reject": found.false_reject}
        return {
            "judge/live_score": mean(each.value for each in self._judged),
            "judge/live_truth": mean(float(each.right) for each in self._judged),
            "judge/live_gap_sd": spread_of([each.value - each.right for each in self._judged]),
            **{name: rate for name, rate in rates.items() if rate is not None},
            **confusion(self._judged),
            **length_pull(self._judged),
        }


def turn_of(role: str, completion: Completion, parsed: str | None, *, parent: int | None = None) -> Turn:
    """A completion as a reader sees it."""
    return Turn(role=role, text=completion.text, parsed=parsed, parent=parent, num_tokens=len(completion.token_ids))
