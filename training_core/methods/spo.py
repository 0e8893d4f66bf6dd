"""SPO: Self-Play Preference Optimization (Gokul Swamy et al., 2024; arXiv 2401.04056): towards the minimax winner.

Preferences may run in circles, so there need not be a best answer, but there always is a mixture of answers that no other beats
more than half the time. One policy finds it by playing against itself: the reward of an answer is the share of the policy's own
answers that it beats. No reward model is fitted, so no total order is forced on the answers.
"""

from collections.abc import Sequence
from math import exp
from statistics import fmean as mean
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from training_core.evaluate.choice_game import exploitability, good_mass, mixed_in
from training_core.evaluate.held_out import Evaluation, accuracy, answer_held_out, shown_items
from training_core.evaluate.rivals import win_rate_against
from training_core.methods.base import Role, RolloutCost, SelfPlay, Snapshot, auditor_roles
from training_core.methods.sppo import START_ROLE, judge_role, why_uncorrectable
from training_core.play.audit import Audit, Graded, audit_cost
from training_core.play.candidate_queue import CandidateQueue
from training_core.play.corrections import PASSES_AT, corrected_table, judged_turn
from training_core.play.oracle import Candidate, Oracle, candidate_of, check_oracle
from training_core.play.play import Play
from training_core.play.prompts import Prompts
from training_core.play.records import Blend, Rollout, StepBatch
from training_core.play.step_log import StepLog, turn_of
from training_core.play.strengths import Strengths
from training_core.play.win_rates import win_rates
from training_core.rewards.tags import format_score, last_tag
from training_core.spec.base import Group, Unit
from training_core.spec.events import SampleData
from training_core.spec.judges import AuditSpec, NoAudit
from training_core.spec.learning import AdvantageSpec, ClippedPolicyLoss, PolicyLossSpec, RoleMean, SamplingSpec
from training_core.spec.online import OnlineSpec
from training_core.spec.preference_oracle import CyclicOracle, JudgeOracle, OracleSpec
from training_core.tasks.base import Domain, Item
from training_core.tasks.choices import QUESTION, Choices, payoffs

if TYPE_CHECKING:
    from training_core.spec.experiment import ExperimentSpec

AVERAGE = "average"
"""The mean of the weights so far."""


class SpoSpec(OnlineSpec):
    """The knobs of SPO. The paper's experiments are in control tasks; the defaults are what carries over to language."""

    name: Literal["spo"] = "spo"

    prompts_per_step: Annotated[int, Field(ge=1, le=65_536), Group("Game"), Unit("prompts")] = 32
    """Prompts answered in one step."""
    completions: Annotated[int, Field(ge=2, le=65_536, title="Answers per prompt"), Group("Game"), Unit("answers")] = 8
    """Answers to each prompt. Two give win shares of 0 or 1 and a noisy gradient; take four or more, or a queue."""
    oracle: Annotated[OracleSpec, Group("Game")] = CyclicOracle()
    """Who says which of two answers is better."""
    audit: Annotated[AuditSpec, Group("Game")] = NoAudit()
    """A second judge that compares the best and the worst answer to a share of the prompts again and that nobody learns from."""
    partners: Annotated[Literal["queue", "batch"], Group("Game")] = "queue"
    """Whom an answer is compared with: the policy's latest answers to the same prompt, from earlier steps too, or those of this
    step alone."""
    queue_size: Annotated[int, Field(ge=0, le=1_000_000), Group("Game"), Unit("answers")] = 2048
    """Latest answers kept as partners, over all prompts."""
    comparisons_per_item: Annotated[
        int, Field(ge=1, le=4096, title="Comparisons per answer"), Group("Game"), Unit("comparisons")
    ] = 16
    """Partners drawn for each answer. Where there are no more than this, all in this step, each is met once."""
    reward: Annotated[Literal["win_rate", "bradley_terry"], Group("Game")] = "win_rate"
    """win_rate is the method. bradley_terry is what it is compared with: a score per answer, fitted to all comparisons so far."""
    average_policy: Annotated[Literal["off", "mean", "ema"], Group("Average")] = "mean"
    """The theory promises the average of the policies, not the last one: keep the mean of all weights so far, or a moving one."""
    average_decay: Annotated[float, Field(ge=0, lt=1), Group("Average")] = 0.99
    """Share of the moving average that each step leaves in place."""
    rival_items: Annotated[int, Field(ge=0, le=100_000, title="Items against rivals"), Group("Game"), Unit("items")] = (
        128
    )
    """Held-out prompts on which, at every evaluation, the player meets the start; 0 switches it off."""

    advantage: Annotated[AdvantageSpec, Group("Learning")] = RoleMean()
    """What a win share is compared with. Over a self-play batch the mean is one half, whatever the policy; dividing by the spread
    blows up noise once all answers are alike."""
    loss: Annotated[PolicyLossSpec, Group("Learning")] = ClippedPolicyLoss(entropy_coef=0.01)
    """The policy loss. The entropy bonus keeps the last policy from running into a corner of the circle."""
    sampling: Annotated[SamplingSpec, Group("Sampling")] = SamplingSpec(max_tokens=1024)
    """How answers are drawn."""

    @property
    def judge(self) -> JudgeOracle | None:
        """The oracle, if it is a language model."""
        return self.oracle if isinstance(self.oracle, JudgeOracle) else None


