"""SCoRe (Kumar, Zhuang, Agarwal, Su et al., 2024; arXiv 2409.12917): one policy answers, is told that there may be an error, and
answers again; both attempts are its own, and it is paid for the change between them.

Stage I raises the second attempt while the first is held at the base model; Stage II trains both, with a bonus for improvement.
Without them the policy learns to answer once and to copy itself.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean as mean
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from training_core.evaluate.attempts import (
    Attempt,
    Chain,
    attempt_held_out,
    chain_scores,
    read_attempt,
    shown_chains,
    transitions,
)
from training_core.evaluate.held_out import Evaluation
from training_core.methods.base import Role, RolloutCost, SelfPlay
from training_core.play.corrections import judged_turn
from training_core.play.play import Play
from training_core.play.records import Rollout, StepBatch
from training_core.play.step_log import StepLog, turn_of
from training_core.rewards.tags import format_score
from training_core.spec.base import Group, Probability, Unit
from training_core.spec.events import SampleData
from training_core.spec.learning import AdvantageSpec, ClippedPolicyLoss, PolicyLossSpec, RoleMean, SamplingSpec
from training_core.spec.online import OnlineSpec

if TYPE_CHECKING:
    from training_core.play.prompts import Prompts
    from training_core.spec.experiment import ExperimentSpec
    from training_core.tasks.base import Domain, Item

FIRST, SECOND, BASE = "first", "second", "base"
INSTRUCTION = (
    "There may be an error in the answer above. Look at it again, correct it where needed, and write the whole solution "
    "once more, with the final answer alone between <answer> and </answer>."
)
_SMOOTHING = 0.9
"""Memory of the running means behind the plateau and the adaptive beta2."""
_BETA2_RANGE = 10.0
"""An adaptive beta2 stays within this factor of the knob."""
_EPSILON = 1e-6


class ScoreSpec(OnlineSpec):
    """The knobs of SCoRe; defaults are the paper's for mathematics."""

    name: Literal["score"] = "score"

    problems_per_step: Annotated[int, Field(ge=2, le=4096), Group("Attempts"), Unit("problems")] = 512
    """Problems drawn from the training side at each step."""
    episodes_per_problem: Annotated[int, Field(ge=1, le=64), Group("Attempts"), Unit("episodes")] = 1
    """Pairs of attempts at each problem; advantages that compare siblings need at least 2."""
    correction_instruction: Annotated[str, Field(min_length=1, max_length=2000), Group("Attempts")] = INSTRUCTION
    """What is said after the first attempt, right or wrong, to an instruction-tuned model; the starter knows it as a mark."""
    offline_first_attempts: Annotated[Probability, Group("Attempts")] = 0.0
    """Share of the episodes whose first attempt is the base model's and is not trained; it keeps second attempts varied."""
    evaluation_attempts: Annotated[int, Field(ge=2, le=10), Group("Attempts"), Unit("attempts")] = 2
    """Attempts at each held-out problem, each of them seeing the one before; training has always two."""

    stage1_steps: Annotated[
        int, Field(ge=0, le=10_000_000, title="Steps of Stage I"), Group("Stages"), Unit("steps")
    ] = 1500
    """Steps of Stage I; Stage II takes the rest of the run. 0 leaves Stage I out, which is the paper's ablation."""
    stage1_stop: Annotated[Literal["steps", "plateau"], Field(title="End of Stage I"), Group("Stages")] = "steps"
    """plateau ends Stage I before stage1_steps once second attempts get no better."""
    plateau_patience: Annotated[int, Field(ge=1, le=100_000), Group("Stages"), Unit("steps")] = 50
    """Steps without a new best mean of the second attempt's reward that make a plateau."""
    stage2_lr_scale: Annotated[float, Field(gt=0, le=1, title="Step size in Stage II"), Group("Stages")] = 1.0
    """Factor on the step size in Stage II; small models keep the gain of Stage I longer with less."""

    alpha: Annotated[float, Field(ge=0, le=20, title="Bonus for the change"), Group("Rewards")] = 10.0
    """Bonus on the second attempt for its change over the first in Stage II; 0 is the paper's ablation."""
    gamma_attempts: Annotated[Probability, Field(title="Share for the first attempt"), Group("Rewards")] = 0.0
    """Share of the second attempt's reward that the first is paid too; above 0 the policy learns to fail first, or to copy."""
    beta1: Annotated[float, Field(ge=0, le=1, title="KL weight, both attempts"), Group("Rewards")] = 0.01
    """Weight of the KL to the base model, on both attempts and in both stages."""
    beta2: Annotated[float, Field(ge=0, le=10, title="KL weight, first attempt"), Group("Rewards")] = 0.1
    """Further weight of the KL of the first attempt in Stage I, which holds it at the base model (paper: 0.25 for code)."""
    adaptive_beta2: Annotated[bool, Field(title="Adapt the first attempt's weight"), Group("Rewards")] = False
    """Let beta2 follow the ratio of the second attempt's reward to the first attempt's KL, at most ten times up or down."""

    advantage: Annotated[AdvantageSpec, Group("Learning")] = RoleMean()
    """What a reward is compared with; each attempt has a baseline of its own whatever is chosen."""
    loss: Annotated[PolicyLossSpec, Group("Learning")] = ClippedPolicyLoss(entropy_coef=0.0)
    """The policy loss; with one update per batch it is REINFORCE."""

    @model_validator(mode="after")
    def _fits_together(self) -> "ScoreSpec":
        if self.loss.kl_coef > 0:
            raise ValueError("beta1 and beta2 are the KL weights of this method; leave loss.kl_coef at 0")
        if self.adaptive_beta2 and self.sampling.temperature != 1:
            raise ValueError(
                "adaptive_beta2 measures the KL on what is sampled, which holds at temperature 1 only; set "
                f"sampling.temperature to 1 (it is {self.sampling.temperature:g}), or switch adaptive_beta2 off"
            )
        if self.advantage.kind in {"group_relative", "leave_one_out"} and self.episodes_per_problem < 2:
            raise ValueError(
                f"advantage.kind is {self.advantage.kind}, which compares episodes of one problem, but "
                "episodes_per_problem is 1; raise it, or choose mean"
            )
        return self

    @property
    def needs_reference(self) -> bool:
        return self.beta1 > 0 or self.beta2 > 0


