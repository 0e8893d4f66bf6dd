"""Asking for a dry run."""

from collections.abc import Mapping

from training_core.spec.jobs import Graded, RejudgeJob
from training_core.spec.learning import SamplingSpec
from training_core.spec.rubrics import RUBRICS, clean, require_usable
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs import services as jobs
from webapp.jobs.choices import Rank
from webapp.jobs.models import Job
from webapp.jobs.weights import Moment
from webapp.review.dry_runs import TRIED, informative, stored_in
from webapp.review.pair_dry_runs import informative_pairs, stored_pairs_in
from webapp.review.regrading import own_prompt
from webapp.workspaces.selectors import require_edit

MAX_TOKENS = 1024


def start_dry_run(
    *, actor: User, run: Run, judge: Moment, kind: str, template: str = "", weights: Mapping[str, float] | None = None
) -> Job:
    """Have ten stored samples of a run, or ten pairs, judged anew, in other words or the judge's own.

    ``weights`` are the rewards' new ones. Raises ``ValueError`` with a sentence.
    """
    require_edit(actor, run.experiment.workspace)
    if judge.run.experiment.workspace_id != run.experiment.workspace_id:
        raise ValueError("The judge and the samples belong to different workspaces.")
    if kind not in TRIED:
        raise ValueError(f"{kind[:20]!r} is no kind of rubric. Choose one of {', '.join(TRIED)}.")
    template = clean(template)
    if template:
        require_usable(RUBRICS[kind], template)
    elif not own_prompt(judge.run.spec, kind):
        raise ValueError(f"{judge.run} has no words of its own for what is judged here. Take those of a rubric.")
    items = _items(run, kind)
    method = judge.run.spec["method"]
    job = RejudgeJob(
        judge=judge.weights(),
        items=items,
        asks=kind,
        template=template,
        sampling=SamplingSpec(temperature=0.0, max_tokens=min(int(method["sampling"]["max_tokens"]), MAX_TOKENS)),
        lenient=bool(method.get("lenient_scores", False)),
    )
    note = {"dry_run": {"run": str(run.pk), "weights": dict(weights or {})}}
    return jobs.ask(
        actor=actor, workspace=run.experiment.workspace, job=job, run=judge.run, rank=Rank.AT_ONCE, note=note
    )


def _items(run: Run, kind: str) -> tuple[Graded, ...]:
    """The ten that are judged anew; raises ``ValueError`` where nothing of the kind is stored."""
    if kind == "pair":
        pairs = informative_pairs(stored_pairs_in(run))
        if not pairs:
            raise ValueError(
                f"{run} has no stored pair: answers that were compared, or one right and one wrong answer to a question. "
                "Choose another run, or wait for its first step."
            )
        return tuple(each.graded for each in pairs)
    chosen = informative(stored_in(run, kind))
    if not chosen:
        raise ValueError(
            f"{run} has no stored sample that was judged so. Choose another run, or wait for its first step."
        )
    return tuple(each.graded for each in chosen)
