"""What people said, and what they should be asked next. Everything starts from runs that the person may see."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.http import Http404

from training_core.spec.events import EventKind
from training_core.spec.rubrics import named_in
from training_core.tasks.registry import verifies
from webapp.accounts.models import User
from webapp.experiments.models import Run, RunQuerySet
from webapp.experiments.selectors import run_for, runs_visible_to
from webapp.review.gain import MIN_GROUP, Evidence, bin_of, gain
from webapp.review.judged import Judged, judged_turn, judged_turns
from webapp.review.models import Label, Verdict
from webapp.review.statistics import Meter, Rate, meter, narrowing, wilson
from webapp.telemetry.models import Event, Sample
from webapp.workspaces.models import Workspace

MAX_RUNS, SAMPLES_PER_RUN, MAX_QUEUE = 12, 60, 60
MAX_JUDGE = 160
APART = frozenset({"apo", "pasodoble", "score", "spar", "spo", "sppo"})
"""Methods whose verdicts are not turns of a judge, so that no index tells which samples hold some."""
JUDGED_APART = {"pasodoble": "agreement with the Proposer", "score": "written answers"}
"""Who judges where no model does."""
JUDGE_STEPS = 50
"""A judge that learns is another judge after so many steps."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A judged turn to ask a person about."""

    run: Run
    step: int
    seq: int
    episode: str
    judged: Judged
    gain: float
    """Bits; see ``gain.py``."""
    siblings: tuple[Judged, ...] = ()
    """Other answers to the same question in the same sample."""

    @property
    def key(self) -> dict[str, str]:
        return {"run": str(self.run.pk), "episode": self.episode, "turn": str(self.judged.turn)}

    @property
    def title(self) -> str:
        return self.judged.question[:120]

    @property
    def run_name(self) -> str:
        return f"{self.run.experiment.name}, run {self.run.number}"

    @property
    def is_known(self) -> bool:
        return self.judged.truth is not None


def subject_of(run: Run, judged: Judged) -> str:
    """What the judge is asked: ``mae/answer``."""
    return f"{run.spec['method']['name']}/{judged.kind}"


def judge_of(run: Run, step: int) -> str:
    """Which judge spoke at a step: ``frozen, starter`` or, where it learns, ``current, starter, steps 1–50``.

    A judge that is asked in other words is another judge: ``frozen, starter, Strict version 2``.
    """
    method: dict[str, Any] = run.spec["method"]
    if method["name"] in JUDGED_APART:
        return JUDGED_APART[method["name"]]
    given = method.get("judge") or method.get("oracle") or {}
    kind, source = str(given.get("kind", "judge")), str(run.spec["model"]["source"]).rsplit("/", 1)[-1]
    words = "".join(f", {name}" for _, name in named_in(method))
    if given.get("judge") == "frozen" or (method["name"] == "spar" and not method.get("train_refiner", True)):
        kind = "frozen"
    if kind in {"frozen", "verifier", "random"}:
        return f"{kind}, {source}{words}"[:MAX_JUDGE]
    first = (max(step, 1) - 1) // JUDGE_STEPS * JUDGE_STEPS + 1
    return f"{kind}, {source}, steps {first}–{first + JUDGE_STEPS - 1}{words}"[:MAX_JUDGE]


def reviewable_runs(user: User | AnonymousUser, workspace: Workspace) -> RunQuerySet:
    """Runs of the workspace that may have judged samples, newest first."""
    runs = runs_visible_to(user).filter(experiment__workspace=workspace, experiment__archived_at=None)
    return runs.filter(last_seq__gt=0)


def queue(user: User, workspace: Workspace, *, run: Run | None = None, again: bool = False) -> list[Item]:
    """What to ask this person, most instructive first; with ``again`` also what they answered already.

    Items whose truth a verifier knows come last, those first where the judge is farthest from it.
    """
    runs = [run] if run else list(reviewable_runs(user, workspace)[:MAX_RUNS])
    labels = list(_standing().filter(run__experiment__workspace=workspace))
    mine = {(v.run_id, v.episode, v.turn) for v in labels if v.by_id == user.pk}
    items = [item for each in runs for item in _items(each, labels)]
    if not again:
        items = [item for item in items if (item.run.pk, item.episode, item.judged.turn) not in mine]
    return sorted(items, key=_order)[:MAX_QUEUE]


