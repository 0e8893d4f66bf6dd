"""Every address of the site against the whole cast: ada owns, ben views, cyn is an outsider, and nobody is signed in.

An address without a row here fails ``test_every_address_has_its_rows``. "login" is a redirect to the sign-in page.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client, TestCase, override_settings
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.conftest import make_person, make_workspace
from tests.world import make_world
from webapp.accounts.models import User
from webapp.compare.models import SavedView
from webapp.experiments.models import Run
from webapp.jobs.models import Job
from webapp.telemetry.tabs import TABS
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db
FOREIGN_MODULES = ("django.contrib.admin", "allauth.")
"""Addresses of third parties: the admin is tested as a whole below, allauth serves people who are not signed in."""
CAST = ("ada", "ben", "cyn", "anonymous")
SHARED_TABS = [tab.slug for tab in TABS if tab.for_shared]
INNER_TABS = [tab.slug for tab in TABS if not tab.for_shared]
REFUSALS = {401, 403, 404, "login"}
VERBS = ("get", "post", "put", "patch", "delete")
Expected = int | str


@dataclass(frozen=True)
class Row:
    """One request and what each of the cast gets."""

    name: str
    verb: str = "get"
    args: tuple[str, ...] = ()
    """Names of values of the world, or literal values."""
    data: str = ""
    """Name of a form or JSON body in BODIES."""
    query: str = ""
    ada: Expected = 200
    ben: Expected = 200
    cyn: Expected = 200
    anonymous: Expected = 200

    def __str__(self) -> str:
        return "-".join((self.verb, self.name, *self.args, self.data)).rstrip("-")


def page(name: str, *args: str, **more: Any) -> Row:
    """A page for everybody who is signed in."""
    return Row(name, args=args, **{"anonymous": "login", **more})


def inside(name: str, *args: str, **more: Any) -> Row:
    """A page for members only."""
    return page(name, *args, **{"cyn": 404, **more})


def deed(name: str, *args: str, **more: Any) -> Row:
    """A form that editors send: done, forbidden, not there, sign in."""
    return inside(name, *args, **{"verb": "post", "ada": 302, "ben": 403, **more})


def api(name: str, *args: str, **more: Any) -> Row:
    return Row(name, args=args, **{"anonymous": 401, **more})


def api_inside(name: str, *args: str, **more: Any) -> Row:
    return api(name, *args, **{"cyn": 404, **more})


def api_deed(name: str, *args: str, **more: Any) -> Row:
    return api_inside(name, *args, **{"verb": "post", "ben": 403, **more})


BODIES: dict[str, dict[str, Any]] = {
    "mae": {"method": "mae"},
    "yaml": {"method": "mae", "yaml": "method: {name: mae}"},
    "workspace": {"workspace": "dojo"},
    "member": {"email": "dora@example.org", "role": "viewer"},
    "role": {"role": "editor"},
    "name": {"display_name": "New"},
    "named": {"name": "New"},
    "token": {"name": "New", "days": "30"},
    "priority": {"priority": 3},
    "spec": {"workspace": "dojo", "spec": {"method": {"name": "mae"}}},
    "job": {"kind": "say", "payload": {"speakers": [{"run": "RUN", "step": 0}], "prompt": {"text": "Hi"}}},
    "stop": {"deed": "stop", "run": "RUN"},
    "tag": {"deed": "tag", "run": "RUN", "tags": "paper"},
    "compare": {"deed": "compare", "run": "RUN"},
    "api_view": {"workspace": "dojo", "page": "runs", "name": "Mine", "query": ""},
    "view": {"page": "runs", "name": "Mine", "query": "status=failed"},
    "rubric": {"name": "Other", "kind": "answer", "text": "Grade {answer}"},
    "api_rubric": {"workspace": "dojo", "name": "Other", "kind": "answer", "text": "Grade {answer}"},
    "retired": {"retired": True},
    "secret_value": {"value": "hf_another-one"},
    "up_to": {"up_to": 1},
    "line": {"metric": "reward/solver", "side": "below", "threshold": 0.3, "run": "RUN"},
    "run": {"run": "RUN"},
    "calibration": {"subject": "mae/answer"},
    "again": {"of": "run:RUN", "judge": "RUN/0/main", "samples": "9", "n": "1"},
    "verdict": {"run": "RUN", "episode": "1-0", "turn": "1", "label": "right"},
    "order": {"command": "overrule", "episode": "1-0", "turn": 1, "value": 1.0},
    "api_calibration": {"workspace": "dojo", "subject": "mae/answer"},
    "comment": {"place_kind": "run", "place": "", "text": "Hm"},
    "mark": {"episode": "1-0", "kind": "pin"},
    "knob": {"path": "method.optimizer.lr", "value": "0.5"},
    "question": {"action": "remove", "question": "3+4"},
    "template": {"workspace": "dojo", "name": "Ours", "spec": {"method": {"name": "mae"}, "steps": 5}},
    "league": {"run": "RUN", "discipline": "game:tic_tac_toe", "name": "Another", "also": ["RUN"]},
    "swap": {"weights": "RUN/0/main", "turn": "0"},
    "choice": {"choice": "tie"},
    "say": {"run": "RUN", "left": "RUN/0/main", "prompt": "", "text": "Hi"},
    "report": {"version": "1", "title": "New", "count": "0", "action": "save"},
    "outside": {"workspace": "dojo", "project": "Outside"},
    "values": {"seq": 1, "rows": [{"step": 1, "values": {"loss": 0.5}}]},
    "empty": {},
}

ROWS = [
    # Open to everybody.
    Row("healthz"),
    Row("metrics", ada=404, ben=404, cyn=404, anonymous=404),
    Row("sign_in_link", args=("sign_in_secret",)),
    Row("sign_in_link", "post", ("guess",), ada=410, ben=410, cyn=410, anonymous=410),
    *(
        Row(name, args=("share_secret",))
        for name in (
            "share",
            "share_state",
            "share_moment",
            "share_judge",
            "share_doctor",
            "share_series",
            "share_samples",
            "share_log",
            "share_export",
        )
    ),
    *(
        Row("share_part", args=("share_secret", part))
        for part in ("head", "vitals", "judge-tables", "timeline-drawing", "rewards-drawing", "formulas", *SHARED_TABS)
    ),
    *(Row("share_part", args=("share_secret", tab), ada=404, ben=404, cyn=404, anonymous=404) for tab in INNER_TABS),
    Row("share_sample", args=("share_secret", "seq")),
    Row("share_tokens", args=("share_secret", "seq")),
    *(Row(name, args=("share_secret",)) for name in ("share_find", "share_groups")),
    *(Row(name, args=("share_secret", "group_key")) for name in ("share_group", "share_family")),
    Row("share_find", args=("guess",), ada=404, ben=404, cyn=404, anonymous=404),
    Row("share", args=("guess",), ada=404, ben=404, cyn=404, anonymous=404),
    Row("share_export", args=("guess",), ada=404, ben=404, cyn=404, anonymous=404),
    Row("share_state", args=("guess",), ada=404, ben=404, cyn=404, anonymous=404),
    # One's own account.
    page("account"),
    page("account_rename", verb="post", data="name", ada=302, ben=302, cyn=302),
    page("create_token", verb="post", data="token"),
    page("revoke_token", "token", verb="post", ada=302, ben=404, cyn=404),
    page("palette"),
    page("notices"),
    page("notices_news"),
    page("notices_read", verb="post", data="empty", ada=302, ben=302, cyn=302),
    page("add_channel", verb="post", data="empty", ada=422, ben=422, cyn=422),
    page("remove_channel", "channel", verb="post", ada=302, ben=404, cyn=404),
    page("add_alert_rule", verb="post", data="empty", ada=422, ben=422, cyn=422),
    page("remove_alert_rule", "alert_rule", verb="post", ada=302, ben=404, cyn=404),
    page("reviews_waiting"),
    page("add_example", verb="post", ada=302, ben=403, cyn=302),
    page("remove_example", verb="post", ada=302, ben=403, cyn=302),
    page("hide_first_steps", verb="post", ada=302, ben=302, cyn=302),
    # The library.
    page("library"),
    page("checkpoints", cyn=302),
    page("remove_checkpoints", verb="post", ada=302, ben=403, cyn=302),
    deed("name_checkpoint", "run", "1", ada=404),
    deed("export_checkpoint", "run", "0"),
    page("datasets", cyn=302),
    page("upload_dataset", verb="post", ada=422, ben=403, cyn=302),
    deed("retire_dataset", "team_dataset"),
    page("rubrics", cyn=302),
    page("new_rubric", ben=403, cyn=302),
    page("new_rubric", verb="post", data="rubric", ada=302, ben=403, cyn=302),
    inside("rubric", "rubric"),
    deed("save_rubric_version", "rubric", data="rubric"),
    deed("retire_rubric", "rubric"),
    deed("try_rubric", "rubric", ada=200),
    page("try_composition", verb="post", data="mae", ben=403),
    inside("dry_run", "dry_run"),
    deed("stop_dry_run", "dry_run", ada=200),
    # Code.
    inside("code", "run"),
    inside("code_zip", "run"),
    inside("code_difference", query="before=RUN&after=OUTSIDE"),
    api_inside("api_code", "run"),
    api_inside("api_code_zip", "run"),
    # Reports and passports.
    page("reports"),
    deed("new_report", cyn=302),
    inside("report", "report"),
    inside("report_panels", "report"),
    inside("report_html", "report"),
    inside("report_pdf", "report"),
    inside("edit_report", "report", ben=403),
    deed("edit_report", "report", data="report"),
    deed("share_report", "report"),
    deed("revoke_report_link", "report", "report_link"),
    deed("archive_report", "report"),
    *(
        Row(name, args=("report_secret",))
        for name in ("shared_report", "shared_report_panels", "shared_report_html", "shared_report_pdf")
    ),
    Row("shared_report", args=("guess",), ada=404, ben=404, cyn=404, anonymous=404),
    inside("passport", "run"),
    inside("passport_json", "run"),
    inside("passport_pdf", "run"),
    # Workspaces.
    page("new_workspace"),
    page("new_workspace", verb="post", data="named", ada=302, ben=302, cyn=302),
    inside("switch_workspace", verb="post", data="workspace", ada=302, ben=302),
    inside("workspace", "dojo"),
    deed("set_secret", "dojo", data="empty", ada=422),
    deed("remove_secret", "dojo", "secret", ada=302),
    deed("add_member", "dojo", data="member"),
    deed("change_role", "dojo", "ben", data="role"),
    deed("remove_member", "dojo", "ada", ada=302),
    deed("remove_member", "dojo", "ben", ben=302),
    # Methods and composing.
    page("home"),
    page("gallery"),
    page("method", "mae"),
    page("compose"),
    inside("compose", query="clone=RUN"),
    page("compose", verb="post", data="mae"),
    page("compose_check", verb="post", data="mae"),
    page("compose_block", verb="post", data="mae", query="path=task"),
    page("compose_yaml", verb="post", data="yaml"),
    page("compose_rehearse", verb="post", data="mae", ben=403),
    inside("compose_rehearsal", "rehearsal"),
    inside("compose", query="template=TEMPLATE"),
    page("templates"),
    inside("template", "template"),
    deed("rename_template", "template", data="named"),
    deed("retire_template", "template"),
    # Experiments and runs.
    page("experiments", ada=302, ben=302, cyn=302),
    page("runs"),
    deed("runs_chosen", data="stop"),
    deed("runs_chosen", data="tag"),
    deed("runs_chosen", data="compare", ben=302, cyn=302),
    page("compare", ada=302, ben=302, cyn=302),
    page("compare", query="run=RUN"),
    inside("compare_lines", query="run=RUN"),
    inside("compare_export", query="run=RUN&metric=reward/solver"),
    inside("experiment_seeds", "experiment"),
    deed("save_view", data="view", cyn=302),
    inside("saved_view", "view", ada=302, ben=302),
    deed("delete_view", "view"),
    inside("experiment", "experiment"),
    deed("launch_again", "experiment"),
    deed("archive_experiment", "experiment"),
    *(deed("run_control", "run", action) for action in ("pause", "checkpoint", "stop", "share")),
    deed("run_control", "paused_run", "resume"),
    *(
        inside(name, "run")
        for name in (
            "run",
            "run_state",
            "run_moment",
            "run_judge",
            "run_doctor",
            "run_series",
            "run_samples",
            "run_log",
        )
    ),
    *(
        inside("run_part", "run", part)
        for part in (
            "head",
            "vitals",
            "judge-tables",
            "timeline-drawing",
            "rewards-drawing",
            "formulas",
            *SHARED_TABS,
            *INNER_TABS,
        )
    ),
    deed("run_share_revoke", "run", "link"),
    deed("turn_knob", "run", data="knob"),
    deed("change_pool", "run", data="question"),
    # What people say of a run: viewers read it, editors take part.
    page("review"),
    inside("review_side"),
    inside("review_item", query="run=RUN&episode=1-0&turn=1"),
    deed("review_answer", data="verdict"),
    deed("review_undo"),
    inside("review_sets"),
    deed("review_sets", data="calibration"),
    inside("dataset_file", "dataset"),
    inside("grade_again"),
    deed("grade_again", data="again"),
    inside("again_words"),
    inside("regraded", "regrading"),
    deed("add_comment", "run", data="comment"),
    inside("run_remarks", "run"),
    inside("run_remarks", "run", query="at=reward/solver@1"),
    deed("edit_comment", "comment", data="comment"),
    deed("delete_comment", "comment"),
    deed("mark_sample", "run", data="mark"),
    inside("run_sample", "run", "seq"),
    inside("export_run", "run"),
    inside("export_runs", query="run=RUN"),
    page("export_runs", ada=404, ben=404, cyn=404),
    inside("run_tokens", "run", "seq"),
    *(inside(name, "run") for name in ("run_find", "run_groups")),
    *(inside(name, "run", "group_key") for name in ("run_group", "run_family")),
    inside("run_twin", "run", "paused_run"),
    page("search"),
    # The fleet does not exist for people who are not operators.
    page("fleet", ada=404, ben=404, cyn=404),
    *(page("worker_action", "worker", a, verb="post", ada=404, ben=404, cyn=404) for a in ("drain", "undrain")),
    *(
        page("fleet_run_action", "run", a, verb="post", data="priority", ada=404, ben=404, cyn=404)
        for a in ("stop", "requeue", "priority", "move")
    ),
    # Jobs.
    inside("job", "job"),
    deed("job_cancel", "job", ada=200),
    inside("job_file", "export"),
    inside("job_file", "job", ada=404, ben=404),
    # The Arena: members look, editors play, every member votes.
    page("arena"),
    deed("new_league", data="league", cyn=302),
    inside("league", "league"),
    *(deed("league_action", "league", action) for action in ("play", "refresh", "idle", "archive")),
    inside("pair", "league", "start", "random"),
    inside("game", "meeting", "0"),
    deed("game_swap", "meeting", "0", data="swap"),
    inside("duel", "run", "seq"),
    deed("duel_swap", "run", "seq", data="swap"),
    inside("vote", "league"),
    page("cast_vote", "vote", verb="post", data="choice", ada=404, ben=302, cyn=404),
    inside("export", "run", "0"),
    deed("export", "run", "0"),
    page("playground"),
    inside("playground", query="run=RUN"),
    deed("playground_say", data="say"),
    inside("playground_answers", "job"),
    # The API; its description is no secret.
    Row("api_schema"),
    api("api_me"),
    api("api_tokens"),
    api("api_tokens", verb="post", data="token", ada=201, ben=201, cyn=201),
    api("api_token", "token", verb="delete", ada=204, ben=404, cyn=404),
    api("api_workspaces"),
    api_inside("api_workspace", "dojo"),
    api_deed("api_example", "dojo", ada=201),
    api_deed("api_example", "dojo", verb="delete", ada=204),
    api_inside("api_secrets", "dojo", ben=403),
    api_deed("api_secret", "dojo", "secret", verb="put", data="secret_value", ada=204),
    api_deed("api_secret", "dojo", "secret", verb="delete", ada=204),
    api("api_notices"),
    api("api_notices_read", verb="post", data="up_to", ada=204, ben=204, cyn=204),
    api("api_channels"),
    api("api_channels", verb="post", data="empty", ada=400, ben=400, cyn=400),
    api("api_channel", "channel", verb="delete", ada=204, ben=404, cyn=404),
    api("api_alert_rules"),
    api("api_alert_rules", verb="post", data="line", ada=201, ben=201, cyn=404),
    api("api_alert_rule", "alert_rule", verb="delete", ada=204, ben=404, cyn=404),
    api("api_methods"),
    api("api_method", "mae"),
    api("api_validate", verb="post", data="spec"),
    api("api_experiments"),
    api_deed("api_experiments", data="spec", ada=201),
    api_inside("api_experiment", "experiment"),
    api_deed("api_launch", "experiment", ada=201),
    api("api_templates"),
    api_deed("api_templates", data="template", ada=201),
    api_inside("api_template", "template"),
    api_deed("api_template", "template", verb="patch", data="named"),
    api("api_rubrics"),
    api_deed("api_rubrics", data="api_rubric", ada=201),
    api_inside("api_rubric", "rubric"),
    api_deed("api_rubric", "rubric", verb="patch", data="retired"),
    api_deed("api_rubric_versions", "rubric", data="rubric", ada=201),
    api_deed("api_rubric_dry_runs", "rubric", data="run", ada=201),
    api_inside("api_dry_run", "dry_run"),
    api("api_gradings"),
    api_deed("api_gradings", data="run", ada=201),
    api_inside("api_grading", "regrading"),
    api("api_views"),
    api_deed("api_views", data="api_view", ada=201),
    api_deed("api_view", "view", verb="delete", ada=204),
    api("api_runs"),
    api_inside("api_run", "run"),
    api_inside("api_run", "run", verb="patch", data="priority", ada=403, ben=403),
    *(api_deed(f"api_{action}", "run") for action in ("pause", "checkpoint", "stop")),
    api_deed("api_resume", "paused_run"),
    deed("end_outside", "outside"),
    api_deed("api_external_runs", data="outside", ada=201),
    api_deed("api_external_values", "outside", data="values"),
    api_deed("api_external_finish", "outside"),
    api_inside("api_orders", "run"),
    api_deed("api_orders", "run", data="order", ada=201),
    api_inside("api_order", "run", "1"),
    api_inside("api_order", "run", "9", ada=404, ben=404),
    api("api_review", cyn=400),
    api_inside("api_review", query="run=RUN"),
    api_inside("api_review_item", query="run=RUN&episode=1-0&turn=1"),
    api_deed("api_review_item", data="verdict"),
    api_deed("api_review_item", verb="delete", query="run=RUN&episode=2-0&turn=1", ada=204),
    api_inside("api_calibration_sets", query="workspace=dojo"),
    api_deed("api_calibration_sets", data="api_calibration", ada=201),
    api_inside("api_calibration_file", "dataset"),
    api_inside("api_share_links", "run"),
    api_deed("api_share_links", "run", ada=201),
    api_deed("api_share_link", "run", "link", verb="delete", ada=204),
    *(
        api_inside(f"api_{name}", "run")
        for name in ("export", "metrics", "events", "samples", "evaluations", "checkpoints", "logs")
    ),
    api_inside("api_sample", "run", "seq"),
    api("api_search", query="search=what"),
    api("api_jobs"),
    api_deed("api_jobs", data="job", ada=201),
    api_inside("api_job", "job"),
    api_deed("api_job_cancel", "job"),
    api_inside("api_job_file", "export"),
]


class _Frame(TestCase):
    """The transaction around every test of this module that needs the world; each test has its own inside it."""


@pytest.fixture(scope="module")
def _world(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    with django_db_blocker.unblock(), override_settings(ARTIFACTS_DIR=tmp_path_factory.mktemp("artifacts")):
        _Frame.setUpClass()
        ada, ben = (make_person(name) for name in CAST[:2])
        yield make_world(ada=ada, ben=ben, workspace=make_workspace(ada, ben))
        _Frame.tearDownClass()


@pytest.fixture
def world(_world: dict[str, Any]) -> dict[str, Any]:
    """One of everything, all of it ada's: built once, and as it was for every test."""
    cache.clear()  # holds how often somebody asked lately
    return _world


