"""PasoDoble (Zhang, Huang, Li, Cardie, 2025; arXiv 2511.11881): two models grown from one base play against each other.

The Proposer turns a passage into a question with an answer of its own; the Solver tries it several times. The Proposer is
paid for questions that the Solver often misses, as long as it agrees often enough to believe the answer and the question is
unlike those of late; the Solver is paid for agreeing with the Proposer. No labels, no judge.
"""

import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from training_core.evaluate.held_out import Evaluation, accuracy, answer_held_out, shown_items
from training_core.methods.base import Role, RolloutCost, SelfPlay
from training_core.play.alternation import Alternation
from training_core.play.audit import Audit, Graded
from training_core.play.corrections import PASSES_AT, judged_turn
from training_core.play.knowledge import knowledge_from
from training_core.play.novelty import NoveltyMemory
from training_core.play.play import Play
from training_core.play.records import Rollout, StepBatch
from training_core.play.requests import Completion
from training_core.play.step_log import StepLog, turn_of
from training_core.rewards.leaks import gives_away
from training_core.rewards.tags import format_score, last_tag
from training_core.spec.base import Group, Probability, Unit
from training_core.spec.events import SampleData, Turn
from training_core.spec.judges import NoAudit, VerifierAudit
from training_core.spec.learning import AdvantageSpec, ClippedPolicyLoss, GroupRelative, PolicyLossSpec, SamplingSpec
from training_core.spec.online import OnlineSpec

if TYPE_CHECKING:
    from training_core.play.prompts import Prompts
    from training_core.spec.experiment import ExperimentSpec
    from training_core.tasks.base import Domain

PROPOSER, SOLVER = "proposer", "solver"
_QUESTION = re.compile(r"<question>(.*?)</question>", re.DOTALL)
_SHOWN_KNOWLEDGE = 400
_PROBE_SEED = 52


