"""Samples by their question: the questions of a run, one question through time and over runs, two runs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models import Avg, Count, F, Max, Min, Q, QuerySet
from django.http import Http404

from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.selectors import runs_visible_to
from webapp.telemetry.differences import Piece, difference
from webapp.telemetry.finding import SampleFilter, matching
from webapp.telemetry.lens import Lens
from webapp.telemetry.models import Event, Sample
from webapp.telemetry.sample_index import is_without_signal
from webapp.telemetry.siblings import Siblings, siblings_of
from webapp.telemetry.turns import ReadTurn, read_turns

WINDOW = 4000
"""Newest samples that the list of questions is made of."""
MOST_GROUPS, MOST_OCCASIONS, MOST_POINTS, MOST_TWINS = 60, 8, 400, 60
ORDERS = {
    "newest": ("Newest first", ("-last_seq",)),
    "asked": ("Most asked first", ("-count", "-last_seq")),
    "spread": ("Most different rewards first", (F("spread").desc(nulls_last=True), "-last_seq")),
    "hard": ("Hardest first", (F("solved").asc(nulls_last=True), "-last_seq")),
    "easy": ("Easiest first", (F("solved").desc(nulls_last=True), "-last_seq")),
    "silent": ("Without a signal first", ("-num_silent", "-last_seq")),
}


def played(run: Run) -> QuerySet[Sample]:
    """The run's samples without practice, which asks nothing of anybody."""
    return Sample.objects.filter(run=run, rank__gt=0)


def groups(run: Run, wanted: SampleFilter, order: str = "newest") -> list[dict[str, Any]]:
    """The questions of the newest ``WINDOW`` samples that fit: how often, when and how well they were answered."""
    newest = matching(played(run), wanted).order_by("-seq").values("seq")[:WINDOW]
    rows = (
        played(run)
        .filter(seq__in=newest)
        .values("group_key")
        .annotate(
            title=Max("title"),
            count=Count("seq"),
            first_step=Min("step"),
            last_step=Max("step"),
            last_seq=Max("seq"),
            solved=Avg("solved"),
            reward=Avg("reward_mean"),
            spread=Max("reward_max") - Min("reward_min"),
            num_silent=Count("seq", filter=Q(zero_signal=True)),
            num_discarded=Count("seq", filter=~Q(discard_reason="")),
        )
    )
    return [dict(row) for row in rows.order_by(*ORDERS.get(order, ORDERS["newest"])[1])[:MOST_GROUPS]]


@dataclass(frozen=True, kw_only=True)
class Occasion:
    """One time that a question was played: its sample, and the answers side by side."""

    event: Event
    siblings: list[Siblings]
    answers: list[ReadTurn]
    """Everything that may be compared: what was written by those who answer."""
    is_without_signal: bool


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two answers and where they differ: ``Compared(left=("Solver 1", 12, ...), ...)``."""

    left: ReadTurn
    right: ReadTurn
    left_step: int
    right_step: int
    left_pieces: list[Piece]
    right_pieces: list[Piece]
    is_same: bool


def question_of(run: Run, key: str) -> dict[str, Any]:
    """A question of the run in numbers, or 404."""
    rows = played(run).filter(group_key=key)
    found = rows.aggregate(
        title=Max("title"),
        layout=Max("layout"),
        count=Count("seq"),
        first_step=Min("step"),
        last_step=Max("step"),
        solved=Avg("solved"),
        reward=Avg("reward_mean"),
        num_silent=Count("seq", filter=Q(zero_signal=True)),
    )
    if not found["count"]:
        raise Http404("No sample of this run has this question. It may be a seed that was never played.")
    return found


def history(run: Run, key: str) -> list[dict[str, Any]]:
    """How the question fared by step, the newest ``MOST_POINTS`` steps, oldest first."""
    rows = (
        played(run)
        .filter(group_key=key)
        .values("step")
        .annotate(solved=Avg("solved"), reward=Avg("reward_mean"), count=Count("seq"))
        .order_by("-step")[:MOST_POINTS]
    )
    return [dict(row) for row in rows][::-1]


def occasions(run: Run, key: str, lens: Lens, *, before: int | None = None) -> list[Occasion]:
    """The samples with this question, newest first, each with its answers."""
    rows = played(run).filter(group_key=key)
    if before is not None:
        rows = rows.filter(seq__lt=before)
    seqs = list(rows.order_by("-seq").values_list("seq", flat=True)[:MOST_OCCASIONS])
    events = Event.objects.filter(run=run, seq__in=seqs).order_by("-seq")
    return [occasion_of(event, lens) for event in events]


def occasion_of(event: Event, lens: Lens) -> Occasion:
    turns = read_turns(event.data, lens)
    groups = siblings_of(turns, lens)
    inside = [turn for group in groups for turn in group.turns]
    return Occasion(
        event=event,
        siblings=groups,
        answers=inside or turns,
        is_without_signal=is_without_signal(event.data["turns"]),
    )


def compared(run: Run, lens: Lens, left: str, right: str) -> Compared | None:
    """Two turns named ``seq.turn``; None where an address names none."""
    found = [_turn(run, lens, place) for place in (left, right)]
    if found[0] is None or found[1] is None:
        return None
    (one, one_step), (other, other_step) = found[0], found[1]
    return _compared(one, other, steps=(one_step, other_step))


def _compared(one: ReadTurn, other: ReadTurn, *, steps: tuple[int, int]) -> Compared:
    left, right = difference(one.text, other.text)
    return Compared(
        left=one,
        right=other,
        left_step=steps[0],
        right_step=steps[1],
        left_pieces=left,
        right_pieces=right,
        is_same=one.text == other.text,
    )


def _turn(run: Run, lens: Lens, place: str) -> tuple[ReadTurn, int] | None:
    seq, _, index = place.partition(".")
    if not (seq.isascii() and seq.isdigit() and index.isascii() and index.isdigit() and len(place) < 30):
        return None
    event = Event.objects.filter(run=run, seq=int(seq), kind="sample").first()
    turns = read_turns(event.data, lens) if event else []
    return (turns[int(index)], event.step) if event and int(index) < len(turns) else None


# Runs with the same question


def other_runs(user: User | AnonymousUser, run: Run, key: str) -> list[dict[str, Any]]:
    """Further runs of the run's workspace that met the question, with how they fared."""
    near = runs_visible_to(user).filter(experiment__workspace=run.experiment.workspace).exclude(pk=run.pk)
    rows = (
        Sample.objects.filter(group_key=key, rank__gt=0, run__in=near.order_by().values("pk"))
        .values("run_id")
        .annotate(count=Count("seq"), solved=Avg("solved"), reward=Avg("reward_mean"), last_step=Max("step"))
        .order_by("-count")[:MOST_TWINS]
    )
    runs = {each.pk: each for each in near.filter(pk__in=[row["run_id"] for row in rows])}
    return [{**row, "run": runs[row["run_id"]]} for row in rows if row["run_id"] in runs]


