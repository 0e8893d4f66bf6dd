"""The Arena: leagues of checkpoints, duels step by step, the playground, and votes of people who do not know whose text they read."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from training_core.spec.io import SpecError
from webapp.arena import duels, selectors, services
from webapp.arena.choices import GAMES_ASKED, Choice
from webapp.arena.disciplines import disciplines_of
from webapp.arena.models import Entrant, League, Meeting
from webapp.arena.playground import Bench, columns, read_bench, say_job
from webapp.arena.votes import agreement_of, ballot_of
from webapp.experiments.models import Run
from webapp.experiments.selectors import run_for, runs_visible_to
from webapp.jobs import services as jobs
from webapp.jobs.asking import read_job
from webapp.jobs.cards import model_card
from webapp.jobs.choices import JobKind, Rank
from webapp.jobs.models import Job
from webapp.jobs.selectors import has_file, job_for, jobs_visible_to, own_jobs, waiting_words
from webapp.jobs.weights import Moment, moment_of, moments_of, read_key
from webapp.pages.requests import signed_in
from webapp.telemetry.selectors import sample as sample_event
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import can_edit, current_workspace, require_edit

HISTORY = 20
PAIR_MEETINGS = 20


# Leagues


@require_GET
@login_required
def arena(request: HttpRequest) -> HttpResponse:
    """The workspace's leagues, those that runs report themselves, and the way to a new one."""
    workspace = current_workspace(request)
    if workspace is None:
        return render(request, "arena/arena.html", {"workspace": None})
    runs = list(selectors.playable_runs(request.user, workspace)[:60])
    chosen = _chosen(request, runs)
    context = {
        "workspace": workspace,
        "may_edit": can_edit(request.user, workspace),
        "leagues": selectors.leagues_in(request.user, workspace),
        "reported": selectors.runs_with_leagues(request.user, workspace),
        "runs": runs,
        "chosen": chosen,
        "disciplines": disciplines_of(chosen) if chosen else [],
        "alike": [
            run for run in runs if chosen and run.pk != chosen.pk and run.spec.get("task") == chosen.spec.get("task")
        ],
    }
    return render(request, "arena/_new_league.html" if _is_htmx(request) else "arena/arena.html", context)


@require_POST
@login_required
def new_league(request: HttpRequest) -> HttpResponse:
    """A league of the chosen runs' checkpoints at what the first of them plays."""
    person, workspace = signed_in(request), current_workspace(request)
    if workspace is None:
        return redirect("new_workspace")
    require_edit(person, workspace)
    try:
        runs = [
            run_for(person, key) for key in [request.POST.get("run", ""), *request.POST.getlist("also")] if _is_id(key)
        ]
        key = _text(request.POST, "discipline")
        discipline = next((each for run in runs[:1] for each in disciplines_of(run) if each.key == key), None)
        if discipline is None:
            raise ValueError("Choose a run, and what its checkpoints are to meet at.")
        name = _text(request.POST, "name") or f"{runs[0].experiment.name}: {discipline.title}"
        league = services.create_league(actor=person, workspace=workspace, name=name, runs=runs, discipline=discipline)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("arena")
    return redirect("league", league.pk)


@require_GET
@login_required
def league(request: HttpRequest, league_id: UUID) -> HttpResponse:
    """One league: ratings, who beats whom, rings, ratings over steps, and what people prefer."""
    found = selectors.league_for(request.user, league_id)
    if _is_htmx(request) and request.GET.get("seen") == selectors.version_of(found):
        return HttpResponse(status=204)
    part = "arena/_league.html" if _is_htmx(request) else "arena/league.html"
    return render(request, part, _league(request, found))


@require_POST
@login_required
def league_action(request: HttpRequest, league_id: UUID, action: str) -> HttpResponse:
    """Play, take in new checkpoints, let idle workers play or not, or archive."""
    person = signed_in(request)
    try:
        if action == "play":
            meetings = services.play(actor=person, league_id=league_id)
            messages.success(request, f"{sum(meeting.num_games for meeting in meetings)} games are on their way.")
        elif action == "refresh":
            added = services.refresh(actor=person, league_id=league_id)
            messages.success(
                request, f"{added} new checkpoint{'s' * (added != 1)} take part." if added else "Nothing new was saved."
            )
        elif action == "idle":
            services.set_idle(actor=person, league_id=league_id, plays=request.POST.get("plays") == "1")
        else:
            services.archive_league(actor=person, league_id=league_id)
            messages.success(request, "The league is archived. Its games keep their addresses.")
            return redirect("arena")
    except ValueError as error:
        messages.error(request, str(error))
    return redirect("league", league_id)


