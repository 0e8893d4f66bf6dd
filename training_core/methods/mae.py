"""Multi-Agent Evolve (Chen, Wang et al., 2025; arXiv 2510.23595): one model proposes, solves and judges.

The Proposer is paid for questions that the Judge finds good and the Solver finds hard, the Solver for answers that the
Judge accepts, the Judge for a readable verdict; weak questions never enter the pool.
"""

import random
from collections import defaultdict
from statistics import fmean as mean
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from training_core.evaluate.agreement import ACCEPT_AT, agreement
from training_core.evaluate.held_out import Evaluation, accuracy, answer_held_out, shown_items
from training_core.methods.base import (
    Chart,
    FlowEdge,
    FlowNode,
    Paper,
    Preset,
    ResultTable,
    Role,
    RolloutCost,
    SelfPlay,
)
from training_core.play.play import Play
from training_core.play.pools import PairPool, Question, QuestionPool
from training_core.play.prompts import Prompts
from training_core.play.records import Rollout, StepBatch
from training_core.play.requests import Completion, derive_seed
from training_core.play.scheduler import Episode
from training_core.rewards.scores import normalised_score, read_score
from training_core.rewards.tags import format_score, last_tag
from training_core.spec.base import Group, Probability, Unit
from training_core.spec.events import SampleData, Turn
from training_core.spec.judges import CurrentJudge, JudgeSpec
from training_core.spec.online import OnlineSpec

if TYPE_CHECKING:
    from training_core.spec.experiment import ExperimentSpec
    from training_core.tasks.base import Domain

Share = Annotated[float, Field(ge=0, le=1)]


