"""A judge grades answers again: what its verdicts would have been with another prompt or other weights."""

from collections.abc import Sequence
from statistics import fmean as mean
from typing import Any

from training_core.evaluate.agreement import agreement
from training_core.jobs.desk import Desk, engine_of
from training_core.play.judging import UNREADABLE
from training_core.play.requests import Request, derive_seed
from training_core.rewards.scores import normalised_score, read_score
from training_core.rewards.verdicts import read_better, read_verdict
from training_core.spec.jobs import Graded, RejudgeJob
from training_core.spec.rubrics import RUBRICS

_AT_ONCE = 64
_MAX_VERDICT = 1500


def run(job: RejudgeJob, desk: Desk) -> dict[str, Any]:
    """``{"items": [{"id", "value", "scores", "verdict"}], "unreadable": share, "agreement": {...} | None}``.

    ``value`` is the mean of the readable scores from 0 to 1, ``verdict`` the first text. Of a pair see ``compared``.
    """
    policy = desk.load(job.judge)
    kind = RUBRICS[job.asks]
    prompts = desk.prompts(job.judge, policy, {kind.prompt: job.template} if job.template else None)
    engine = engine_of({"judge": policy})
    orders = 2 if job.asks == "pair" else 1
    told: list[dict[str, Any]] = []
    for begin in range(0, len(job.items), _AT_ONCE):
        part = job.items[begin : begin + _AT_ONCE]
        shown = [texts for item in part for texts in _shown(job, item)]
        requests = [
            Request(
                policy="judge",
                prompt=prompts.render(kind.prompt, **{name: texts[name] for name in kind.places}),
                n=job.n,
                sampling=job.sampling,
                seed=derive_seed(job.seed, "rejudge", begin * orders + place),
            )
            for place, texts in enumerate(shown)
        ]
        said = [[verdict.text for verdict in verdicts] for verdicts in engine.generate(requests)]
        if job.asks == "pair":
            told += [compared(item, *said[2 * at : 2 * at + 2]) for at, item in enumerate(part)]
        else:
            told += [_told(job, item, verdicts) for item, verdicts in zip(part, said, strict=True)]
        desk.tell(len(told) / len(job.items), f"{len(told)} of {len(job.items)} graded")
    read = [score for each in told for score in each["scores"]]
    return {
        "items": told,
        "unreadable": sum(score is None for score in read) / len(read),
        "agreement": _agreement(job, told),
    }


def _shown(job: RejudgeJob, item: Graded) -> list[dict[str, str]]:
    """What stands in the places of the prompt; a pair is shown in both orders."""
    if job.asks != "pair":
        return [{"question": item.question, "answer": item.answer}]
    orders = ((item.answer, item.other), (item.other, item.answer))
    return [{"question": item.question, "first": first, "second": second} for first, second in orders]


def compared(item: Graded, forward: Sequence[str], backward: Sequence[str]) -> dict[str, Any]:
    """``{"id", "value", "scores", "orders", "verdict", "turned"}`` of verdicts on a pair in both orders.

    All numbers are for the item's ``answer``: ``scores`` one a verdict, 1 where it is preferred and None where that cannot be read;
    ``orders`` their means where it is shown first and where it is shown second, an unreadable verdict counting half, as oracles
    take it; ``value`` the mean of both. ``verdict`` and ``turned`` are the first texts.
    """
    first = [_number(read_better(verdict)) for verdict in forward]
    second = [None if score is None else 1 - score for score in (_number(read_better(each)) for each in backward)]
    orders = [mean(UNREADABLE if score is None else score for score in scores) for scores in (first, second)]
    return {
        "id": item.id,
        "value": round(mean(orders), 4),
        "scores": [*first, *second],
        "orders": [round(order, 4) for order in orders],
        "verdict": forward[0][:_MAX_VERDICT],
        "turned": backward[0][:_MAX_VERDICT],
    }


def _told(job: RejudgeJob, item: Graded, verdicts: list[str]) -> dict[str, Any]:
    if job.asks == "vote":
        scores = [_number(read_verdict(verdict)) for verdict in verdicts]
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


def _number(read: bool | None) -> float | None:
    return None if read is None else float(read)


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
