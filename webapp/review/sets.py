"""Data sets that people make by reviewing: calibration sets of judges, and picked samples as rows to learn from."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db.models import Count

from training_core.spec.events import EventKind
from webapp.experiments.models import Run
from webapp.library.datasets import versions_made
from webapp.library.models import DatasetSource, DatasetVersion
from webapp.review.models import Label, Mark, MarkKind, Verdict
from webapp.review.selectors import verdicts_on
from webapp.review.statistics import Meter, meter
from webapp.telemetry.models import Event, Sample
from webapp.telemetry.rows import is_judge, is_proposer
from webapp.workspaces.models import Workspace

MAX_SAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A judged turn and what most people say of it."""

    verdict: Verdict
    """The newest of them."""
    right: bool
    votes: int
    agreeing: int

    @property
    def row(self) -> dict[str, Any]:
        """As a line of the file."""
        verdict = self.verdict
        return {
            "id": f"{verdict.run_id}:{verdict.episode}:{verdict.turn}",
            "subject": verdict.subject,
            "question": verdict.question,
            "answer": verdict.answer,
            "right": self.right,
            "votes": self.votes,
            "agreeing": self.agreeing,
            "truth": verdict.truth,
            "judge": verdict.judge,
            "judge_value": round(verdict.judge_value, 4),
        }


@dataclass(frozen=True, kw_only=True)
class CalibrationSet:
    """What people said of one subject in a workspace."""

    subject: str
    items: list[Labelled]
    versions: list[DatasetVersion]

    @property
    def num_right(self) -> int:
        return sum(item.right for item in self.items)

    @property
    def meter(self) -> Meter:
        """The judges as they were, against most people."""
        return meter([item.verdict.judge_accepts for item in self.items], [item.right for item in self.items])


def calibration_sets(workspace: Workspace) -> list[CalibrationSet]:
    """Every subject people gave verdicts on, with the versions made of it."""
    by_subject: dict[str, list[Labelled]] = defaultdict(list)
    for item in _labelled(workspace):
        by_subject[item.verdict.subject].append(item)
    versions: dict[str, list[DatasetVersion]] = defaultdict(list)
    for made in versions_made(workspace, DatasetSource.ANSWERS):
        versions[made.dataset.name].append(made)
    rubrics = sorted(by_subject.keys() | versions.keys())
    return [CalibrationSet(subject=name, items=by_subject[name], versions=versions[name]) for name in rubrics]


def calibration_items(workspace: Workspace, subject: str) -> list[Labelled]:
    """The labelled items of one subject, oldest first."""
    return [item for item in _labelled(workspace) if item.verdict.subject == subject]


def _labelled(workspace: Workspace) -> list[Labelled]:
    """Items on which people do not stand one against one."""
    clear = Verdict.objects.filter(run__experiment__workspace=workspace, withdrawn_at=None).exclude(label=Label.UNCLEAR)
    groups: dict[tuple[Any, str, int], list[Verdict]] = defaultdict(list)
    for verdict in clear.order_by("at", "pk"):
        groups[verdict.run_id, verdict.episode, verdict.turn].append(verdict)
    found = []
    for verdicts in groups.values():
        right = sum(verdict.label == Label.RIGHT for verdict in verdicts)
        if 2 * right != len(verdicts):
            agreeing = max(right, len(verdicts) - right)
            found.append(
                Labelled(verdict=verdicts[-1], right=2 * right > len(verdicts), votes=len(verdicts), agreeing=agreeing)
            )
    return found


# Picked samples


def mark_words(workspace: Workspace) -> list[dict[str, Any]]:
    """What samples of the workspace are marked with, and how many: ``{"kind": "tag", "tag": "odd", "number": 3}``."""
    marks = Mark.objects.filter(run__experiment__workspace=workspace)
    counted = marks.values_list("kind", "tag").annotate(number=Count("pk")).order_by("kind", "tag")
    return [{"kind": kind, "tag": tag, "number": number} for kind, tag, number in counted]


def picked_rows(workspace: Workspace, *, form: str, kind: str, tag: str) -> list[dict[str, Any]]:
    """Rows of marked samples: ``form`` is sft or preference. Samples that hold no such row are left out."""
    marks = Mark.objects.filter(
        run__experiment__workspace=workspace, kind=kind, tag=tag if kind == MarkKind.TAG else ""
    )
    rows = []
    for mark in marks.select_related("run").order_by("at", "pk")[:MAX_SAMPLES]:
        data = _sample_data(mark.run, mark.episode)
        if data is not None:
            said = {turn: verdicts[-1].label for turn, verdicts in verdicts_on(mark.run, mark.episode).items()}
            row = demonstration(data, said) if form == "sft" else preference(data, said)
            if row is not None:
                rows.append({**row, "run": str(mark.run_id), "episode": mark.episode})
    return rows


def demonstration(data: dict[str, Any], said: dict[int, str]) -> dict[str, Any] | None:
    """The best answer of a sample: what people call right before what the verifier does, then the highest reward."""
    answers = _ranked(data, said)
    if not answers or answers[0][0] < 0:
        return None
    turn = answers[0][2]
    return {"question": data["title"], "answer": turn.get("parsed") or turn["text"], "completion": turn["text"]}


def preference(data: dict[str, Any], said: dict[int, str]) -> dict[str, Any] | None:
    """The best answer of a sample against the worst, where one is better."""
    answers = _ranked(data, said)
    if len(answers) < 2 or answers[0][:2] == answers[-1][:2]:
        return None
    chosen, rejected = answers[0][2], answers[-1][2]
    return {
        "question": data["title"],
        "answer": chosen.get("parsed") or chosen["text"],
        "chosen": chosen["text"],
        "rejected": rejected["text"],
    }


def _ranked(data: dict[str, Any], said: dict[int, str]) -> list[tuple[int, float, dict[str, Any]]]:
    """Answers from the best to the worst with a verdict, 2 to -2 by people or 1 to -1 by the verifier, and the reward."""
    people = {Label.RIGHT: 2, Label.WRONG: -2}
    found = []
    for place, turn in enumerate(data["turns"]):
        role = str(turn["role"])
        if is_judge(role) or is_proposer(role) or not turn["text"]:
            continue
        truth = {True: 1, False: -1}.get(turn.get("correct"), 0)
        found.append(
            (people.get(Label(said[place]), truth) if place in said else truth, turn.get("reward") or 0.0, turn)
        )
    return sorted(found, key=lambda each: each[:2], reverse=True)


def _sample_data(run: Run, episode: str) -> dict[str, Any] | None:
    seq = Sample.objects.filter(run=run, episode=episode).order_by("-seq").values_list("seq", flat=True).first()
    event = Event.objects.filter(run=run, kind=EventKind.SAMPLE, seq=seq).first() if seq else None
    return event.data if event else None
