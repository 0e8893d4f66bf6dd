"""Asking for a dry run."""

from collections.abc import Mapping

from training_core.spec.jobs import RejudgeJob
from training_core.spec.learning import SamplingSpec
from training_core.spec.rubrics import RUBRICS, clean, require_usable
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs import services as jobs
from webapp.jobs.choices import Rank
from webapp.jobs.models import Job
from webapp.jobs.weights import Moment
from webapp.review.dry_runs import JUDGED_TERM, informative, stored_in
from webapp.workspaces.selectors import require_edit

MAX_TOKENS = 1024


def start_dry_run(
    *, actor: User, run: Run, judge: Moment, kind: str, template: str = "", weights: Mapping[str, float] | None = None
) -> Job:
    """Have ten stored samples of a run judged anew, in other words or the judge's own; ``weights`` are the rewards' new ones.

    Raises ``ValueError`` with a sentence.
    """
    require_edit(actor, run.experiment.workspace)
    if judge.run.experiment.workspace_id != run.experiment.workspace_id:
        raise ValueError("The judge and the samples belong to different workspaces.")
    if kind not in JUDGED_TERM:
        raise ValueError("Rubrics that compare two answers cannot be tried on single samples; start a run with one.")
    template = clean(template)
    if template:
        require_usable(RUBRICS[kind], template)
    chosen = informative(stored_in(run, kind))
    if not chosen:
        raise ValueError(
            f"{run} has no stored sample that was judged so. Choose another run, or wait for its first step."
        )
    method = judge.run.spec["method"]
    job = RejudgeJob(
        judge=judge.weights(),
        items=tuple(each.graded for each in chosen),
        asks=kind,
        template=template,
        sampling=SamplingSpec(temperature=0.0, max_tokens=min(int(method["sampling"]["max_tokens"]), MAX_TOKENS)),
        lenient=bool(method.get("lenient_scores", False)),
    )
    note = {"dry_run": {"run": str(run.pk), "weights": dict(weights or {})}}
    return jobs.ask(
        actor=actor, workspace=run.experiment.workspace, job=job, run=judge.run, rank=Rank.AT_ONCE, note=note
    )
