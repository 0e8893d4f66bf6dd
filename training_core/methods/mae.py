"""Multi-Agent Evolve (Chen, Wang et al., 2025; arXiv 2510.23595): one model proposes, solves and judges.

The Proposer is paid for questions that the Judge finds good and the Solver finds hard, the Solver for answers that the
Judge accepts, the Judge for a readable verdict; weak questions never enter the pool.
"""

import random
from functools import partial
from statistics import fmean as mean
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from training_core.evaluate.held_out import Evaluation, accuracy, answer_held_out, shown_items
from training_core.evaluate.judge_probe import fixed_probe, judge_agreement, own_answers
from training_core.methods.base import Role, RolloutCost, SelfPlay, auditor_roles
from training_core.play.audit import Audit, Graded, audit_cost, read_grade
from training_core.play.judging import Judge, Judgement
from training_core.play.play import Play
from training_core.play.pools import PairPool, Question, QuestionPool
from training_core.play.prompts import Prompts
from training_core.play.records import Rollout, StepBatch
from training_core.play.requests import Completion, derive_seed
from training_core.play.scheduler import Episode
from training_core.play.step_log import StepLog, turn_of
from training_core.rewards.tags import format_score, last_tag
from training_core.spec.base import Group, Live, Probability, Unit
from training_core.spec.events import SampleData, Turn
from training_core.spec.judges import AuditSpec, CurrentJudge, JudgeSpec, NoAudit
from training_core.spec.online import OnlineSpec
from training_core.spec.orders import OrderRefused
from training_core.spec.rubrics import AnswerRubric, QuestionRubric

