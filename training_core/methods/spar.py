"""SPaR: self-play with tree-search refinement (Cheng et al., 2024; arXiv 2412.11605): learn to follow instructions from small edits.

An actor answers, a refiner judges by majority and searches a tree of edits of a failed answer until one passes. Actor and refined
answer differ only where it matters, so a preference for the one over the other teaches the constraint and not a change of topic.
The refiner learns from its own judgements and edits.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from training_core.evaluate.held_out import Answered, Evaluation, accuracy, answer_held_out, shown_items
from training_core.evaluate.judge_probe import Labelled, fixed_probe
from training_core.methods.base import Role, RolloutCost, SelfPlay, Snapshot, auditor_roles
from training_core.play.audit import Audit, Graded, audit_cost
from training_core.play.corrections import PASSES_AT, judged_turn
from training_core.play.deck import Deck
from training_core.play.edits import edit_share
from training_core.play.play import Play
from training_core.play.prompts import Prompts
from training_core.play.records import Blend, Choice, Demonstration, StepBatch
from training_core.play.requests import Completion, derive_seed
from training_core.play.rounds import Plan, fitting_plan, step_size
from training_core.play.rounds import Shape as Rounds
from training_core.play.step_log import StepLog, turn_of
from training_core.play.tree_search import Draft, Node, Shape, Tree, search
from training_core.play.votes import majority
from training_core.rewards.tags import last_tag
from training_core.rewards.verdicts import read_verdict
from training_core.spec.base import Group, Unit
from training_core.spec.events import SampleData, Turn
from training_core.spec.judges import AuditSpec, NoAudit
from training_core.spec.learning import DpoLoss, OptimizerSpec, SamplingSpec
from training_core.spec.preference import PreferenceSpec
from training_core.spec.rubrics import VoteRubric
from training_core.tasks.base import Item
from training_core.tasks.constraints import Constraints

if TYPE_CHECKING:
    from training_core.spec.experiment import ExperimentSpec
    from training_core.tasks.base import Domain

ITERATE, REFINER_ITERATE = "iterate", "refiner-iterate"
"""Actor and refiner as they were when the round began; they make the data of the round."""


class SparSpec(PreferenceSpec):
    """The knobs of SPaR; defaults are those of the released code, which agrees with the paper."""

    name: Literal["spar"] = "spar"

    iterations: Annotated[int, Field(ge=1, le=1000), Group("Rounds"), Unit("rounds")] = 3
    """Rounds; in each of them frozen copies of actor and refiner make the data, and are replaced at its end."""
    prompts_per_step: Annotated[int, Field(ge=1, le=65_536), Group("Rounds"), Unit("prompts")] = 64
    """Fresh instructions of each step (paper: 10,000 a round)."""
    samples_per_prompt: Annotated[int, Field(ge=1, le=16), Group("Rounds"), Unit("answers")] = 5
    """Answers of the actor to each instruction."""
    warmup_share: Annotated[float, Field(ge=0, lt=1, title="Warm-up share"), Group("Rounds")] = 0.1
    """Share of each round over which the step sizes grow from 0; the actor's then falls to 0 in a line, the refiner's stays."""

    judge_votes: Annotated[int, Field(ge=1, le=15), Group("Judging"), Unit("votes")] = 5
    """Judgements of each answer, an odd number; the majority counts."""
    judge_temperature: Annotated[float, Field(ge=0, le=5), Group("Judging")] = 0.7
    """Temperature of the judgements; at 0 all votes are the same."""
    judge_tokens: Annotated[
        int, Field(ge=1, le=131_072, title="Longest judgement"), Group("Judging"), Unit("tokens")
    ] = 2048
    """Longest judgement."""
    judge_rubric: Annotated[VoteRubric, Group("Judging")] | None = None
    """How the refiner is asked to judge an answer; off keeps the method's own words."""
    verifier: Annotated[Literal["self_vote", "rules"], Group("Judging")] = "self_vote"
    """self_vote believes the majority; rules believes the task's own check and takes the votes for their words only."""
    audit: Annotated[AuditSpec, Group("Judging")] = NoAudit()
    """A second judge that judges a share of the answers again and that nobody learns from; the gap shows votes that are being pleased."""
    retries: Annotated[int, Field(ge=0, le=10), Group("Judging"), Unit("retries")] = 3
    """Further tries where an edit cannot be read or the votes on it are tied; after that it is dropped."""

    search: Annotated[Literal["bfs", "dfs", "none"], Group("Search")] = "bfs"
    """How a failed answer is refined: level by level, or the best child first. none prefers another sampled answer that passed."""
    branch: Annotated[int, Field(ge=1, le=8), Group("Search"), Unit("edits")] = 3
    """Edits tried at each node."""
    beam: Annotated[int, Field(ge=1, le=8), Group("Search"), Unit("nodes")] = 2
    """Best nodes that are edited further."""
    depth: Annotated[int, Field(ge=1, le=8), Group("Search"), Unit("edits")] = 3
    """Edits in a row at most."""
    gate: Annotated[float, Field(ge=0, lt=1), Group("Search")] = 0.5
    """An edit solves the tree when its share of Yes votes is above."""
    max_nodes: Annotated[int, Field(ge=1, le=100_000, title="Most nodes"), Group("Search"), Unit("nodes")] = 1000
    """Nodes of one tree at most."""
    refine_temperature: Annotated[float, Field(ge=0, le=5), Group("Search")] = 0.7
    """Temperature of the edits; at 0 all children of a node are the same."""
    refine_tokens: Annotated[int, Field(ge=1, le=131_072, title="Longest edit"), Group("Search"), Unit("tokens")] = 3072
    """Longest edit, with the reflection before it."""

    preference: Annotated[DpoLoss, Group("Learning")] = DpoLoss(beta=0.1)
    """The actor's loss on a pair."""
    imitation_coef: Annotated[float, Field(ge=0, le=100), Group("Learning")] = 0.1
    """Weight of the negative log-likelihood per token of the refined answers beside the preference loss; 0 switches it off."""
    optimizer: Annotated[OptimizerSpec, Group("Learning")] = OptimizerSpec(lr=2e-7)
    """The optimiser of the actor, and of the refiner."""
    sampling: Annotated[SamplingSpec, Group("Sampling")] = SamplingSpec(temperature=0.9, top_p=0.9, max_tokens=2048)
    """How the actor's answers are drawn."""

    train_refiner: Annotated[bool, Group("Refiner")] = True
    """Train the refiner on what it found; off keeps the judge it began as."""
    refiner_lr: Annotated[float, Field(gt=0, le=10_000), Group("Refiner")] = 10.0
    """The refiner's step size as a multiple of the actor's (released code: 2e-6 and 2e-7)."""
    cap_refinements: Annotated[
        int, Field(ge=0, le=10_000_000, title="Most edits learnt"), Group("Refiner"), Unit("texts")
    ] = 4000
    """Edits that solved a tree, learnt in a round at most."""
    cap_tree_yes: Annotated[
        int, Field(ge=0, le=10_000_000, title="Most tree judgements, yes"), Group("Refiner"), Unit("texts")
    ] = 1500
    """Judgements that accept an edit in a tree, learnt in a round at most; only where the votes disagreed, here and below."""
    cap_tree_no: Annotated[
        int, Field(ge=0, le=10_000_000, title="Most tree judgements, no"), Group("Refiner"), Unit("texts")
    ] = 1000
    """Judgements that refuse an edit in a tree."""
    cap_yes: Annotated[
        int, Field(ge=0, le=10_000_000, title="Most judgements, yes"), Group("Refiner"), Unit("texts")
    ] = 2500
    """Judgements that accept an answer of the actor."""
    cap_no: Annotated[int, Field(ge=0, le=10_000_000, title="Most judgements, no"), Group("Refiner"), Unit("texts")] = (
        500
    )
    """Judgements that refuse an answer of the actor."""
    learn_unanimous: Annotated[bool, Group("Refiner")] = False
    """Learn judgements on which all votes agreed, too; the paper finds them too easy to teach anything."""

    @model_validator(mode="after")
    def _can_be_learnt_from(self) -> "SparSpec":
        if self.judge_votes % 2 == 0:
            raise ValueError(
                f"judge_votes is {self.judge_votes}, and an even number of votes is often tied; make it odd"
            )
        if self.search == "none" and self.samples_per_prompt < 2:
            raise ValueError(
                "search is none, which pairs two answers of the actor, but samples_per_prompt is 1; raise it, or search"
            )
        return self

    @property
    def shape(self) -> Shape:
        """Bounds of a tree."""
        return Shape(
            branch=self.branch,
            beam=self.beam,
            depth=self.depth,
            gate=self.gate,
            max_nodes=self.max_nodes,
            order="dfs" if self.search == "dfs" else "bfs",
        )

    def plan(self, steps: int) -> Plan:
        """How the steps are dealt to rounds; raises ``ValueError`` where there are fewer steps than rounds."""
        rounds = Rounds(rounds=self.iterations, epochs=1, pairs_per_step=self.prompts_per_step, carries=False)
        return fitting_plan(rounds, steps)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the votes say about an answer: ``Judged(value=0.8, accepts=True, critique=..., prompt=..., teaches=True, right=True)``."""

    value: float
    accepts: bool
    critique: Completion
    """The first vote that agrees with the outcome."""
    prompt: str
    """What the votes were asked."""
    teaches: bool
    """Whether the critique is worth learning: it agrees with the outcome, and other votes do not."""
    right: bool | None
    """The truth, where a rule knows it."""


@dataclass(frozen=True, kw_only=True)
class _Instruction:
    """One instruction of a step, with the table it is played at."""

    play: Play
    log: StepLog
    episode: str
    item: Item


class Spar(SelfPlay):
    """One step: answer fresh instructions, judge the answers, refine one failed answer to each instruction."""

    slug = "spar"
    Spec = SparSpec
    tasks = ("constraints", "jsonl")
    curriculum = "refine"
    domain: "Domain"

    @classmethod
    def roles(cls, spec: SparSpec) -> tuple[Role, ...]:
        return (
            Role(
                name="actor",
                title="Actor",
                policy="actor",
                trained=True,
                reads="an instruction",
                writes="an answer",
            ),
            Role(
                name="refiner",
                title="Refiner",
                policy="refiner" if spec.train_refiner else "start",
                trained=spec.train_refiner,
                reads="an instruction with an answer, perhaps with a critique",
                writes="a check of every constraint that ends in Yes or No, or the answer with small edits",
            ),
            *auditor_roles(spec),
        )

    @classmethod
    def snapshots(cls, spec: SparSpec) -> tuple[Snapshot, ...]:
        actor = Snapshot(name=ITERATE, of="actor", reference=True)
        refiner = Snapshot(name=REFINER_ITERATE, of="refiner", reference=True)
        return (actor, refiner) if spec.train_refiner else (actor,)

    @classmethod
    def rollout_cost(cls, experiment: "ExperimentSpec") -> RolloutCost:
        """As if every instruction had a failed answer and every tree grew to its full size."""
        spec = experiment.method
        assert isinstance(spec, SparSpec)
        answers = spec.prompts_per_step * spec.samples_per_prompt
        nodes = min(spec.max_nodes, spec.branch * (1 + spec.beam * (spec.depth - 1)))
        edits = 0 if spec.search == "none" else spec.prompts_per_step * nodes
        completions = {
            "answers": answers,
            "judgements of answers": answers * spec.judge_votes,
            "edits": edits,
            "judgements of edits": edits * spec.judge_votes,
            **audit_cost(spec, answers + edits),
        }
        learnt = 2 * spec.prompts_per_step + (answers // 4 + edits // 4) * spec.train_refiner
        return RolloutCost(completions={kind: n for kind, n in completions.items() if n}, trained=learnt)

    @classmethod
    def check(cls, experiment: "ExperimentSpec") -> None:
        spec, task = experiment.method, experiment.task
        assert isinstance(spec, SparSpec)
        spec.plan(experiment.steps)
        if experiment.learner.ahead:
            raise ValueError(
                "learner.ahead plays the next step before this one is learnt, so the first answers of a round would come "
                "from the actor of the round before; switch learner.ahead off"
            )
        if (
            experiment.model.is_starter
            and task.kind == "constraints"
            and (task.family, task.wording) != ("strings", "code")
        ):
            raise ValueError(
                f"the starter follows task.family strings in task.wording code only, not {task.family} in {task.wording}; "
                "change them, or choose an instruction-tuned model"
            )

    def __init__(self, experiment: "ExperimentSpec", domain: "Domain", prompts: Prompts) -> None:
        super().__init__(experiment, domain, prompts)
        assert isinstance(experiment.method, SparSpec)
        self.spec = spec = experiment.method
        self.plan = spec.plan(experiment.steps)
        self.audit = Audit(spec.audit, prompts, sampling=self._judging_by(spec), read=_read_share)
        self._deck = Deck(domain, random.Random(derive_seed(experiment.seed, "deck")))
        self._judging = self._judging_by(spec)
        self._refining = SamplingSpec(temperature=spec.refine_temperature, max_tokens=spec.refine_tokens)
        self._caps = {
            "refinements": spec.cap_refinements,
            "tree_yes": spec.cap_tree_yes,
            "tree_no": spec.cap_tree_no,
            "yes": spec.cap_yes,
            "no": spec.cap_no,
        }
        self.learnt: Counter[str] = Counter()
        """Texts the refiner was given in this round, by kind."""
        self.asked: set[int] = set()
        """Hashes of their prompts: none is learnt twice in a round."""

    @staticmethod
    def _judging_by(spec: SparSpec) -> SamplingSpec:
        return SamplingSpec(temperature=spec.judge_temperature, max_tokens=spec.judge_tokens)

    async def step(self, play: Play) -> StepBatch:
        spec, place, log = self.spec, self.plan.place(play.step), StepLog()
        if place.is_first:
            self.learnt, self.asked = Counter(), set()
        items = self._deck.items(range((play.step - 1) * spec.prompts_per_step, play.step * spec.prompts_per_step))
        await play.gather(
            self._follow(_Instruction(play=play, log=log, episode=f"{play.step}-{number}", item=item))
            for number, item in enumerate(items)
        )
        actor, refiner = play.policy_of("actor"), play.policy_of("refiner")
        swaps = {ITERATE: actor, **({REFINER_ITERATE: refiner} if spec.train_refiner else {})}
        warming, falling = (step_size(place, warmup_share=spec.warmup_share, decays=decays) for decays in (False, True))
        return log.batch(
            {"round/number": place.round + 1, **await self.audit.metrics(play)},
            blends=[Blend(into=name, parts={policy: 1.0}) for name, policy in swaps.items()] if place.is_last else (),
            restart_optimizer=tuple(swaps.values()) if place.is_first and place.round else (),
            lr_scale_of={actor: falling, **({refiner: warming * spec.refiner_lr} if spec.train_refiner else {})},
        )

    async def _follow(self, given: _Instruction) -> None:
        """Answer one instruction several times, judge every answer, make a pair of one that failed (SPaR, section 2.2)."""
        spec, play, log = self.spec, given.play, given.log
        prompt = self.prompts.render("solve", question=given.item.question)
        completions = await play.say("actor", prompt, n=spec.samples_per_prompt, policy=ITERATE)
        answers: dict[str, Completion] = {}
        for completion in completions:
            answers.setdefault(read_answer(completion.text), completion)
            log.count("length/actor_tokens", len(completion.token_ids))
        verdicts = await play.gather(self._judge(given, answer, tries=1) for answer in answers)
        judged: dict[str, Judged] = {a: found for a, found in zip(answers, verdicts, strict=True) if found}
        for found in judged.values():
            self._learn_judgement(log, found, "yes" if found.accepts else "no")
        log.asked([(found.right, float(found.accepts)) for found in judged.values()])
        failed = [answer for answer, found in judged.items() if not found.accepts]
        log.count("prompts/failed", bool(failed))
        if not failed:
            self._keep(given, answers, judged, "no answer was found to fail, so there is nothing to refine")
            return
        root = play.rng.choice(failed)
        if spec.search == "none":
            passed = [answer for answer, found in judged.items() if found.accepts]
            log.count("prompts/mixed", bool(passed))
            if passed:
                self._pair_samples(given, (play.rng.choice(passed), root), answers, judged)
            else:
                self._keep(given, answers, judged, "no answer passed, so there is none to prefer")
            return
        tree = await search(
            root,
            judged[root],
            shape=spec.shape,
            expand=lambda node, n: self._refine(given, node, n),
            judge=lambda answer: self._judge(given, answer, tries=1 + spec.retries),
            gather=play.gather,
        )
        self._harvest(given, tree, answers[root])

    @staticmethod
    def _keep(
        given: _Instruction, answers: Mapping[str, Completion], judged: Mapping[str, Judged], reason: str
    ) -> None:
        """Answers that nothing is learnt from, for readers."""
        sample = given.log.new_sample(given.episode, given.item.question)
        sample.turns += [_turn("actor", said, answer, judged.get(answer)) for answer, said in answers.items()]
        given.log.discard(sample, reason)

    async def _judge(self, given: _Instruction, answer: str, *, tries: int) -> Judged | None:
        """The outcome of the votes on an answer, or of the rules; None where the votes stay tied."""
        play, log = given.play, given.log
        prompt = self.prompts.render("judge", question=given.item.question, answer=answer)
        right = self._is_right(given.item, answer)
        for _ in range(tries):
            votes = await play.say(
                "refiner", prompt, n=self.spec.judge_votes, sampling=self._judging, policy=self._refiner_policy
            )
            verdicts = [read_verdict(vote.text) for vote in votes]
            for verdict in verdicts:
                log.count("format/judge", verdict is not None)
            found = majority(verdicts)
            if found is not None:
                log.count("votes/disagreement", not found.is_unanimous)
                log.count("votes/agreement", None if right is None else found.accepts == right)
                log.judged(found.value, right, length=len(answer))
                self.audit.note(Graded(question=given.item.question, answer=answer, value=found.value, right=right))
            if self.spec.verifier == "rules" and right is not None:
                return self._by_rule(prompt, votes, verdicts, right=right)
            if found is not None:
                return Judged(
                    value=found.value,
                    accepts=found.accepts,
                    critique=votes[found.first],
                    prompt=prompt,
                    teaches=self.spec.learn_unanimous or not found.is_unanimous,
                    right=right,
                )
        return None

    def _by_rule(
        self, prompt: str, votes: Sequence[Completion], verdicts: Sequence[bool | None], *, right: bool
    ) -> Judged:
        agrees = right in verdicts
        return Judged(
            value=float(right),
            accepts=right,
            critique=votes[verdicts.index(right) if agrees else 0],
            prompt=prompt,
            teaches=agrees and (self.spec.learn_unanimous or (not right) in verdicts),
            right=right,
        )

    async def _refine(self, given: _Instruction, node: Node[Completion, Judged], n: int) -> list[Draft[Completion]]:
        """``n`` edits of the node's answer in the light of its critique; those without a readable answer are asked for again."""
        drafts: list[Draft[Completion]] = []
        for _ in range(1 + self.spec.retries):
            edits = await given.play.say(
                "refiner",
                self._refine_prompt(given.item, node),
                n=n - len(drafts),
                sampling=self._refining,
                policy=self._refiner_policy,
            )
            for edit in edits:
                answer = last_tag(edit.text, "answer")
                given.log.count("format/refine", answer is not None)
                if answer is not None:
                    drafts.append(Draft(answer=answer, source=edit))
            if len(drafts) == n:
                break
        return drafts

    def _refine_prompt(self, item: Item, node: Node[Completion, Judged]) -> str:
        critique = node.verdict.critique.text
        return self.prompts.render("refine", question=item.question, answer=node.answer, critique=critique)

    def _harvest(self, given: _Instruction, tree: Tree[Completion, Judged], root: Completion) -> None:
        """Learn from a tree: the actor from its solution over the root, the refiner from the last edge and the judgements."""
        sample, log = self._show(given, tree, root), given.log
        solution = tree.solution
        log.count("tree/solved", solution is not None)
        log.count("tree/nodes", len(tree.nodes) - 1)
        log.count("tree/repeats", tree.num_repeats)
        for node in tree.nodes[1:]:
            self._learn_judgement(log, node.verdict, "tree_yes" if node.verdict.accepts else "tree_no")
        if solution is None:
            return
        log.count("tree/depth", solution.depth)
        log.count("tree/solved_right", solution.verdict.right)
        assert solution.parent is not None and solution.draft is not None
        self._learn(
            log,
            "refinements",
            self._refine_prompt(given.item, solution.parent),
            solution.draft.source,
            turn=sample.turns[tree.nodes.index(solution)],
        )
        # The rejected answer is the root's, however deep the solution lies; only the refiner learns the last edge.
        place = tree.nodes.index(solution)
        self._prefer(given, sample, place, 0, answers={place: with_answer(root.text, solution.answer), 0: root})

    def _pair_samples(
        self,
        given: _Instruction,
        pair: tuple[str, str],
        completions: dict[str, Completion],
        judged: dict[str, Judged],
    ) -> None:
        """Without a search, prefer one of the actor's answers over another: both were written on their own."""
        sample = given.log.new_sample(given.episode, given.item.question)
        sample.layout = "pairs"
        chosen, rejected = (_turn("actor", completions[answer], answer, judged[answer]) for answer in pair)
        sample.turns += [chosen, rejected]
        others = (answer for answer in completions if answer not in pair)
        sample.turns += [_turn("actor", completions[answer], answer, judged.get(answer)) for answer in others]
        self._prefer(given, sample, 0, 1, answers={place: completions[answer] for place, answer in enumerate(pair)})

    def _prefer(
        self,
        given: _Instruction,
        sample: SampleData,
        chosen: int,
        rejected: int,
        *,
        answers: Mapping[int, Completion | str],
    ) -> None:
        log, turns = given.log, (sample.turns[chosen], sample.turns[rejected])
        rights = (turns[0].correct, turns[1].correct)
        log.count("pairs/edit_share", edit_share(turns[0].parsed or "", turns[1].parsed or ""))
        log.count("pairs/right", None if None in rights else rights == (True, False))
        prompt = self.prompts.render("solve", question=given.item.question)
        log.choose(sample, [Choice(chosen=chosen, rejected=rejected)], role="actor", prompt=prompt, answers=answers)

    # What people ask of it between steps

    def correct(self, sample: SampleData, turn: int, value: float) -> None:
        """What the votes on an answer should have been; the refiner's own lessons stay what they were."""
        judged_turn(sample, turn).verdict = value

    def choices(self, sample: SampleData) -> list[Choice]:
        """The answer that passes over the one that does not; nothing where both do, or neither."""
        found = []
        for pair in sample.pairs:
            one, other = _passes(sample.turns[pair.chosen]), _passes(sample.turns[pair.rejected])
            if one and not other:
                found.append(Choice(chosen=pair.chosen, rejected=pair.rejected))
            elif other and not one:
                found.append(Choice(chosen=pair.rejected, rejected=pair.chosen))
        return found

    def _learn_judgement(self, log: StepLog, judged: Judged, kind: str) -> None:
        if judged.teaches:
            self._learn(log, kind, judged.prompt, judged.critique)

    def _learn(self, log: StepLog, kind: str, prompt: str, completion: Completion, *, turn: Turn | None = None) -> None:
        """Show the refiner a text of its own, unless its kind is used up in this round or its prompt was there before."""
        key = derive_seed(prompt)
        if not self.spec.train_refiner or self.learnt[kind] >= self._caps[kind] or key in self.asked:
            return
        if completion.ended:
            self.learnt[kind] += 1
            self.asked.add(key)
            log.imitate(Demonstration(role="refiner", prompt=prompt, completion=completion, turn=turn))

    def _show(self, given: _Instruction, tree: Tree[Completion, Judged], root: Completion) -> SampleData:
        """The tree as a reader sees it, one turn for each node."""
        solution = tree.solution
        sample = given.log.new_sample(
            given.episode,
            given.item.question,
            solved=solution is not None,
            nodes=len(tree.nodes) - 1,
            solved_at_depth=solution.depth if solution else None,
        )
        sample.layout = "tree"
        places = {id(node): place for place, node in enumerate(tree.nodes)}
        for node in tree.nodes:
            source = root if node.draft is None else node.draft.source
            turn = _turn("actor" if node.draft is None else "refiner", source, node.answer, node.verdict)
            turn.parent = None if node.parent is None else places[id(node.parent)]
            turn.value = node.value
            sample.turns.append(turn)
        return sample

    @property
    def _refiner_policy(self) -> str | None:
        return REFINER_ITERATE if self.spec.train_refiner else None

    def _is_right(self, item: Item, answer: str) -> bool | None:
        truth = self.domain.truth(item.question)
        return None if truth is None else self.domain.check(answer, truth)

    async def evaluate(self, play: Play) -> Evaluation:
        """How many held-out instructions the actor follows; how well the refiner judges and mends answers of known quality."""
        settings = self.experiment.evaluation
        items = self.domain.held_out(settings.num_items)
        answered = await answer_held_out(
            play,
            items,
            role="actor",
            prompt=lambda question: self.prompts.render("solve", question=question),
            read=lambda completion: read_answer(completion.text),
            samples_per_item=settings.samples_per_item,
            sampling=self.spec.sampling,
        )
        probe = fixed_probe(self.domain, items)
        judgements = await play.gather(self._say_once(play, "judge", each) for each in probe)
        metrics = _judging(probe, [read_verdict(judgement.text) for judgement in judgements])
        wrong = [(each, found) for each, found in zip(probe, judgements, strict=True) if not each.right]
        edits = await play.gather(
            self._say_once(play, "refine", each, critique=judgement.text) for each, judgement in wrong
        )
        mended = [
            self.domain.check(last_tag(edit.text, "answer") or "", self.domain.truth(each.question) or "")
            for (each, _), edit in zip(wrong, edits, strict=True)
        ]
        metrics["refine/mended"] = sum(mended) / max(1, len(mended))
        if isinstance(self.domain, Constraints):
            metrics["eval/constraints_followed"] = _share_met(self.domain, answered)
        return Evaluation(
            num_items=len(items),
            scores=accuracy(self.domain, answered),
            metrics=metrics,
            items=shown_items(self.domain, answered),
        )

    async def _say_once(self, play: Play, name: str, each: Labelled, **values: str) -> Completion:
        prompt = self.prompts.render(name, question=each.question, answer=each.answer, **values)
        sampling = self._judging if name == "judge" else self._refining
        return (await play.say("refiner", prompt, sampling=sampling))[0]

    def state_dict(self) -> dict[str, Any]:
        return {"learnt": dict(self.learnt), "asked": sorted(self.asked)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learnt, self.asked = Counter(state["learnt"]), set(state["asked"])


def read_answer(text: str) -> str:
    """The answer between its tags, or the whole text of a model that uses none."""
    answer = last_tag(text, "answer")
    return text.strip() if answer is None else answer


def with_answer(text: str, answer: str) -> str:
    """The text with another answer between its tags, so that nothing else tells the two apart."""
    if last_tag(text, "answer") is None:
        return f"<answer>{answer}</answer>"
    end = text.rindex("</answer>")
    begin = text.rindex("<answer>", 0, end) + len("<answer>")
    return text[:begin] + answer + text[end:]


def _turn(role: str, completion: Completion, answer: str, judged: Judged | None) -> Turn:
    turn = turn_of(role, completion, answer)
    if judged is None:
        turn.note = "the votes on it stayed tied"
        return turn
    turn.value, turn.correct, turn.note = judged.value, judged.right, judged.critique.text
    turn.verdict = judged.value
    return turn


def _passes(turn: Turn) -> bool:
    return turn.verdict is not None and turn.verdict > PASSES_AT


def _read_share(text: str) -> float | None:
    """A judgement of Yes or No as 1 or 0."""
    verdict = read_verdict(text)
    return None if verdict is None else float(verdict)


def _judging(probe: Sequence[Labelled], verdicts: Sequence[bool | None]) -> dict[str, float]:
    """Shares of single judgements; one that nobody can read is neither right nor an acceptance."""
    pairs = list(zip(probe, verdicts, strict=True))
    accepted = [verdict is True for each, verdict in pairs if not each.right]
    refused = [verdict is not True for each, verdict in pairs if each.right]
    return {
        "judge/accuracy": sum(verdict is each.right for each, verdict in pairs) / max(1, len(pairs)),
        "judge/false_accept": sum(accepted) / max(1, len(accepted)),
        "judge/false_reject": sum(refused) / max(1, len(refused)),
    }


def _share_met(domain: Constraints, answered: Sequence[Answered]) -> float:
    """The share of single constraints that sampled answers meet, every answer counting alike."""
    met = [domain.share_met(answer or "", each.item.answer) for each in answered for answer in each.sampled]
    return sum(met) / max(1, len(met))
