"""A dry run as it stands: the job that judges stored samples or pairs anew, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.http import Http404

from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs.choices import JobKind, JobStatus
from webapp.jobs.models import Job
from webapp.jobs.selectors import job_for
from webapp.review.dry_runs import JUDGED_TERM, Line, Outcome, Stored, paid, stored_by_ids
from webapp.review.pair_dry_runs import PairLine, PairOutcome, StoredPair, pairs_by_ids


@dataclass(frozen=True)
class DryRun:
    """A job that grades stored samples, and what came of it."""

    job: Job
    run: Run
    note: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return str(self.job.payload.get("asks", "answer"))

    @property
    def judge(self) -> str:
        return str(self.job.payload["judge"]["name"])

    @cached_property
    def _told(self) -> dict[str, dict[str, Any]] | None:
        """What the judge said, by what was judged; None until the job has succeeded."""
        if self.job.status != JobStatus.SUCCEEDED or self.job.result is None:
            return None
        return {str(item["id"]): item for item in self.job.result.get("items", ())}

    @cached_property
    def pairs(self) -> PairOutcome | None:
        """What came of a rubric that compares two answers; None for others, and until the job has succeeded."""
        told = self._told
        if told is None or self.kind != "pair":
            return None
        stored = pairs_by_ids(self.run, told)
        return PairOutcome(lines=[_pair_line(stored[key], item) for key, item in told.items() if key in stored])

    @cached_property
    def outcome(self) -> Outcome | None:
        """What came of a rubric that judges single samples; None for others, and until the job has succeeded."""
        told = self._told
        if told is None or self.kind == "pair":
            return None
        stored = stored_by_ids(self.run, told, self.kind)
        lines = [self._line(stored[key], item) for key, item in told.items() if key in stored]
        before = [line.stored.sum.reward for line in lines if line.stored.sum]
        after = [line.reward for line in lines if line.reward is not None]
        return Outcome(
            lines=lines,
            is_judged=True,
            mean_before=sum(before) / len(before) if before else None,
            mean_after=sum(after) / len(after) if after else None,
        )

    def _line(self, stored: Stored, item: Mapping[str, Any]) -> Line:
        is_read = any(score is not None for score in item["scores"])
        value = float(item["value"])
        parts, reward = paid(
            stored, self.run.spec, self.note.get("weights") or {}, term=JUDGED_TERM[self.kind], value=value
        )
        return Line(
            stored=stored,
            value=value if is_read else None,
            is_read=is_read,
            verdict=str(item["verdict"]),
            parts=parts,
            reward=reward,
        )


def _pair_line(stored: StoredPair, item: Mapping[str, Any]) -> PairLine:
    scores = tuple(item["scores"])
    is_read = any(score is not None for score in scores)
    one, other = item["orders"]
    return PairLine(
        stored=stored,
        value=float(item["value"]) if is_read else None,
        orders=(float(one), float(other)),
        scores=scores,
        verdict=str(item["verdict"]),
        turned=str(item["turned"]),
    )


def dry_run_for(user: User | AnonymousUser, job_id: UUID) -> DryRun:
    """The dry run that a job is, or 404."""
    job = job_for(user, job_id)
    note = job.note.get("dry_run")
    if job.kind != JobKind.REJUDGE or not isinstance(note, dict):
        raise Http404("There is no such dry run.")
    run = Run.objects.visible_to(user).filter(pk=note["run"]).select_related("experiment__workspace").first()
    if run is None:
        raise Http404("The run of this dry run is gone.")
    return DryRun(job, run, note)
