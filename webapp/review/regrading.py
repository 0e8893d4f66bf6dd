"""Grading again: what another judge, or the same with other words, would have said of answers that were given."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.http import Http404

from training_core.play.prompts import prompts_of
from training_core.spec.experiment import ExperimentSpec
from training_core.spec.io import parse_spec
from training_core.spec.jobs import Graded
from training_core.spec.rubrics import RUBRICS
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.review.dry_runs import JUDGED_TERM, weighed_terms
from webapp.review.judged import Judged, judged_turns
from webapp.review.models import ACCEPT_AT, Regrading
from webapp.review.selectors import settled
from webapp.review.sets import calibration_items
from webapp.review.statistics import Meter, meter
from webapp.telemetry.models import Event, Sample
from webapp.workspaces.models import Workspace

MAX_ITEMS = 600
MAX_SHOWN = 60


def regradings_visible_to(user: User | AnonymousUser) -> QuerySet[Regrading]:
    """What was graded again in the person's workspaces, newest first."""
    mine = Regrading.objects.filter(workspace__in=Workspace.objects.visible_to(user))
    beside = ("job", "run__experiment", "workspace", "by", "rubric_version__rubric")
    return mine.select_related(*beside).order_by("-at", "-pk")


def regrading_for(user: User | AnonymousUser, regrading_id: int) -> Regrading:
    """A grading, or 404 for those who may not see it."""
    found = regradings_visible_to(user).filter(pk=regrading_id).first()
    if found is None:
        raise Http404("There is no such grading, or it belongs to a workspace you are not a member of.")
    return found


@dataclass(frozen=True, kw_only=True)
class Given:
    """An answer as it was graded: ``Given(id="812/3", step=40, value=0.1, reward=0.55, truth=False, ...)``."""

    id: str
    question: str
    answer: str
    value: float
    step: int = 0
    seq: int | None = None
    reward: float | None = None
    truth: bool | None = None
    """What a verifier, or most people, say."""

    @property
    def graded(self) -> Graded:
        return Graded(id=self.id, question=self.question, answer=self.answer, right=self.truth)


def given_in_run(run: Run, *, num_samples: int) -> list[Given]:
    """The judged answers of a run's newest samples, oldest first."""
    index = Sample.objects.filter(run=run, roles__contains=[{"role": "judge"}]).order_by("-step", "-seq")
    seqs = list(index.values_list("seq", flat=True)[:num_samples])
    found = []
    for event in Event.objects.filter(run=run, seq__in=seqs).order_by("seq"):
        judged = [each for each in settled(run, judged_turns(event.data)) if each.kind == "answer" and each.scores]
        found += [_given(event, each) for each in judged]
    return found[-MAX_ITEMS:]


def _given(event: Event, judged: Judged) -> Given:
    return Given(
        id=f"{event.seq}/{judged.turn}",
        question=judged.question,
        answer=judged.answer or judged.text,
        value=judged.value,
        step=event.step,
        seq=event.seq,
        reward=event.data["turns"][judged.turn].get("reward"),
        truth=judged.truth,
    )


def given_in_set(workspace: Workspace, subject: str) -> list[Given]:
    """The answers of a workspace's calibration set; most people's word is the truth."""
    return [
        Given(
            id=str(item.verdict.pk),
            question=item.verdict.question,
            answer=item.verdict.answer,
            value=item.verdict.judge_value,
            step=item.verdict.step,
            truth=item.right,
        )
        for item in calibration_items(workspace, subject)[-MAX_ITEMS:]
        if item.verdict.answer
    ]


def own_prompt(spec: dict[str, Any], kind: str = "answer") -> str:
    """How a spec asks its judge, with {question}, {answer} and the like in their places; empty where it has no such prompt."""
    parsed: ExperimentSpec = parse_spec(spec)
    style = "starter" if parsed.model.is_starter else "chat"
    try:
        places = {name: f"{{{name}}}" for name in RUBRICS[kind].places}
        return prompts_of(parsed, style).render(RUBRICS[kind].prompt, **places)
    except (KeyError, ValueError):
        return ""


