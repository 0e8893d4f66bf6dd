"""Every write to leagues, entrants, meetings and votes."""

import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.http import Http404
from django.utils import timezone

from training_core.spec.jobs import MatchJob
from training_core.spec.learning import SamplingSpec
from webapp.accounts.models import User
from webapp.arena import choices
from webapp.arena.choices import Choice, EntrantKind
from webapp.arena.disciplines import Discipline, field_of
from webapp.arena.models import Entrant, League, Meeting, Vote
from webapp.arena.selectors import games_by_pair, is_playable, league_for, next_ballot
from webapp.experiments.models import Run
from webapp.jobs import services as jobs
from webapp.jobs.asking import parse_job
from webapp.jobs.choices import ENDED, Rank
from webapp.jobs.weights import Moment
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import require_edit
from webapp.workspaces.services import record


@transaction.atomic(durable=True)
def create_league(
    *, actor: User, workspace: Workspace, name: str, runs: Sequence[Run], discipline: Discipline
) -> League:
    """A league of the checkpoints of these runs, what they began with, and the rules that can play."""
    require_edit(actor, workspace)
    name = " ".join(name.split())[:120]
    if not name:
        raise ValueError("A league needs a name.")
    if not runs:
        raise ValueError("Choose at least one run whose checkpoints take part.")
    if any(run.experiment.workspace_id != workspace.pk for run in runs):
        raise ValueError("All runs of a league belong to one workspace.")
    league = League.objects.create(
        workspace=workspace,
        name=name,
        contest=discipline.contest,
        sampling=SamplingSpec(temperature=discipline.temperature, max_tokens=discipline.max_tokens).model_dump(
            mode="json"
        ),
        created_by=actor,
    )
    league.runs.set(runs)
    _enter(league, runs)
    if league.entrants.count() < 2:
        raise ValueError("A league needs two players; these runs have no checkpoint to load yet.")
    record(actor=actor, action="league.created", obj=league, workspace=workspace, detail={"name": name})
    return league


@transaction.atomic(durable=True)
def refresh(*, actor: User, league_id: UUID) -> int:
    """Let checkpoints take part that were saved meanwhile; returns how many."""
    league = _locked(actor, league_id)
    before = league.entrants.count()
    _enter(league, list(league.runs.select_related("experiment")))
    return league.entrants.count() - before


@transaction.atomic(durable=True)
def set_idle(*, actor: User, league_id: UUID, plays: bool) -> League:
    """Whether workers play a little for the league whenever they have nothing else to do."""
    league = _locked(actor, league_id)
    if league.plays_when_idle != plays:
        league.plays_when_idle = plays
        league.save(update_fields=["plays_when_idle"])
        record(actor=actor, action="league.idle_changed", obj=league, workspace=league.workspace, detail={"on": plays})
    return league


@transaction.atomic(durable=True)
def archive_league(*, actor: User, league_id: UUID) -> League:
    """Take a league out of the lists; doing it twice is not an error."""
    league = _locked(actor, league_id)
    if league.archived_at is None:
        league.archived_at, league.plays_when_idle = timezone.now(), False
        league.save(update_fields=["archived_at", "plays_when_idle"])
        record(actor=actor, action="league.archived", obj=league, workspace=league.workspace)
    return league


