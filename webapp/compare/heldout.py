"""Held-out scores of many runs, before and after."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from webapp.compare.headlines import Change, change
from webapp.experiments.models import Run
from webapp.telemetry.scores import score_words

_ENDS = """
SELECT DISTINCT ON (run_id, data->>'suite') run_id, data->>'suite', step, data->'scores'
FROM telemetry_event WHERE run_id = ANY(%s::uuid[]) AND kind = 'evaluation'
ORDER BY run_id, data->>'suite', seq {direction}
"""
MAX_SCORES = 6


@dataclass(frozen=True, kw_only=True)
class Score:
    """``Score(first="41.0%", last="79.1%", change=Change(words="+38.1 points", ...))``."""

    first: str
    last: str
    change: Change | None


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Runs by scores: ``Suite(title="Held out", names=("accuracy_greedy",), rows=((run, (Score(...),)), ...))``."""

    title: str
    names: tuple[str, ...]
    rows: tuple[tuple[Run, tuple[Score | None, ...]], ...]


def held_out(runs: Sequence[Run]) -> list[Suite]:
    """Each suite any of the runs was measured on, in two queries."""
    ids = [run.pk for run in runs]
    ends: list[dict[tuple[UUID, str], dict[str, Any]]] = []
    with connection.cursor() as cursor:
        for direction in ("ASC", "DESC"):
            cursor.execute(_ENDS.format(direction=direction), [ids])
            rows = cursor.fetchall()
            ends.append({(run, suite): s if isinstance(s, dict) else json.loads(s) for run, suite, _, s in rows})
    firsts, lasts = ends
    suites = list(dict.fromkeys(suite for _, suite in lasts))
    return [_suite(suite, runs, firsts, lasts) for suite in suites]


def _suite(
    suite: str,
    runs: Sequence[Run],
    firsts: dict[tuple[UUID, str], dict[str, Any]],
    lasts: dict[tuple[UUID, str], dict[str, Any]],
) -> Suite:
    names = list(dict.fromkeys(name for (_, of), scores in lasts.items() if of == suite for name in scores))[
        :MAX_SCORES
    ]
    rows = [
        (run, tuple(_score(name, firsts[run.pk, suite].get(name), lasts[run.pk, suite].get(name)) for name in names))
        for run in runs
        if (run.pk, suite) in lasts
    ]
    return Suite(title=suite.replace("_", " ").capitalize(), names=tuple(names), rows=tuple(rows))


def _score(name: str, first: float | None, last: float | None) -> Score | None:
    if last is None:
        return None
    return Score(
        first=score_words(name, first), last=score_words(name, last), change=change(f"eval/{name}", last, first)
    )