class Score(SelfPlay):
    """One step: two attempts at each problem, each with a reward of its own."""

    slug = "score"
    Spec = ScoreSpec
    tasks = ("pair_sum", "arithmetic", "strings", "jsonl")
    curriculum = "revise"
    domain: "Domain"

    @classmethod
    def roles(cls, spec: ScoreSpec) -> tuple[Role, ...]:
        answers = "an answer"
        return (
            Role(name=FIRST, title="First attempt", policy="main", trained=True, reads="a problem", writes=answers),
            Role(
                name=SECOND,
                title="Second attempt",
                policy="main",
                trained=True,
                reads="the problem, the first attempt, and that there may be an error",
                writes=answers,
            ),
            Role(name=BASE, title="Base model", policy="start", trained=False, reads="a problem", writes=answers),
        )

    @classmethod
    def rollout_cost(cls, experiment: "ExperimentSpec") -> RolloutCost:
        spec = experiment.method
        assert isinstance(spec, ScoreSpec)
        episodes = spec.problems_per_step * spec.episodes_per_problem
        offline = round(episodes * spec.offline_first_attempts)
        return RolloutCost(
            completions={"first attempts": episodes, "second attempts": episodes}, trained=2 * episodes - offline
        )

    @classmethod
    def check(cls, experiment: "ExperimentSpec") -> None:
        if experiment.weights.kind != "shared":
            raise ValueError(
                f"weights.kind is {experiment.weights.kind}, but both attempts are made by one set of weights; set it to shared"
            )

    def __init__(self, experiment: "ExperimentSpec", domain: "Domain", prompts: "Prompts") -> None:
        super().__init__(experiment, domain, prompts)
        assert isinstance(experiment.method, ScoreSpec)
        self.spec = experiment.method
        self.stage = 1 if self.spec.stage1_steps else 2
        self.beta2 = self.spec.beta2
        self._plateau = _Plateau()

    async def step(self, play: Play) -> StepBatch:
        self._choose_stage(play.step)
        log = StepLog()
        problems = [self.domain.sample(play.rng) for _ in range(self.spec.problems_per_step)]
        played: list[list[_Episode]] = await play.gather(
            self._problem(play, log, index, item) for index, item in enumerate(problems)
        )
        episodes = [episode for problem in played for episode in problem]
        # What the policy changes is told by episodes that are all its own.
        own = [each for each in episodes if not each.offline] or episodes
        found = transitions([(each.first, each.second) for each in own])
        self._plateau.see(found["accuracy_2"])
        if self.stage == 1 and self.spec.adaptive_beta2:
            await self._adapt(play, log, episodes, reward=found["accuracy_2"])
        return log.batch(
            {
                **{f"attempts/{name}": value for name, value in found.items()},
                "stage/number": float(self.stage),
                "kl/beta2": self.beta2 if self.stage == 1 else 0.0,
            },
            lr_scale=self.spec.stage2_lr_scale if self.stage == 2 else 1.0,
        )

    def _choose_stage(self, step: int) -> None:
        """Stage I ends after its steps or at a plateau, and never comes back."""
        plateau = self.spec.stage1_stop == "plateau" and self._plateau.age >= self.spec.plateau_patience
        if plateau or step > self.spec.stage1_steps:
            self.stage = 2

    async def _problem(self, play: Play, log: StepLog, index: int, item: "Item") -> "list[_Episode]":
        """Both attempts of every episode of a problem."""
        offline = play.rng.random() < self.spec.offline_first_attempts
        prompt = self.prompts.render("solve", question=item.question)
        said = await play.say(BASE if offline else FIRST, prompt, n=self.spec.episodes_per_problem)
        firsts = [read_attempt(self.domain, item, completion) for completion in said]
        replies = await play.gather(play.say(SECOND, self._again(item.question, first)) for first in firsts)
        seconds = [read_attempt(self.domain, item, reply[0]) for reply in replies]
        episodes = [
            _Episode(item=item, first=first, second=second, offline=offline)
            for first, second in zip(firsts, seconds, strict=True)
        ]
        log.asked([(episode.second.right, None) for episode in episodes])
        for place, episode in enumerate(episodes):
            self._reward(log, f"{play.step}-{index}", place, episode)
        return episodes

    def _again(self, question: str, attempt: Attempt) -> str:
        """The second attempt's prompt. The first is part of it, so no gradient of the second's reward reaches the first."""
        text, instruction = attempt.completion.text, self.spec.correction_instruction
        return self.prompts.render("revise", question=question, attempt=text, instruction=instruction)

    def _reward(self, log: StepLog, group: str, place: int, episode: "_Episode") -> None:
        """Stage I: R1 = 0, R2 = r2. Stage II: R1 = r1, R2 = r2 + alpha (r2 - r1)."""
        r1, r2, second_stage = float(episode.first.right), float(episode.second.right), self.stage == 2
        bonus = self.spec.alpha * (r2 - r1) if second_stage else 0.0
        reward_2 = r2 + bonus
        reward_1 = r1 * second_stage + self.spec.gamma_attempts * reward_2
        hold = 0.0 if second_stage else self.beta2
        log.count("attempts/first_right", r1)
        sample = log.new_sample(
            f"{group}-{place}",
            episode.item.question,
            truth=episode.item.answer,
            change=episode.change,
            stage=self.stage,
        )
        parts_1 = {"right": r1 * second_stage, "later": self.spec.gamma_attempts * reward_2}
        for role, attempt, reward, parts, kl_coef in (
            (FIRST, episode.first, reward_1, parts_1, self.spec.beta1 + hold),
            (SECOND, episode.second, reward_2, {"right": r2, "bonus": bonus}, self.spec.beta1),
        ):
            own = not (episode.offline and role == FIRST)
            turn = turn_of(
                role if own else BASE, attempt.completion, attempt.answer, parent=0 if sample.turns else None
            )
            turn.correct = attempt.right
            turn.verdict = float(attempt.right) if self.experiment.task.kind == "jsonl" else None
            turn.rewards = {"right": r1} if role == FIRST else {"right": r2, "bonus": bonus}
            sample.turns.append(turn)
            if not own:
                continue
            log.spoke(role, attempt.completion, format_score(attempt.completion.text, "answer"))
            rollout = Rollout(
                role=role,
                group=f"{group}-{role}",
                completion=attempt.completion,
                reward=reward,
                parts=parts,
                kl_coef=kl_coef,
                turn=turn,
            )
            log.learn(rollout, train=True)

    # What people ask of it between steps

    @classmethod
    def why_uncorrectable(cls, experiment: "ExperimentSpec") -> str:
        if experiment.task.kind == "jsonl":  # there an answer is compared with a written one
            return ""
        return "A rule of the task knows exactly which attempts are right, so there is no verdict to overrule."

    def correct(self, sample: SampleData, turn: int, value: float) -> None:
        """R1 and R2 with another r: of the first attempt also what the second gained over it."""
        judged = judged_turn(sample, turn)
        judged.rewards["right"] = judged.verdict = value
        first, second = sample.turns
        r1, r2, second_stage = first.rewards["right"], second.rewards["right"], sample.facts["stage"] == 2
        bonus = self.spec.alpha * (r2 - r1) if second_stage else 0.0
        second.rewards["bonus"], second.reward = bonus, r2 + bonus
        if first.reward is not None:  # the base model's own attempt earns nothing
            first.reward = r1 * second_stage + self.spec.gamma_attempts * (r2 + bonus)

    async def _adapt(self, play: Play, log: StepLog, episodes: "Sequence[_Episode]", *, reward: float) -> None:
        """Move beta2 so that beta2 times the first attempt's KL is about as large as the second's mean reward."""
        firsts = [(each.item, each.first) for each in episodes if not each.offline]
        divergence = await self._divergence(play, firsts)
        log.count("kl/first_to_base", divergence)
        if divergence is not None and self.beta2 > 0:
            wanted = reward / max(divergence, _EPSILON)
            wanted = min(max(wanted, self.spec.beta2 / _BETA2_RANGE), self.spec.beta2 * _BETA2_RANGE)
            self.beta2 = self.beta2**_SMOOTHING * wanted ** (1 - _SMOOTHING)

    async def _divergence(self, play: Play, firsts: "Sequence[tuple[Item, Attempt]]") -> float | None:
        """KL of whole first attempts to the base model, in nats, estimated on what was sampled; None at another temperature than 1."""
        if self.spec.sampling.temperature != 1:
            return None
        whole = [(item, attempt.completion) for item, attempt in firsts if attempt.completion.ended]
        scores = await play.gather(
            play.score(BASE, self.prompts.render("solve", question=item.question), [completion.text])
            for item, completion in whole
        )
        gaps = [sum(said.logprobs) - score for (_, said), (score,) in zip(whole, scores, strict=True)]
        return mean(gaps) if gaps else None

    async def evaluate(self, play: Play) -> Evaluation:
        """Chains of attempts at held-out problems, sampled and greedy, and how far first attempts are from the base model."""
        settings = self.experiment.evaluation
        items = self.domain.held_out(settings.num_items)
        sampled = await self._chains(play, items, num_chains=settings.samples_per_item, sampling=self.spec.sampling)
        still = self.spec.sampling.model_copy(update={"temperature": 0.0})
        greedy = await self._chains(play, items, num_chains=1, sampling=still)
        divergence = await self._divergence(play, [(chain.item, chain.attempts[0]) for chain in sampled])
        scores = {f"{name}_sampled": value for name, value in chain_scores(sampled).items()}
        scores |= {f"{name}_greedy": value for name, value in chain_scores(greedy).items()}
        metrics = {} if divergence is None else {"eval/kl_first_to_base": divergence}
        return Evaluation(num_items=len(items), scores=scores, metrics=metrics, items=shown_chains(greedy))

    async def _chains(
        self, play: Play, items: "Sequence[Item]", *, num_chains: int, sampling: SamplingSpec
    ) -> list[Chain]:
        return await attempt_held_out(
            play,
            self.domain,
            items,
            roles=(FIRST, SECOND),
            first_prompt=lambda question: self.prompts.render("solve", question=question),
            next_prompt=self._again,
            num_attempts=self.spec.evaluation_attempts,
            num_chains=num_chains,
            sampling=sampling,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"stage": self.stage, "beta2": self.beta2, "plateau": asdict(self._plateau)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stage, self.beta2 = state["stage"], state["beta2"]
        self._plateau = _Plateau(**state["plateau"])


@dataclass(frozen=True, kw_only=True)
class _Episode:
    """Two attempts at an item; ``offline`` says that the first is the base model's."""

    item: "Item"
    first: Attempt
    second: Attempt
    offline: bool

    @property
    def change(self) -> str:
        """In words for a reader, such as "wrong to right"."""
        words = {True: "right", False: "wrong"}
        return f"{words[self.first.right]} to {words[self.second.right]}"


@dataclass(kw_only=True)
class _Plateau:
    """How long a running mean has found no new best."""

    smooth: float | None = None
    best: float = -1.0
    age: int = 0
    """Values seen since the best."""

    def see(self, value: float) -> None:
        self.smooth = value if self.smooth is None else _SMOOTHING * self.smooth + (1 - _SMOOTHING) * value
        self.age = 0 if self.smooth > self.best else self.age + 1
        self.best = max(self.best, self.smooth)