@require_GET
@login_required
def pair(request: HttpRequest, league_id: UUID, one: int, other: int) -> HttpResponse:
    """Every game of two players of a league."""
    found = selectors.league_for(request.user, league_id)
    first, second = selectors.entrant_in(found, one), selectors.entrant_in(found, other)
    meetings = selectors.meetings_of(found, first, second)[:PAIR_MEETINGS]
    context = {
        "league": found,
        "one": first,
        "other": second,
        "meetings": [_seen_by(each, first.pk) for each in meetings],
    }
    return render(request, "arena/pair.html", context)


def _league(request: HttpRequest, found: League) -> dict[str, Any]:
    return {
        "league": found,
        "version": selectors.version_of(found),
        "may_edit": can_edit(request.user, found.workspace),
        "standings": selectors.standings_of(found),
        "human": selectors.human_standings_of(found),
        "agreement": agreement_of(found),
        "under_way": selectors.under_way(found),
        "failure": selectors.last_failure(found),
        "entrants": found.entrants.select_related("run__experiment").order_by("pk"),
        "games_asked": GAMES_ASKED,
    }


def _chosen(request: HttpRequest, runs: list[Run]) -> Run | None:
    wanted = request.GET.get("run", "")
    if _is_id(wanted):
        return next((run for run in runs if str(run.pk) == wanted), None) or run_for(request.user, wanted)
    return runs[0] if runs else None


def _seen_by(meeting: Meeting, entrant_id: int) -> dict[str, Any]:
    """The games of a meeting with the points of one of its players."""
    turned = meeting.first_id != entrant_id
    games = (meeting.job.result or {}).get("games", [])
    rows = [
        game
        | {"own_points": 1 - game["points"] if turned else game["points"]}
        | ({"words": duels.outcome_words(meeting, game)} if "turns" in game else {})
        for game in games
    ]
    return {"meeting": meeting, "games": rows}


# Duels


@require_GET
@login_required
def game(request: HttpRequest, meeting_id: int, number: int) -> HttpResponse:
    """One game of a meeting, step by step; or one question with both answers."""
    meeting = selectors.meeting_for(request.user, meeting_id)
    told = _game_of(meeting, number)
    root = {"crumb": str(meeting.league), "crumb_url": reverse("league", args=[meeting.league_id])}
    names = f"{meeting.first} against {meeting.second}"
    if "turns" not in told:
        answers = [
            {"entrant": entrant, **answer}
            for entrant, answer in zip((meeting.first, meeting.second), told["answers"], strict=True)
        ]
        return render(
            request,
            "arena/question.html",
            {**root, "meeting": meeting, "game": told, "answers": answers, "title": names},
        )
    context = _duel(request, duels.of_meeting(meeting, told), meeting.league.workspace)
    swap = reverse("game_swap", args=[meeting_id, number])
    return render(
        request,
        "arena/duel.html",
        {
            **root,
            **context,
            "title": f"{names}: {duels.outcome_words(meeting, told)}",
            "swap_url": swap,
            "is_met": True,
        },
    )


@require_GET
@login_required
def duel(request: HttpRequest, run_id: UUID, seq: int) -> HttpResponse:
    """A sample of a run, step by step."""
    run = run_for(request.user, run_id)
    event = sample_event(run, seq)
    context = _duel(request, duels.of_sample(run, event.step, event.data), run.experiment.workspace)
    title = f"Sample {event.data['episode']}: {event.data['title']}"
    root = {"crumb": f"{run.experiment.name} run {run.number}", "crumb_url": reverse("run", args=[run_id])}
    swap = reverse("duel_swap", args=[run_id, seq])
    return render(request, "arena/duel.html", {**root, **context, "title": title, "swap_url": swap})