def _order(item: Item) -> tuple[bool, float, float, int]:
    truth = item.judged.truth
    distance = 0.0 if truth is None else abs(item.judged.value - float(truth))
    return (truth is not None, -item.gain, -distance, -item.step)


def _items(run: Run, labels: Sequence[Verdict]) -> list[Item]:
    """The judged turns of a run's newest samples with what they would teach."""
    newest = Sample.objects.filter(run=run).order_by("-step", "-seq")
    index = newest if run.spec["method"]["name"] in APART else newest.filter(roles__contains=[{"role": "judge"}])
    seqs = list(index.values_list("seq", flat=True)[:SAMPLES_PER_RUN])
    events = list(Event.objects.filter(run=run, kind=EventKind.SAMPLE, seq__in=seqs))
    judged = {event.seq: settled(run, judged_turns(event.data)) for event in events}
    people, others = _people_so_far(run, labels), Counter((v.episode, v.turn) for v in labels if v.run_id == run.pk)
    groups: dict[str, list[Judged]] = defaultdict(list)
    for found in judged.values():
        for each in found:
            if each.kind == "answer":
                groups[each.question].append(each)
    items = []
    for event in events:
        episode = str(event.data["episode"])
        for each in judged[event.seq]:
            said = people[subject_of(run, each), judge_of(run, event.step), bin_of(each.value)]
            evidence = _evidence(each, groups, said=said, others=others[episode, each.turn])
            siblings = tuple(other for other in judged[event.seq] if other.kind == "answer" and other is not each)
            items.append(
                Item(
                    run=run,
                    step=event.step,
                    seq=event.seq,
                    episode=episode,
                    judged=each,
                    gain=gain(evidence),
                    siblings=siblings if each.kind == "answer" else (),
                )
            )
    return items


def settled(run: Run, found: list[Judged]) -> list[Judged]:
    """A verifier that finds no truth says that the question is ill-posed, so no answer to it is right."""
    if not verifies(run.spec["task"]["kind"]):
        return found
    return [replace(each, truth=bool(each.truth)) for each in found]


def _evidence(judged: Judged, groups: dict[str, list[Judged]], *, said: Counter[str], others: int) -> Evidence:
    group = groups[judged.question] if judged.kind == "answer" else []
    same = [each for each in group if each.answer and each.answer == judged.answer]
    return Evidence(
        scores=judged.scores,
        siblings=[each.value for each in same if each is not judged],
        share=len(same) / len(group) if len(group) >= MIN_GROUP and judged.answer else None,
        right=said[Label.RIGHT],
        labels=said[Label.RIGHT] + said[Label.WRONG],
        others=others,
        is_known=judged.truth is not None,
    )


def _people_so_far(run: Run, labels: Iterable[Verdict]) -> dict[tuple[str, str, int], Counter[str]]:
    """Labels by subject, judge and fifth of its scale; of all runs, for a judge may serve many."""
    found: dict[tuple[str, str, int], Counter[str]] = defaultdict(Counter)
    for verdict in labels:
        found[verdict.subject, verdict.judge, bin_of(verdict.judge_value)][verdict.label] += 1
    return found


def item_for(user: User | AnonymousUser, run_id: UUID | str, episode: str, turn: int) -> Item:
    """One judged turn, or 404 for those who may not see it and where there is none."""
    run = run_for(user, run_id)
    event, judged = judged_in(run, episode, turn)
    siblings = tuple(each for each in judged_turns(event.data) if each.kind == "answer" and each.turn != judged.turn)
    labels = list(_standing().filter(run__experiment__workspace=run.experiment.workspace_id))
    found = next((i for i in _items(run, labels) if (i.episode, i.judged.turn) == (episode, judged.turn)), None)
    return Item(
        run=run,
        step=event.step,
        seq=event.seq,
        episode=episode,
        judged=judged,
        gain=found.gain if found else 0.0,
        siblings=siblings if judged.kind == "answer" else (),
    )


