"""The Arena: ratings, rings and agreement by hand; who may do what; hidden pairs that stay hidden; prompts out of samples."""

from collections.abc import Callable
from math import log10
from pathlib import Path
from typing import Any

import pytest
from django.http import Http404
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import mae_events, make_experiment, make_run, tell
from training_core.games.kuhn_poker import CARDS, Hand
from training_core.games.tic_tac_toe import TicTacToe
from training_core.spec.io import dump_dict, parse_spec
from training_core.spec.jobs import MatchJob, SayJob
from webapp.accounts.models import User
from webapp.arena import choices, duels, selectors, services
from webapp.arena.cycles import chance_of_better, cycles
from webapp.arena.disciplines import disciplines_of
from webapp.arena.drawing import Rated, draw
from webapp.arena.models import Entrant, League, Meeting, Vote
from webapp.arena.prompts import asked_in, prompts_of
from webapp.arena.standings import standings
from webapp.arena.votes import agreement_of, ballot_of, cohens_kappa, wilson
from webapp.experiments.models import Run
from webapp.experiments.services import create_share_link
from webapp.fleet.folders import run_folder
from webapp.jobs.choices import PER_PERSON, Rank
from webapp.jobs.models import Job
from webapp.jobs.weights import Moment
from webapp.workspaces.models import Workspace
from webapp.workspaces.selectors import PermissionDenied

pytestmark = pytest.mark.django_db(transaction=True)


def game_spec(game: str = "tic_tac_toe") -> dict[str, Any]:
    return {"name": "Sparring", "method": {"name": "spiral"}, "task": {"kind": "games", "games": [game]}, "steps": 40}


@pytest.fixture
def make_player(workspace: Workspace, ada: User, settings: Any, tmp_path: Path) -> Callable[..., Run]:
    """A run with checkpoints on this machine."""
    settings.ARTIFACTS_DIR = tmp_path

    def make(*steps: int, **spec: Any) -> Run:
        experiment = make_experiment(workspace, ada, **(spec or game_spec()))
        experiment.method = experiment.spec["method"]["name"]
        experiment.save()
        run = make_run(experiment, "succeeded", last_step=40)
        for step in steps:
            folder = run_folder(run.pk) / "checkpoints" / f"step-{step:06d}"
            folder.mkdir(parents=True)
            (folder / "manifest.json").write_text("{}")
        return run

    return make


@pytest.fixture
def make_league(ada: User, workspace: Workspace) -> Callable[..., League]:
    def make(*runs: Run, key: str = "") -> League:
        found = disciplines_of(runs[0])
        discipline = next((each for each in found if each.key == key), found[0])
        return services.create_league(
            actor=ada, workspace=workspace, name="Spring", runs=list(runs), discipline=discipline
        )

    return make


def finish(meeting: Meeting, points: list[float], games: list[dict[str, Any]] | None = None) -> None:
    """Store what a worker would have: the points of the first player, game by game."""
    tally = {"won": points.count(1.0), "drawn": points.count(0.5), "lost": points.count(0.0)}
    told = games or [
        {"number": n, "points": p, "first_seat": n % 2, "result": "draw", "turns": []} for n, p in enumerate(points)
    ]
    result = {"tally": tally, "games": told}
    Job.objects.filter(pk=meeting.job_id).update(status="succeeded", finished_at=timezone.now(), result=result)
    Meeting.objects.filter(pk=meeting.pk).update(num_games=len(points))


# Numbers, by hand


def test_the_chance_that_a_player_is_better() -> None:
    """With a + 1/2 wins and b + 1/2 losses: Beta(1, 1), Beta(2, 1), Beta(3, 2) and Beta(1, 2) have these shares above 1/2."""
    assert chance_of_better(0.5, 1) == pytest.approx(0.5)
    assert chance_of_better(1.5, 2) == pytest.approx(0.75)
    assert chance_of_better(2.5, 4) == pytest.approx(11 / 16)
    assert chance_of_better(0.5, 2) == pytest.approx(0.25)
    assert chance_of_better(80, 100) > 0.9999