class MinimaxWinner(SelfPlay):
    """One step: answer, compare with the policy's own answers, be paid the share of wins."""

    slug = "spo"
    Spec = SpoSpec
    tasks = ("choices", "arithmetic", "strings", "jsonl")
    domain: Domain

    @classmethod
    def curriculum_on(cls, task: str) -> str:
        return "choices" if task == "choices" else cls.curriculum

    @classmethod
    def roles(cls, spec: SpoSpec) -> tuple[Role, ...]:
        player = Role(
            name="player",
            title="Player",
            policy="main",
            trained=True,
            reads="a prompt",
            writes="several answers, each a rival of the others",
        )
        judges = (judge_role(spec.judge),) if spec.judge else ()
        return (player, *judges, *((START_ROLE,) if spec.rival_items else ()), *auditor_roles(spec))

    @classmethod
    def snapshots(cls, spec: SpoSpec) -> tuple[Snapshot, ...]:
        return () if spec.average_policy == "off" else (Snapshot(name=AVERAGE, of="player"),)

    @classmethod
    def rollout_cost(cls, experiment: "ExperimentSpec") -> RolloutCost:
        spec = experiment.method
        assert isinstance(spec, SpoSpec)
        answers = spec.prompts_per_step * spec.completions
        completions = {"answers": answers}
        if spec.judge and spec.judge.reads == "answer":
            completions["verdicts"] = answers * spec.judge.verdicts
        elif spec.judge:
            comparisons = answers * min(spec.comparisons_per_item, spec.completions - 1)
            completions["verdicts"] = comparisons * (1 + spec.judge.swap_order) * spec.judge.verdicts
        completions |= audit_cost(spec, 2 * spec.prompts_per_step)
        return RolloutCost(completions=completions, trained=answers)

    @classmethod
    def check(cls, experiment: "ExperimentSpec") -> None:
        spec = experiment.method
        assert isinstance(spec, SpoSpec)
        check_oracle(spec.oracle, experiment)
        if experiment.task.kind == "choices" and experiment.model.is_hub_id:
            raise ValueError(
                "task.kind is choices, whose answers are scored as whole completions in the starter's language; set "
                "model.source to starter, or choose another task"
            )
        if experiment.task.kind == "choices" and spec.audit.kind != "none":
            raise ValueError(
                "method.audit compares with answers that are right or wrong, and the task choices has none; switch it off, or "
                "choose another task"
            )
        if spec.reward == "bradley_terry" and experiment.task.kind != "choices":
            raise ValueError(
                "method.reward is bradley_terry, which keeps one score for each possible answer and so needs the task choices; "
                "set task.kind to choices, or method.reward to win_rate"
            )

    def __init__(self, experiment: "ExperimentSpec", domain: Domain, prompts: Prompts) -> None:
        super().__init__(experiment, domain, prompts)
        assert isinstance(experiment.method, SpoSpec)
        self.spec = experiment.method
        self.oracle = Oracle(self.spec.oracle, domain, prompts, sampling=self.spec.sampling)
        self.audit = Audit(self.spec.audit, prompts, sampling=self.spec.sampling)
        self.queue = CandidateQueue(size=self.spec.queue_size if self.spec.partners == "queue" else 0)
        self.strengths = Strengths()
        self.tagged = not isinstance(domain, Choices)
        """Whether answers stand between tags; those of a choice are the whole text."""
        self.mixture: list[float] = []
        """On choices: the mean over all steps of the chance of each answer, that is the average of the policies."""

    async def step(self, play: Play) -> StepBatch:
        log = StepLog()
        items = [self.domain.sample(play.rng) for _ in range(self.spec.prompts_per_step)]
        await play.gather(self._compete(play, log, index, item) for index, item in enumerate(items))
        if self.spec.reward == "bradley_terry":
            self.strengths.fit()
        metrics: dict[str, float] = {"queue/answers": float(len(self.queue))}
        if isinstance(self.domain, Choices):
            chances = await self._chances(play, self.domain)
            self.mixture = mixed_in(self.mixture, chances, step=play.step)
            metrics |= _shares(self.domain, chances)
        metrics |= await self.audit.metrics(play)
        return log.batch(metrics, blends=self._averaging(play))

    async def _compete(self, play: Play, log: StepLog, index: int, item: Item) -> None:
        """Answers to one prompt; each is paid the share of its comparisons that it wins (SPO, algorithm 1)."""
        spec, episode = self.spec, f"{play.step}-{index}"
        answers = await play.say("player", self._prompt(item.question), n=spec.completions)
        candidates = [candidate_of(answer, tagged=self.tagged) for answer in answers]
        table, rewards = await self._rewards(play, log, item.question, candidates)
        self.queue.add(item.question, candidates)
        sample = log.new_sample(episode, item.question, truth=self.domain.truth(item.question))
        sample.table = table
        for answer, candidate, reward in zip(answers, candidates, rewards, strict=True):
            turn = turn_of("player", answer, candidate.answer)
            turn.rewards = {spec.reward: reward}
            turn.verdict = None if why_uncorrectable(spec.oracle) else reward
            if self.domain.has_verifier:
                turn.correct = self._is_right(item, candidate)
                log.count("answers/accuracy", turn.correct)
            sample.turns.append(turn)
            log.spoke("player", answer, format_score(answer.text, "answer") if self.tagged else 1.0)
            rollout = Rollout(role="player", group=episode, completion=answer, reward=reward, turn=turn)
            log.learn(rollout, train=True)
        if self.domain.has_verifier:
            log.asked([(self._is_right(item, candidate), None) for candidate in candidates])
        if table is not None:
            self._note_extremes(sample, item, rewards)
        log.count("win_rate/best", max(rewards))
        log.count("win_rate/worst", min(rewards))
        log.count("answers/different", len({candidate.text for candidate in candidates}) / len(candidates))

    def _is_right(self, item: Item, candidate: Candidate) -> bool:
        return candidate.answer is not None and self.domain.check(candidate.answer, item.answer)

    def _note_extremes(self, sample: SampleData, item: Item, rewards: Sequence[float]) -> None:
        """The best and the worst answer as the oracle saw them, for the audit."""
        assert sample.table is not None
        best, worst = rewards.index(max(rewards)), rewards.index(min(rewards))
        one, other = sample.turns[best], sample.turns[worst]
        known = one.correct is not None and other.correct is not None
        self.audit.note(
            Graded(
                question=item.question,
                answer=one.parsed or one.text,
                rival=other.parsed or other.text,
                value=sample.table[best][worst],
                right=0.5 + (bool(one.correct) - bool(other.correct)) / 2 if known else None,
            )
        )

    async def _rewards(
        self, play: Play, log: StepLog, question: str, candidates: Sequence[Candidate]
    ) -> tuple[list[list[float]] | None, list[float]]:
        """The share of wins of each answer, with the table where all met all; in the comparison, the score that a
        Bradley-Terry model gives it."""
        spec, met = self.spec, self.queue.of(question)
        n = spec.comparisons_per_item
        if not met and n >= len(candidates) - 1 and spec.reward == "win_rate":
            table = await self.oracle.table(play, log, question, candidates)
            return table, win_rates(table, include_self=False)
        pairs = [
            (candidate, partner)
            for place, candidate in enumerate(candidates)
            for partner in self._partners(play, met, candidates, place)
        ]
        wins = await self.oracle.compare(play, log, question, pairs)
        if spec.reward == "win_rate":
            return None, [mean(wins[place * n : (place + 1) * n]) for place in range(len(candidates))]
        for (one, other), won in zip(pairs, wins, strict=True):
            self.strengths.add(one.answer or "", other.answer or "", won)
        return None, [self.strengths.of(candidate.answer or "") for candidate in candidates]

    def _partners(
        self, play: Play, met: Sequence[Candidate], candidates: Sequence[Candidate], place: int
    ) -> list[Candidate]:
        """Partners drawn for one answer among those of earlier steps and its siblings, never itself."""
        siblings = [*candidates[:place], *candidates[place + 1 :]]
        drawn = [play.rng.randrange(len(siblings) + len(met)) for _ in range(self.spec.comparisons_per_item)]
        return [siblings[at] if at < len(siblings) else met[at - len(siblings)] for at in drawn]

    # What people ask of it between steps

    @classmethod
    def why_uncorrectable(cls, experiment: "ExperimentSpec") -> str:
        spec = experiment.method
        assert isinstance(spec, SpoSpec)
        return why_uncorrectable(spec.oracle)

    def correct(self, sample: SampleData, turn: int, value: float) -> None:
        """The share of wins as if the oracle had known what the person says of an answer, of its siblings too where all met all.

        Where partners were drawn, only the answer's own share moves: past 1/2 + (v - 1/2) / 2, as against even partners.
        """
        judged = judged_turn(sample, turn)
        if sample.table is not None:
            sample.table = corrected_table(sample, turn, value)
            shares = win_rates(sample.table, include_self=False)
        else:
            bound = max if value >= PASSES_AT else min
            shares = [each.rewards["win_rate"] for each in sample.turns]
            shares[turn] = bound(shares[turn], 0.25 + value / 2)
        judged.verdict = value
        for each, share in zip(sample.turns, shares, strict=True):
            each.rewards, each.reward = {"win_rate": share}, share

    def _averaging(self, play: Play) -> tuple[Blend, ...]:
        """The average takes in the weights after this step's update: the mean over the start and every step, or a moving one."""
        if self.spec.average_policy == "off":
            return ()
        kept = play.step / (play.step + 1) if self.spec.average_policy == "mean" else self.spec.average_decay
        return (Blend(into=AVERAGE, parts={AVERAGE: kept, play.policy_of("player"): 1 - kept}),)

    def _prompt(self, question: str) -> str:
        return self.prompts.render("solve", question=question)

    # Measuring

    async def evaluate(self, play: Play) -> Evaluation:
        """On choices how far a best response beats the policy, exactly; else held-out accuracy and wins over the start."""
        if isinstance(self.domain, Choices):
            return await self._evaluate_game(play, self.domain)
        settings = self.experiment.evaluation
        answered = await answer_held_out(
            play,
            self.domain.held_out(settings.num_items),
            role="player",
            prompt=self._prompt,
            read=lambda completion: last_tag(completion.text, "answer"),
            samples_per_item=settings.samples_per_item,
            sampling=self.spec.sampling,
        )
        asked = [(each.item.question, self._prompt(each.item.question)) for each in answered[: self.spec.rival_items]]
        rates: dict[str, float] = {}
        if asked:
            rates = await win_rate_against(play, self.oracle, asked, player="player", rivals=("start",))
        return Evaluation(
            num_items=len(answered),
            scores=accuracy(self.domain, answered),
            metrics={f"eval/win_rate_{rival}": rate for rival, rate in rates.items()},
            items=shown_items(self.domain, answered),
        )

    async def _evaluate_game(self, play: Play, domain: Choices) -> Evaluation:
        """The last policy, the average of all policies (what the theory promises), and the policy of the averaged weights."""
        last = await self._chances(play, domain)
        found = {"": last, "_average": self.mixture or last}
        if self.spec.average_policy != "off":
            found["_weights"] = await self._chances(play, domain, policy=AVERAGE)
        assert isinstance(self.spec.oracle, CyclicOracle)
        table = payoffs(domain, cycle=self.spec.oracle.cycle, over_rest=self.spec.oracle.over_rest)
        scores = {f"exploitability{name}": exploitability(chances, table) for name, chances in found.items()}
        scores |= {f"good_mass{name}": good_mass(domain, chances) for name, chances in found.items()}
        return Evaluation(num_items=len(domain.answers), scores=scores)

    async def _chances(self, play: Play, domain: Choices, *, policy: str | None = None) -> list[float]:
        """The chance of every answer of the choice, exactly."""
        scored = await play.score("player", self._prompt(QUESTION), domain.answers, policy=policy)
        return [exp(logp) for logp in scored]

    def state_dict(self) -> dict[str, Any]:
        return {"queue": self.queue.state(), "strengths": self.strengths.state(), "mixture": self.mixture}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.queue.restore(state["queue"])
        self.strengths.restore(state["strengths"])
        self.mixture = list(state["mixture"])


def _shares(domain: Choices, chances: Sequence[float]) -> dict[str, float]:
    shares = dict(zip(domain.answers, chances, strict=True))
    good = {f"share/{answer}": shares[answer] for answer in domain.good}
    return {**good, "share/rest": 1 - sum(good.values())}