class MaeSpec(OnlineSpec):
    """The knobs of Multi-Agent Evolve; defaults are the paper's (Table 3)."""

    name: Literal["mae"] = "mae"

    batch_per_role: Annotated[int, Field(ge=2, le=4096), Group("Roles"), Unit("sequences")] = 128
    """Prompts per role and step."""
    train_proposer: Annotated[bool, Group("Roles")] = True
    """Update on the Proposer's questions. Off is the paper's ablation."""
    train_solver: Annotated[bool, Group("Roles")] = True
    """Update on the Solver's answers. Off is the paper's ablation."""
    train_judge: Annotated[bool, Group("Roles")] = True
    """Update on the Judge's verdicts (rewarded for their format only). Off is the paper's ablation."""
    judge: Annotated[JudgeSpec, Group("Roles")] = CurrentJudge()
    """Who grades. The paper uses the current weights; nothing then stops the judge from drifting."""

    reference_prob: Annotated[Probability, Group("Proposer")] = 0.5
    """Chance that a proposal starts from a question of the pool: 0 explores, 1 imitates."""
    show_reference_answer: Annotated[bool, Group("Proposer")] = False
    """Print the reference's answer beside it, as the released code does; the paper withholds it."""
    quality_samples: Annotated[int, Field(ge=1, le=16), Group("Proposer"), Unit("verdicts")] = 5
    """Verdicts on each question; their mean is its quality."""
    quality_threshold: Annotated[Probability, Group("Proposer")] = 0.7
    """Least quality with which a question enters the pool."""
    difficulty: Annotated[Literal["linear", "frontier"], Group("Proposer")] = "linear"
    """linear is 1 - v as in the paper; frontier is 4 v (1 - v), which pays for questions that are solved half the time."""
    difficulty_samples: Annotated[int, Field(ge=1, le=16), Group("Proposer"), Unit("answers")] = 5
    """Answers drawn to find out how hard a question is."""
    verdicts_per_answer: Annotated[int, Field(ge=1, le=16), Group("Proposer"), Unit("verdicts")] = 1
    """Verdicts on each of those answers (released code since January 2026: 5)."""
    difficulty_needs_quality: Annotated[bool, Group("Proposer")] = False
    """Pay for difficulty only when quality reaches the threshold, as the released code does."""
    w_quality: Annotated[Share, Group("Proposer")] = 1 / 3
    """Weight of quality in the Proposer's reward."""
    w_difficulty: Annotated[Share, Group("Proposer")] = 1 / 3
    """Weight of difficulty in the Proposer's reward."""
    w_format: Annotated[Share, Group("Proposer")] = 1 / 3
    """Weight of format in the Proposer's reward."""

    answers_per_question: Annotated[int, Field(ge=1, le=64), Group("Solver"), Unit("answers")] = 1
    """Trained answers to each of the Solver's questions. Above 1 they form a group (paper: 1)."""
    solver_questions: Annotated[int, Field(ge=0, le=4096), Group("Solver"), Unit("questions")] | None = None
    """Questions the Solver draws from the pool each step; empty means as many as prompts per role, 0 leaves it to the difficulty answers."""
    train_on_difficulty_answers: Annotated[bool, Group("Solver")] = False
    """Learn from the answers that measured difficulty too, so that no rollout is wasted; the paper throws them away."""
    w_judge: Annotated[Share, Group("Solver")] = 0.5
    """Weight of the Judge's score in the Solver's reward."""
    w_solver_format: Annotated[Share, Group("Solver")] = 0.5
    """Weight of format in the Solver's reward."""

    lenient_scores: Annotated[bool, Group("Judge")] = False
    """Take the last number of a verdict without a score tag (released code since January 2026)."""
    probe_items: Annotated[int, Field(ge=0, le=4096), Group("Judge"), Unit("items")] = 128
    """Labelled answers shown to the Judge at every evaluation to measure its agreement with the truth; never trained on."""
    min_judge_auc: Annotated[Share, Group("Judge")] = 0.0
    """Stop before a judge worse than this ruins the solver: the run ends with a sentence when the probe's AUC falls below."""

    seed_questions: Annotated[int, Field(ge=0, le=100_000), Group("Pools"), Unit("questions")] = 16
    """Unlabelled questions the pool starts with, drawn from the task's training side."""
    seed_pairs: Annotated[bool, Group("Pools")] = False
    """Start the pair pool with the seeds and their true answers, as the released code does."""
    pool_cap: Annotated[int, Field(ge=1, le=10_000_000), Group("Pools"), Unit("questions")] | None = None
    """Most questions kept, oldest dropped first; empty keeps all."""
    draw_at_start: Annotated[bool, Group("Pools")] = False
    """Draw all prompts before the step, as the released code does: a new question is first solved one step later, and all rollouts share batches."""
    pool_sampling: Annotated[Literal["uniform", "newest", "half_new"], Group("Pools")] = "uniform"
    """How the Solver's questions are drawn: from all, from the newest, or half and half."""

    @model_validator(mode="after")
    def _weights_pay_something(self) -> "MaeSpec":
        if self.w_quality + self.w_difficulty + self.w_format == 0:
            raise ValueError("w_quality, w_difficulty and w_format are all 0, so the Proposer could earn nothing")
        if self.w_judge + self.w_solver_format == 0:
            raise ValueError("w_judge and w_solver_format are both 0, so the Solver could earn nothing")
        if self.num_solver_questions == 0 and not self.train_on_difficulty_answers:
            raise ValueError(
                "solver_questions is 0 and train_on_difficulty_answers is off, so the Solver would never be trained; "
                "turn one of them on"
            )
        return self

    @property
    def num_solver_questions(self) -> int:
        return self.batch_per_role if self.solver_questions is None else self.solver_questions


STARTER = {
    "name": "Multi-Agent Evolve on the starter",
    "steps": 60,
    "method": {"name": "mae"},
}
PAPER = {
    "name": "Multi-Agent Evolve, paper setting",
    "steps": 300,
    "method": {"name": "mae", "judge": {"kind": "current"}},
    "model": {"source": "Qwen/Qwen2.5-3B-Instruct", "dtype": "bfloat16"},
    "evaluation": {"every": 25, "num_items": 500},
    "resources": {"device": "cuda", "num_gpus": 8},
}


