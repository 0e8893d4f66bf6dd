"""The league of a run, on its own page: what it reports of its opponents itself, and the Arena's leagues of its checkpoints."""

from dataclasses import dataclass
from typing import Any

from webapp.arena.disciplines import disciplines_of
from webapp.arena.models import League
from webapp.arena.selectors import standings_of, under_way
from webapp.arena.standings import Standings
from webapp.experiments.models import Run
from webapp.jobs.weights import saved_steps
from webapp.telemetry.leagues import read_league
from webapp.telemetry.selectors import leagues
from webapp.telemetry.viewing import Viewing

MAX_LEAGUES = 4


@dataclass(frozen=True, kw_only=True)
class Played:
    """A league of the Arena in which the run's checkpoints take part: ``Played(league=..., standings=..., num_waiting=2)``."""

    league: League
    standings: Standings
    num_waiting: int
    """Meetings that are waiting or being played."""


def league_tab(seen: Viewing) -> dict[str, Any]:
    """What the tab's template reads. Leagues of the Arena name other runs, so a share link shows the run's own alone."""
    reported = [(suite, read_league(rated)) for suite, rated in leagues(seen.run).items()]
    played = [] if seen.is_shared else _played(seen.run)
    return {
        "reported": [(suite.replace("_", " "), found) for suite, found in reported if found],
        "played": played,
        "disciplines": disciplines_of(seen.run) if seen.may_edit else [],
        "num_checkpoints": len(saved_steps(seen.run)),
    }


def _played(run: Run) -> list[Played]:
    found = League.objects.filter(runs=run, archived_at=None).order_by("-created_at", "pk")[:MAX_LEAGUES]
    return [Played(league=each, standings=standings_of(each), num_waiting=under_way(each).count()) for each in found]
