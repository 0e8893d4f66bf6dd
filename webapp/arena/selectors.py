"""What a person may see of leagues; ``visible_to`` comes first, 404 for everything else."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, IntegerField, Max, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.http import Http404

from webapp.accounts.models import User
from webapp.arena.models import Entrant, League, LeagueQuerySet, Meeting, Vote
from webapp.arena.standings import Standings, Tallies, standings
from webapp.experiments.models import Run, RunQuerySet
from webapp.experiments.selectors import runs_visible_to
from webapp.jobs.choices import ENDED, JobStatus
from webapp.jobs.models import Job
from webapp.jobs.weights import START, saved_steps
from webapp.telemetry.models import Event
from webapp.workspaces.models import Workspace


def leagues_visible_to(user: User | AnonymousUser) -> LeagueQuerySet:
    return League.objects.visible_to(user).select_related("workspace", "created_by").order_by("-created_at", "pk")


def leagues_in(user: User | AnonymousUser, workspace: Workspace) -> QuerySet[League]:
    """The workspace's leagues with the numbers of their players and of games played."""
    done = Meeting.objects.filter(league=OuterRef("pk"), job__status=JobStatus.SUCCEEDED).values("league")
    games = Subquery(done.annotate(total=Sum("num_games")).values("total"))
    found = leagues_visible_to(user).filter(workspace=workspace, archived_at=None)
    return found.annotate(num_entrants=Count("entrants"), games=games)


def league_for(user: User | AnonymousUser, league_id: UUID | str) -> League:
    """The league, or 404 for those who may not see it."""
    league = leagues_visible_to(user).filter(pk=league_id).first()
    if league is None:
        raise Http404("There is no such league, or it belongs to a workspace you are not a member of.")
    return league


def entrant_in(league: League, entrant_id: int) -> Entrant:
    entrant = league.entrants.select_related("run__experiment").filter(pk=entrant_id).first()
    if entrant is None:
        raise Http404("This league has no such player.")
    return entrant


def meeting_for(user: User | AnonymousUser, meeting_id: int) -> Meeting:
    """The meeting with its league and players, or 404."""
    found = Meeting.objects.filter(league__in=League.objects.visible_to(user), pk=meeting_id)
    meeting = found.select_related(
        "league__workspace", "first__run__experiment", "second__run__experiment", "job"
    ).first()
    if meeting is None:
        raise Http404("There is no such meeting, or it belongs to a workspace you are not a member of.")
    return meeting


def is_playable(entrant: Entrant) -> bool:
    """Whether its weights can still be loaded."""
    if entrant.run is None or entrant.step == START:
        return True
    return entrant.step in saved_steps(entrant.run)


def tallies_of(league: League) -> Tallies:
    """Games of every ordered pair, counted by the database out of the jobs' results."""
    done = Job.objects.filter(meeting__league=league, status=JobStatus.SUCCEEDED)
    sums = {name: Sum(Cast(KT(f"result__tally__{name}"), IntegerField())) for name in ("won", "drawn", "lost")}
    rows: Any = done.values_list("meeting__first_id", "meeting__second_id").annotate(**sums)
    return {(first, second): (won, drawn, lost) for first, second, won, drawn, lost in rows}


def games_by_pair(league: League, *, with_waiting: bool) -> Mapping[frozenset[int], int]:
    """Games of every pair, those that are yet to be played among them."""
    counted = league.meetings.filter(Q(job__status=JobStatus.SUCCEEDED) | ~Q(job__status__in=ENDED))
    if not with_waiting:
        counted = league.meetings.filter(job__status=JobStatus.SUCCEEDED)
    found: dict[frozenset[int], int] = defaultdict(int)
    for first, second, games in counted.values_list("first_id", "second_id", "num_games"):
        found[frozenset((first, second))] += games
    return found


def standings_of(league: League) -> Standings:
    """The league by the games that were played."""
    return standings(list(league.entrants.select_related("run__experiment")), tallies_of(league))