def test_a_ring_is_found_with_the_product_of_its_chances() -> None:
    pairs = {("a", "b"): (2.5, 4.0), ("c", "b"): (1.5, 4.0), ("c", "a"): (2.5, 4.0), ("a", "d"): (4.0, 4.0)}
    (ring,) = cycles(pairs, ["a", "b", "c", "d"])
    assert ring.players == ("a", "b", "c")
    assert ring.shares == (0.625, 0.625, 0.625)
    assert ring.probability == pytest.approx((11 / 16) ** 3)
    assert cycles({**pairs, ("c", "a"): (2.0, 4.0)}, ["a", "b", "c"]) == []


def test_meetings_in_either_order_are_one_pair(make_player: Any, make_league: Any) -> None:
    """3 of 4 games and an imagined draw: 400 log10(3.5 / 1.5) above the random player."""
    league = make_league(make_player(10))
    random_player, start = (league.entrants.get(kind=kind) for kind in ("random", "start"))
    found = standings(
        list(league.entrants.all()), {(start.pk, random_player.pk): (2, 0, 0), (random_player.pk, start.pk): (1, 0, 1)}
    )
    (best, row, cells), (last, *_rest) = found.rows
    assert (best, last) == (start, random_player)
    assert row.rating == pytest.approx(1000 + 400 * log10(3.5 / 1.5))
    assert [cell.words for cell in cells] == ["", "0.75"]
    assert (cells[1].games, found.num_games) == (4, 4)


def test_ratings_are_drawn_where_a_run_has_two() -> None:
    rated = [Rated(step=step, rating=1000.0 + step, low=950.0, high=1150.0) for step in (0, 50, 100)]
    assert draw({"a": rated[:1], "b": rated[1:2]}) is None
    drawing = draw({"a": rated})
    assert drawing is not None
    marks = drawing.lines[0].marks
    assert [mark.x for mark in marks] == [drawing.left, (drawing.left + drawing.right) / 2, drawing.right]
    assert marks[0].y > marks[1].y > marks[2].y > marks[2].top
    assert [tick.words for tick in drawing.across] == ["0", "50", "100"]


def test_wilson_and_kappa() -> None:
    """8 of 10: 0.490 to 0.943. Three pairs of four alike, both say yes half the time: kappa 1/2."""
    assert wilson(8, 10) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert cohens_kappa([(True, True), (True, True), (False, False), (False, True)]) == pytest.approx(0.5)
    assert cohens_kappa([(True, True)]) is None


# Leagues


def test_a_league_takes_rules_starts_checkpoints_and_frozen_weights(make_player: Any, make_league: Any) -> None:
    spec = game_spec() | {
        "method": {"name": "spiral", "average_decay": 0.9, "reference_decay": 0.9, "loss": {"kl_coef": 0.1}}
    }
    league = make_league(make_player(10, 20, **spec))
    assert list(league.entrants.order_by("pk").values_list("kind", "name")) == [
        ("random", "random player"),
        ("perfect", "perfect player"),
        ("start", "start"),
        ("checkpoint", "step 20"),
        ("snapshot", "step 20, average"),
        ("checkpoint", "step 10"),
    ]


def test_new_checkpoints_are_taken_in_and_gone_ones_do_not_play(make_player: Any, make_league: Any, ada: User) -> None:
    run = make_player(10)
    league = make_league(run)
    folder = run_folder(run.pk) / "checkpoints"
    (folder / "step-000010" / "manifest.json").unlink()
    (folder / "step-000030").mkdir()
    (folder / "step-000030" / "manifest.json").write_text("{}")
    assert services.refresh(actor=ada, league_id=league.pk) == 1
    assert services.refresh(actor=ada, league_id=league.pk) == 0
    names = {name for m in services.play(actor=ada, league_id=league.pk) for name in (m.first.name, m.second.name)}
    assert "step 10" not in names and "step 30" in names


def test_pairs_that_played_least_meet_next_and_two_rules_never(make_player: Any, make_league: Any, ada: User) -> None:
    league = make_league(make_player(10))
    first = services.play(actor=ada, league_id=league.pk)
    assert [meeting.num_games for meeting in first] == [choices.GAMES_AT_ONCE] * 4
    for meeting in first:
        finish(meeting, [1.0, 0.0])
    second = services.play(actor=ada, league_id=league.pk, num_games=choices.GAMES_AT_ONCE)
    met = [frozenset((m.first_id, m.second_id)) for m in [*first, *second]]
    assert len(set(met)) == len(met) == 5  # of random, perfect, start, step 10 all but the two rules
    job = MatchJob.model_validate({**first[0].job.payload, "kind": "match"})
    assert job.contest.kind == "game" and job.num_games == choices.GAMES_AT_ONCE


