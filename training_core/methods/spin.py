"""SPIN: Self-Play Fine-Tuning (Zixiang Chen et al., 2024; arXiv 2401.01335): beat a frozen copy of yourself at demonstrations.

The player learns to find a demonstration likelier, and the opponent's own answer less likely, than the opponent does. The
opponent is the player as it was when the round began; when its answers can no longer be told from demonstrations, the game is over.
"""

import random
from dataclasses import asdict, replace
from statistics import fmean as mean
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from training_core.evaluate.held_out import Evaluation, accuracy, answer_held_out, shown_items
from training_core.methods.base import Role, RolloutCost, SelfPlay, Snapshot
from training_core.play.deck import Deck
from training_core.play.play import Play
from training_core.play.prompts import Prompts
from training_core.play.records import Blend, Demonstration, Pair, StepBatch
from training_core.play.requests import Completion, derive_seed
from training_core.play.rounds import Place, Plan, Shape, exact_plan, fitting_plan, step_size
from training_core.play.step_log import StepLog, turn_of
from training_core.rewards.tags import last_tag
from training_core.spec.base import Group, Unit
from training_core.spec.events import Turn
from training_core.spec.learning import DpoLoss, HingeLoss, OptimizerSpec, SamplingSpec
from training_core.spec.preference import PreferenceSpec
from training_core.tasks.base import Item

if TYPE_CHECKING:
    from training_core.spec.experiment import ExperimentSpec
    from training_core.tasks.base import Domain

ITERATE = "iterate"
"""The opponent's weights: the player as it was at the end of the round before."""


class SpinSpec(PreferenceSpec):
    """The knobs of SPIN; defaults are the paper's (section 6.1 and appendix B)."""

    name: Literal["spin"] = "spin"

    iterations: Annotated[int, Field(ge=1, le=1000), Group("Rounds"), Unit("rounds")] = 4
    """Opponents to beat in turn, one in each round; the run's steps are dealt out to the rounds."""
    epochs_per_iteration: Annotated[int, Field(ge=1, le=100), Group("Rounds"), Unit("passes")] = 2
    """Passes over the pairs of a round (released code: 6)."""
    pairs_per_step: Annotated[int, Field(ge=1, le=65_536), Group("Rounds"), Unit("pairs")] = 64
    """Pairs of one step."""
    num_prompts: Annotated[int, Field(ge=1, le=10_000_000), Group("Rounds"), Unit("prompts")] | None = None
    """Prompts that every opponent answers (paper: 50,000). Empty takes as many as the run's steps have room for."""
    carry_previous: Annotated[bool, Field(title="Carry previous pairs"), Group("Rounds")] = True
    """Train on the pairs of the round before as well; they are compared with the newer opponent."""
    self_play: Annotated[bool, Group("Rounds")] = True
    """Off imitates the demonstrations for as many steps without any opponent: the paper's comparison with more fine-tuning."""
    skip_identical: Annotated[bool, Group("Rounds")] = False
    """Leave out pairs whose two sides are equal. They have no gradient; the paper keeps them."""
    lr_late: Annotated[float, Field(gt=0, le=10, title="Late learning rate"), Group("Rounds")] = 0.2
    """Factor on the step size in the second half of the rounds (paper: 5e-7, then 1e-7)."""
    warmup_share: Annotated[float, Field(ge=0, lt=1, title="Warm-up share"), Group("Rounds")] = 0.1
    """Share of each round over which the step size grows from 0. RMSprop begins with steps far too large without it."""
    decay: Annotated[Literal["linear", "constant"], Group("Rounds")] = "linear"
    """linear lets the step size fall to 0 at the end of each round; constant keeps it after the warm-up."""

    preference: Annotated[DpoLoss | HingeLoss, Field(discriminator="kind"), Group("Learning")] = DpoLoss(beta=0.1)
    """The loss of a pair: dpo is the paper's logistic loss, with its lambda as beta; hinge is the other one of the released code."""
    beta_last: Annotated[float, Field(gt=0, le=10), Group("Learning")] | None = 5.0
    """Beta of the last of several rounds, where only small moves are left to make. Empty keeps that of the loss."""

    optimizer: Annotated[OptimizerSpec, Group("Learning")] = OptimizerSpec(kind="rmsprop", lr=5e-7)
    """The optimiser; it begins anew with every round."""
    sampling: Annotated[SamplingSpec, Group("Sampling")] = SamplingSpec(max_tokens=256)
    """How the opponent's answers are drawn. Answers that are often cut teach to tell a cut from an end."""

    def beta_of(self, number: int) -> float | None:
        """Beta of a round, counted from 0, where it is not the loss's."""
        return self.beta_last if 0 < number == self.iterations - 1 else None

    def step_size(self, place: Place) -> float:
        """Factor on the step size at a place."""
        late = 2 * place.round >= self.iterations
        size = step_size(place, warmup_share=self.warmup_share, decays=self.decay == "linear")
        return size * (self.lr_late if late else 1.0)

    def plan(self, steps: int) -> Plan:
        """How ``steps`` are dealt to rounds; raises ``ValueError`` where they do not fit."""
        shape = Shape(
            rounds=self.iterations,
            epochs=self.epochs_per_iteration,
            pairs_per_step=self.pairs_per_step,
            carries=self.carry_previous,
        )
        return fitting_plan(shape, steps) if self.num_prompts is None else exact_plan(shape, steps, self.num_prompts)


