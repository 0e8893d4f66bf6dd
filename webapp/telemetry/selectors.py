"""Reading what a run said. The run comes from ``runs_visible_to`` or a share link; nothing here widens what is seen."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Count, JSONField, Min, QuerySet
from django.db.models.expressions import RawSQL
from django.http import Http404

from training_core.spec.events import EventKind
from webapp.experiments.models import Run
from webapp.telemetry.finding import ORDERS, Place, SampleFilter, above, below, matching
from webapp.telemetry.lens import lens_of
from webapp.telemetry.marks import marks
from webapp.telemetry.models import Event, RunSummary, Sample
from webapp.telemetry.rows import ROW, log_row, sample_row
from webapp.telemetry.series import Series, metric_names, metric_series, stacked_series
from webapp.telemetry.state import run_state

__all__ = [
    "SampleFilter",
    "Series",
    "checkpoints",
    "evaluations",
    "events_after",
    "first_event_t",
    "leagues",
    "logs",
    "marks",
    "metric_names",
    "metric_series",
    "neighbours",
    "position",
    "run_state",
    "sample",
    "samples",
    "stacked_series",
]

BATCH = 500
MAX_PAGE = 200

# A sample's turns in brief, see ``rows.answers_of``; none of a game, whose moves are no answers.
_TURNS = """
CASE WHEN telemetry_event.data->>'layout' = 'game' THEN NULL ELSE (
    SELECT jsonb_agg(jsonb_build_array(turn->'role', left(turn->>'parsed', 16), turn->'reward', turn->'correct',
                                       turn->'num_tokens', turn->'parent') ORDER BY place)
    FROM jsonb_array_elements(telemetry_event.data->'turns') WITH ORDINALITY AS listed(turn, place) WHERE place <= 200) END
"""
# What a socket or a list needs of an event: no completion texts, no boards, no held-out items, no tracebacks.
_SLIM = f"""
CASE telemetry_event.kind
WHEN 'sample' THEN (SELECT to_jsonb(found) FROM (SELECT {", ".join(ROW)}, {_TURNS} AS turns FROM telemetry_sample AS sample
    WHERE sample.run_id = telemetry_event.run_id AND sample.seq = telemetry_event.seq) AS found)
WHEN 'evaluation' THEN telemetry_event.data - 'items'
WHEN 'state' THEN telemetry_event.data - 'traceback'
ELSE telemetry_event.data END
"""  # noqa: S608 - a constant


def slim_events(run_id: UUID) -> QuerySet[Event]:
    """Events of a run in order with their bodies left in the database: read ``event.slim``, not ``event.data``."""
    slim = RawSQL(_SLIM, (), output_field=JSONField())  # noqa: S611 - a constant
    return Event.objects.filter(run_id=run_id).annotate(slim=slim).defer("data").order_by("seq")


def events_after(run: Run, seq: int, limit: int = BATCH, *, kinds: Sequence[str] = ()) -> list[Event]:
    """The next events after ``seq``, in order and in full; with ``kinds`` only those."""
    found = Event.objects.filter(run=run, seq__gt=seq)
    if kinds:
        found = found.filter(kind__in=list(kinds))
    return list(found.order_by("seq")[:limit])


def first_seq_after_attempt(run_id: UUID, attempt: int) -> int | None:
    """Where later attempts began to write, or None while they have written nothing."""
    first: int | None = Event.objects.filter(run_id=run_id, attempt__gt=attempt).aggregate(first=Min("seq"))["first"]
    return first


def first_event_t(run: Run) -> float:
    """When the run began to speak, as Unix time; 0 while it has not."""
    t: float | None = Event.objects.filter(run=run).order_by("seq").values_list("t", flat=True).first()
    return t or 0.0


def position(run: Run) -> dict[str, int]:
    """What a page built now holds: every event up to ``after``, the last of them written by ``attempt``."""
    last = Event.objects.filter(run=run).order_by("-seq").values_list("seq", "attempt").first()
    return {"after": last[0], "attempt": last[1]} if last else {"after": 0, "attempt": 0}


def samples_in_order(
    run: Run, wanted: SampleFilter, *, order: str, offset: int = 0, limit: int = 50
) -> list[dict[str, Any]]:
    """Lines of samples in one of the ``ORDERS``, after the first ``offset``."""
    found = matching(Sample.objects.filter(run=run), wanted).order_by(*ORDERS[order])
    rows = list(found.values("run_id", "seq", "step", *ROW)[offset : offset + min(limit, MAX_PAGE)])
    return [sample_row(row["seq"], row["step"], row) for row in with_turns(rows)]


def samples(
    run: Run, wanted: SampleFilter | None = None, *, before: int | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Lines of samples, the newest step first, and in a step what was answered. ``before`` is the seq of the line above."""
    found = matching(Sample.objects.filter(run=run), wanted or SampleFilter())
    if before is not None:
        found = below(found, _place(run, before))
    rows = list(found.order_by(*ORDERS["newest"]).values("run_id", "seq", "step", *ROW)[: min(limit, MAX_PAGE)])
    return [sample_row(row["seq"], row["step"], row) for row in with_turns(rows)]