@dataclass(frozen=True, kw_only=True)
class Flip:
    """An answer that the two judges see differently."""

    given: Given
    value: float
    verdict: str


class Findings:
    """The outcome beside what was: two curves, two meters, and what flips."""

    def __init__(self, regrading: Regrading) -> None:
        self.regrading = regrading
        result = regrading.job.result or {}
        self._told: dict[str, dict[str, Any]] = {str(item["id"]): item for item in result.get("items", ())}
        self.unreadable = result.get("unreadable")

    @cached_property
    def pairs(self) -> list[tuple[Given, dict[str, Any]]]:
        """Each answer that is still there, with what the other judge says."""
        found = self.regrading
        given = given_by_ids(found.run, self._told) if found.run else given_in_set(found.workspace, found.subject)
        return [(each, self._told[each.id]) for each in given if each.id in self._told]

    @property
    def weight(self) -> float | None:
        """Weight of the judge in the reward of an answer, where the method has one."""
        if self.regrading.run is None:
            return None
        spec = self.regrading.run.spec
        knobs = [
            terms[JUDGED_TERM["answer"]] for terms in weighed_terms(spec).values() if JUDGED_TERM["answer"] in terms
        ]
        return spec["method"].get(knobs[0]) if knobs else None

    @cached_property
    def curves(self) -> list[dict[str, Any]]:
        """Means by step: the judge's value as it was and would have been, and the reward with it."""
        steps: dict[int, list[tuple[Given, float]]] = defaultdict(list)
        for given, told in self.pairs:
            steps[given.step].append((given, float(told["value"])))
        rows = []
        for step, pairs in sorted(steps.items()):
            row: dict[str, Any] = {"step": step, "number": len(pairs)}
            row |= {"was": fmean(given.value for given, _ in pairs), "would": fmean(value for _, value in pairs)}
            paid = [(given.reward, value - given.value) for given, value in pairs if given.reward is not None]
            if self.weight is not None and paid:
                row["reward"] = fmean(reward for reward, _ in paid)
                row["reward_would"] = fmean(reward + self.weight * change for reward, change in paid)
            rows.append(row)
        return rows

    @cached_property
    def flips(self) -> list[Flip]:
        """Answers that one judge accepts and the other refuses, the widest apart first."""
        found = [
            Flip(given=given, value=float(told["value"]), verdict=str(told["verdict"]))
            for given, told in self.pairs
            if (given.value >= ACCEPT_AT) != (float(told["value"]) >= ACCEPT_AT)
        ]
        return sorted(found, key=lambda flip: -abs(flip.value - flip.given.value))

    @property
    def shown_flips(self) -> list[Flip]:
        return self.flips[:MAX_SHOWN]

    @cached_property
    def was(self) -> Meter:
        """The judge as it was against the truth, where that is known."""
        known = [given for given, _ in self.pairs if given.truth is not None]
        return meter([given.value >= ACCEPT_AT for given in known], [bool(given.truth) for given in known])

    @cached_property
    def would(self) -> Meter:
        """The other judge against the same."""
        known = [(given, told) for given, told in self.pairs if given.truth is not None]
        return meter(
            [float(told["value"]) >= ACCEPT_AT for _, told in known], [bool(given.truth) for given, _ in known]
        )


def given_by_ids(run: Run, ids: dict[str, Any]) -> list[Given]:
    """The answers that a job was given, as they stand in the run now."""
    seqs = {int(each.partition("/")[0]) for each in ids}
    found = []
    for event in Event.objects.filter(run=run, seq__in=seqs).order_by("seq"):
        found += [_given(event, each) for each in settled(run, judged_turns(event.data))]
    return [each for each in found if each.id in ids]