class MultiAgentEvolve(SelfPlay):
    slug = "mae"
    title = "Multi-Agent Evolve"
    summary = "One model invents questions, answers them and grades both; the grades are the rewards, so no labels are needed."
    group = "Online self-play with a judge"
    paper = Paper(
        title="Multi-Agent Evolve: LLM Self-Improve through Co-evolution",
        authors="Yixing Chen, Yiding Wang et al.",
        year=2025,
        arxiv="2510.23595",
        code="https://github.com/ulab-uiuc/Multi-agent-evolve",
    )
    results = (
        ResultTable(
            caption="Accuracy in %, Qwen2.5-3B-Instruct, means over benchmarks, as reported in version 1 of the paper",
            columns=("Variant", "In-distribution", "Out-of-distribution", "Overall"),
            rows=(
                ("Base model", "63.34", "41.32", "55.33"),
                ("Absolute Zero", "67.09", "41.33", "57.72"),
                ("MAE, self-made seeds", "68.37", "42.48", "58.51"),
                ("Supervised fine-tuning", "63.28", "37.41", "53.87"),
                ("MAE, with references", "65.07", "43.18", "57.11"),
                ("MAE, no references", "67.51", "41.86", "58.18"),
                ("MAE, half references", "68.95", "43.96", "59.87"),
            ),
        ),
    )
    Spec = MaeSpec
    flow_nodes = (
        FlowNode(
            id="questions",
            label="Question pool",
            kind="pool",
            x=0,
            y=1,
            knobs=("method.seed_questions", "method.pool_cap", "method.pool_sampling"),
        ),
        FlowNode(
            id="proposer",
            label="Proposer",
            kind="role",
            x=1,
            y=0,
            knobs=("method.reference_prob", "method.train_proposer"),
        ),
        FlowNode(
            id="solver",
            label="Solver",
            kind="role",
            x=1,
            y=1,
            knobs=("method.answers_per_question", "method.train_solver"),
        ),
        FlowNode(
            id="judge",
            label="Judge",
            kind="role",
            x=2,
            y=1,
            knobs=("method.judge", "method.train_judge", "method.lenient_scores"),
        ),
        FlowNode(
            id="rewards",
            label="Rewards",
            kind="reward",
            x=3,
            y=1,
            knobs=(
                "method.w_quality",
                "method.w_difficulty",
                "method.w_format",
                "method.w_judge",
                "method.w_solver_format",
            ),
        ),
        FlowNode(
            id="update",
            label="One update",
            kind="update",
            x=3,
            y=0,
            knobs=("method.advantage", "method.loss", "method.optimizer"),
        ),
        FlowNode(id="pairs", label="Answer pool", kind="pool", x=2, y=2, knobs=("method.seed_pairs",)),
    )
    flow_edges = (
        FlowEdge(source="questions", target="proposer", label="reference"),
        FlowEdge(source="questions", target="solver", label="question"),
        FlowEdge(source="proposer", target="judge", label="new question"),
        FlowEdge(source="solver", target="judge", label="answer"),
        FlowEdge(source="solver", target="pairs", label="every answer"),
        FlowEdge(source="pairs", target="judge", label="practice"),
        FlowEdge(source="judge", target="rewards", label="scores"),
        FlowEdge(source="judge", target="questions", label="quality reached"),
        FlowEdge(source="rewards", target="update", label="advantages"),
        FlowEdge(source="update", target="proposer", label="new weights"),
    )
    charts = (
        Chart(
            title="Held-out accuracy",
            group="Learning",
            y_range=(0, 1),
            help="Share of held-out items answered correctly; training never sees them.",
            series=(("eval/accuracy_sampled", "Sampled"), ("eval/accuracy_greedy", "Greedy")),
        ),
        Chart(
            title="Reward per role",
            group="Learning",
            y_range=(0, 1),
            help="Mean weighted reward of each role's completions.",
            series=(("reward/proposer", "Proposer"), ("reward/solver", "Solver"), ("reward/judge", "Judge")),
        ),
        Chart(
            title="Judge against truth",
            group="Judge",
            y_range=(0, 1),
            help="On a labelled probe: AUC of the score, wrong answers accepted, right answers refused.",
            series=(
                ("judge/auc", "AUC"),
                ("judge/false_accept", "Wrong accepted"),
                ("judge/false_reject", "Right refused"),
            ),
        ),
        Chart(
            title="Judge on live answers",
            group="Judge",
            y_range=(0, 1),
            help="Judge's mean score beside the true share of right answers; a gap that grows is judge inflation.",
            series=(
                ("judge/live_score", "Judge's score"),
                ("judge/live_truth", "Truly right"),
                ("judge/live_false_accept", "Wrong accepted"),
            ),
        ),
        Chart(
            title="Proposer's terms",
            group="Questions",
            y_range=(0, 1),
            help="Reward terms before weighting.",
            series=(
                ("reward_term/proposer_quality", "Quality"),
                ("reward_term/proposer_difficulty", "Difficulty"),
                ("reward_term/proposer_format", "Format"),
            ),
        ),
        Chart(
            title="Questions",
            group="Questions",
            y_range=(0, 1),
            help="Share of proposals that are well-posed, that enter the pool, that were seen before.",
            series=(
                ("questions/well_posed", "Well-posed"),
                ("questions/accepted", "Accepted"),
                ("questions/duplicate", "Seen before"),
            ),
        ),
        Chart(
            title="Question pool",
            group="Questions",
            help="Questions the Solver can draw from.",
            series=(("pool/questions", "Questions"), ("pool/pairs", "Answers")),
        ),
        Chart(
            title="Answer format",
            group="Stability",
            y_range=(0, 1),
            help="Mean format score per role.",
            series=(("format/proposer", "Proposer"), ("format/solver", "Solver"), ("format/judge", "Judge")),
        ),
        Chart(
            title="Entropy",
            group="Stability",
            help="Mean entropy of the sampled tokens in nats; a fall to 0 is collapse.",
            series=(("entropy/proposer", "Proposer"), ("entropy/solver", "Solver"), ("entropy/judge", "Judge")),
        ),
        Chart(
            title="Length",
            group="Stability",
            help="Mean tokens of a completion.",
            series=(
                ("length/proposer_tokens", "Proposer"),
                ("length/solver_tokens", "Solver"),
                ("length/judge_tokens", "Judge"),
            ),
        ),
        Chart(
            title="Update",
            group="Stability",
            help="Gradient norm before clipping and share of clipped ratios.",
            series=(("grad/norm", "Gradient norm"), ("loss/clip_share", "Clipped")),
        ),
        Chart(
            title="Throughput",
            group="Speed",
            help="Tokens sampled and trained on per second of wall time.",
            series=(("tokens/sampled_per_s", "Sampled"), ("tokens/trained_per_s", "Trained")),
        ),
        Chart(
            title="Where a step's time goes",
            group="Speed",
            help="Seconds per step.",
            series=(("time/rollout_s", "Rollout"), ("time/update_s", "Update"), ("time/evaluate_s", "Evaluate")),
        ),
    )
    presets = (
        Preset(
            slug="starter",
            title="Starter demo, 5 minutes",
            description="The starter model learns arithmetic on two CPU cores; robust defaults.",
            spec=STARTER,
        ),
        Preset(
            slug="paper",
            title="Paper: Qwen2.5-3B on 8 GPUs",
            description="Every default as in the paper's Table 3.",
            spec=PAPER,
        ),
    )

    @classmethod
    def roles(cls, spec: MaeSpec) -> tuple[Role, ...]:
        judge_policy = {"current": "main", "frozen": "start"}.get(spec.judge.kind, "none")
        return (
            Role(
                name="proposer",
                title="Proposer",
                policy="main",
                trained=spec.train_proposer,
                reads="sometimes a question of the pool",
                writes="one new question",
            ),
            Role(
                name="solver",
                title="Solver",
                policy="main",
                trained=spec.train_solver,
                reads="a question",
                writes="working and an answer",
            ),
            Role(
                name="judge",
                title="Judge",
                policy=judge_policy,
                trained=spec.train_judge and judge_policy == "main",
                reads="a question, or a question with an answer",
                writes="reasons and a score from 1 to 10",
            ),
        )

    @classmethod
    def rollout_cost(cls, experiment: "ExperimentSpec") -> RolloutCost:
        spec = experiment.method
        assert isinstance(spec, MaeSpec)
        batch, answers = spec.batch_per_role, spec.num_solver_questions * spec.answers_per_question
        return RolloutCost(
            completions={
                "proposals": batch,
                "quality verdicts": batch * spec.quality_samples,
                "difficulty answers": batch * spec.difficulty_samples,
                "difficulty verdicts": batch * spec.difficulty_samples * spec.verdicts_per_answer,
                "answers": answers,
                "answer verdicts": answers,
                "judge practice": batch,
            },
            trained=2 * batch + answers,
        )

    @classmethod
    def check(cls, experiment: "ExperimentSpec") -> None:
        spec = experiment.method
        assert isinstance(spec, MaeSpec)
        if spec.judge.kind == "verifier" and experiment.task.kind == "jsonl":
            raise ValueError(
                "method.judge is verifier, but a verifier knows the answers of a .jsonl task's own questions only and the "
                "Proposer invents new ones; choose the current or the frozen judge"
            )
        if spec.rehearsal is not None and not experiment.model.is_starter:
            raise ValueError(
                "method.rehearsal mixes in the starter's teaching text; it needs model.source: starter, "
                f"not {experiment.model.source!r}"
            )

    def __init__(self, experiment: "ExperimentSpec", domain: "Domain", prompts: Prompts) -> None:
        super().__init__(experiment, domain, prompts)
        assert isinstance(experiment.method, MaeSpec)
        self.spec = experiment.method
        self.questions = QuestionPool(cap=self.spec.pool_cap, sampling=self.spec.pool_sampling)
        self.pairs = PairPool(cap=self.spec.pool_cap)
        rng = random.Random(derive_seed(experiment.seed, "seed questions"))
        for _ in range(self.spec.seed_questions):
            item = domain.sample(rng)
            self.questions.add(Question(text=item.question, step=0, answer=item.answer))
            if self.spec.seed_pairs:
                self.pairs.add(item.question, item.answer)

    async def step(self, play: Play) -> StepBatch:
        spec, log = self.spec, _StepLog()
        references = [self._draw_reference(play) for _ in range(spec.batch_per_role)]
        proposals = [self._propose(play, log, i, reference) for i, reference in enumerate(references)]
        if spec.draw_at_start:
            await play.gather([*proposals, *self._solving(play, log), *self._practice(play, log)])
        else:
            await play.gather(proposals)
            await play.gather(self._solving(play, log))
            await play.gather(self._practice(play, log))
        for text in log.accepted:
            self.questions.add(Question(text=text, step=play.step))
        return log.batch(self)

    # Proposer

    def _draw_reference(self, play: Play) -> Question | None:
        if len(self.questions) and play.rng.random() < self.spec.reference_prob:
            return play.rng.choice(self.questions.questions)
        return None

    async def _propose(self, play: Play, log: "_StepLog", index: int, reference: Question | None) -> None:
        spec = self.spec
        completion = (await play.say("proposer", self._propose_prompt(reference)))[0]
        question, form = last_tag(completion.text, "question"), format_score(completion.text, "question")
        turn = Turn(role="proposer", text=completion.text, parsed=question, num_tokens=len(completion.token_ids))
        sample = SampleData(episode=f"{play.step}-p{index}", title=question or "(no question)", turns=[turn])
        sample.facts["reference"] = reference.text if reference else None
        log.samples.append(sample)
        log.spoke("proposer", completion, form)
        if question is not None and self.domain.is_held_out(question):
            # Not judged, not solved, not learnt from: training must never see a held-out item.
            sample.facts |= {"kept": False, "reject_reason": "reserved for evaluation"}
            log.num_reserved += 1
            return
        quality = difficulty = 0.0
        kept = False
        if question is not None:
            quality, answers = await play.gather(
                [self._review(play, log, sample, question), self._try(play, log, sample, question, index)]
            )
            value = mean(answers)
            difficulty = 1 - value if spec.difficulty == "linear" else 4 * value * (1 - value)
            kept = quality >= spec.quality_threshold
            turn.correct = self._well_posed(question)
            log.count("questions/well_posed", turn.correct)
            log.count("questions/accepted", kept)
            log.count("questions/duplicate", question in self.questions or question in log.accepted)
            sample.facts |= {"truth": self.domain.truth(question), "solved": round(value, 4), "kept": kept}
        if kept and question is not None:
            log.accepted.append(question)
        paid_difficulty = difficulty if kept or not spec.difficulty_needs_quality else 0.0
        turn.rewards = {"quality": quality, "difficulty": difficulty, "format": form}
        # R_P = w_q Q + w_d D + w_f F_P (MAE, section 3.2)
        reward = spec.w_quality * quality + spec.w_difficulty * paid_difficulty + spec.w_format * form
        log.reward(play, "proposer", f"{play.step}-propose", completion, turn, reward, train=spec.train_proposer)

    def _propose_prompt(self, reference: Question | None) -> str:
        if reference is None:
            return self.prompts.render("propose")
        if self.spec.show_reference_answer:
            return self.prompts.render(
                "propose_from_answered", reference=reference.text, reference_answer=reference.answer or "N/A"
            )
        return self.prompts.render("propose_from", reference=reference.text)

    def _well_posed(self, question: str) -> bool | None:
        return self.domain.truth(question) is not None if self.domain.has_verifier else None

    async def _review(self, play: Play, log: "_StepLog", sample: SampleData, question: str) -> float:
        """Q(q): the mean of several verdicts on the question; 0.5 when none is readable."""
        match self.spec.judge.kind:
            case "verifier":
                return float(self.domain.truth(question) is not None)
            case "random":
                return play.rng.random()
        verdicts = await play.say(
            "judge", self.prompts.render("review", question=question), n=self.spec.quality_samples
        )
        scores = [self._read_verdict(log, sample, verdict, parent=0) for verdict in verdicts]
        readable = [score for score in scores if score is not None]
        return mean(readable) if readable else 0.5

    async def _try(self, play: Play, log: "_StepLog", sample: SampleData, question: str, index: int) -> list[float]:
        """Answers that tell how hard the question is, each with its judged value V in [0, 1]."""
        spec = self.spec
        answers = await play.say("solver", self.prompts.render("solve", question=question), n=spec.difficulty_samples)
        group = f"{play.step}-p{index}"
        train = spec.train_solver and spec.train_on_difficulty_answers
        return list(
            await play.gather(
                self._grade(
                    play,
                    log,
                    sample,
                    question,
                    answer,
                    group=group,
                    parent=0,
                    train=train,
                    verdicts=spec.verdicts_per_answer,
                )
                for answer in answers
            )
        )

    # Solver

    def _solving(self, play: Play, log: "_StepLog") -> list[Episode[None]]:
        drawn = [*self.questions.questions]  # what entered before this step
        fresh = QuestionPool(cap=None, sampling=self.spec.pool_sampling, questions=drawn)
        for text in log.accepted:
            fresh.add(Question(text=text, step=play.step))
        chosen = fresh.draw(play.rng, self.spec.num_solver_questions)
        return [self._solve(play, log, index, question) for index, question in enumerate(chosen)]

    async def _solve(self, play: Play, log: "_StepLog", index: int, question: Question) -> None:
        group = f"{play.step}-s{index}"
        sample = SampleData(episode=group, title=question.text, turns=[])
        sample.facts |= {"truth": self.domain.truth(question.text), "entered_at_step": question.step}
        log.samples.append(sample)
        prompt = self.prompts.render("solve", question=question.text)
        answers = await play.say("solver", prompt, n=self.spec.answers_per_question)
        await play.gather(
            self._grade(
                play,
                log,
                sample,
                question.text,
                answer,
                group=group,
                parent=None,
                train=self.spec.train_solver,
                verdicts=1,
            )
            for answer in answers
        )

    async def _grade(
        self,
        play: Play,
        log: "_StepLog",
        sample: SampleData,
        question: str,
        completion: Completion,
        *,
        group: str,
        parent: int | None,
        train: bool,
        verdicts: int,
    ) -> float:
        """Judge one answer; returns V and books the Solver's reward R_S = w_j V + w_f F_S (MAE, section 3.2)."""
        spec = self.spec
        answer, form = last_tag(completion.text, "answer"), format_score(completion.text, "answer")
        shown = answer if answer is not None else completion.text
        truth = self.domain.truth(question)
        right = None if truth is None else answer is not None and self.domain.check(answer, truth)
        turn = Turn(
            role="solver",
            text=completion.text,
            parsed=answer,
            parent=parent,
            correct=right,
            num_tokens=len(completion.token_ids),
        )
        place = len(sample.turns)
        sample.turns.append(turn)
        log.spoke("solver", completion, form)
        value = await self._judge(play, log, sample, question, shown, right, parent=place, n=verdicts)
        turn.rewards = {"judge": value, "format": form}
        reward = spec.w_judge * value + spec.w_solver_format * form
        log.reward(play, "solver", group, completion, turn, reward, train=train)
        self.pairs.add(question, shown)
        log.live(value, right)
        return value

    # Judge

    async def _judge(
        self,
        play: Play,
        log: "_StepLog | None",
        sample: SampleData | None,
        question: str,
        answer: str,
        right: bool | None,
        *,
        parent: int | None,
        n: int,
    ) -> float:
        """V(a, q): the mean of ``n`` verdicts mapped to [0, 1]; 0.5 when none is readable."""
        match self.spec.judge.kind:
            case "verifier":
                return float(bool(right))
            case "random":
                return play.rng.random()
        prompt = self.prompts.render("judge", question=question, answer=answer)
        verdicts = await play.say("judge", prompt, n=n)
        scores = [self._read_verdict(log, sample, verdict, parent=parent, right=right) for verdict in verdicts]
        readable = [score for score in scores if score is not None]
        return mean(readable) if readable else 0.5

    def _read_verdict(
        self,
        log: "_StepLog | None",
        sample: SampleData | None,
        verdict: Completion,
        *,
        parent: int | None,
        right: bool | None = None,
    ) -> float | None:
        score = read_score(verdict.text, lenient=self.spec.lenient_scores)
        value = None if score is None else normalised_score(score)
        if log is not None:
            log.spoke("judge", verdict, format_score(verdict.text, "score"))
            log.count("judge/unreadable", score is None)
        if sample is not None:
            agrees = None if right is None or value is None else (value >= ACCEPT_AT) == right
            sample.turns.append(
                Turn(
                    role="judge",
                    text=verdict.text,
                    parsed=None if score is None else f"{score:g}",
                    parent=parent,
                    correct=agrees,
                    num_tokens=len(verdict.token_ids),
                )
            )
        return value

    def _practice(self, play: Play, log: "_StepLog") -> list[Episode[None]]:
        """The Judge's own rollouts: grade pairs of the pool, rewarded for format only; skipped while the pool is small."""
        spec = self.spec
        if spec.judge.kind != "current" or len(self.pairs) < spec.batch_per_role:
            log.count("judge/skipped", True)
            return []
        log.count("judge/skipped", False)
        pairs = self.pairs.draw(play.rng, spec.batch_per_role)
        return [self._practise(play, log, index, *pair) for index, pair in enumerate(pairs)]

    async def _practise(self, play: Play, log: "_StepLog", index: int, question: str, answer: str) -> None:
        prompt = self.prompts.render("judge", question=question, answer=answer)
        verdict = (await play.say("judge", prompt))[0]
        form = format_score(verdict.text, "score")
        log.spoke("judge", verdict, form)
        log.reward(play, "judge", f"{play.step}-judge", verdict, None, form, train=self.spec.train_judge)

    # Evaluation

    async def evaluate(self, play: Play) -> Evaluation:
        """Held-out accuracy, and the judge against the truth on a fixed probe and on the solver's own answers."""
        settings = self.experiment.evaluation
        items = self.domain.held_out(settings.num_items)
        answered = await answer_held_out(
            play,
            items,
            role="solver",
            prompt=lambda q: self.prompts.render("solve", question=q),
            read=lambda completion: last_tag(completion.text, "answer"),
            samples_per_item=settings.samples_per_item,
            sampling=self.spec.sampling,
        )
        scores = accuracy(self.domain, answered)
        rng = random.Random(derive_seed("judge probe"))  # the same probe in every run and at every step
        probe = [
            (item, item.answer if place % 2 else self.domain.wrong_answer(item, rng), bool(place % 2))
            for place, item in enumerate(items[: self.spec.probe_items])
        ]
        own = [
            (each.item, answer, self.domain.check(answer, each.item.answer))
            for each in answered[: self.spec.probe_items]
            for answer in each.sampled[:1]
            if answer is not None
        ]
        values = await play.gather(
            self._judge(play, None, None, item.question, answer, right, parent=None, n=1)
            for item, answer, right in [*probe, *own]
        )
        on_probe = agreement(values[: len(probe)], [right for *_, right in probe])
        on_own = agreement(values[len(probe) :], [right for *_, right in own])
        metrics = {
            "judge/auc": on_probe.auc,
            "judge/false_accept": on_probe.false_accept,
            "judge/false_reject": on_probe.false_reject,
            "judge/own_false_accept": on_own.false_accept,
            "judge/own_false_reject": on_own.false_reject,
        }
        stop_reason = None
        if on_probe.auc is not None and on_probe.auc < self.spec.min_judge_auc:
            stop_reason = (
                f"The judge tells right from wrong answers with AUC {on_probe.auc:.2f}, below the limit of "
                f"{self.spec.min_judge_auc:.2f}; learning from it would ruin the solver. Use a frozen judge, a better "
                "model, or lower method.min_judge_auc."
            )
        return Evaluation(
            num_items=len(items),
            scores=scores,
            items=shown_items(self.domain, answered),
            metrics={name: value for name, value in metrics.items() if value is not None},
            stop_reason=stop_reason,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"questions": self.questions.state(), "pairs": [list(pair) for pair in self.pairs.pairs]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.questions.restore(state["questions"])
        self.pairs.pairs = [(question, answer) for question, answer in state["pairs"]]


class _StepLog:
    """Everything one step adds up: rollouts to learn from, samples to read, sums behind the metrics."""

    def __init__(self) -> None:
        self.rollouts: list[Rollout] = []
        self.samples: list[SampleData] = []
        self.accepted: list[str] = []
        self.num_reserved = 0
        self._values: dict[str, list[float]] = defaultdict(list)
        self._live: list[tuple[float, bool]] = []

    def count(self, name: str, value: float | bool | None) -> None:
        if value is not None:
            self._values[name].append(float(value))

    def spoke(self, role: str, completion: Completion, form: float) -> None:
        self.count(f"format/{role}", form)
        self.count(f"length/{role}_tokens", len(completion.token_ids))
        self.count(f"entropy/{role}", mean(completion.entropies))
        self.count(f"length/{role}_cut", not completion.ended)

    def reward(
        self,
        play: Play,
        role: str,
        group: str,
        completion: Completion,
        turn: Turn | None,
        reward: float,
        *,
        train: bool,
    ) -> None:
        self.count(f"reward/{role}", reward)
        if turn is not None:
            turn.reward, turn.trained = reward, train
            for term, value in turn.rewards.items():
                self.count(f"reward_term/{role}_{term}", value)
        if train:
            self.rollouts.append(Rollout(role=role, group=group, completion=completion, reward=reward, turn=turn))

    def live(self, value: float, right: bool | None) -> None:
        if right is not None:
            self._live.append((value, right))

    def batch(self, method: MultiAgentEvolve) -> StepBatch:
        metrics = {name: mean(values) for name, values in self._values.items()}
        if self._live:
            found = agreement([value for value, _ in self._live], [right for _, right in self._live])
            metrics["judge/live_score"] = mean(value for value, _ in self._live)
            metrics["judge/live_truth"] = mean(float(right) for _, right in self._live)
            for name, rate in (("accept", found.false_accept), ("reject", found.false_reject)):
                if rate is not None:
                    metrics[f"judge/live_false_{name}"] = rate
        metrics["pool/questions"] = float(len(method.questions))
        metrics["pool/pairs"] = float(len(method.pairs))
        metrics["questions/reserved"] = self.num_reserved / method.spec.batch_per_role
        return StepBatch(rollouts=self.rollouts, samples=self.samples, metrics=metrics)