def test_idle_workers_play_only_where_they_may_and_one_meeting_at_a_time(
    make_player: Any, make_league: Any, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    league = make_league(make_player(10))
    assert services.play_when_idle() == 0
    services.set_idle(actor=ada, league_id=league.pk, plays=True)
    assert (services.play_when_idle(), services.play_when_idle()) == (1, 0)
    job = Job.objects.get()
    assert (job.rank, job.created_by, job.is_kept) == (Rank.IDLE, None, True)
    finish(league.meetings.get(), [1.0])
    assert services.play_when_idle() == 0  # too soon
    monkeypatch.setattr(choices, "IDLE_S", 0)
    assert services.play_when_idle() == 1


def test_play_stays_within_the_quota(make_player: Any, make_league: Any, ada: User) -> None:
    leagues = [make_league(make_player(10)) for _ in range(3)]
    for league in leagues[:2]:
        services.play(actor=ada, league_id=league.pk)
    with pytest.raises(ValueError, match=f"You have {PER_PERSON} jobs"):
        services.play(actor=ada, league_id=leagues[2].pk)
    assert not leagues[2].meetings.exists()


def test_viewers_and_outsiders_may_not_play(
    make_player: Any, make_league: Any, ben: User, cyn: User, ada: User
) -> None:
    league = make_league(make_player(10))
    with pytest.raises(PermissionDenied):
        services.play(actor=ben, league_id=league.pk)
    with pytest.raises(Http404):
        services.play(actor=cyn, league_id=league.pk)
    with pytest.raises(ValueError, match="at least one run"):
        make_league_of_none = disciplines_of(make_player(10))[0]
        services.create_league(actor=ada, workspace=league.workspace, name="x", runs=[], discipline=make_league_of_none)


# Votes


@pytest.fixture
def asked(make_player: Any, make_league: Any, ada: User) -> Meeting:
    """A finished meeting of two checkpoints over four questions; the first is right in the first two."""
    league = make_league(make_player(10, 20, name="Solve", method={"name": "mae"}), key="verifier")
    pair = [league.entrants.get(name=name) for name in ("step 20", "step 10")]
    (meeting,) = [services._meet(league, (pair[0], pair[1]), actor=ada)]
    games = [
        {
            "number": n,
            "points": float(n < 2),
            "question": f"{n}+1",
            "expected": str(n + 1),
            "answers": [{"text": f"first {n}", "right": n < 2}, {"text": f"second {n}", "right": n >= 2}],
        }
        for n in range(4)
    ]
    finish(meeting, [1.0, 1.0, 0.0, 0.0], games)
    return Meeting.objects.get(pk=meeting.pk)


def test_a_voter_sees_no_name_before_and_votes_once(asked: Meeting, ben: User, client: Client) -> None:
    client.force_login(ben)  # a viewer
    page = client.get(reverse("vote", args=[asked.league_id])).content.decode()
    vote = Vote.objects.get(voter=ben)
    assert "first 0" in page and "second 0" in page
    main = page[page.index('id="ballot"') :]
    assert all(name not in main for name in ("step 20", "step 10", "verifier says", "right</p>"))
    left = ballot_of(vote).left
    assert (left.text, left.name) == (f"{'second' if vote.is_flipped else 'first'} 0", "")
    again = client.get(reverse("vote", args=[asked.league_id])).content.decode()
    assert Vote.objects.filter(voter=ben).count() == 1 and "first 0" in again
    wins = "right" if vote.is_flipped else "left"
    after = client.post(reverse("cast_vote", args=[vote.pk]), {"choice": wins}, headers={"HX-Request": "true"})
    assert "step 20" in after.content.decode() and "step 10" in after.content.decode()
    second = client.post(reverse("cast_vote", args=[vote.pk]), {"choice": "bad"}, headers={"HX-Request": "true"})
    assert "that vote stands" in second.content.decode()
    vote.refresh_from_db()
    assert (vote.choice, vote.points, vote.outcome) == (wins, 1.0, 1.0)
    assert client.post(reverse("cast_vote", args=[vote.pk]), {"choice": "x"}).status_code == 400


def test_votes_give_a_rating_of_their_own_and_an_agreement(asked: Meeting, ada: User, ben: User) -> None:
    """Ben always prefers the first player: two of his four votes agree with the verifier; ada finds all alike."""
    league = asked.league
    for _ in range(4):
        vote = services.show_ballot(voter=ben, league_id=league.pk)
        assert vote is not None
        services.cast_vote(voter=ben, vote_id=vote.pk, choice="right" if vote.is_flipped else "left")
    assert services.show_ballot(voter=ben, league_id=league.pk) is None
    vote = services.show_ballot(voter=ada, league_id=league.pk)
    assert vote is not None
    services.cast_vote(voter=ada, vote_id=vote.pk, choice="bad")
    found = agreement_of(league)
    assert (found.num_votes, found.num_compared, found.share, found.kappa) == (5, 4, 0.5, 0.0)
    assert (found.low, found.high) == wilson(2, 4)
    rows = selectors.human_standings_of(league).rows
    assert [(entrant.name, row.won, row.drawn, row.lost) for entrant, row, _ in rows] == [
        ("step 20", 4, 1, 0),
        ("step 10", 0, 1, 4),
    ]


def test_nobody_votes_for_somebody_else(asked: Meeting, ada: User, ben: User, cyn: User) -> None:
    vote = services.show_ballot(voter=ben, league_id=asked.league_id)
    assert vote is not None
    for other in (ada, cyn):
        with pytest.raises(Http404):
            services.cast_vote(voter=other, vote_id=vote.pk, choice="left")
    with pytest.raises(Http404):
        services.show_ballot(voter=cyn, league_id=asked.league_id)


# Prompts and duels


def test_a_sample_tells_what_each_role_was_asked(workspace: Workspace, ada: User) -> None:
    run = make_run(make_experiment(workspace, ada))
    tell(run, mae_events(1))
    data = run.events.filter(kind="sample").first().data
    spec = parse_spec(run.spec)
    question = data["turns"][0]["parsed"]
    proposed, solved, judged = (asked_in(spec, data, index) for index in (0, 1, 2))
    assert (proposed.name, solved.name, judged.name) == ("propose", "solve", "judge")
    assert solved.values == {"question": question}
    assert judged.values == {"question": question, "answer": data["turns"][1]["parsed"]}
    titles = {card.name: (card.title, card.fields) for card in prompts_of(spec)}
    assert titles["judge"] == ("Judge: judge", ("question", "answer"))
    assert "demonstration" not in titles


def poker_sample(*actions: str, cards: tuple[int, int] = (2, 0)) -> dict[str, Any]:
    """A hand of Kuhn poker as SPIRAL records it: a king against a jack."""
    hand, turns = Hand(cards=cards), []
    for place, action in enumerate(actions):
        hand = hand.play(action)
        turns.append(
            {"role": f"player_{place % 2}", "text": action, "parsed": action, "scene": hand.scene().model_dump()}
        )
    return {"episode": "1-0", "title": "Kuhn poker", "layout": "game", "turns": turns, "facts": {"game": "Kuhn poker"}}


def test_a_game_tells_what_the_player_saw_with_the_cards_it_had(workspace: Workspace, ada: User) -> None:
    spec = parse_spec(game_spec("kuhn_poker"))
    data = poker_sample("check", "bet", "call")
    seen = [asked_in(spec, data, index).values["code"] for index in range(3)]
    assert seen == [f"{CARDS[2]}", f"{CARDS[0]}x", f"{CARDS[2]}xb"]


def test_another_checkpoint_takes_over_a_seat_and_the_other_one_stays(make_player: Any) -> None:
    run = make_player(10, 20, **game_spec("kuhn_poker"))
    source = duels.of_sample(run, 12, poker_sample("check", "bet", "fold"))
    job = duels.swap_job(source, 2, Moment(run=run, step=20))
    assert isinstance(job, MatchJob) and job.contest.kind == "game"
    assert [made.action for made in job.contest.opening] == ["check", "bet"]
    assert (job.first.weights.name, job.second.weights.name) == ("Sparring run 1, step 20", "Sparring run 1, step 10")
    told = poker_sample("check", "bet", "call")["turns"][2:]
    result = {"tally": {"won": 5, "drawn": 0, "lost": 3}, "games": [{"turns": told, "result": "player 0 won"}]}
    line = duels.other_line(source, Job(result=result, note={"at": 2, "who": "step 20"}, status="succeeded"))
    assert line is not None
    assert line.words.startswith("Of 8 games played on from here, step 20 won 5, drew 0 and lost 3.")
    assert [(step.made, step.turn.name) for step in line.steps] == [("call", "step 20")]
    broken = poker_sample("check", "bet", "fold")
    broken["turns"][0]["parsed"] = "fold"
    with pytest.raises(ValueError, match="cannot be repeated"):
        duels.swap_job(duels.of_sample(run, 12, broken), 2, Moment(run=run, step=20))


def test_a_turn_of_a_conversation_is_answered_anew_and_rewards_flow(make_player: Any, ada: User) -> None:
    run = make_player(20, name="Solve", method={"name": "mae", "judge_temperature": 0.25})
    tell(run, mae_events(1))
    data = run.events.filter(kind="sample").first().data
    source = duels.of_sample(run, 1, data)
    job, verdict = (duels.swap_job(source, index, Moment(run=run, step=20)) for index in (1, 2))
    assert isinstance(job, SayJob) and isinstance(verdict, SayJob)
    assert (job.prompt.name, job.sampling.temperature) == ("solve", 1.0)
    assert (verdict.prompt.name, verdict.sampling.temperature) == ("judge", 0.25)
    steps = duels.steps_of(source)
    assert [gain.now for gain in steps[0].gains] == [data["turns"][0]["reward"]]
    assert steps[2].pays is not None and steps[2].pays.index == 1
    answers = [{"name": "x", "completions": [{"text": "<answer>5</answer>"}]}]
    line = duels.other_line(source, Job(result={"answers": answers}, note={"at": 1, "who": "step 20"}))
    assert line is not None
    assert "".join(piece.text for piece in line.answer) == "<answer>5</answer>"


# Pages


def test_every_page_shows_its_rows(
    asked: Meeting, make_player: Any, make_league: Any, ada: User, client: Client
) -> None:
    client.force_login(ada)
    league = make_league(make_player(10))
    board, turns = TicTacToe().start(), []
    for place in (4, 0):
        action = board.actions()[place]
        board = board.play(action)
        turns.append(
            {"role": f"player_{len(turns)}", "text": action, "parsed": action, "scene": board.scene().model_dump()}
        )
    (meeting,) = services.play(actor=ada, league_id=league.pk, num_games=16)
    told = {"number": 0, "points": 1.0, "first_seat": 1, "result": "player 1 won", "turns": turns}
    finish(meeting, [1.0], [told])
    pair = [league.pk, meeting.first_id, meeting.second_id]
    for address, words in [
        (reverse("arena"), ["Spring", "New league"]),
        (reverse("league", args=[league.pk]), ["Ratings", "1.00", "None so far", meeting.first.name]),
        (reverse("pair", args=pair), [f"{meeting.first.name} won", "2 moves"]),
        (reverse("game", args=[meeting.pk, 0]), ["Swap in another checkpoint", meeting.second.name, "Step 1 of 2"]),
        (reverse("game", args=[asked.pk, 1]), ["Expected: 2", "second 1"]),
        (reverse("export", args=[meeting.job.run_id, 10]), ["Pack it", "# Sparring run"]),
        (reverse("playground"), ["Speaks on the left", "Player 0: move"]),
    ]:
        page = client.get(address)
        assert page.status_code == 200
        assert [word for word in words if word not in page.content.decode()] == []
    address, ask_again = reverse("league", args=[league.pk]), {"HX-Request": "true"}
    seen = {"seen": selectors.version_of(league)}
    assert client.get(address, seen, headers=ask_again).status_code == 204  # nothing new, nothing sent
    services.play(actor=ada, league_id=league.pk, num_games=16)
    assert client.get(address, seen, headers=ask_again).status_code == 200
    missing = client.get(reverse("game", args=[meeting.pk, 9]))
    assert missing.status_code == 404


def test_the_playground_asks_and_shows_answers_side_by_side(make_player: Any, ada: User, client: Client) -> None:
    run = make_player(20, name="Solve", method={"name": "mae"})
    tell(run, mae_events(1))
    client.force_login(ada)
    seq = run.events.filter(kind="sample").first().seq
    opened = client.get(reverse("playground"), {"run": str(run.pk), "sample": seq, "turn": 1}).content.decode()
    question = run.events.get(seq=seq).data["turns"][0]["parsed"]
    assert question in opened
    form = {
        "run": str(run.pk),
        "left": f"{run.pk}/20/main",
        "right": f"{run.pk}/0/main",
        "prompt": "solve",
        "value_question": "3+4",
        "temperature": "0.5",
        "max_tokens": "99999",
        "logprobs": "1",
    }
    sent = client.post(reverse("playground_say"), form, headers={"HX-Request": "true"}).content.decode()
    assert "Waits for a worker" in sent
    job = Job.objects.get()
    assert (job.rank, job.payload["sampling"]["max_tokens"], job.payload["sampling"]["temperature"]) == (0, 4096, 0.5)
    said = [
        {"text": text, "ended": True, "num_tokens": 1, "logprob": -0.1, "tokens": [[text, -0.1]]}
        for text in ("seven <b>", "eight <b>")
    ]
    answers = [
        {"name": name, "prompt": "3+4", "completions": [each], "seconds": 0.1}
        for name, each in zip("AB", said, strict=True)
    ]
    Job.objects.update(status="succeeded", finished_at=timezone.now(), result={"answers": answers})
    shown = client.get(reverse("playground_answers", args=[job.pk])).content.decode()
    assert "<mark>seven</mark>" in shown and "<mark>eight</mark>" in shown and "90.5%" in shown and "&lt;b&gt;" in shown
    again = client.get(reverse("playground"), {"job": str(job.pk)}).content.decode()
    assert ">3+4</textarea>" in again and "<mark>seven</mark>" in again
    refused = client.post(reverse("playground_say"), form | {"prompt": "", "text": ""}, headers={"HX-Request": "true"})
    assert "the prompt is empty" in refused.content.decode()


def test_entrants_and_votes_read_well() -> None:
    assert str(Entrant(name="step 20")) == "step 20"
    assert str(Vote(game=3)) == "no vote on game 3"
    assert Vote().points is None


def test_specs_of_old_versions_do_not_break_the_arena(make_player: Any, ada: User, client: Client) -> None:
    run = make_player(10)
    Run.objects.filter(pk=run.pk).update(spec={**dump_dict(parse_spec(run.spec)), "unknown": 1})
    client.force_login(ada)
    assert client.get(reverse("arena")).status_code == 200
    assert client.get(reverse("playground")).status_code == 200


def test_the_runs_page_begins_its_league_and_shows_who_beats_whom(
    make_player: Any, make_league: Any, ada: User, ben: User, client: Client
) -> None:
    run = make_player(10)
    tab = reverse("run_part", args=[run.pk, "league"])
    client.force_login(ada)
    assert "No league yet" in client.get(tab).text
    form = {"run": run.pk, "discipline": disciplines_of(run)[0].key, "name": "Of this run"}
    made = client.post(reverse("new_league"), form)
    league = League.objects.get()
    assert made.headers["Location"] == reverse("league", args=[league.pk])
    (meeting,) = services.play(actor=ada, league_id=league.pk, num_games=1)
    assert "1 meeting under way" in client.get(tab).text
    finish(meeting, [1.0, 1.0, 1.0, 0.0])
    html = client.get(tab).text
    assert "over 4 games" in html
    assert reverse("pair", args=[league.pk, meeting.first_id, meeting.second_id]) in html
    assert "0.75" in html
    client.force_login(ben)
    assert "Begin a league" not in client.get(tab).text
    _, secret = create_share_link(actor=ada, run_id=run.pk)
    client.logout()
    assert "Of this run" not in client.get(reverse("share_part", args=[secret, "league"])).text