def address_of(row: Row, world: dict[str, Any]) -> str:
    names = (
        set(world) - {tab.slug for tab in TABS} if row.name.endswith("_part") else world
    )  # a tab is called league, too
    address = reverse(row.name, args=[world[arg] if arg in names else arg for arg in row.args])
    query = row.query
    for word in ("run", "template", "outside"):
        query = query.replace(word.upper(), str(world[word]))
    return f"{address}?{query}" if query else address


def _ask(client: Client, row: Row, world: dict[str, Any]) -> Expected:
    address = address_of(row, world)
    body = json.loads(json.dumps(BODIES[row.data or "empty"]).replace("RUN", str(world["run"])))
    options: dict[str, Any] = {} if row.verb == "get" else {"data": body}
    if row.name.startswith("api_") and row.verb != "get":
        options["content_type"] = "application/json"
    response = getattr(client, row.verb)(address, **options)
    is_login = response.status_code == 302 and response.headers["Location"].startswith("/accounts/login/")
    return "login" if is_login else int(response.status_code)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_everybody_gets_what_the_table_says(row: Row, world: dict[str, Any], cyn: User) -> None:
    answers = {person: _ask_as(person, row, world) for person in CAST}
    assert answers == {person: getattr(row, person) for person in CAST}


def _ask_as(person: str, row: Row, world: dict[str, Any]) -> Expected:
    """What the person gets; everything is put back afterwards, and a refusal must not have changed anything."""
    client = Client(raise_request_exception=False)
    before = _written()
    here = transaction.savepoint()
    if person != "anonymous":
        client.force_login(User.objects.get(email=f"{person}@example.org"))
    status = _ask(client, row, world)
    assert status not in REFUSALS or _written() == before
    transaction.savepoint_rollback(here)
    return status