def judged_in(run: Run, episode: str, turn: int) -> tuple[Event, Judged]:
    """The newest sample of an episode and the judged turn that is meant; 404 where there is none."""
    seq = Sample.objects.filter(run=run, episode=episode).order_by("-seq").values_list("seq", flat=True).first()
    event = Event.objects.filter(run=run, seq=seq).first() if seq else None
    judged = judged_turn(event.data, turn) if event else None
    if judged is not None:
        (judged,) = settled(run, [judged])
    if event is None or judged is None:
        raise Http404("This run has no such judged turn. A later attempt of the run may have replaced it.")
    return event, judged


def verdict_of(user: User, item: Item) -> Verdict | None:
    """What the person said of it last."""
    mine = _standing().filter(run=item.run, episode=item.episode, turn=item.judged.turn, by=user)
    return mine.select_related("order__run").first()


def last_verdict(user: User, workspace: Workspace) -> Verdict | None:
    """What the person said last; what ``undo`` takes back."""
    mine = _standing().filter(by=user, run__experiment__workspace=workspace)
    return mine.select_related("run", "order").order_by("-at", "-pk").first()


def verdicts_on(run: Run, episode: str) -> dict[int, list[Verdict]]:
    """What people said of a sample, by turn, oldest first."""
    found: dict[int, list[Verdict]] = defaultdict(list)
    for verdict in _standing().filter(run=run, episode=episode).select_related("by", "order__run").order_by("at"):
        found[verdict.turn].append(verdict)
    return dict(found)


def recent_verdicts(user: User | AnonymousUser, workspace: Workspace, limit: int = 20) -> list[Verdict]:
    """The newest verdicts of the workspace with what they did."""
    visible = Verdict.objects.filter(run__in=Run.objects.visible_to(user), run__experiment__workspace=workspace)
    rows = visible.filter(withdrawn_at=None).select_related("by", "run__experiment", "order__run")
    return list(rows.order_by("-at", "-pk")[:limit])


# Agreement


@dataclass(frozen=True, kw_only=True)
class JudgeRow:
    """One judge in one run."""

    run: Run
    judge: str
    subject: str
    meter: Meter


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What the side of the review page shows."""

    mine: int
    total: int
    unclear: int
    meter: Meter
    by_judge: list[JudgeRow]
    widths: list[float] = field(default_factory=list)
    """Width of the agreement's interval after each label."""
    reviewers: Rate | None = None
    """How often two people who were asked the same agree."""
    num_shared: int = 0
    """Items that more than one person answered."""

    @property
    def narrowed(self) -> tuple[float, float] | None:
        """The width five labels ago and now."""
        return (self.widths[-6], self.widths[-1]) if len(self.widths) > 5 else None


def agreement_in(user: User, workspace: Workspace, *, run: Run | None = None) -> Agreement:
    """Judges against people, and people among each other, in a workspace or one run."""
    rows = _standing().filter(run__in=Run.objects.visible_to(user), run__experiment__workspace=workspace)
    if run:
        rows = rows.filter(run=run)
    verdicts = list(rows.select_related("run__experiment").order_by("at", "pk"))
    clear = [verdict for verdict in verdicts if verdict.label != Label.UNCLEAR]
    judges: dict[tuple[UUID, str, str], list[Verdict]] = defaultdict(list)
    items: dict[tuple[UUID, str, int], list[str]] = defaultdict(list)
    for verdict in clear:
        judges[verdict.run_id, verdict.judge, verdict.subject].append(verdict)
        items[verdict.run_id, verdict.episode, verdict.turn].append(verdict.label)
    pairs = [one == other for labels in items.values() for one, other in combinations(labels, 2)]
    return Agreement(
        mine=sum(verdict.by_id == user.pk for verdict in verdicts),
        total=len(verdicts),
        unclear=len(verdicts) - len(clear),
        meter=_meter(clear),
        by_judge=[
            JudgeRow(run=found[0].run, judge=judge, subject=subject, meter=_meter(found))
            for (_, judge, subject), found in judges.items()
        ],
        widths=narrowing([not verdict.overrules for verdict in clear]),
        reviewers=wilson(sum(pairs), len(pairs)),
        num_shared=sum(len(labels) > 1 for labels in items.values()),
    )


def _meter(verdicts: Sequence[Verdict]) -> Meter:
    return meter([v.judge_accepts for v in verdicts], [v.label == Label.RIGHT for v in verdicts])


def _standing() -> QuerySet[Verdict]:
    return Verdict.objects.filter(withdrawn_at=None)