class PasoDobleSpec(OnlineSpec):
    """The knobs of PasoDoble; defaults are the paper's."""

    name: Literal["pasodoble"] = "pasodoble"

    mode: Annotated[Literal["online", "offline"], Group("Duel")] = "online"
    """online updates both models on every duel; offline lets each learn for a while against the other's frozen weights."""
    passages: Annotated[int, Field(ge=1, le=4096), Group("Duel"), Unit("passages")] = 1
    """Passages of one step, each a duel of its own (paper: 1)."""
    proposals: Annotated[int, Field(ge=2, le=16), Group("Duel"), Unit("questions")] = 6
    """Questions with answers that the Proposer writes on each passage; they are compared with one another."""
    attempts: Annotated[int, Field(ge=2, le=16), Group("Duel"), Unit("answers")] = 6
    """Answers of the Solver to each question; their agreement with the Proposer's answer is the solve rate."""

    tau_low: Annotated[Probability, Field(title="Least solve rate"), Group("Rewards")] = 0.2
    """A question solved at most this often is not believed: its own answer may be wrong."""
    tau_high: Annotated[Probability, Field(title="Highest solve rate"), Group("Rewards")] = 1.0
    """The Solver learns from questions solved less often than this."""
    base_bonus: Annotated[float, Field(ge=0, le=0.5), Group("Rewards")] = 0.1
    """Paid for any valid question, so that an easy one is worth more than an invalid one."""
    w_div: Annotated[float, Field(ge=0, le=1, title="Weight of novelty"), Group("Rewards")] = 0.2
    """Weight of novelty in the Proposer's reward."""
    solver_reward: Annotated[Literal["agreement", "coin", "coin_formatted"], Group("Rewards")] = "agreement"
    """coin pays answers at random and coin_formatted random answers with an answer tag: the paper's checks that labels matter."""
    audit: Annotated[NoAudit | VerifierAudit, Field(discriminator="kind"), Group("Rewards")] = NoAudit()
    """The task's own verifier checks a share of the answers that agreed or did not; the gap shows both models agreeing on wrong ones."""
    leak_check: Annotated[Literal["off", "exact", "substring"], Group("Rewards")] = "substring"
    """How an answer is looked for in its question. substring also finds 2 in 12 apples, as in the paper; exact finds whole words."""
    train_on_leaks: Annotated[bool, Group("Rewards")] = True
    """Let the Solver learn from questions that give their answer away, as the released code does; their Proposer earns nothing."""

    memory: Annotated[
        int, Field(ge=1, le=10_000, title="Questions remembered"), Group("Novelty"), Unit("questions")
    ] = 100
    """Questions of late that a new one is compared with."""
    jaccard: Annotated[Probability, Field(title="Words in common"), Group("Novelty")] = 0.8
    """Two questions are alike when they share more than this part of their words."""
    novelty_unit: Annotated[Literal["words", "characters"], Group("Novelty")] = "words"
    """What questions are compared by; the paper compares token ids."""
    tau_div: Annotated[Probability, Field(title="Least novelty"), Group("Novelty")] = 0.3
    """A question unlike at most this share of the memory earns nothing."""

    use_knowledge: Annotated[bool, Group("Knowledge")] = True
    """Give the Proposer a passage to ask about. Off, it memorises more (paper)."""
    corpus: Annotated[str, Field(min_length=1, max_length=1000), Group("Knowledge")] | None = None
    """Passages on the worker's machine: a .jsonl file with a key "text", or a text file with empty lines between passages.
    Empty takes numbers and operators of the task's training side."""
    max_passage: Annotated[
        int, Field(ge=50, le=100_000, title="Longest passage"), Group("Knowledge"), Unit("characters")
    ] = 4000
    """Longer passages are cut (paper: about 1,024 tokens)."""

    proposer_updates: Annotated[int, Field(ge=1, le=50), Group("Offline"), Unit("updates")] = 10
    """Updates of the Proposer before the Solver's turn."""
    solver_updates: Annotated[int, Field(ge=1, le=50), Group("Offline"), Unit("updates")] = 5
    """Updates of the Solver before the Proposer's turn."""
    buffer_batch: Annotated[int, Field(ge=1, le=4096), Group("Offline"), Unit("questions")] = 6
    """Buffered questions of one Solver update, taken in turn."""
    buffer_cap: Annotated[int, Field(ge=1, le=1_000_000), Group("Offline"), Unit("questions")] | None = None
    """Most questions kept in the buffer, oldest dropped first; empty keeps all."""
    evict_mastered: Annotated[bool, Field(title="Drop mastered questions"), Group("Offline")] = False
    """Drop a question from the buffer once every attempt agrees; the released code has it switched off."""

    sampling: Annotated[SamplingSpec, Group("Sampling")] = SamplingSpec(temperature=0.6, max_tokens=6144)
    """How completions are drawn while training."""
    advantage: Annotated[AdvantageSpec, Group("Learning")] = GroupRelative()
    """What a reward is compared with: the other questions on a passage, the other answers to a question."""
    loss: Annotated[PolicyLossSpec, Group("Learning")] = ClippedPolicyLoss(
        clip_high=0.2, dual_clip=None, entropy_coef=0.0
    )
    """The policy loss, with a symmetric range."""

    @model_validator(mode="after")
    def _window_is_open(self) -> "PasoDobleSpec":
        if self.tau_low >= self.tau_high:
            raise ValueError(
                f"tau_low ({self.tau_low}) is not below tau_high ({self.tau_high}), so the Solver could learn from no "
                "question; lower the one or raise the other"
            )
        return self