if TYPE_CHECKING:
    from training_core.spec.experiment import ExperimentSpec
    from training_core.tasks.base import Domain


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

    reference_prob: Annotated[Probability, Group("Proposer"), Live()] = 0.5
    """Chance that a proposal starts from a question of the pool: 0 explores, 1 imitates."""
    show_reference_answer: Annotated[bool, Group("Proposer")] = False
    """Print the reference's answer beside it, as the released code does; the paper withholds it."""
    quality_samples: Annotated[int, Field(ge=1, le=16), Group("Proposer"), Unit("verdicts")] = 5
    """Verdicts on each question; their mean is its quality."""
    quality_threshold: Annotated[Probability, Group("Proposer"), Live()] = 0.7
    """Least quality with which a question enters the pool."""
    difficulty: Annotated[Literal["linear", "frontier"], Group("Proposer")] = "linear"
    """linear is 1 - v as in the paper; frontier is 4 v (1 - v), which pays for questions that are solved half the time."""
    difficulty_samples: Annotated[int, Field(ge=1, le=16), Group("Proposer"), Unit("answers")] = 5
    """Answers drawn to find out how hard a question is."""
    verdicts_per_answer: Annotated[int, Field(ge=1, le=16), Group("Proposer"), Unit("verdicts")] = 1
    """Verdicts on each of those answers (released code since January 2026: 5)."""
    difficulty_needs_quality: Annotated[bool, Group("Proposer")] = False
    """Pay for difficulty only when quality reaches the threshold, as the released code does."""
    w_quality: Annotated[Probability, Group("Proposer"), Live()] = 1 / 3
    """Weight of quality in the Proposer's reward."""
    w_difficulty: Annotated[Probability, Group("Proposer"), Live()] = 1 / 3
    """Weight of difficulty in the Proposer's reward."""
    w_format: Annotated[Probability, Group("Proposer"), Live()] = 1 / 3
    """Weight of format in the Proposer's reward."""

    answers_per_question: Annotated[int, Field(ge=1, le=64), Group("Solver"), Unit("answers")] = 1
    """Trained answers to each of the Solver's questions. Above 1 they form a group (paper: 1)."""
    solver_questions: Annotated[int, Field(ge=0, le=4096), Group("Solver"), Unit("questions")] | None = None
    """Questions drawn from the pool each step; empty means one per prompt, 0 leaves the Solver to the difficulty answers."""
    train_on_difficulty_answers: Annotated[bool, Group("Solver")] = False
    """Learn from the answers that measured difficulty too, so that no rollout is wasted; the paper throws them away."""
    w_judge: Annotated[Probability, Group("Solver"), Live()] = 0.5
    """Weight of the Judge's score in the Solver's reward."""
    w_solver_format: Annotated[Probability, Group("Solver"), Live()] = 0.5
    """Weight of format in the Solver's reward."""

    judge_rubric: Annotated[AnswerRubric, Group("Judge")] | None = None
    """How the Judge is asked to grade an answer; off keeps the method's own words."""
    review_rubric: Annotated[QuestionRubric, Group("Judge")] | None = None
    """How the Judge is asked to review a question; off keeps the method's own words."""
    judge_temperature: Annotated[float, Field(ge=0, le=5), Group("Judge"), Live()] | None = None
    """Temperature of the verdicts that become rewards; empty takes the sampling temperature, 0 is greedy. Lower means less noise."""
    audit: Annotated[AuditSpec, Group("Judge")] = NoAudit()
    """A second judge that grades a share of the answers again and that nobody learns from; the gap shows a judge that is being pleased."""
    lenient_scores: Annotated[bool, Group("Judge")] = False
    """Take the last number of a verdict without a score tag (released code since January 2026)."""
    probe_items: Annotated[int, Field(ge=0, le=4096), Group("Judge"), Unit("items")] = 128
    """Labelled answers shown to the Judge at every evaluation to measure its agreement with the truth; never trained on."""
    min_judge_auc: Annotated[Probability, Group("Judge")] = 0.0
    """Stop before a judge worse than this ruins the solver: the run ends with a sentence when the probe's AUC falls below."""

    seed_questions: Annotated[int, Field(ge=0, le=100_000), Group("Pools"), Unit("questions")] = 16
    """Unlabelled questions the pool starts with, drawn from the task's training side."""
    seed_pairs: Annotated[bool, Group("Pools")] = False
    """Start the pair pool with the seeds and their true answers, as the released code does."""
    pool_cap: Annotated[int, Field(ge=1, le=10_000_000), Group("Pools"), Unit("questions")] | None = None
    """Most questions kept, oldest dropped first; empty keeps all."""
    draw_at_start: Annotated[bool, Group("Pools")] = False
    """Draw all prompts before the step, as the released code does: a new question is first solved one step later."""
    pool_sampling: Annotated[Literal["uniform", "newest", "half_new"], Group("Pools"), Live()] = "uniform"
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