@transaction.atomic(durable=True)
def play(*, actor: User, league_id: UUID, num_games: int = choices.GAMES_ASKED) -> list[Meeting]:
    """Let the pairs that have played least meet, ``num_games`` games in all."""
    league = _locked(actor, league_id)
    pairs = _pairs_to_play(league, count=max(1, num_games // choices.GAMES_AT_ONCE))
    if not pairs:
        raise ValueError("No two players of this league can be loaded any more; their checkpoints are gone.")
    return [_meet(league, pair, actor=actor) for pair in pairs]


@transaction.atomic
def play_when_idle() -> int:
    """One meeting for each league that lets idle workers play and has none under way; returns how many."""
    leagues = League.objects.select_for_update(skip_locked=True, of=("self",))
    played = 0
    for league in leagues.filter(plays_when_idle=True, archived_at=None).select_related("workspace"):
        recent = league.meetings.filter(created_at__gt=Now() - timedelta(seconds=choices.IDLE_S))
        if recent.exists() or league.meetings.exclude(job__status__in=ENDED).exists():
            continue
        for pair in _pairs_to_play(league, count=1, below=choices.IDLE_GAMES_PER_PAIR):
            _meet(league, pair, actor=None)
            played += 1
    return played


def _enter(league: League, runs: Sequence[Run]) -> None:
    """Enter whoever of the field is not in the league yet."""
    there = set(league.entrants.values_list("kind", "run_id", "step", "policy"))
    names = set(league.entrants.values_list("name", flat=True))
    many = len(runs) > 1
    for kind, moment in field_of(league.contest, runs, most=choices.MAX_ENTRANTS - len(there)):
        key = (
            str(kind),
            moment.run.pk if moment else None,
            moment.step if moment else 0,
            moment.policy if moment else "main",
        )
        if key in there:
            continue
        name = EntrantKind(kind).label.lower() if moment is None else moment.name if many else moment.short
        while name in names:
            name = f"{name} (again)"
        names.add(name)
        Entrant.objects.create(
            league=league, kind=kind, name=name[:200], run=moment.run if moment else None, step=key[2], policy=key[3]
        )


def _pairs_to_play(league: League, *, count: int, below: int | None = None) -> list[tuple[Entrant, Entrant]]:
    """Pairs of players that can be loaded, fewest games first; which comes first among equals is drawn."""
    playable = [each for each in league.entrants.select_related("run__experiment") if is_playable(each)]
    games = games_by_pair(league, with_waiting=True)
    rng = random.Random()
    rules = {EntrantKind.RANDOM, EntrantKind.PERFECT}
    pairs = [pair for pair in combinations(playable, 2) if not {pair[0].kind, pair[1].kind} <= rules]
    counted = [(games.get(frozenset((a.pk, b.pk)), 0), rng.random(), (a, b)) for a, b in pairs]
    return [pair for num, _, pair in sorted(counted, key=lambda each: each[:2]) if below is None or num < below][:count]


def _meet(league: League, pair: tuple[Entrant, Entrant], *, actor: User | None) -> Meeting:
    first, second = pair
    payload = {
        "first": player_of(first),
        "second": player_of(second),
        "contest": league.contest,
        "sampling": league.sampling,
        "num_games": choices.GAMES_AT_ONCE,
        "seed": league.meetings.count(),
    }
    job = parse_job("match", payload)
    assert isinstance(job, MatchJob)
    asked = jobs.ask(
        actor=actor,
        workspace=league.workspace,
        job=job,
        run=first.run or second.run,
        rank=Rank.ASKED if actor else Rank.IDLE,
        keep=True,
    )
    return Meeting.objects.create(league=league, first=first, second=second, job=asked, num_games=choices.GAMES_AT_ONCE)


def player_of(entrant: Entrant) -> dict[str, Any]:
    """The entrant as a player of a match."""
    if entrant.run is None:
        return {"kind": str(entrant.kind)}
    moment = Moment(run=entrant.run, step=entrant.step, policy=entrant.policy)
    weights = moment.weights().model_copy(update={"name": entrant.name})
    return {"kind": "weights", "weights": weights.model_dump(mode="json")}


def _locked(actor: User, league_id: UUID) -> League:
    """The league, locked for change: 404 for outsiders, 403 for viewers."""
    league = league_for(actor, league_id)
    require_edit(actor, league.workspace)
    return League.objects.select_for_update(of=("self",)).select_related("workspace").get(pk=league.pk)


# Votes


def show_ballot(*, voter: User, league_id: UUID) -> Vote | None:
    """The next pair for this person with its sides drawn; the same again until they have voted. None where none is left."""
    league = league_for(voter, league_id)
    open_vote = Vote.objects.filter(voter=voter, meeting__league=league, choice="").order_by("shown_at").first()
    if open_vote is not None:
        return open_vote
    found = next_ballot(voter, league)
    if found is None:
        return None
    meeting, game = found
    try:
        with transaction.atomic():
            flipped = bool(random.SystemRandom().getrandbits(1))
            return Vote.objects.create(meeting=meeting, game=game, voter=voter, is_flipped=flipped)
    except IntegrityError:  # the same person in two windows
        return Vote.objects.filter(voter=voter, meeting=meeting, game=game).first()


def cast_vote(*, voter: User, vote_id: int, choice: str) -> tuple[Vote, bool]:
    """Count what the person prefers; whether it counted, as a second vote on the same pair does not. Viewers may vote."""
    if choice not in Choice.values:
        raise ValueError("Say which is better: left, right, tie or bad.")
    mine = Vote.objects.filter(pk=vote_id, voter=voter)
    vote = mine.select_related("meeting__league", "meeting__first", "meeting__second", "meeting__job").first()
    if vote is None:
        raise Http404("There is no such pair to vote on.")
    league_for(voter, vote.meeting.league_id)
    outcome = vote.meeting.job.result["games"][vote.game]["points"] if vote.meeting.job.result else None
    counted = mine.filter(choice="").update(choice=choice, voted_at=Now(), outcome=outcome)
    vote.refresh_from_db()
    return vote, bool(counted)