@require_POST
@login_required
def game_swap(request: HttpRequest, meeting_id: int, number: int) -> HttpResponse:
    """Let another checkpoint take over a seat of a meeting's game."""
    meeting = selectors.meeting_for(request.user, meeting_id)
    told = _game_of(meeting, number)
    if "turns" not in told:
        raise Http404("Questions have no moves to take over.")
    seats = (meeting.first, meeting.second) if told["first_seat"] == 0 else (meeting.second, meeting.first)
    others = {f"player_{seat}": entrant for seat, entrant in enumerate(seats)}
    back = reverse("game", args=[meeting_id, number])
    return _swap(request, duels.of_meeting(meeting, told), back, meeting.league.workspace, others=others)


@require_POST
@login_required
def duel_swap(request: HttpRequest, run_id: UUID, seq: int) -> HttpResponse:
    """Let another checkpoint take over a role of a sample."""
    run = run_for(request.user, run_id)
    event = sample_event(run, seq)
    source = duels.of_sample(run, event.step, event.data)
    return _swap(request, source, reverse("duel", args=[run_id, seq]), run.experiment.workspace)


def _swap(
    request: HttpRequest,
    source: duels.Source,
    back: str,
    workspace: Workspace,
    *,
    others: dict[str, Entrant] | None = None,
) -> HttpResponse:
    person = signed_in(request)
    require_edit(person, workspace)
    try:
        run_id, step, policy = read_key(_text(request.POST, "weights"))
        moment = moment_of(run_for(person, run_id), step, policy)
        at = int(request.POST.get("turn", "-1")) if request.POST.get("turn", "").isdigit() else -1
        job = duels.swap_job(source, at, moment, others=others)
        note = {"at": at, "who": moment.short}
        asked = jobs.ask(actor=person, workspace=workspace, job=job, run=source.spec_of, note=note, rank=Rank.AT_ONCE)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect(back)
    return redirect(f"{back}?line={asked.pk}#other-line")


def _duel(request: HttpRequest, source: duels.Source, workspace: Workspace) -> dict[str, Any]:
    wanted = request.GET.get("line", "")
    line = duels.other_line(source, job_for(request.user, wanted)) if _is_id(wanted) else None
    return {
        "steps": duels.steps_of(source),
        "is_game": source.is_game,
        "line": line,
        "waiting": waiting_words(line.job) or line.job.progress_text if line else "",
        "moments": _swappable(request, source, workspace) if can_edit(request.user, workspace) else [],
    }


def _swappable(request: HttpRequest, source: duels.Source, workspace: Workspace) -> list[Moment]:
    """Weights that may take over: the run's own, and the newest of other runs of its task."""
    run = source.spec_of
    if run is None:
        return []
    task = run.spec.get("task")
    others = (
        runs_visible_to(request.user).filter(experiment__workspace=workspace, spec__task=task).exclude(pk=run.pk)[:10]
    )
    try:
        return [*moments_of(run), *(moment for other in others for moment in moments_of(other)[:1])]
    except SpecError:  # of an older version, so it cannot be loaded
        return []


def _game_of(meeting: Meeting, number: int) -> dict[str, Any]:
    games: list[dict[str, Any]] = (meeting.job.result or {}).get("games", [])
    if not 0 <= number < len(games):
        raise Http404("This meeting has no such game.")
    return games[number]


# Votes


@require_GET
@login_required
def vote(request: HttpRequest, league_id: UUID) -> HttpResponse:
    """The next hidden pair, or what there is to know once there is none left."""
    person = signed_in(request)
    found = selectors.league_for(person, league_id)
    shown = services.show_ballot(voter=person, league_id=league_id)
    context = {"league": found, "ballot": ballot_of(shown) if shown else None, "agreement": agreement_of(found)}
    response = render(request, "arena/_ballot.html" if _is_htmx(request) else "arena/vote.html", context)
    add_never_cache_headers(response)
    return response


@require_POST
@login_required
def cast_vote(request: HttpRequest, vote_id: int) -> HttpResponse:
    """Count a vote; only now the names are shown."""
    choice = _text(request.POST, "choice")
    if choice not in Choice.values:
        return HttpResponseBadRequest("Say which is better: left, right, tie or bad.")
    cast, counted = services.cast_vote(voter=signed_in(request), vote_id=vote_id, choice=choice)
    found = cast.meeting.league
    context = {
        "league": found,
        "ballot": ballot_of(cast),
        "cast": cast,
        "counted": counted,
        "agreement": agreement_of(found),
    }
    if _is_htmx(request):
        return render(request, "arena/_ballot.html", context)
    return redirect("vote", found.pk)


# Export