class Spin(SelfPlay):
    """One step: a mini-batch of the round's pairs, the opponent answering the prompts it has not answered yet."""

    slug = "spin"
    Spec = SpinSpec
    domain: "Domain"

    @classmethod
    def roles(cls, spec: SpinSpec) -> tuple[Role, ...]:
        return (
            Role(
                name="player",
                title="Player",
                policy="main",
                trained=True,
                reads="a prompt with a demonstration and the opponent's answer",
                writes="how likely it finds each",
            ),
            Role(
                name="opponent",
                title="Opponent",
                policy=ITERATE if spec.self_play else "none",
                trained=False,
                reads="a prompt",
                writes="an answer that should pass for a demonstration",
            ),
        )

    @classmethod
    def snapshots(cls, spec: SpinSpec) -> tuple[Snapshot, ...]:
        return (Snapshot(name=ITERATE, of="player", reference=True),) if spec.self_play else ()

    @classmethod
    def rollout_cost(cls, experiment: "ExperimentSpec") -> RolloutCost:
        spec = experiment.method
        assert isinstance(spec, SpinSpec)
        if not spec.self_play:
            return RolloutCost(completions={}, trained=spec.pairs_per_step)
        answers = spec.plan(experiment.steps).num_prompts * spec.iterations / experiment.steps
        return RolloutCost(completions={"opponent's answers": round(answers)}, trained=2 * spec.pairs_per_step)

    @classmethod
    def check(cls, experiment: "ExperimentSpec") -> None:
        spec = experiment.method
        assert isinstance(spec, SpinSpec)
        spec.plan(experiment.steps)
        if experiment.learner.ahead:
            raise ValueError(
                "learner.ahead plays the next step before this one is learnt, so the first answers of a round would come "
                "from the opponent before; switch learner.ahead off"
            )

    def __init__(self, experiment: "ExperimentSpec", domain: "Domain", prompts: Prompts) -> None:
        super().__init__(experiment, domain, prompts)
        assert isinstance(experiment.method, SpinSpec)
        self.spec = experiment.method
        self.plan = self.spec.plan(experiment.steps)
        deck = Deck(domain, random.Random(derive_seed(experiment.seed, "deck")))
        self.items = deck.items(range(self.plan.num_prompts))
        self.answers: dict[int, Completion] = {}
        """The present opponent's, by place among the items."""
        self.carried: dict[int, Completion] = {}
        """Those of the opponent before, where they are trained on as well."""

    async def step(self, play: Play) -> StepBatch:
        spec, place, log = self.spec, self.plan.place(play.step), StepLog()
        if place.is_first:
            self.carried, self.answers = (self.answers if spec.carry_previous else {}), {}
        await play.gather(self._meet(play, log, place, number) for number in self._numbers(place))
        player, size = play.policy_of("player"), spec.step_size(place)
        return log.batch(
            {"round/number": place.round + 1, "round/step_size": size},
            blends=[Blend(into=ITERATE, parts={player: 1.0})] if place.is_last and spec.self_play else (),
            restart_optimizer=(player,) if place.is_first and place.round else (),
            lr_scale=size,
        )

    def _numbers(self, place: Place) -> list[int]:
        """The pairs of a step: numbers below the number of prompts are the present opponent's, the others are carried."""
        numbers = list(range(len(self.items) + len(self.carried)))
        per_epoch = -(-len(numbers) // self.spec.pairs_per_step)
        epoch, part = divmod(place.step, per_epoch)
        random.Random(derive_seed(self.experiment.seed, "order", place.round, epoch)).shuffle(numbers)
        return numbers[part * self.spec.pairs_per_step :][: self.spec.pairs_per_step]

    async def _meet(self, play: Play, log: StepLog, place: Place, number: int) -> None:
        """One pair: the demonstration is chosen, the opponent's answer rejected (SPIN, algorithm 1)."""
        item = self.items[number % len(self.items)]
        prompt, demonstration = self._prompt(item.question), self._demonstration(item)
        if not self.spec.self_play:
            log.imitate(Demonstration(role="player", prompt=prompt, completion=demonstration))
            return
        carried = number >= len(self.items)
        answer = self.carried[number - len(self.items)] if carried else await self._answer(play, log, number)
        identical = answer.ended and answer.text == demonstration
        sample = log.new_sample(f"{play.step}-{number}", item.question, round=place.round + 1, carried=carried)
        sample.layout, sample.facts["identical"] = "pairs", identical
        turns = (
            Turn(role="demonstration", text=demonstration, parsed=_read(demonstration), correct=True),
            self._turn(item, answer),
        )
        sample.turns.extend(turns)
        if identical and self.spec.skip_identical:
            log.discard(sample, "the answer is the demonstration")
            return
        beta = self.spec.beta_of(place.round)
        log.prefer(Pair(role="player", prompt=prompt, chosen=demonstration, rejected=answer, beta=beta, turns=turns))

    async def _answer(self, play: Play, log: StepLog, number: int) -> Completion:
        """The present opponent's answer, drawn when it is first needed; its weights stay, so that changes nothing."""
        if number not in self.answers:
            item = self.items[number]
            found = (await play.say("opponent", self._prompt(item.question)))[0]
            log.count("opponent/accuracy", self.domain.check(_read(found.text), item.answer))
            log.count("opponent/identical", found.ended and found.text == self._demonstration(item))
            log.count("opponent/cut", not found.ended)
            log.count("length/opponent_tokens", len(found.token_ids))
            log.count("entropy/opponent", mean(found.entropies) if found.entropies else None)
            self.answers[number] = replace(found, prompt_ids=(), logprobs=(), entropies=())
        return self.answers[number]

    def _turn(self, item: Item, answer: Completion) -> Turn:
        turn = turn_of("opponent", answer, _read(answer.text))
        turn.correct = self.domain.check(turn.parsed or "", item.answer)
        return turn

    def _prompt(self, question: str) -> str:
        return self.prompts.render("solve", question=question)

    def _demonstration(self, item: Item) -> str:
        return self.prompts.render("demonstration", question=item.question, answer=item.answer)

    @classmethod
    def why_uncorrectable(cls, experiment: "ExperimentSpec") -> str:
        return "SPIN prefers written answers to its own, and nobody judges either, so there is no verdict to overrule."

    async def evaluate(self, play: Play) -> Evaluation:
        """Held-out accuracy of the player, and how likely it finds the demonstrations of held-out items."""
        settings = self.experiment.evaluation
        items = self.domain.held_out(settings.num_items)
        answered = await answer_held_out(
            play,
            items,
            role="player",
            prompt=self._prompt,
            read=lambda completion: _read(completion.text),
            samples_per_item=settings.samples_per_item,
            sampling=self.spec.sampling,
        )
        likely = await play.gather(
            play.score("player", self._prompt(item.question), [self._demonstration(item)]) for item in items
        )
        return Evaluation(
            num_items=len(items),
            scores=accuracy(self.domain, answered),
            metrics={"eval/demonstration_logprob": mean(logp for (logp,) in likely)},
            items=shown_items(self.domain, answered),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"answers": _state(self.answers), "carried": _state(self.carried)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.answers, self.carried = _restored(state["answers"]), _restored(state["carried"])


def _read(text: str) -> str:
    """The answer between its tags, or the whole text of a model that uses none."""
    answer = last_tag(text, "answer")
    return text if answer is None else answer


def _state(answers: dict[int, Completion]) -> list[Any]:
    return [[number, asdict(answer)] for number, answer in answers.items()]


def _restored(state: list[Any]) -> dict[int, Completion]:
    return {number: Completion.from_json(values) for number, values in state}