def with_turns(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Index rows with the ``turns`` of their samples in brief."""
    events = Event.objects.filter(pk__in=[(row["run_id"], row["seq"]) for row in rows])
    turns = RawSQL(_TURNS, (), output_field=JSONField())  # noqa: S611 - a constant
    found = {(run_id, seq): brief for run_id, seq, brief in events.values_list("run_id", "seq", turns)}
    return [{**row, "turns": found.get((row["run_id"], row["seq"]))} for row in rows]


def num_samples(run: Run, step: int | None = None) -> dict[str, int]:
    """How many samples of each kind the run, or one step of it, has."""
    if step is None:
        counted = RunSummary.objects.filter(run=run).values_list("samples", flat=True).first()
        return counted or {}
    rows = Sample.objects.filter(run=run, step=step).order_by().values_list("kind").annotate(count=Count("seq"))
    return dict(rows)


def _place(run: Run, seq: int) -> Place:
    """Where a list shows a sample; of one that is gone, before the oldest of what is still there."""
    found = Sample.objects.filter(run=run, seq=seq).values_list("step", "rank", "seq").first()
    return (
        found
        or Sample.objects.filter(run=run, seq__lt=seq).order_by("-seq").values_list("step", "rank", "seq").first()
        or (0, 0, 0)
    )


def sample(run: Run, seq: int) -> Event:
    """One sample with every text, or 404."""
    found = Event.objects.filter(run=run, kind=EventKind.SAMPLE, seq=seq).first()
    if found is None:
        raise Http404("This run has no such sample. A later attempt of the run may have replaced it.")
    return found


def neighbours(run: Run, seq: int, wanted: SampleFilter | None = None) -> tuple[int | None, int | None]:
    """The samples that a list shows just below and just above ``seq``, of those that fit."""
    rows, here = matching(Sample.objects.filter(run=run), wanted or SampleFilter()), _place(run, seq)
    older = below(rows, here).order_by("-step", "-rank", "-seq").values_list("seq", flat=True).first()
    newer = above(rows, here).order_by("step", "rank", "seq").values_list("seq", flat=True).first()
    return older, newer


def evaluations(run: Run) -> dict[str, dict[str, Event]]:
    """Per suite the ``first``, ``last`` and ``best`` evaluation; the method's headline score tells which is best."""
    lens = lens_of(run)
    headline, sign = lens.headline.removeprefix("eval/"), -1 if lens.headline_falls else 1
    rows = Event.objects.filter(run=run, kind=EventKind.EVALUATION).order_by("seq")
    chosen: dict[str, dict[str, int]] = {}
    best_score: dict[str, float] = {}
    for seq, suite, scores in rows.values_list("seq", "data__suite", "data__scores"):
        picked = chosen.setdefault(suite, {"first": seq, "best": seq})
        picked["last"] = seq
        score = scores.get(headline, next(iter(scores.values()), None))
        if score is not None and sign * score > best_score.get(suite, float("-inf")):
            best_score[suite], picked["best"] = sign * score, seq
    needed = {seq for picked in chosen.values() for seq in picked.values()}
    full = {event.seq: event for event in rows.filter(seq__in=needed)}
    return {suite: {name: full[seq] for name, seq in picked.items()} for suite, picked in chosen.items()}


def leagues(run: Run) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """Per suite the league at every evaluation that rated one, by step."""
    rows = Event.objects.filter(run=run, kind=EventKind.EVALUATION, data__league__has_key="players").order_by("seq")
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for step, suite, league in rows.values_list("step", "data__suite", "data__league"):
        found.setdefault(suite, []).append((step, league))
    return found


def all_evaluations(run: Run) -> list[Event]:
    """Every evaluation in order; ``event.slim`` holds its scores without its items."""
    return list(slim_events(run.pk).filter(kind=EventKind.EVALUATION))


def checkpoints(run: Run) -> list[Event]:
    """Checkpoints the run announced, newest first."""
    return list(Event.objects.filter(run=run, kind=EventKind.CHECKPOINT).order_by("-seq")[:MAX_PAGE])


def logs(
    run: Run, *, levels: Sequence[str] = (), text: str = "", before: int | None = None, limit: int = 200
) -> list[dict[str, Any]]:
    """Log lines and changes of phase, newest first."""
    rows = slim_events(run.pk).filter(kind__in=[EventKind.LOG, EventKind.STATE]).order_by("-seq")
    if levels:
        rows = rows.filter(data__level__in=list(levels))
    if text:
        rows = rows.filter(data__text__icontains=text)
    if before is not None:
        rows = rows.filter(seq__lt=before)
    return [log_row(event) for event in rows[: min(limit, MAX_PAGE)]]
