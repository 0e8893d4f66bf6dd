"""One of everything a person can own on the site, for tests that go through all of it."""

from typing import Any

from django.utils import timezone

from tests.factories import mae_events, make_experiment, make_run, tell
from training_core.spec.io import parse_spec
from webapp.accounts.models import User
from webapp.accounts.services import create_sign_in_link, create_token
from webapp.arena.disciplines import Discipline
from webapp.arena.models import Meeting, Vote
from webapp.arena.services import create_league
from webapp.compare.services import save_view
from webapp.experiments.rehearsal_services import start_rehearsal
from webapp.experiments.services import create_share_link
from webapp.experiments.template_services import save_template
from webapp.external.services import begin_external_run
from webapp.fleet.models import Worker
from webapp.jobs.asking import read_job
from webapp.jobs.folders import job_folder
from webapp.jobs.models import Job
from webapp.jobs.services import ask
from webapp.jobs.weights import Moment
from webapp.library.models import Dataset
from webapp.library.rubric_services import create_rubric
from webapp.notices.models import AlertRule, Channel
from webapp.orders.services import change_pool
from webapp.reports.services import create_report, create_report_link
from webapp.review.services import add_comment, give_verdict, grade_run_again, make_calibration_set
from webapp.sources.services import keep
from webapp.workspaces.models import Workspace
from webapp.workspaces.vault import set_secret

MAE = {"method": {"name": "mae"}}
_TIC_TAC_TOE = Discipline(
    key="game:tic_tac_toe",
    title="Tic-tac-toe",
    contest={"kind": "game", "game": "tic_tac_toe", "max_turns": 9, "opening": []},
    max_tokens=8,
)
_MOVES = [{"role": "player_0", "text": "5", "parsed": "center"}]


def make_world(*, ada: User, ben: User, workspace: Workspace) -> dict[str, Any]:
    """One of everything, all of it ada's, by the names that addresses call it; ``ARTIFACTS_DIR`` is a folder of the tests."""
    User.objects.create_user("dora@example.org")
    experiment = make_experiment(workspace, ada)
    run = make_run(experiment, code={"version": keep({"mae.py": "lr = 2\n", "train.py": "lr = 2\n"}), "file": "mae.py"})
    tell(run, mae_events(3))
    token, _ = create_token(user=ada, name="ada's")
    link, share_secret = create_share_link(actor=ada, run_id=run.pk)
    asked = read_job(ada, "say", {"speakers": [{"run": str(run.pk), "step": 0}], "prompt": {"text": "Hi"}})
    job = ask(actor=ada, workspace=workspace, job=asked.job, run=run)
    made = {"file": "m.zip", "num_bytes": 1, "files": []}
    ended = {"status": "succeeded", "finished_at": timezone.now(), "result": made}
    export = Job.objects.create(kind="export", payload={}, workspace=workspace, run=run, created_by=ada, **ended)
    job_folder(export.pk).mkdir(parents=True)
    (job_folder(export.pk) / "m.zip").write_bytes(b"x")
    league = create_league(actor=ada, workspace=workspace, name="League", runs=[run], discipline=_TIC_TAC_TOE)
    start, chance = (league.entrants.get(kind=kind) for kind in ("start", "random"))
    games = [{"number": 0, "points": 1.0, "first_seat": 0, "result": "player 0 won", "turns": _MOVES}]
    result = {"tally": {"won": 1, "drawn": 0, "lost": 0}, "games": games}
    played = Job.objects.create(kind="match", payload={}, workspace=workspace, **ended | {"result": result})
    meeting = Meeting.objects.create(league=league, first=start, second=chance, job=played, num_games=1)
    report = create_report(actor=ada, workspace=workspace, title="About it", runs=[run])
    report_link, report_secret = create_report_link(actor=ada, report_id=report.pk)
    give_verdict(actor=ada, run_id=run.pk, episode="2-0", turn=1, label="right", saw_judge=True)
    change_pool(actor=ada, run_id=run.pk, action="remove", question="3+4")
    worker = Worker.objects.create(name="w", host="h", boot_id="b", pid=1, start_ticks=1, last_beat_at=timezone.now())
    return {
        "experiment": experiment.pk,
        "run": run.pk,
        "paused_run": make_run(experiment, "paused").pk,
        "seq": run.events.filter(kind="sample").values_list("seq", flat=True)[0],
        "group_key": run.samples.values_list("group_key", flat=True)[0],
        "job": job.pk,
        "league": league.pk,
        "start": start.pk,
        "random": chance.pk,
        "meeting": meeting.pk,
        "vote": Vote.objects.create(meeting=meeting, game=0, voter=ben, is_flipped=False).pk,
        "export": export.pk,
        "token": token.pk,
        "secret": set_secret(workspace=workspace, actor=ada, name="HF_TOKEN", value="hf_abcdefgh").name,
        "alert_rule": AlertRule.objects.create(user=ada, metric="reward/solver", side="below", threshold=0.3).pk,
        "channel": Channel.objects.create(user=ada, kind="email", address="ada@example.org", kinds=["failed"]).pk,
        "report": report.pk,
        "team_dataset": Dataset.objects.create(workspace=workspace, name="Sums").pk,
        "dry_run": Job.objects.create(
            kind="rejudge",
            payload={"judge": {"name": "start"}, "asks": "answer"},
            workspace=workspace,
            run=run,
            created_by=ada,
            note={"dry_run": {"run": str(run.pk)}},
        ).pk,
        "rubric": create_rubric(
            actor=ada, workspace=workspace, name="Strict", kind="answer", text="Grade {answer}"
        ).rubric_id,
        "report_link": report_link.pk,
        "report_secret": report_secret,
        "link": link.pk,
        "dataset": make_calibration_set(actor=ada, workspace=workspace, subject="mae/answer").pk,
        "regrading": grade_run_again(actor=ada, run=run, judge=Moment(run=run, step=0)).pk,
        "comment": add_comment(actor=ada, run_id=run.pk, place_kind="run", place="", text="Hm").pk,
        "share_secret": share_secret,
        "view": save_view(actor=ada, workspace=workspace, page="runs", name="Failed", query="status=failed").pk,
        "sign_in_secret": create_sign_in_link(ada),
        "worker": worker.pk,
        "rehearsal": start_rehearsal(actor=ada, workspace=workspace, spec=parse_spec(MAE)).pk,
        "template": save_template(actor=ada, workspace=workspace, name="Mild", spec=parse_spec(MAE)).template_id,
        "outside": begin_external_run(
            actor=ada, workspace=workspace, project="Outside", code={"train.py": "lr = 1\n"}, key="outside"
        ).pk,
        "ada": ada.pk,
        "ben": ben.pk,
    }
