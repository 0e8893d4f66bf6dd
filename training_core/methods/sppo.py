"""SPPO: Self-Play Preference Optimization (Yue Wu et al., 2024; arXiv 2405.00675): learn how often each answer beats your own.

Alignment is a two-player constant-sum game, and an answer's payoff its chance of beating an answer of the present policy. In
each round a frozen copy of the player writes several answers to every prompt, an oracle compares them, and the player moves the
log-ratios of the best and the worst towards eta times (win rate - 1/2).
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from training_core.evaluate.held_out import Answered, Evaluation, accuracy, answer_held_out, shown_items
from training_core.evaluate.rivals import win_rate_against
from training_core.methods.base import Role, RolloutCost, SelfPlay, Snapshot, auditor_roles
from training_core.play.audit import Audit, Graded, audit_cost
from training_core.play.corrections import corrected_table, judged_turn
from training_core.play.deck import Deck
from training_core.play.oracle import Oracle, candidate_of, check_oracle
from training_core.play.play import Play
from training_core.play.prompts import Prompts
from training_core.play.records import Blend, Choice, StepBatch
from training_core.play.requests import Completion, derive_seed
from training_core.play.rounds import Place, Plan, Shape, fitting_plan, step_size
from training_core.play.step_log import StepLog, turn_of
from training_core.play.win_rates import PairRule, Table, pick_pairs, rebuilt_from_scores, win_rates
from training_core.rewards.tags import format_score, last_tag
from training_core.spec.base import Group, Unit
from training_core.spec.events import SampleData, Turn
from training_core.spec.judges import AuditSpec, NoAudit
from training_core.spec.learning import DpoLoss, IpoLoss, OptimizerSpec, SamplingSpec, SppoLoss, SppoSingleLoss
from training_core.spec.preference import PreferenceSpec
from training_core.spec.preference_oracle import CyclicOracle, JudgeOracle, LengthOracle, OracleSpec, VerifierOracle
from training_core.tasks.base import Domain, Item

if TYPE_CHECKING:
    from training_core.spec.experiment import ExperimentSpec

ITERATE = "iterate"
"""The player as it was when the round began: it samples, and the losses compare with it."""
NO_SIGNAL = 0.02
"""Win rates of a prompt that lie closer together than this say nothing about its answers."""

START_ROLE = Role(
    name="start",
    title="Start",
    policy="start",
    trained=False,
    reads="a held-out prompt",
    writes="an answer to compare the player's with",
)


class RoundsOfPreferenceSpec(PreferenceSpec):
    """What SPPO and its kin have in common: rounds, groups of answers, an oracle, a loss on pairs."""

    iterations: Annotated[int, Field(ge=1, le=1000), Group("Rounds"), Unit("rounds")] = 3
    """Rounds of self-play. The run's steps are dealt to them evenly, and no prompt is used in two."""
    epochs_per_iteration: Annotated[int, Field(ge=1, le=100), Group("Rounds"), Unit("passes")] = 1
    """Passes of a round over its prompts; every pass draws fresh answers."""
    prompts_per_step: Annotated[int, Field(ge=1, le=65_536), Group("Rounds"), Unit("prompts")] = 64
    """Prompts answered in one step. With the rule best_worst each of them gives one pair."""
    scheduled_epochs: Annotated[int, Field(ge=1, le=1000), Group("Rounds"), Unit("passes")] | None = None
    """Passes that the step size is laid out for, if more than are carried out; empty means those carried out."""
    warmup_share: Annotated[float, Field(ge=0, lt=1, title="Warm-up share"), Group("Rounds")] = 0.1
    """Share of the step size's schedule over which it grows from 0."""
    decay: Annotated[Literal["linear", "constant"], Group("Rounds")] = "linear"
    """linear lets the step size fall to 0 at the end of its schedule; constant keeps it after the warm-up."""

    k_samples: Annotated[int, Field(ge=2, le=64, title="Answers per prompt"), Group("Answers"), Unit("answers")] = 5
    """Answers to each prompt. More find better and worse ones, and comparing them costs with the square."""
    oracle: Annotated[OracleSpec, Group("Answers")] = VerifierOracle()
    """Who says which of two answers is better. The paper asks a preference model, a judge that reads pairs."""
    audit: Annotated[AuditSpec, Group("Answers")] = NoAudit()
    """A second judge that compares a share of the pairs again and that nobody learns from; the gap shows an oracle being pleased."""
    pair_rule: Annotated[PairRule, Group("Answers")] = "best_worst"
    """Answers that enter the loss: the two extremes, one random pair, or all pairs (then every answer counts alike)."""
    win_rate_source: Annotated[Literal["pairwise", "from_scores"], Group("Answers")] = "pairwise"
    """pairwise averages the oracle's own table; from_scores rebuilds it from one score per answer, as the released code does, which
    loses every cycle."""
    include_self: Annotated[bool, Group("Answers")] = True
    """Count the one half of an answer against itself, so that win rates of five answers lie between 0.1 and 0.9."""
    skip_ties: Annotated[bool, Group("Answers")] = False
    """Leave out pairs with equal win rates. The paper keeps them, which holds both answers where they are."""
    rival_items: Annotated[
        int, Field(ge=0, le=100_000, title="Items against rivals"), Group("Answers"), Unit("items")
    ] = 128
    """Held-out prompts on which, at every evaluation, the player meets the round's frozen copy and the start; 0 switches it off."""

    @property
    def judge(self) -> JudgeOracle | None:
        """The oracle, if it is a language model."""
        return self.oracle if isinstance(self.oracle, JudgeOracle) else None

    def plan(self, steps: int) -> Plan:
        """How ``steps`` are dealt to rounds; raises ``ValueError`` where there are too few."""
        shape = Shape(
            rounds=self.iterations,
            epochs=self.epochs_per_iteration,
            pairs_per_step=self.prompts_per_step,
            carries=False,
        )
        return fitting_plan(shape, steps)

    def step_size(self, place: Place) -> float:
        """Factor on the step size of one step of a round."""
        laid_out = max(self.scheduled_epochs or 0, self.epochs_per_iteration)
        scheduled = replace(place, num_steps=place.num_steps * laid_out // self.epochs_per_iteration)
        return step_size(scheduled, warmup_share=self.warmup_share, decays=self.decay == "linear")


class SppoSpec(RoundsOfPreferenceSpec):
    """The knobs of SPPO; defaults are the paper's (sections 4 and 5)."""

    name: Literal["sppo"] = "sppo"

    preference: Annotated[
        SppoLoss | SppoSingleLoss | DpoLoss | IpoLoss, Field(discriminator="kind"), Group("Learning")
    ] = SppoLoss()
    """The loss of a pair: sppo regresses on the win rates in the group, sppo_single on the one comparison of the pair; dpo and ipo
    are what the paper compares with."""
    optimizer: Annotated[OptimizerSpec, Group("Learning")] = OptimizerSpec(kind="rmsprop", lr=5e-7)
    """The optimiser; it begins anew with every round."""
    sampling: Annotated[SamplingSpec, Group("Sampling")] = SamplingSpec(max_tokens=2048)
    """How answers are drawn (released code: temperature 0.7, top-p 0.9)."""
    scheduled_epochs: Annotated[int, Field(ge=1, le=1000), Group("Rounds"), Unit("passes")] | None = 18
    """Passes that the step size is laid out for. The paper lays out 18 and carries out 1; the released code 1; empty means those
    carried out."""


class SelfPlayPreferenceOptimization(SelfPlay):
    """One step: answers of the round's frozen copy, an oracle's table, pairs. A round ends by freezing the player anew."""

    slug = "sppo"
    Spec: ClassVar[type[RoundsOfPreferenceSpec]] = SppoSpec
    domain: Domain

    @classmethod
    def roles(cls, spec: RoundsOfPreferenceSpec) -> tuple[Role, ...]:
        player = Role(
            name="player",
            title="Player",
            policy="main",
            trained=True,
            reads="a prompt with two of the opponent's answers",
            writes="how likely it finds each",
        )
        opponent = Role(
            name="opponent",
            title="Previous policy",
            policy=ITERATE,
            trained=False,
            reads="a prompt",
            writes="several answers",
        )
        judges = (judge_role(spec.judge),) if spec.judge else ()
        return (player, opponent, *judges, *((START_ROLE,) if spec.rival_items else ()), *auditor_roles(spec))

    @classmethod
    def snapshots(cls, spec: RoundsOfPreferenceSpec) -> tuple[Snapshot, ...]:
        return (Snapshot(name=ITERATE, of="player", reference=True),)

    @classmethod
    def rollout_cost(cls, experiment: "ExperimentSpec") -> RolloutCost:
        spec = experiment.method
        assert isinstance(spec, RoundsOfPreferenceSpec)
        prompts, num_pairs = spec.prompts_per_step, spec.k_samples * (spec.k_samples - 1) // 2
        completions = {"answers": prompts * spec.k_samples}
        if spec.judge:
            judged = spec.k_samples if spec.judge.reads == "answer" else num_pairs * (1 + spec.judge.swap_order)
            completions["verdicts"] = prompts * judged * spec.judge.verdicts
        completions |= audit_cost(spec, 2 * prompts * (num_pairs if spec.pair_rule == "all_k" else 1))
        return RolloutCost(
            completions=completions, trained=prompts * 2 * (num_pairs if spec.pair_rule == "all_k" else 1)
        )

    @classmethod
    def check(cls, experiment: "ExperimentSpec") -> None:
        spec = experiment.method
        assert isinstance(spec, RoundsOfPreferenceSpec)
        spec.plan(experiment.steps)
        check_oracle(spec.oracle, experiment)
        if experiment.learner.ahead:
            raise ValueError(
                "learner.ahead plays the next step before this one is learnt, so the first answers of a round would come "
                "from the round before; switch learner.ahead off"
            )

    def __init__(self, experiment: "ExperimentSpec", domain: Domain, prompts: Prompts) -> None:
        super().__init__(experiment, domain, prompts)
        assert isinstance(experiment.method, RoundsOfPreferenceSpec)
        self.spec = experiment.method
        self.plan = self.spec.plan(experiment.steps)
        self.oracle = Oracle(self.spec.oracle, domain, prompts, sampling=self.spec.sampling)
        self.audit = Audit(self.spec.audit, prompts, sampling=self.spec.sampling)
        self.deck = Deck(domain, random.Random(derive_seed(experiment.seed, "deck")))

    async def step(self, play: Play) -> StepBatch:
        spec, place, log = self.spec, self.plan.place(play.step), StepLog()
        await play.gather(self._answer(play, log, index, item) for index, item in enumerate(self._items(place)))
        player, size = play.policy_of("player"), spec.step_size(place)
        return log.batch(
            {"round/number": place.round + 1, "round/step_size": size, **await self.audit.metrics(play)},
            blends=self.end_of_round(place, player) if place.is_last else (),
            restart_optimizer=(player,) if place.is_first and place.round else (),
            lr_scale=size,
        )

    def end_of_round(self, place: Place, player: str) -> tuple[Blend, ...]:
        """What the weights go through when a round is over: pi_t+1 becomes opponent, sampler and reference of the next."""
        return (Blend(into=ITERATE, parts={player: 1.0}),)

    def _items(self, place: Place) -> list[Item]:
        """The prompts of a step: every round has its own share of the deck, and each pass its own order."""
        spec, num_prompts = self.spec, self.plan.num_prompts
        items = self.deck.items(range(place.round * num_prompts, (place.round + 1) * num_prompts))
        epoch, part = divmod(place.step, num_prompts // spec.prompts_per_step)
        random.Random(derive_seed(self.experiment.seed, "order", place.round, epoch)).shuffle(items)
        return items[part * spec.prompts_per_step :][: spec.prompts_per_step]

    async def _answer(self, play: Play, log: StepLog, index: int, item: Item) -> None:
        """K answers to one prompt, their win rates within the group, and the pairs they make (SPPO, algorithm 1)."""
        spec, prompt = self.spec, self._prompt(item.question)
        answers = await play.say("opponent", prompt, n=spec.k_samples)
        table: Table = await self.oracle.table(play, log, item.question, [candidate_of(each) for each in answers])
        if spec.win_rate_source == "from_scores":
            table = rebuilt_from_scores(table)
        rates = win_rates(table, include_self=spec.include_self)
        sample = log.new_sample(f"{play.step}-{index}", item.question, truth=self.domain.truth(item.question))
        sample.layout, sample.table = "pairs", [list(row) for row in table]
        turns = [self._turn(item, answer, rate) for answer, rate in zip(answers, rates, strict=True)]
        for turn, verdict in zip(turns, win_rates(table, include_self=False), strict=True):
            turn.verdict = verdict
        sample.turns.extend(turns)
        _count(log, answers, turns, rates)
        log.asked([(turn.correct, None) for turn in turns])
        choices = self._choices(table, pick_pairs(rates, spec.pair_rule, play.rng))
        if not choices:
            log.discard(sample, "all its answers win equally often")
        log.choose(sample, choices, role="player", prompt=prompt, answers=dict(enumerate(answers)))
        for choice in choices:
            self.audit.note(_compared(item, sample, choice))

    def _choices(self, table: Table, pairs: Sequence[tuple[int, int]]) -> list[Choice]:
        rates = win_rates(table, include_self=self.spec.include_self)
        return [
            Choice(chosen=chosen, rejected=rejected, win_rates=self._targets(table, rates, chosen, rejected))
            for chosen, rejected in pairs
            if not (self.spec.skip_ties and rates[chosen] == rates[rejected])
        ]

    def _targets(self, table: Table, rates: Sequence[float], chosen: int, rejected: int) -> tuple[float, float]:
        """Win rates in the group, or for sppo_single those of the two answers against each other alone."""
        if self.spec.preference.kind == "sppo_single":
            return table[chosen][rejected], table[rejected][chosen]
        return rates[chosen], rates[rejected]

    # What people ask of it between steps

    @classmethod
    def why_uncorrectable(cls, experiment: "ExperimentSpec") -> str:
        spec = experiment.method
        assert isinstance(spec, RoundsOfPreferenceSpec)
        return why_uncorrectable(spec.oracle)

    def correct(self, sample: SampleData, turn: int, value: float) -> None:
        """The oracle's table and the win rates as if it had known what the person says of an answer."""
        judged = judged_turn(sample, turn)
        sample.table = corrected_table(sample, turn, value)
        judged.verdict = value
        rates = win_rates(sample.table, include_self=self.spec.include_self)
        for each, rate in zip(sample.turns, rates, strict=True):
            each.rewards = {"win_rate": rate}

    def choices(self, sample: SampleData) -> list[Choice]:
        """The pairs of the rule; of one that was drawn at random, the same two answers in their order of now."""
        assert sample.table is not None
        rates = win_rates(sample.table, include_self=self.spec.include_self)
        if self.spec.pair_rule != "random_pair":
            return self._choices(sample.table, pick_pairs(rates, self.spec.pair_rule, random.Random(0)))
        places = [(pair.chosen, pair.rejected) for pair in sample.pairs]
        ranked = [tuple(sorted(both, key=lambda place: (-rates[place], place))) for both in places]
        return self._choices(sample.table, [(one, other) for one, other in ranked])

    def _turn(self, item: Item, answer: Completion, rate: float) -> Turn:
        turn = turn_of("opponent", answer, last_tag(answer.text, "answer"))
        turn.rewards = {"win_rate": rate}
        turn.correct = turn.parsed is not None and self.domain.check(turn.parsed, item.answer)
        return turn

    def _prompt(self, question: str) -> str:
        return self.prompts.render("solve", question=question)

    async def evaluate(self, play: Play) -> Evaluation:
        """Held-out accuracy, and how often the player beats the round's frozen copy and the start."""
        answered = await self.answers_of(play, "player")
        asked = [(each.item.question, self._prompt(each.item.question)) for each in answered[: self.spec.rival_items]]
        rates: dict[str, float] = {}
        if asked:
            rates = await win_rate_against(play, self.oracle, asked, player="player", rivals=("opponent", "start"))
        return Evaluation(
            num_items=len(answered),
            scores=accuracy(self.domain, answered),
            metrics={f"eval/win_rate_{rival}": rate for rival, rate in rates.items()},
            items=shown_items(self.domain, answered),
        )

    async def answers_of(self, play: Play, role: str) -> list[Answered]:
        """The held-out items with a role's answers."""
        settings = self.experiment.evaluation
        return await answer_held_out(
            play,
            self.domain.held_out(settings.num_items),
            role=role,
            prompt=self._prompt,
            read=lambda completion: last_tag(completion.text, "answer"),
            samples_per_item=settings.samples_per_item,
            sampling=self.spec.sampling,
        )

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the deck follows from the seed, and the frozen copy is a snapshot."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        return


def judge_role(judge: JudgeOracle) -> Role:
    """The role of an oracle that is a language model."""
    pairs = judge.reads == "pair"
    return Role(
        name="judge",
        title="Preference judge",
        policy="main" if judge.judge == "current" else "start",
        trained=False,
        reads="a prompt with two answers" if pairs else "a prompt with an answer",
        writes="which is better" if pairs else "a score from 1 to 10",
    )


def why_uncorrectable(oracle: OracleSpec) -> str:
    """Why a person's word changes nothing of what an oracle says, if so."""
    if isinstance(oracle, CyclicOracle | LengthOracle):
        return f"To the {oracle.kind} oracle no answer is right or wrong, so there is no verdict to overrule."
    return ""


def _compared(item: Item, sample: SampleData, choice: Choice) -> Graded:
    """A pair as the oracle saw it, for the audit."""
    assert sample.table is not None
    chosen, rejected = sample.turns[choice.chosen], sample.turns[choice.rejected]
    known = chosen.correct is not None and rejected.correct is not None
    return Graded(
        question=item.question,
        answer=chosen.parsed or chosen.text,
        rival=rejected.parsed or rejected.text,
        value=sample.table[choice.chosen][choice.rejected],
        right=0.5 + (bool(chosen.correct) - bool(rejected.correct)) / 2 if known else None,
    )


def _count(log: StepLog, answers: Sequence[Completion], turns: Sequence[Turn], rates: Sequence[float]) -> None:
    for answer, turn in zip(answers, turns, strict=True):
        log.spoke("opponent", answer, format_score(answer.text, "answer"))
        log.count("answers/accuracy", turn.correct)
    log.count("answers/identical", len({answer.text for answer in answers}) == 1)
    log.count("win_rate/best", max(rates))
    log.count("win_rate/worst", min(rates))
    log.count("win_rate/no_signal", max(rates) - min(rates) < NO_SIGNAL)
