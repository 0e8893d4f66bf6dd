"""A judge grades answers again: what its verdicts would have been with another prompt or other weights."""

from statistics import fmean as mean
from typing import Any

from training_core.evaluate.agreement import agreement
from training_core.jobs.desk import Desk, engine_of
from training_core.play.judging import UNREADABLE
from training_core.play.requests import Request, derive_seed
from training_core.rewards.scores import normalised_score, read_score
from training_core.rewards.verdicts import read_verdict
from training_core.spec.jobs import Graded, RejudgeJob
from training_core.spec.rubrics import RUBRICS

_AT_ONCE = 64
_MAX_VERDICT = 1500


def run(job: RejudgeJob, desk: Desk) -> dict[str, Any]:
    """``{"items": [{"id", "value", "scores", "verdict"}], "unreadable": share, "agreement": {...} | None}``.

    ``value`` is the mean of the readable scores from 0 to 1, ``verdict`` the first text.
    """
    policy = desk.load(job.judge)
    kind = RUBRICS[job.asks]
    prompts = desk.prompts(job.judge, policy, {kind.prompt: job.template} if job.template else None)

    def prompt(item: Graded) -> str:
        shown = {"question": item.question, "answer": item.answer}
        return prompts.render(kind.prompt, **{name: text for name, text in shown.items() if name in kind.places})

    engine = engine_of({"judge": policy})
    told: list[dict[str, Any]] = []
    for begin in range(0, len(job.items), _AT_ONCE):
        part = job.items[begin : begin + _AT_ONCE]
        requests = [
            Request(
                policy="judge",
                prompt=prompt(item),
                n=job.n,
                sampling=job.sampling,
                seed=derive_seed(job.seed, "rejudge", begin + place),
            )
            for place, item in enumerate(part)
        ]
        for item, verdicts in zip(part, engine.generate(requests), strict=True):
            told.append(_told(job, item, [verdict.text for verdict in verdicts]))
        desk.tell(len(told) / len(job.items), f"{len(told)} of {len(job.items)} graded")
    read = [score for each in told for score in each["scores"]]
    return {
        "items": told,
        "unreadable": sum(score is None for score in read) / len(read),
        "agreement": _agreement(job, told),
    }


def _told(job: RejudgeJob, item: Graded, verdicts: list[str]) -> dict[str, Any]:
    if job.asks == "vote":
        votes = [read_verdict(verdict) for verdict in verdicts]
        scores = [None if vote is None else float(vote) for vote in votes]
        values = [score for score in scores if score is not None]
    else:
        scores = [read_score(verdict, lenient=job.lenient) for verdict in verdicts]
        values = [normalised_score(score) for score in scores if score is not None]
    return {
        "id": item.id,
        "value": round(mean(values), 4) if values else UNREADABLE,
        "scores": scores,
        "verdict": verdicts[0][:_MAX_VERDICT],
    }


def _agreement(job: RejudgeJob, told: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Against the truth of the items where it is known."""
    known = [(each["value"], item.right) for item, each in zip(job.items, told, strict=True) if item.right is not None]
    if not known:
        return None
    found = agreement([value for value, _ in known], [bool(right) for _, right in known])
    return {
        "auc": found.auc,
        "false_accept": found.false_accept,
        "false_reject": found.false_reject,
        "num_right": found.num_right,
        "num_wrong": found.num_wrong,
    }