class MultiAgentEvolve(SelfPlay):
    """One step: propose and rate new questions, solve questions of the pool, practise judging."""

    slug = "mae"
    Spec = MaeSpec
    reward_weights: ClassVar = {
        "proposer": {"quality": "w_quality", "difficulty": "w_difficulty", "format": "w_format"},
        "solver": {"judge": "w_judge", "format": "w_solver_format"},
    }
    domain: "Domain"

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
            *auditor_roles(spec),
        )

    @classmethod
    def rollout_cost(cls, experiment: "ExperimentSpec") -> RolloutCost:
        spec = experiment.method
        assert isinstance(spec, MaeSpec)
        batch, answers = spec.batch_per_role, spec.num_solver_questions * spec.answers_per_question
        tries = batch * spec.difficulty_samples
        practice = batch if spec.judge.kind == "current" else 0
        by_model = spec.judge.kind in {"current", "frozen"}
        trained = (
            batch * spec.train_proposer
            + (answers + tries * spec.train_on_difficulty_answers) * spec.train_solver
            + practice * spec.train_judge
        )
        completions = {
            "proposals": batch,
            "quality verdicts": batch * spec.quality_samples * by_model,
            "difficulty answers": tries,
            "difficulty verdicts": tries * spec.verdicts_per_answer * by_model,
            "answers": answers,
            "answer verdicts": answers * by_model,
            "judge practice": practice,
            **audit_cost(spec, tries + answers),
        }
        return RolloutCost(completions={kind: n for kind, n in completions.items() if n}, trained=trained)

    @classmethod
    def check(cls, experiment: "ExperimentSpec") -> None:
        spec = experiment.method
        assert isinstance(spec, MaeSpec)
        if spec.judge.kind == "verifier" and experiment.task.kind == "jsonl":
            raise ValueError(
                "method.judge is verifier, but a verifier knows the answers of a .jsonl task's own questions only and the "
                "Proposer invents new ones; choose the current or the frozen judge"
            )
        if spec.rehearsal is not None and experiment.model.is_hub_id:
            raise ValueError(
                "method.rehearsal mixes in the starter's teaching text; it needs model.source: starter or a checkpoint of "
                f"one, not {experiment.model.source!r}"
            )

    def __init__(self, experiment: "ExperimentSpec", domain: "Domain", prompts: Prompts) -> None:
        super().__init__(experiment, domain, prompts)
        assert isinstance(experiment.method, MaeSpec)
        self.spec = experiment.method
        self.judge = self._judge()
        read = partial(read_grade, lenient=self.spec.lenient_scores)
        self.audit = Audit(self.spec.audit, prompts, sampling=self.spec.sampling, read=read)
        self.questions = QuestionPool(cap=self.spec.pool_cap, sampling=self.spec.pool_sampling)
        self.pairs = PairPool(cap=self.spec.pool_cap)
        self.banned: set[str] = set()
        """Questions that a person marked as bad, in their canonical form; they never enter the pool again."""
        rng = random.Random(derive_seed(experiment.seed, "seed questions"))
        for item in (domain.sample(rng) for _ in range(self.spec.seed_questions)):
            self.questions.add(Question(text=item.question, step=0, answer=item.answer))
            if self.spec.seed_pairs:
                self.pairs.add(item.question, item.answer)

    def _judge(self) -> Judge:
        spec, temperature = self.spec, self.spec.judge_temperature
        colder = {} if temperature is None else {"temperature": temperature}
        return Judge(
            spec.judge,
            self.domain,
            self.prompts,
            sampling=spec.sampling.model_copy(update=colder),
            lenient=spec.lenient_scores,
        )

    async def step(self, play: Play) -> StepBatch:
        spec, log = self.spec, StepLog()
        proposing = [self._propose(play, log, index) for index in range(spec.batch_per_role)]
        if spec.draw_at_start:
            await play.gather([*proposing, *self._solving(play, log), *self._practising(play, log)])
        else:
            await play.gather(proposing)
            await play.gather(self._solving(play, log))
            await play.gather(self._practising(play, log))
        return self._close(log, await self.audit.metrics(play))

    async def _propose(self, play: Play, log: StepLog, index: int) -> None:
        """Invent a question; find its quality and difficulty; keep it if it is good (MAE, section 3.2)."""
        spec, episode = self.spec, f"{play.step}-p{index}"
        from_pool = len(self.questions) and play.rng.random() < spec.reference_prob
        reference = play.rng.choice(self.questions.questions) if from_pool else None
        completion = (await play.say("proposer", self._proposer_prompt(reference)))[0]
        question, form = last_tag(completion.text, "question"), format_score(completion.text, "question")
        log.spoke("proposer", completion, form)
        turn = turn_of("proposer", completion, question)
        sample = log.new_sample(episode, question or "(no question)", parent=reference.text if reference else None)
        sample.turns.append(turn)
        reserved = question is not None and self.domain.is_held_out(question)
        log.count("questions/reserved", reserved)
        if reserved:  # not judged, not solved, not learnt from: training must never see a held-out item
            sample.facts["kept"] = False
            log.discard(sample, "reserved for evaluation")
            return
        quality = difficulty = 0.0
        log.count("questions/posed", question is not None)
        if question is not None:
            quality, value = await play.gather(
                [self._review(play, log, sample, question), self._try(play, log, sample, question)]
            )
            difficulty = self._difficulty(value)
            sample.facts["solved"] = round(value, 4)
            log.count("questions/solved", value)
        kept = question is not None and quality >= spec.quality_threshold and self._key(question) not in self.banned
        self._note_question(log, sample, turn, question, quality=quality, kept=kept)
        if spec.difficulty_needs_quality and not kept:
            difficulty = 0.0
        turn.rewards = {"quality": quality, "difficulty": difficulty, "format": form}
        parts = {
            "quality": spec.w_quality * quality,
            "difficulty": spec.w_difficulty * difficulty,
            "format": spec.w_format * form,
        }
        rollout = Rollout(
            role="proposer",
            group=f"{play.step}-p",
            completion=completion,
            reward=sum(parts.values()),
            parts=parts,
            turn=turn,
        )
        log.learn(rollout, train=spec.train_proposer)

    def _difficulty(self, value: float) -> float:
        """How hard a question is whose answers are worth ``value`` on average."""
        return 1 - value if self.spec.difficulty == "linear" else 4 * value * (1 - value)

    def _proposer_prompt(self, reference: Question | None) -> str:
        if reference is None:
            return self.prompts.render("propose")
        if not self.spec.show_reference_answer:
            return self.prompts.render("propose_from", reference=reference.text)
        answer = reference.answer or "N/A"
        return self.prompts.render("propose_from_answered", reference=reference.text, reference_answer=answer)

    async def _review(self, play: Play, log: StepLog, sample: SampleData, question: str) -> float:
        judgement = await self.judge.review(play, log, question, n=self.spec.quality_samples)
        _append(sample, judgement, parent=0)
        return judgement.value

    async def _try(self, play: Play, log: StepLog, sample: SampleData, question: str) -> float:
        """The mean judged value of several answers: how well the Solver does on this question."""
        spec = self.spec
        answers = await play.say("solver", self.prompts.render("solve", question=question), n=spec.difficulty_samples)
        train = spec.train_solver and spec.train_on_difficulty_answers
        graded = await play.gather(
            self._grade(play, log, sample, question, answer, verdicts=spec.verdicts_per_answer, train=train)
            for answer in answers
        )
        ill_posed = self.domain.has_verifier and self.domain.truth(question) is None
        log.asked(graded, ill_posed=ill_posed)
        return mean(value for _, value in graded)

    def _note_question(
        self, log: StepLog, sample: SampleData, turn: Turn, question: str | None, *, quality: float, kept: bool
    ) -> None:
        sample.facts["kept"] = kept
        log.count("questions/accepted", kept)
        if question is None:
            log.discard(sample, "no question tag")
            log.asked((), ill_posed=True)
            return
        if not kept:
            low = f"quality {quality:.2f} below the threshold of {self.spec.quality_threshold:.2f}"
            log.discard(sample, "marked as bad" if self._key(question) in self.banned else low)
        if self.domain.has_verifier:
            sample.facts["truth"] = self.domain.truth(question)
            turn.correct = sample.facts["truth"] is not None
            log.count("questions/well_posed", turn.correct)
        log.count("questions/duplicate", question in self.questions)
        if kept:
            self.questions.add(Question(text=question, step=int(sample.episode.split("-")[0])))

    def _solving(self, play: Play, log: StepLog) -> list[Episode[None]]:
        drawn = self.questions.draw(play.rng, self.spec.num_solver_questions)
        return [self._solve(play, log, index, question) for index, question in enumerate(drawn)]

    async def _solve(self, play: Play, log: StepLog, index: int, question: Question) -> None:
        truth = self.domain.truth(question.text)
        sample = log.new_sample(f"{play.step}-s{index}", question.text, truth=truth, entered_at_step=question.step)
        prompt = self.prompts.render("solve", question=question.text)
        answers = await play.say("solver", prompt, n=self.spec.answers_per_question)
        graded = await play.gather(
            self._grade(play, log, sample, question.text, answer, verdicts=1, train=self.spec.train_solver)
            for answer in answers
        )
        log.asked(graded, ill_posed=self.domain.has_verifier and truth is None)

    async def _grade(
        self,
        play: Play,
        log: StepLog,
        sample: SampleData,
        question: str,
        completion: Completion,
        *,
        verdicts: int,
        train: bool,
    ) -> tuple[bool | None, float]:
        """Judge one answer and give the Solver its reward R_S = w_j V + w_f F_S; returns the truth, where known, and V."""
        spec = self.spec
        answer, form = last_tag(completion.text, "answer"), format_score(completion.text, "answer")
        shown = completion.text if answer is None else answer
        truth = self.domain.truth(question)
        right = None if truth is None else answer is not None and self.domain.check(answer, truth)
        judgement = await self.judge.grade(play, log, question, shown, right=right, n=verdicts)
        turn = turn_of("solver", completion, answer, parent=0 if sample.episode.split("-")[1][0] == "p" else None)
        turn.correct, turn.rewards = right, {"judge": judgement.value, "format": form}
        _append(sample, judgement, parent=len(sample.turns), head=turn)
        log.spoke("solver", completion, form)
        parts = {"judge": spec.w_judge * judgement.value, "format": spec.w_solver_format * form}
        rollout = Rollout(
            role="solver",
            group=sample.episode,
            completion=completion,
            reward=sum(parts.values()),
            parts=parts,
            turn=turn,
        )
        log.learn(rollout, train=train)
        log.judged(judgement.value, right, length=len(completion.token_ids))
        self.audit.note(Graded(question=question, answer=shown, value=judgement.value, right=right))
        self.pairs.add(question, shown)
        return right, judgement.value

    def _practising(self, play: Play, log: StepLog) -> list[Episode[None]]:
        """The Judge's own rollouts, rewarded for format only; skipped while the pair pool is small."""
        skipped = self.spec.judge.kind != "current" or len(self.pairs) < self.spec.batch_per_role
        log.count("judge/skipped", skipped)
        if skipped:
            return []
        pairs = self.pairs.draw(play.rng, self.spec.batch_per_role)
        return [self._practise(play, log, index, *pair) for index, pair in enumerate(pairs)]

    async def _practise(self, play: Play, log: StepLog, index: int, question: str, answer: str) -> None:
        prompt = self.prompts.render("judge", question=question, answer=answer)
        verdict = (await play.say("judge", prompt))[0]
        form = format_score(verdict.text, "score")
        log.spoke("judge", verdict, form)
        turn = turn_of("judge", verdict, last_tag(verdict.text, "score"))
        turn.rewards = {"format": form}
        log.new_sample(f"{play.step}-j{index}", question, practice=True, answer=answer).turns.append(turn)
        parts = {"format": form}
        rollout = Rollout(role="judge", group=f"{play.step}-j", completion=verdict, reward=form, parts=parts, turn=turn)
        log.learn(rollout, train=self.spec.train_judge)

    def _close(self, log: StepLog, audited: dict[str, float]) -> StepBatch:
        pools = {"pool/questions": float(len(self.questions)), "pool/pairs": float(len(self.pairs))}
        return log.batch(pools | audited)

    async def evaluate(self, play: Play) -> Evaluation:
        """Held-out accuracy; the judge against the truth on a fixed probe and on the solver's own answers."""
        settings = self.experiment.evaluation
        items = self.domain.held_out(settings.num_items)
        answered = await answer_held_out(
            play,
            items,
            role="solver",
            prompt=lambda question: self.prompts.render("solve", question=question),
            read=lambda completion: last_tag(completion.text, "answer"),
            samples_per_item=settings.samples_per_item,
            sampling=self.spec.sampling,
        )
        probe = fixed_probe(self.domain, items[: self.spec.probe_items])
        own = own_answers(self.domain, answered[: self.spec.probe_items])
        metrics = await judge_agreement(play, self.judge, probe=probe, own=own)
        auc = metrics.get("judge/auc", 1.0)
        reason = (
            f"The judge tells right from wrong answers with an AUC of {auc:.2f}, below the limit of "
            f"{self.spec.min_judge_auc:.2f}, and learning from it would ruin the solver. Use a frozen judge or a better "
            "model, or lower method.min_judge_auc."
        )
        return Evaluation(
            num_items=len(items),
            scores=accuracy(self.domain, answered),
            metrics=metrics,
            items=shown_items(self.domain, answered),
            stop_reason=reason if auc < self.spec.min_judge_auc else None,
        )

    # What people ask of it between steps

    def retune(self, experiment: "ExperimentSpec") -> None:
        super().retune(experiment)
        self.judge = self._judge()
        self.questions.sampling = self.spec.pool_sampling

    def correct(self, sample: SampleData, turn: int, value: float) -> None:
        """R_S and R_P with another V(a, q) or Q(q): an answer's value also tells how hard its question is."""
        spec = self.spec
        head, first = _judged(sample, turn), sample.turns[0]
        if head.role == "solver":
            _set_term(head, "judge", value, weight=spec.w_judge)
        else:
            _set_term(head, "quality", value, weight=spec.w_quality)
        tries = [each.rewards["judge"] for each in sample.turns if each.role == "solver"]
        if "difficulty" not in first.rewards or not tries:
            return
        difficulty = self._difficulty(mean(tries))
        if spec.difficulty_needs_quality and first.rewards["quality"] < spec.quality_threshold:
            difficulty = 0.0
        _set_term(first, "difficulty", difficulty, weight=spec.w_difficulty)

    def add_question(self, question: str, answer: str | None, *, step: int) -> None:
        question = question.strip()
        known = self.domain.canonical(question) is not None
        if not known or (self.domain.has_verifier and self.domain.truth(question) is None):
            raise OrderRefused("This is no well-posed question of the run's task.")
        if self.domain.is_held_out(question):
            raise OrderRefused("This question is reserved for evaluation, and training must never see it.")
        self.banned.discard(self._key(question))
        self.questions.add(Question(text=question, step=step, answer=answer))

    def remove_question(self, question: str) -> int:
        key = self._key(question)
        self.banned.add(key)
        self.pairs.pairs = [pair for pair in self.pairs.pairs if self._key(pair[0]) != key]
        return self.questions.remove(lambda each: self._key(each.text) == key)

    def _key(self, question: str) -> str:
        return self.domain.canonical(question) or question.strip()

    def state_dict(self) -> dict[str, Any]:
        return {
            "questions": self.questions.state(),
            "pairs": [list(pair) for pair in self.pairs.pairs],
            "banned": sorted(self.banned),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.banned = set(state.get("banned", ()))
        self.questions.restore(state["questions"])
        self.pairs.pairs = [(question, answer) for question, answer in state["pairs"]]


def _append(sample: SampleData, judgement: Judgement, *, parent: int, head: Turn | None = None) -> None:
    """Add a turn with the verdicts below it, or verdicts below a turn that is there."""
    if head is not None:
        sample.turns.append(head)
    for turn in judgement.turns:
        turn.parent = parent
        sample.turns.append(turn)


def _judged(sample: SampleData, turn: int) -> Turn:
    """The answer or question that a turn is, or is a verdict on."""
    named = sample.turns[turn] if turn < len(sample.turns) else None
    if named is not None and named.role == "judge" and named.parent is not None:
        named = sample.turns[named.parent]
    if named is None or not named.rewards.keys() & {"judge", "quality"}:
        raise OrderRefused("Nobody judged this turn, so there is no verdict to overrule.")
    return named


def _set_term(turn: Turn, term: str, value: float, *, weight: float) -> None:
    """Change a reward term, and the reward by the difference."""
    assert turn.reward is not None
    turn.reward += weight * (value - turn.rewards[term])
    turn.rewards[term] = value