def human_standings_of(league: League) -> Standings:
    """The league by what people preferred."""
    won: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0, 0, 0])
    for vote in votes_of(league):
        points = vote.points
        assert points is not None
        pair = (vote.meeting.first_id, vote.meeting.second_id)
        won[pair][0 if points == 1 else 1 if points == 0.5 else 2] += 1
    tallies = {pair: (each[0], each[1], each[2]) for pair, each in won.items()}
    return standings(list(league.entrants.select_related("run__experiment")), tallies)


def votes_of(league: League) -> QuerySet[Vote]:
    """Votes that were cast."""
    return Vote.objects.filter(meeting__league=league).exclude(choice="").select_related("meeting")


def under_way(league: League) -> QuerySet[Meeting]:
    """Meetings that are waiting or being played."""
    found = league.meetings.exclude(job__status__in=ENDED).select_related("first", "second", "job")
    return found.defer("job__payload", "job__result").order_by("created_at")


def version_of(league: League) -> str:
    """Changes whenever something on the league's page does."""
    meetings = league.meetings.aggregate(all=Count("pk"), ended=Max("job__finished_at"), played=Sum("job__progress"))
    votes = votes_of(league).count()
    parts = [*meetings.values(), votes, league.entrants.count(), league.plays_when_idle, league.archived_at]
    return "/".join(map(str, parts))


def last_failure(league: League) -> str:
    """Why the newest meeting came to nothing; empty if it came to something."""
    newest = (
        league.meetings.filter(job__status__in=ENDED).order_by("-created_at").values_list("job__status", "job__error")
    )
    status, error = newest.first() or ("", "")
    return error if status == JobStatus.FAILED else ""


def meetings_of(league: League, one: Entrant, other: Entrant) -> QuerySet[Meeting]:
    """What two players have played, newest first."""
    pair = Q(first=one, second=other) | Q(first=other, second=one)
    found = league.meetings.filter(pair, job__status=JobStatus.SUCCEEDED)
    return found.select_related("first", "second", "job").defer("job__payload").order_by("-created_at")


def next_ballot(voter: User, league: League) -> tuple[Meeting, int] | None:
    """A game of the league this person has not voted on, of the meeting that has the fewest votes; never of a rule's play."""
    done = league.meetings.filter(job__status=JobStatus.SUCCEEDED, first__run__isnull=False, second__run__isnull=False)
    by_votes = done.annotate(num_votes=Count("votes")).order_by("num_votes", "pk")
    for meeting in by_votes.select_related("job").defer("job__payload")[:200].iterator(chunk_size=5):
        seen = set(Vote.objects.filter(meeting=meeting, voter=voter).values_list("game", flat=True))
        for number, game in enumerate((meeting.job.result or {}).get("games", [])):
            if number not in seen and _tells_apart(game):
                return meeting, number
    return None


def _tells_apart(game: Mapping[str, Any]) -> bool:
    """Nobody can prefer one of two equal answers."""
    return "answers" not in game or game["answers"][0]["text"] != game["answers"][1]["text"]


def runs_with_leagues(user: User | AnonymousUser, workspace: Workspace) -> list[tuple[Run, int, list[dict[str, Any]]]]:
    """Runs that report leagues themselves: the run, the step of its newest league, and its first three players."""
    mine = runs_visible_to(user).filter(experiment__workspace=workspace)
    rated = Event.objects.filter(run__in=mine, kind="evaluation", data__league__has_key="players")
    newest = rated.order_by("run_id", "-seq").distinct("run_id").values_list("run_id", "step", "data__league__players")
    found = {run_id: (step, players[:3]) for run_id, step, players in newest}
    runs = mine.filter(pk__in=found).defer("spec", "traceback")
    return [(run, *found[run.pk]) for run in runs]


def playable_runs(user: User | AnonymousUser, workspace: Workspace) -> RunQuerySet:
    """Runs that a league can be made of, newest first."""
    found = runs_visible_to(user).filter(experiment__workspace=workspace).defer("traceback")
    return found.exclude(status="queued").filter(last_step__gt=0)
