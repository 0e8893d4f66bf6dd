"""The Arena as a person uses it: speak, look at a league, step through a game, vote by keys and by thumb."""

from typing import Any

from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.factories import make_experiment, make_run
from training_core.games.tic_tac_toe import TicTacToe
from webapp.accounts.models import User
from webapp.arena.disciplines import disciplines_of
from webapp.arena.models import Entrant, League, Meeting
from webapp.arena.services import create_league
from webapp.fleet.folders import run_folder
from webapp.jobs.models import Job
from webapp.workspaces.models import Workspace


def told_league(workspace: Workspace, ada: User) -> tuple[League, Meeting]:
    """Two checkpoints and the start at tic-tac-toe; every pair has met in two games."""
    spec = {"name": "Sparring", "method": {"name": "spiral"}, "task": {"kind": "games", "games": ["tic_tac_toe"]}}
    experiment = make_experiment(workspace, ada, **spec)
    run = make_run(experiment, "succeeded", last_step=40)
    for step in (20, 40):
        folder = run_folder(run.pk) / "checkpoints" / f"step-{step:06d}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    (discipline,) = disciplines_of(run)
    league = create_league(actor=ada, workspace=workspace, name="Spring", runs=[run], discipline=discipline)
    new, old, start = (league.entrants.get(name=name) for name in ("step 40", "step 20", "start"))
    meeting = meet(league, new, old, 1.0)
    meet(league, old, start, 1.0)
    meet(league, start, new, 1.0)  # a ring
    return league, meeting


def meet(league: League, first: Entrant, second: Entrant, points: float) -> Meeting:
    board, turns = TicTacToe().start(), []
    for place in (4, 0, 0):
        action = board.actions()[place]
        board = board.play(action)
        scene = board.scene().model_dump(mode="json")
        turns.append({"role": f"player_{len(turns) % 2}", "text": action, "parsed": action, "scene": scene})
    games: list[dict[str, Any]] = [
        {"number": n, "points": points, "first_seat": 0, "result": "player 0 won", "turns": turns} for n in range(2)
    ]
    result = {"tally": {"won": 2, "drawn": 0, "lost": 0}, "games": games}
    ended = {"status": "succeeded", "finished_at": timezone.now(), "result": result}
    job = Job.objects.create(kind="match", payload={}, workspace=league.workspace, **ended)
    return Meeting.objects.create(league=league, first=first, second=second, job=job, num_games=2)


def test_the_arena_by_mouse_keys_and_thumb(
    visit: Visit, phone: Visit, workspace: Workspace, ada: User, settings: Any, tmp_path: Any
) -> None:
    settings.ARTIFACTS_DIR = tmp_path
    league, meeting = told_league(workspace, ada)
    page = visit.sign_in(ada).goto("/arena/")
    expect(page.get_by_role("link", name="Spring")).to_be_visible()
    visit.expect_accessible()

    page.get_by_role("link", name="Spring").click()
    expect(page.get_by_text("likely real, p = ")).to_be_visible()
    page.get_by_text("As a table").click()
    visit.expect_accessible()
    page.locator(".heat__link").first.click()
    page.locator("tbody th a").first.click()

    expect(page.locator("[data-steps][data-stepping]")).to_be_visible()
    expect(page.locator("[data-place]")).to_have_text("Step 1 of 3")
    page.locator("[data-step]").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-place]")).to_have_text("Step 2 of 3")
    page.locator(".duel__step[data-open] .swap summary").click()
    visit.expect_accessible()
    page.locator(".duel__step[data-open] .swap button").click()
    expect(page.get_by_text("Waits for a worker; none is running.")).to_be_visible()
    job = Job.objects.get(status="queued")
    assert [made["action"] for made in job.payload["contest"]["opening"]] == [
        meeting.job.result["games"][0]["turns"][0]["parsed"]
    ]
    Job.objects.filter(pk=job.pk).update(status="succeeded", finished_at=timezone.now(), result=meeting.job.result)
    expect(page.get_by_text("Of 2 games played on from here")).to_be_visible()

    page.goto(f"{visit.site}/arena/playground/")
    page.select_option("#bench-prompt", "")
    page.locator("#bench-text").fill("Hello")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status").get_by_text("Waits for a worker")).to_be_visible()
    said = [{"text": f"I am {word}", "ended": True, "num_tokens": 2, "logprob": -1.0} for word in ("new", "old")]
    answers = [
        {"name": n, "prompt": "Hello", "completions": [s], "seconds": 0.1} for n, s in zip("AB", said, strict=True)
    ]
    Job.objects.filter(kind="say").update(status="succeeded", finished_at=timezone.now(), result={"answers": answers})
    expect(page.locator("mark")).to_have_text(["new", "old"])
    visit.expect_accessible()

    page = phone.sign_in(ada).goto(f"/arena/leagues/{league.pk}/vote/")
    expect(page.get_by_text("Who played better?")).to_be_visible()
    for name in ("step 40", "step 20"):
        expect(page.locator("#ballot").get_by_text(name)).to_have_count(0)
    phone.expect_no_sideways_scroll()
    phone.expect_accessible()
    page.get_by_role("button", name="Both good").tap()
    expect(page.get_by_text("You said: both are as good.")).to_be_visible()
    page.get_by_role("link", name="Next pair").tap()
    expect(page.locator("[data-ballot]:has([data-key='1']) [data-stepping]")).to_be_visible()
    page.keyboard.press("1")
    expect(page.get_by_text("You said: left is better.")).to_be_visible()
    phone.goto(f"/arena/leagues/{league.pk}/")
    phone.expect_no_sideways_scroll()