class PasoDoble(SelfPlay):
    """One step online: a duel on every passage, both models learn. Offline: a duel for the Proposer, or practice for the Solver."""

    slug = "pasodoble"
    Spec = PasoDobleSpec
    reward_weights: ClassVar = {PROPOSER: {"novelty": "w_div"}}
    curriculum = "duel"
    domain: "Domain"

    @classmethod
    def roles(cls, spec: PasoDobleSpec) -> tuple[Role, ...]:
        return (
            Role(
                name=PROPOSER,
                title="Proposer",
                policy=PROPOSER,
                trained=True,
                reads="a passage" if spec.use_knowledge else "nothing but its task",
                writes="a question and its own answer to it",
            ),
            Role(
                name=SOLVER,
                title="Solver",
                policy=SOLVER,
                trained=True,
                reads="a question",
                writes="working and an answer",
            ),
        )

    @classmethod
    def check(cls, experiment: "ExperimentSpec") -> None:
        spec = experiment.method
        assert isinstance(spec, PasoDobleSpec)
        if experiment.task.kind == "jsonl" and spec.use_knowledge and spec.corpus is None:
            raise ValueError(
                "method.use_knowledge gives the Proposer passages to ask about, and a .jsonl task has none; name a file in "
                "method.corpus, or switch use_knowledge off"
            )
        if spec.corpus is not None and experiment.model.source == "starter":
            raise ValueError(
                "method.corpus holds passages of text, which the starter cannot read; leave it empty, or choose an "
                "instruction-tuned model"
            )

    @classmethod
    def rollout_cost(cls, experiment: "ExperimentSpec") -> RolloutCost:
        spec = experiment.method
        assert isinstance(spec, PasoDobleSpec)
        proposals = spec.passages * spec.proposals
        attempts = proposals * spec.attempts
        completions = {"proposals": proposals, "attempts": attempts}
        trained = proposals + (attempts if spec.mode == "online" else 0)
        return RolloutCost(completions=completions, trained=trained)

    def __init__(self, experiment: "ExperimentSpec", domain: "Domain", prompts: "Prompts") -> None:
        super().__init__(experiment, domain, prompts)
        assert isinstance(experiment.method, PasoDobleSpec)
        self.spec = spec = experiment.method
        self.draw_knowledge = knowledge_from(domain, spec.corpus, max_characters=spec.max_passage)
        self.audit = Audit(spec.audit, prompts, sampling=spec.sampling)
        self.memory = NoveltyMemory(size=spec.memory, jaccard=spec.jaccard, unit=spec.novelty_unit)
        self.turns = Alternation(
            proposer_updates=spec.proposer_updates, solver_updates=spec.solver_updates, cap=spec.buffer_cap
        )

    async def step(self, play: Play) -> StepBatch:
        log = StepLog()
        if self.turns.is_solvers_turn:
            await self._practise(play, log)
        else:
            await self._propose(play, log)
        buffered = {"buffer/questions": float(len(self.turns.buffer))} if self.spec.mode == "offline" else {}
        return log.batch(buffered | await self.audit.metrics(play))

    async def _propose(self, play: Play, log: StepLog) -> None:
        """A duel on every passage; the memory learns of the new questions only afterwards."""
        passages = [
            self.draw_knowledge(play.rng) if self.spec.use_knowledge else None for _ in range(self.spec.passages)
        ]
        duels: list[list[_Proposal]] = await play.gather(
            self._duel(play, log, f"{play.step}-{index}", passage) for index, passage in enumerate(passages)
        )
        proposals = [proposal for duel in duels for proposal in duel]
        self.memory.add(proposal.question for proposal in proposals if proposal.question is not None)
        if self.spec.mode == "offline":
            valid = [(p.question, p.answer) for p in proposals if p.reward > 0 and p.question and p.answer]
            self.turns.proposer_played(valid, accepted=any(proposal.is_accepted for proposal in proposals))

    async def _duel(self, play: Play, log: StepLog, episode: str, passage: str | None) -> "list[_Proposal]":
        """Several questions on one passage, each tried several times; nothing is learnt where nothing can be compared."""
        said = await play.say(PROPOSER, self._proposers_prompt(passage), n=self.spec.proposals)
        proposals = [self._read(log, completion) for completion in said]
        await play.gather(self._try(play, log, proposal) for proposal in proposals)
        known = [proposal for proposal in proposals if not proposal.reserved]
        for proposal in known:
            self._reward(log, proposal)
        fits_any = any(self._fits(proposal.rate) for proposal in known)
        accepted = fits_any and len({proposal.reward for proposal in known}) > 1
        log.count("duels/accepted", accepted)
        for index, proposal in enumerate(proposals):
            proposal.is_accepted = accepted and not proposal.reserved
            self._tell(log, f"{episode}-{index}", passage, proposal, group=episode)
        return known

    def _proposers_prompt(self, passage: str | None) -> str:
        if passage is None:
            return self.prompts.render("propose_free")
        return self.prompts.render("propose", knowledge=passage)

    def _read(self, log: StepLog, completion: Completion) -> "_Proposal":
        """Question and answer of a proposal: after the last thought where they stand there, else anywhere."""
        text = completion.text
        spoken = text.rpartition("</think>")[2]
        found = _QUESTION.search(spoken) or _QUESTION.search(text)
        question = found.group(1).strip() or None if found else None
        answer = last_tag(spoken, "answer")
        log.spoke(PROPOSER, completion, format_score(text, "question") * format_score(text, "answer"))
        turn = turn_of(PROPOSER, completion, None if question is None else f"{question} = {answer or '?'}")
        reserved = question is not None and self.domain.is_held_out(question)
        log.count("proposals/reserved", reserved)
        return _Proposal(completion=completion, turn=turn, question=question, answer=answer, reserved=reserved)

    async def _try(self, play: Play, log: StepLog, proposal: "_Proposal") -> None:
        """The Solver's attempts at a question that has an answer to compare them with."""
        if proposal.question is not None and proposal.answer is not None and not proposal.reserved:
            proposal.attempts = await self._attempts(play, log, proposal.question, proposal.answer)
            proposal.rate = _agreement(proposal.attempts)

    async def _attempts(self, play: Play, log: StepLog, question: str, answer: str) -> "list[_Attempt]":
        said = await play.say(SOLVER, self.prompts.render("solve", question=question), n=self.spec.attempts)
        truth = self.domain.truth(question)
        attempts = [self._attempt(play, log, completion, expected=answer, truth=truth) for completion in said]
        for attempt in attempts:
            right, shown = attempt.turn.correct, attempt.turn.parsed or attempt.completion.text
            self.audit.note(Graded(question=question, answer=shown, value=float(attempt.agrees), right=right))
        return attempts

    def _attempt(
        self, play: Play, log: StepLog, completion: Completion, *, expected: str, truth: str | None
    ) -> "_Attempt":
        answer, form = last_tag(completion.text, "answer"), format_score(completion.text, "answer")
        log.spoke(SOLVER, completion, form)
        agrees = answer is not None and self.domain.check(answer, expected)
        reward = float(agrees)
        if self.spec.solver_reward != "agreement":
            gated = self.spec.solver_reward == "coin_formatted" and answer is None
            reward = float(play.rng.random() < 0.5 and not gated)
        turn = turn_of(SOLVER, completion, answer, parent=0)
        turn.rewards = {"agreement": float(agrees)}
        turn.verdict = float(agrees) if self.spec.solver_reward == "agreement" else None
        if truth is not None:
            turn.correct = answer is not None and self.domain.check(answer, truth)
            log.count("answers/right", turn.correct)
        return _Attempt(completion=completion, turn=turn, agrees=agrees, reward=reward)

    def _reward(self, log: StepLog, proposal: "_Proposal") -> None:
        """R_P = 0 if p <= tau_low or d <= tau_div, else 1 + bonus - p + w_div d; a leak makes p count as 0 (PasoDoble)."""
        spec = self.spec
        question, answer = proposal.question or "", proposal.answer or ""
        complete = bool(question and answer)
        proposal.leaks = complete and gives_away(question, answer, check=spec.leak_check)
        believed = 0.0 if proposal.leaks else proposal.rate
        proposal.novelty = self.memory.novelty(question)
        proposal.parts = {"difficulty": 0.0, "novelty": 0.0}
        if complete and believed > spec.tau_low and proposal.novelty > spec.tau_div:
            proposal.parts = self._parts(believed, proposal.novelty)
            proposal.reward = sum(proposal.parts.values())
        proposal.turn.verdict = float(proposal.reward > 0) if complete else None
        proposal.turn.rewards = {"difficulty": 1 - believed, "novelty": proposal.novelty}
        log.count("proposals/valid", proposal.reward > 0)
        log.count("proposals/complete", complete)
        log.count("proposals/leaks", proposal.leaks)
        log.count("proposals/novelty", proposal.novelty)
        log.count("proposals/solve_rate", proposal.rate if complete else None)
        log.count("proposals/too_hard", proposal.rate <= spec.tau_low)
        log.count("proposals/mastered", proposal.rate >= spec.tau_high)
        if self.domain.has_verifier:
            truth = self.domain.truth(question)
            proposal.turn.correct = truth is not None
            proposal.is_right = truth is not None and complete and self.domain.check(answer, truth)
            log.count("proposals/well_posed", truth is not None)
            log.count("proposals/label_right", proposal.is_right)
        ill_posed = not complete or proposal.turn.correct is False
        log.asked([attempt.outcome for attempt in proposal.attempts], ill_posed=ill_posed)

    def _parts(self, believed: float, novelty: float) -> dict[str, float]:
        """What a valid question earns."""
        return {"difficulty": 1 + self.spec.base_bonus - believed, "novelty": self.spec.w_div * novelty}

    def _teaches(self, proposal: "_Proposal") -> bool:
        """Whether the Solver learns from its attempts; offline it does so in its own turn only."""
        may = self.spec.train_on_leaks or not proposal.leaks
        return self.spec.mode == "online" and proposal.is_accepted and self._fits(proposal.rate) and may

    def _tell(self, log: StepLog, episode: str, passage: str | None, proposal: "_Proposal", *, group: str) -> None:
        """Rollouts for the learner, and the sample that a reader sees."""
        sample = log.new_sample(episode, proposal.question or "(no question)", kept=proposal.reward > 0)
        sample.discarded = self._why_rejected(proposal)
        sample.turns += [proposal.turn, *(attempt.turn for attempt in proposal.attempts)]
        sample.facts |= {
            "knowledge": passage[:_SHOWN_KNOWLEDGE] if passage else None,
            "label": proposal.answer,
            "label_right": proposal.is_right,
            "solved": round(proposal.rate, 4),
            "novelty": round(proposal.novelty, 4),
        }
        if proposal.reserved:  # not tried, not learnt from: training must never see a held-out item
            return
        rollout = Rollout(
            role=PROPOSER,
            group=group,
            completion=proposal.completion,
            reward=proposal.reward,
            parts=proposal.parts,
            turn=proposal.turn,
        )
        log.learn(rollout, train=proposal.is_accepted)
        self._learn_attempts(log, sample, proposal.attempts, train=self._teaches(proposal))

    @staticmethod
    def _learn_attempts(log: StepLog, sample: SampleData, attempts: "list[_Attempt]", *, train: bool) -> None:
        for attempt in attempts:
            rollout = Rollout(
                role=SOLVER,
                group=sample.episode,
                completion=attempt.completion,
                reward=attempt.reward,
                turn=attempt.turn,
            )
            log.learn(rollout, train=train)

    def _why_rejected(self, proposal: "_Proposal") -> str | None:
        if proposal.reward > 0:
            return None
        if proposal.reserved:
            return "reserved for evaluation"
        if proposal.question is None or proposal.answer is None:
            return "no question" if proposal.question is None else "no answer of its own"
        if proposal.leaks:
            return "the question gives its answer away"
        return (
            "solved too seldom to believe its answer" if proposal.rate <= self.spec.tau_low else "too much like others"
        )

    async def _practise(self, play: Play, log: StepLog) -> None:
        """Offline: the Solver tries buffered questions, in turn, and learns where it neither always nor hardly ever agrees."""
        questions = self.turns.next_questions(self.spec.buffer_batch)
        rates: list[float] = await play.gather(
            self._practise_one(play, log, f"{play.step}-{index}", *answered) for index, answered in enumerate(questions)
        )
        accepted = any(map(self._fits, rates))
        log.count("duels/accepted", accepted)
        mastered = [each for each, rate in zip(questions, rates, strict=True) if rate == 1 and self.spec.evict_mastered]
        self.turns.solver_played(accepted=accepted, mastered=mastered)

    async def _practise_one(self, play: Play, log: StepLog, episode: str, question: str, answer: str) -> float:
        """The solve rate of a buffered question now."""
        attempts = await self._attempts(play, log, question, answer)
        rate = _agreement(attempts)
        log.count("buffer/solve_rate", rate)
        log.asked([attempt.outcome for attempt in attempts])
        truth = self.domain.truth(question)
        sample = log.new_sample(episode, question, label=answer, truth=truth, solved=round(rate, 4))
        for attempt in attempts:
            attempt.turn.parent = None
            sample.turns.append(attempt.turn)
        self._learn_attempts(log, sample, attempts, train=self._fits(rate))
        return rate

    def _fits(self, rate: float) -> bool:
        """Whether a question solved this often can teach the Solver: p in (tau_low, tau_high)."""
        return self.spec.tau_low < rate < self.spec.tau_high

    # What people ask of it between steps

    @classmethod
    def why_uncorrectable(cls, experiment: "ExperimentSpec") -> str:
        spec = experiment.method
        assert isinstance(spec, PasoDobleSpec)
        if spec.solver_reward == "agreement":
            return ""
        return f"method.solver_reward is {spec.solver_reward}, which pays answers at random, so there is no verdict to overrule."

    def correct(self, sample: SampleData, turn: int, value: float) -> None:
        """A person's word on an answer takes the place of its agreement, and with it the question's solve rate p changes; one on a
        question says whether it is valid, whatever p is. What was learnt from stays what was chosen to be learnt from."""
        judged_turn(sample, turn).verdict = value
        first = sample.turns[0]
        attempts = [each for each in sample.turns if each.role == SOLVER]
        leaks = first.role == PROPOSER and _leaks(first, attempts)
        if sample.turns[turn].role == SOLVER:
            judged = sample.turns[turn]
            judged.rewards["agreement"] = value
            judged.reward = value if judged.reward is not None else None
        if first.role != PROPOSER or first.reward is None:
            return
        spec, novelty = self.spec, first.rewards["novelty"]
        rate = sum(each.rewards["agreement"] for each in attempts) / len(attempts) if attempts else 0.0
        believed = 0.0 if leaks else rate
        is_valid = believed > spec.tau_low
        if turn == 0:
            first.rewards["said"] = value
        if (said := first.rewards.get("said")) is not None:
            is_valid = said >= PASSES_AT and not leaks
        first.rewards["difficulty"] = 1 - believed
        first.reward = sum(self._parts(believed, novelty).values()) if is_valid and novelty > spec.tau_div else 0.0

    async def evaluate(self, play: Play) -> Evaluation:
        """The Solver on held-out items, and how often the Proposer's questions on fixed passages are sound and rightly answered."""
        settings = self.experiment.evaluation
        items = self.domain.held_out(settings.num_items)
        answered = await answer_held_out(
            play,
            items,
            role=SOLVER,
            prompt=lambda question: self.prompts.render("solve", question=question),
            read=lambda completion: last_tag(completion.text, "answer"),
            samples_per_item=settings.samples_per_item,
            sampling=self.spec.sampling,
        )
        scores = accuracy(self.domain, answered) | await self._probe(play, settings.num_items)
        return Evaluation(num_items=len(items), scores=scores, items=shown_items(self.domain, answered))

    async def _probe(self, play: Play, num_passages: int) -> dict[str, float]:
        """One question on each of the same passages every time; without a verifier, only its form can be measured."""
        rng = random.Random(_PROBE_SEED)
        passages = [self.draw_knowledge(rng) if self.spec.use_knowledge else None for _ in range(num_passages)]
        said: list[list[Completion]] = await play.gather(
            play.say(PROPOSER, self._proposers_prompt(passage)) for passage in passages
        )
        quiet = StepLog()
        proposals = [self._read(quiet, completions[0]) for completions in said]
        complete = [proposal.question is not None and proposal.answer is not None for proposal in proposals]
        scores = {"proposer_complete_rate": sum(complete) / len(complete)}
        if self.domain.has_verifier:
            valid = [self._label_is_right(proposal) for proposal in proposals]
            scores["proposer_valid_rate"] = sum(valid) / len(valid)
        return scores

    def _label_is_right(self, proposal: "_Proposal") -> bool:
        truth = None if proposal.question is None else self.domain.truth(proposal.question)
        return truth is not None and proposal.answer is not None and self.domain.check(proposal.answer, truth)

    def state_dict(self) -> dict[str, Any]:
        return {"memory": self.memory.state(), "turns": self.turns.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.memory.restore(state["memory"])
        self.turns.restore(state["turns"])


@dataclass(kw_only=True)
class _Attempt:
    """An answer of the Solver's: whether it agrees with the Proposer's, and what it is paid."""

    completion: Completion
    turn: Turn
    agrees: bool
    reward: float

    @property
    def outcome(self) -> tuple[bool | None, float]:
        """The truth, where a verifier knows it, and what the Proposer's own answer says."""
        return self.turn.correct, float(self.agrees)


@dataclass(kw_only=True)
class _Proposal:
    """A question with its own answer, and what became of it."""

    question: str | None
    answer: str | None
    completion: Completion
    turn: Turn
    reserved: bool
    """Whether the question is a held-out one."""
    attempts: list[_Attempt] = field(default_factory=list)
    rate: float = 0.0
    """p: share of the attempts that agree with the answer."""
    leaks: bool = False
    novelty: float = 0.0
    """d: share of the remembered questions that it is unlike."""
    reward: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    is_right: bool | None = None
    """Whether its answer is the truth, where a verifier knows it."""
    is_accepted: bool = False
    """Whether its duel is learnt from."""


def _leaks(question: Turn, attempts: list[Turn]) -> bool:
    """Whether the question gives its answer away, told by its difficulty: that of a leak is 1 although attempts agree."""
    terms = question.rewards
    if terms["difficulty"] == 1 and any(each.rewards["agreement"] > 0 for each in attempts):
        terms["leak"] = 1.0
    return "leak" in terms


def _agreement(attempts: list[_Attempt]) -> float:
    return sum(attempt.agrees for attempt in attempts) / len(attempts)
