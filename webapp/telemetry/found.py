"""Samples that were looked for, as a list: of one run, or of all the runs a person may see."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.selectors import runs_visible_to
from webapp.telemetry.finding import ORDERS, SampleFilter, hit_pattern, matching
from webapp.telemetry.lens import Lens, lens_of
from webapp.telemetry.models import Event, Sample
from webapp.telemetry.rows import ROW, sample_row
from webapp.telemetry.selectors import with_turns

PAGE, MOST_COUNTED = 30, 1000
MAX_PAGES = 400
MOST_RUNS = 200
"""Newest runs that a search over runs looks through."""
_AROUND = 90
"""Characters shown before the first hit; twice as many after it."""


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """Where the words were found: ``Snippet(speaker="Solver", turn=3, pieces=(("... ", False), ("17", True)))``."""

    speaker: str
    turn: int | None
    pieces: tuple[tuple[str, bool], ...]
    """Texts, and whether each is a hit."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """One line of the list."""

    run: Run
    row: dict[str, Any]
    snippet: Snippet | None


@dataclass(frozen=True, kw_only=True)
class FoundPage:
    """A page of the list; ``count`` stops at ``MOST_COUNTED``."""

    found: list[Found]
    count: int
    number: int

    @property
    def is_counted(self) -> bool:
        return self.count < MOST_COUNTED

    @property
    def has_more(self) -> bool:
        return len(self.found) == PAGE and self.number < MAX_PAGES


def searched_runs(user: User | AnonymousUser, workspace: str = "") -> list[Run]:
    """The newest runs a person may see, or those of one workspace, that have said something."""
    runs = runs_visible_to(user).filter(last_seq__gt=0)
    if workspace:
        runs = runs.filter(experiment__workspace__slug=workspace)
    return list(runs[:MOST_RUNS])


def found_in(runs: Sequence[Run], wanted: SampleFilter, *, order: str, page: int) -> FoundPage:
    """The samples of these runs that fit; over several runs those of the newest run come first."""
    page = min(max(page, 1), MAX_PAGES)
    fitting = matching(Sample.objects.filter(run__in=list(runs)), wanted)
    by = ORDERS.get(order, ORDERS["newest"])
    if len(runs) > 1:
        by = ("-run__created_at", *by)
    start = (page - 1) * PAGE
    rows = list(fitting.order_by(*by).values("run_id", "seq", "step", *ROW)[start : start + PAGE])
    count = start + len(rows) if len(rows) < PAGE else _count(fitting)
    by_id = {run.pk: run for run in runs}
    snippets = _snippets(rows, by_id, wanted.text)
    found = [
        Found(
            run=by_id[row["run_id"]],
            row=sample_row(row["seq"], row["step"], row),
            snippet=snippets.get((row["run_id"], row["seq"])),
        )
        for row in with_turns(rows)
    ]
    return FoundPage(found=found, count=count, number=page)


def _count(fitting: QuerySet[Sample]) -> int:
    return len(fitting.order_by().values_list("seq")[:MOST_COUNTED])


def _snippets(rows: Sequence[dict[str, Any]], runs: dict[Any, Run], text: str) -> dict[tuple[Any, int], Snippet]:
    pattern = hit_pattern(text)
    if pattern is None or not rows:
        return {}
    lenses = {run_id: lens_of(runs[run_id]) for run_id in {row["run_id"] for row in rows}}
    keys = [(row["run_id"], row["seq"]) for row in rows]
    found: dict[tuple[Any, int], Snippet] = {}
    for event in Event.objects.filter(pk__in=keys):
        if snippet := snippet_of(event.data, pattern, lenses[event.run_id]):
            found[event.run_id, event.seq] = snippet
    return found


def snippet_of(data: dict[str, Any], pattern: re.Pattern[str], lens: Lens) -> Snippet | None:
    """The first text of a sample with a hit; the title, which is shown anyway, comes last."""
    for place, turn in enumerate(data["turns"]):
        if hit := pattern.search(turn["text"]):
            return Snippet(
                speaker=lens.role_title(str(turn["role"])), turn=place, pieces=_pieces(turn["text"], hit, pattern)
            )
    hit = pattern.search(data["title"])
    return Snippet(speaker="Title", turn=None, pieces=_pieces(data["title"], hit, pattern)) if hit else None


def _pieces(text: str, first: re.Match[str], pattern: re.Pattern[str]) -> tuple[tuple[str, bool], ...]:
    start, end = max(0, first.start() - _AROUND), min(len(text), first.end() + 2 * _AROUND)
    pieces: list[tuple[str, bool]] = [("…", False)] if start else []
    place = start
    for hit in pattern.finditer(text, start, end):
        pieces += [(text[place : hit.start()], False), (hit[0], True)]
        place = hit.end()
    pieces += [(text[place:end], False), ("…" if end < len(text) else "", False)]
    return tuple(piece for piece in pieces if piece[0])