@require_http_methods(["GET", "POST"])
@login_required
def export(request: HttpRequest, run_id: UUID, step: int) -> HttpResponse:
    """A checkpoint as a Hugging Face folder: its card, what is being packed, and what can be downloaded."""
    person, run = signed_in(request), run_for(request.user, run_id)
    here = reverse("export", args=[run_id, step])
    if request.method == "POST":
        require_edit(person, run.experiment.workspace)
        payload = {
            "weights": {"run": str(run_id), "step": step, "policy": _text(request.POST, "policy")},
            "form": "adapter" if request.POST.get("form") == "adapter" else "merged",
        }
        try:
            job = read_job(person, "export", payload).job
            asked = jobs.ask(actor=person, workspace=run.experiment.workspace, job=job, run=run, note={"step": step})
        except ValueError as error:
            messages.error(request, str(error))
            return redirect(here)
        return redirect(f"{here}?job={asked.pk}")
    context = {"run": run, "step": step, **_export(request, run, step)}
    response = render(request, "arena/_export.html" if _is_htmx(request) else "arena/export.html", context)
    add_never_cache_headers(response)
    return response


def _export(request: HttpRequest, run: Run, step: int) -> dict[str, Any]:
    try:
        moments = [moment for moment in moments_of(run) if moment.step == step]
    except SpecError:
        moments = []
    if not moments:
        raise Http404("This run has no such checkpoint to load any more.")
    made = jobs_visible_to(request.user).filter(run=run, kind=JobKind.EXPORT, note__step=step)[:5]
    return {
        "moments": moments,
        "has_adapter": bool(run.spec["model"].get("adapter")) and step > 0,
        "card": model_card(moments[0]),
        "may_edit": can_edit(request.user, run.experiment.workspace),
        "exports": [{"job": job, "is_there": has_file(job), "waiting": waiting_words(job)} for job in made],
        "is_waiting": any(not job.is_ended for job in made),
    }


# Playground


@require_GET
@login_required
def playground(request: HttpRequest) -> HttpResponse:
    """Speak in any role with any checkpoint, beside another one; ``job`` opens an earlier exchange."""
    job = job_for(request.user, request.GET["job"]) if _is_id(request.GET.get("job", "")) else None
    remembered = job is not None and job.kind == JobKind.SAY and job.created_by == request.user
    bench = read_bench(signed_in(request), current_workspace(request), job.note if job and remembered else request.GET)
    context = _playground(request, bench) | {"job": job if remembered else None}
    if job is not None and remembered:
        context |= _answers(job)
    return render(request, "arena/_bench.html" if _is_htmx(request) else "arena/playground.html", context)


@require_POST
@login_required
def say(request: HttpRequest) -> HttpResponse:
    """Send what the form holds; answers with the place where the answers will stand."""
    person = signed_in(request)
    bench = read_bench(person, current_workspace(request), request.POST)
    try:
        job = say_job(person, bench)
        assert bench.run is not None
        asked = jobs.ask(
            actor=person, workspace=bench.run.experiment.workspace, job=job, run=bench.run, note=bench.note()
        )
    except ValueError as error:
        if _is_htmx(request):
            return render(request, "arena/_answers.html", {"refusal": str(error)})
        messages.error(request, str(error))
        return redirect("playground")
    if _is_htmx(request):
        return render(request, "arena/_answers.html", _answers(asked))
    return redirect(f"{reverse('playground')}?job={asked.pk}")


@require_GET
@login_required
def answers(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """The answers of an exchange, or how far they are."""
    response = render(request, "arena/_answers.html", _answers(job_for(request.user, job_id)))
    add_never_cache_headers(response)
    return response


def _playground(request: HttpRequest, bench: Bench) -> dict[str, Any]:
    person, workspace = signed_in(request), current_workspace(request)
    run = bench.run
    return {
        "bench": bench,
        "may_edit": run is not None and can_edit(request.user, run.experiment.workspace),
        "history": [] if workspace is None else own_jobs(person, workspace, JobKind.SAY)[:HISTORY],
    }


def _answers(job: Job) -> dict[str, Any]:
    return {"job": job, "columns": columns(job), "waiting": job.progress_text or waiting_words(job)}


def _is_htmx(request: HttpRequest) -> bool:
    return bool(getattr(request, "htmx", False))


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _text(data: QueryDict, name: str, longest: int = 200) -> str:
    return data.get(name, "")[:longest]