def partners(user: User | AnonymousUser, run: Run) -> Sequence[Run]:
    """Runs that this one may be laid beside, newest first."""
    near = runs_visible_to(user).filter(experiment__workspace=run.experiment.workspace).exclude(pk=run.pk)
    return list(near.filter(last_step__gt=0)[:MOST_TWINS])


_TWINS = """
WITH mine AS (
    SELECT group_key, max(title) AS title, count(*) AS num, avg(solved) AS solved, avg(reward_mean) AS reward
    FROM telemetry_sample WHERE run_id = %(run)s AND rank > 0 GROUP BY group_key
), theirs AS (
    SELECT group_key, count(*) AS num, avg(solved) AS solved, avg(reward_mean) AS reward
    FROM telemetry_sample WHERE run_id = %(other)s AND rank > 0 GROUP BY group_key
), both_met AS (
    SELECT group_key, mine.title, mine.num, theirs.num, mine.solved, theirs.solved, mine.reward, theirs.reward,
           abs(CASE WHEN %(by)s = 'solved' THEN mine.solved - theirs.solved ELSE mine.reward - theirs.reward END) AS gap
    FROM mine JOIN theirs USING (group_key)
)
SELECT *, count(*) OVER () FROM both_met ORDER BY gap DESC NULLS LAST, group_key LIMIT %(most)s
"""


@dataclass(frozen=True, kw_only=True)
class Twin:
    """A question that two runs met, with how each fared; ``gap`` is how far apart they are."""

    key: str
    title: str
    nums: tuple[int, int]
    solved: tuple[float | None, float | None]
    rewards: tuple[float | None, float | None]
    gap: float | None


def twins(run_id: UUID, other_id: UUID, by: str) -> tuple[list[Twin], int]:
    """The questions of both runs, those on which they differ most first, and how many there are."""
    with connection.cursor() as cursor:
        cursor.execute(_TWINS, {"run": run_id, "other": other_id, "by": by, "most": MOST_TWINS})
        rows = cursor.fetchall()
    found = [
        Twin(key=row[0], title=row[1], nums=row[2:4], solved=row[4:6], rewards=row[6:8], gap=row[8]) for row in rows
    ]
    return found, rows[0][9] if rows else 0


def first_difference(one: Occasion, other: Occasion) -> Compared | None:
    """The best-paid answer of each side, word by word."""
    if not one.answers or not other.answers:
        return None
    best = [max(each.answers, key=lambda turn: turn.reward or 0.0) for each in (one, other)]
    return _compared(best[0], best[1], steps=(one.event.step, other.event.step))
