"""Multi-Agent Evolve (Chen, Wang et al., 2025; arXiv 2510.23595): one model proposes, solves and judges.

The Proposer is paid for questions that the Judge finds good and the Solver finds hard, the Solver for answers that the
Judge accepts, the Judge for a readable verdict; weak questions never enter the pool.
"""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from training_core.methods.base import Chart, FlowEdge, FlowNode, Paper, Preset, ResultTable, Role, RolloutCost, SelfPlay
from training_core.spec.base import Block, Group, Probability, Unit
from training_core.spec.judges import CurrentJudge, FrozenJudge, JudgeSpec
from training_core.spec.online import OnlineSpec

if TYPE_CHECKING:
    from training_core.play.play import Play
    from training_core.play.records import StepBatch
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
    pool_sampling: Annotated[Literal["uniform", "newest", "half_new"], Group("Pools")] = "uniform"
    """How the Solver's questions are drawn: from all, from the newest, or half and half."""

    @model_validator(mode="after")
    def _weights_pay_something(self) -> "MaeSpec":
        if self.w_quality + self.w_difficulty + self.w_format == 0:
            raise ValueError("w_quality, w_difficulty and w_format are all 0, so the Proposer could earn nothing")
        if self.w_judge + self.w_solver_format == 0:
            raise ValueError("w_judge and w_solver_format are both 0, so the Solver could earn nothing")
        return self


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
    summary = (
        "One model invents questions, answers them and grades both; the grades are the rewards, so no labels are needed."
    )
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
        FlowNode(id="questions", label="Question pool", kind="pool", x=0, y=1, knobs=("method.seed_questions", "method.pool_cap", "method.pool_sampling")),
        FlowNode(id="proposer", label="Proposer", kind="role", x=1, y=0, knobs=("method.reference_prob", "method.train_proposer")),
        FlowNode(id="solver", label="Solver", kind="role", x=1, y=1, knobs=("method.answers_per_question", "method.train_solver")),
        FlowNode(id="judge", label="Judge", kind="role", x=2, y=1, knobs=("method.judge", "method.train_judge", "method.lenient_scores")),
        FlowNode(id="rewards", label="Rewards", kind="reward", x=3, y=1, knobs=("method.w_quality", "method.w_difficulty", "method.w_format", "method.w_judge", "method.w_solver_format")),
        FlowNode(id="update", label="One update", kind="update", x=3, y=0, knobs=("method.advantage", "method.loss", "method.optimizer")),
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
        Chart(title="Held-out accuracy", group="Learning", y_range=(0, 1), help="Share of held-out items answered correctly; training never sees them.",
              series=(("eval/accuracy_sampled", "Sampled"), ("eval/accuracy_greedy", "Greedy"))),
        Chart(title="Reward per role", group="Learning", y_range=(0, 1), help="Mean weighted reward of each role's completions.",
              series=(("reward/proposer", "Proposer"), ("reward/solver", "Solver"), ("reward/judge", "Judge"))),
        Chart(title="Judge against truth", group="Judge", y_range=(0, 1), help="On a labelled probe: AUC of the score, wrong answers accepted, right answers refused.",
              series=(("judge/auc", "AUC"), ("judge/false_accept", "Wrong accepted"), ("judge/false_reject", "Right refused"))),
        Chart(title="Judge on live answers", group="Judge", y_range=(0, 1), help="Judge's mean score beside the true share of right answers; a gap that grows is judge inflation.",
              series=(("judge/live_score", "Judge's score"), ("judge/live_truth", "Truly right"), ("judge/live_false_accept", "Wrong accepted"))),
        Chart(title="Proposer's terms", group="Questions", y_range=(0, 1), help="Reward terms before weighting.",
              series=(("reward_term/proposer_quality", "Quality"), ("reward_term/proposer_difficulty", "Difficulty"), ("reward_term/proposer_format", "Format"))),
        Chart(title="Questions", group="Questions", y_range=(0, 1), help="Share of proposals that are well-posed, that enter the pool, that were seen before.",
              series=(("questions/well_posed", "Well-posed"), ("questions/accepted", "Accepted"), ("questions/duplicate", "Seen before"))),
        Chart(title="Question pool", group="Questions", help="Questions the Solver can draw from.", series=(("pool/questions", "Questions"), ("pool/pairs", "Answers"))),
        Chart(title="Answer format", group="Stability", y_range=(0, 1), help="Mean format score per role.",
              series=(("format/proposer", "Proposer"), ("format/solver", "Solver"), ("format/judge", "Judge"))),
        Chart(title="Entropy", group="Stability", help="Mean entropy of the sampled tokens in nats; a fall to 0 is collapse.",
              series=(("entropy/proposer", "Proposer"), ("entropy/solver", "Solver"), ("entropy/judge", "Judge"))),
        Chart(title="Length", group="Stability", help="Mean tokens of a completion.",
              series=(("length/proposer_tokens", "Proposer"), ("length/solver_tokens", "Solver"), ("length/judge_tokens", "Judge"))),
        Chart(title="Update", group="Stability", help="Gradient norm before clipping and share of clipped ratios.",
              series=(("grad/norm", "Gradient norm"), ("loss/clip_share", "Clipped"))),
        Chart(title="Throughput", group="Speed", help="Tokens sampled and trained on per second of wall time.", series=(("tokens/sampled_per_s", "Sampled"), ("tokens/trained_per_s", "Trained"))),
        Chart(title="Where a step's time goes", group="Speed", help="Seconds per step.",
              series=(("time/rollout_s", "Rollout"), ("time/update_s", "Update"), ("time/evaluate_s", "Evaluate"))),
    )
    presets = (
        Preset(slug="starter", title="Starter demo, 5 minutes", description="The starter model learns arithmetic on two CPU cores; robust defaults.", spec=STARTER),
        Preset(slug="paper", title="Paper: Qwen2.5-3B on 8 GPUs", description="Every default as in the paper's Table 3.", spec=PAPER),
    )

    @classmethod
    def roles(cls, spec: MaeSpec) -> tuple[Role, ...]:
        judge_policy = {"current": "main", "frozen": "start"}.get(spec.judge.kind, "none")
        return (
            Role(name="proposer", title="Proposer", policy="main", trained=spec.train_proposer, reads="sometimes a question of the pool", writes="one new question"),
            Role(name="solver", title="Solver", policy="main", trained=spec.train_solver, reads="a question", writes="working and an answer"),
            Role(name="judge", title="Judge", policy=judge_policy, trained=spec.train_judge and judge_policy == "main", reads="a question, or a question with an answer", writes="reasons and a score from 1 to 10"),
        )

    @classmethod
    def rollout_cost(cls, experiment: "ExperimentSpec") -> RolloutCost:
        spec = experiment.method
        assert isinstance(spec, MaeSpec)
        batch, answers = spec.batch_per_role, spec.batch_per_role * spec.answers_per_question
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

    def episodes(self, play: "Play") -> list[Coroutine[Any, Any, None]]:
        raise NotImplementedError

    def finish(self, play: "Play") -> "StepBatch":
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise NotImplementedError