def _written() -> list[Any]:
    """What a refused request must leave as it was."""
    runs = Run.objects.order_by("pk").values_list("pk", "status", "status_version", "checkpoint_requests", "priority")
    jobs = Job.objects.order_by("pk").values_list("pk", "status", "cancel_requested_at")
    views = SavedView.objects.order_by("pk").values_list("name")
    return [*runs, *jobs, *views, *User.objects.order_by("pk").values_list("memberships__role", "display_name")]


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (page("fleet"), 200),
        (page("worker_action", "worker", "drain", verb="post"), 302),
        (page("fleet_run_action", "run", "requeue", verb="post"), 302),
        (api("api_run", "run", verb="patch", data="priority"), 200),
        (page("run", "run"), 404),
        (api("api_run", "run"), 404),
        (page("workspace", "dojo"), 404),
    ],
    ids=str,
)
def test_an_operator_runs_the_fleet_and_does_not_read_along(
    row: Row, status: int, world: dict[str, Any], olga: User, client: Client
) -> None:
    client.force_login(olga)
    assert _ask(client, row, world) == status


def all_addresses(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in resolver.url_patterns:
        path = f"{prefix}{entry.pattern}"
        if isinstance(entry, URLResolver):
            yield from all_addresses(entry, path)
        else:
            yield path, entry


def _own_addresses() -> list[tuple[str, URLPattern]]:
    return [
        (path, entry)
        for path, entry in all_addresses(get_resolver())
        if not path.startswith("admin/") and not entry.callback.__module__.startswith(FOREIGN_MODULES)
    ]


def test_every_address_has_its_rows() -> None:
    names = {entry.name for _, entry in _own_addresses()}
    assert names == {row.name for row in ROWS}


def test_every_verb_of_the_api_has_its_rows() -> None:
    offered = {
        (entry.name, verb)
        for _, entry in _own_addresses()
        for verb in VERBS
        if hasattr(entry.callback, "cls") and hasattr(entry.callback.cls, verb)
    }
    assert offered <= {(row.name, row.verb) for row in ROWS}


ADMIN = sorted(
    path
    for path, entry in all_addresses(get_resolver())
    if path.startswith("admin/") and "(" not in path and "<" not in path and entry.name not in {"logout", "jsi18n"}
)


@pytest.mark.parametrize("path", ADMIN)
def test_the_admin_is_closed_to_all_but_operators(path: str, cyn: User, client: Client) -> None:
    assert client.get(f"/{path}").status_code == 302
    client.force_login(cyn)
    assert client.get(f"/{path}").status_code in {302, 403}


@pytest.fixture
def superuser(db: None) -> User:
    return User.objects.create_superuser("root@example.org", "correct horse battery")


@pytest.mark.parametrize(
    "path",
    [path for path in ADMIN if path not in {"admin/login/", "admin/autocomplete/", "admin/password_change/done/"}],
)
def test_every_list_of_the_admin_opens_and_only_people_can_be_added(
    path: str, superuser: User, world: dict[str, Any], client: Client
) -> None:
    client.force_login(superuser)
    forbidden = path.endswith("/add/") and path != "admin/accounts/user/add/"
    assert client.get(f"/{path}").status_code == (403 if forbidden else 200)


@pytest.mark.parametrize(
    "model", ["experiments/run", "experiments/experiment", "workspaces/workspace", "accounts/user"]
)
def test_the_admin_shows_a_row_and_changes_only_people(
    model: str, superuser: User, world: dict[str, Any], client: Client
) -> None:
    key = {"run": world["run"], "experiment": world["experiment"], "user": world["ada"]}.get(
        model.rpartition("/")[2], Workspace.objects.get().pk
    )
    client.force_login(superuser)
    assert client.get(f"/admin/{model}/{key}/change/").status_code == 200
    answers = [client.post(f"/admin/{model}/{key}/{verb}/", {}).status_code for verb in ("change", "delete")]
    assert answers == ([200, 200] if model == "accounts/user" else [403, 403])


def test_hidden_fields_never_reach_the_admin(superuser: User, world: dict[str, Any], client: Client) -> None:
    from webapp.accounts.models import ApiToken

    token = ApiToken.objects.get()
    client.force_login(superuser)
    assert token.digest not in client.get(f"/admin/accounts/apitoken/{token.pk}/change/").content.decode()
