"""The HTTP API from end to end: what scripts can do, and how they are told what is wrong."""

import json
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.test import Client

from tests.factories import mae_events, make_run, tell
from training_core.methods.registry import all_methods
from webapp.accounts.models import User
from webapp.accounts.services import create_token
from webapp.api.schema import spec_components
from webapp.api.throttling import WriteThrottle
from webapp.experiments.models import Experiment, Run
from webapp.workspaces.models import Membership, Workspace

pytestmark = pytest.mark.django_db
MakeRun = Callable[..., Run]
SPEC: dict[str, Any] = {"name": "From a script", "steps": 5, "method": {"name": "mae"}}


class Script:
    """A script of one person: speaks JSON, carries a token."""

    def __init__(self, person: User) -> None:
        _, self.secret = create_token(user=person, name="script")
        self._client = Client(headers={"Authorization": f"Bearer {self.secret}"})

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        send = getattr(self._client, method)
        options = {} if body is None else {"data": body, "content_type": "application/json"}
        return send(f"/api/v1/{path}", headers=headers, **options)


@pytest.fixture
def api(ada: User, workspace: Workspace) -> Script:
    return Script(ada)


@pytest.fixture
def told(run_in: MakeRun) -> Run:
    run = run_in("running")
    tell(run, mae_events(20))
    return run


def error_of(answer: Any) -> tuple[int, str, list[dict[str, str]]]:
    body = answer.json()
    assert set(body) == {"error"}
    return answer.status_code, body["error"]["message"], body["error"]["fields"]


def test_a_token_shows_who_asks(api: Script) -> None:
    assert api("get", "me/").json() == {
        "id": User.objects.get(email="ada@example.org").pk,
        "name": "Ada",
        "email": "ada@example.org",
        "is_operator": False,
    }


def test_without_a_token_the_answer_says_how_to_sign_in(client: Client, db: None) -> None:
    answer = client.get("/api/v1/runs/")
    assert error_of(answer)[0] == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_wrong_token_is_refused_even_where_a_session_exists(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get("/api/v1/runs/").status_code == 200
    status, message, _ = error_of(client.get("/api/v1/runs/", headers={"Authorization": "Bearer kmt_wrong"}))
    assert (status, "mistyped, expired or revoked" in message) == (401, True)


def test_a_session_without_its_csrf_token_cannot_write(ada: User, workspace: Workspace) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    assert client.post("/api/v1/tokens/", {"name": "x"}, content_type="application/json").status_code == 403


@pytest.mark.parametrize("method", [method.slug for method in all_methods()])
def test_every_method_is_described_with_the_schema_of_its_knobs(method: str, api: Script) -> None:
    assert method in [listed["slug"] for listed in api("get", "methods/").json()]
    detail = api("get", f"methods/{method}/").json()
    assert detail["knobs"]["properties"]["name"]["const"] == method
    assert detail["presets"]
    assert detail["roles"]


def test_every_preset_passes_validation(api: Script) -> None:
    presets = [p for method in all_methods() for p in api("get", f"methods/{method.slug}/").json()["presets"]]
    answers = [api("post", "specs/validate/", {"spec": preset["spec"]}) for preset in presets]
    assert {answer.status_code for answer in answers} == {200}


def test_an_unknown_method_is_named_with_the_known_ones(api: Script) -> None:
    status, message, _ = error_of(api("get", "methods/chess/"))
    assert (status, "known methods: " in message) == (404, True)


def test_validation_answers_the_resolved_spec(api: Script) -> None:
    answer = api("post", "specs/validate/", {"yaml": "method: {name: mae}\nsteps: 7"}).json()
    assert (answer["spec"]["steps"], answer["spec"]["method"]["w_judge"]) == (7, 0.5)
    assert "steps: 7" in answer["yaml"]


@pytest.mark.parametrize(
    ("body", "path", "part"),
    [
        ({"spec": {"method": {"name": "mae"}, "steps": 0}}, "steps", "at least 1"),
        ({"spec": {"method": {"name": "mae", "judgee": 1}}}, "method.judgee", "not known here"),
        ({"spec": {}}, "method", "required"),
        ({"spec": []}, "spec", "mapping"),
        ({"yaml": "steps: ["}, "", "not valid YAML at line"),
        ({"yaml": "- a"}, "", "mapping"),
        ({"spec": {}, "yaml": "a: 1"}, "", "Give the spec once"),
        ({}, "", "Give the spec once"),
    ],
)
def test_a_wrong_spec_names_the_field(body: dict[str, Any], path: str, part: str, api: Script) -> None:
    status, _, fields = error_of(api("post", "specs/validate/", body))
    assert status == 400
    assert any(field["path"] == path and part in field["message"] for field in fields), fields
    assert error_of(api("post", "experiments/", {**body, "workspace": "dojo"}))[0] == 400
    assert not Experiment.objects.exists()


@pytest.mark.parametrize("body", ["{", "[]", '"text"'])
def test_what_is_not_a_json_mapping_is_refused(body: str, ada: User, workspace: Workspace) -> None:
    _, secret = create_token(user=ada, name="t")
    headers = {"Authorization": f"Bearer {secret}"}
    answer = Client().post("/api/v1/experiments/", body, content_type="application/json", headers=headers)
    assert error_of(answer)[0] == 400


@pytest.mark.parametrize("body", ["[" * 50_000, '{"spec": ' + "[" * 50_000])
def test_a_body_nested_too_deeply_is_refused(body: str, api: Script) -> None:
    status, message, _ = error_of(api("post", "specs/validate/", body))
    assert (status, message) == (400, "This JSON is nested too deeply.")


def test_a_body_that_is_too_large_is_refused(api: Script) -> None:
    status, message, _ = error_of(api("post", "specs/validate/", {"yaml": "x" * 1024 * 1024}))
    assert (status, message) == (413, "A request body has at most 1024 KiB.")


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_text_that_cannot_be_stored_is_refused(text: str, api: Script) -> None:
    for body in ({"spec": SPEC | {"name": text}}, {"spec": SPEC | {"model": {"source": f"/{text}"}}}):
        status, _, fields = error_of(api("post", "experiments/", body))
        assert (status, fields[0]["path"] in {"name", "model.source"}) == (400, True), fields
    assert error_of(api("post", "tokens/", {"name": text}))[2][0]["path"] == "name"


@pytest.mark.parametrize("address", ["runs/?search=%00", "methods/?x=a%00", "experiments/?search=%00"])
def test_an_address_with_nul_is_refused(address: str, api: Script) -> None:
    assert api("get", address).status_code == 400


def test_an_experiment_is_created_from_yaml_and_read_back(api: Script) -> None:
    text = "name: From YAML\nsteps: 9\nmethod: {name: mae}"
    answer = api("post", "experiments/", {"workspace": "dojo", "yaml": text})
    assert answer.status_code == 201
    created = answer.json()
    assert (created["name"], created["status"], created["spec"]["steps"]) == ("From YAML", "queued", 9)
    assert [run["number"] for run in created["runs"]] == [1]
    assert api("get", f"experiments/{created['id']}/").json() == created


def test_the_only_workspace_need_not_be_named(api: Script) -> None:
    assert api("post", "experiments/", {"spec": SPEC}).json()["workspace"] == "dojo"


def test_one_of_several_workspaces_must_be_named(api: Script, ada: User) -> None:
    other = Workspace.objects.create(name="Other", slug="other")
    Membership.objects.create(workspace=other, user=ada, role="owner")
    status, _, fields = error_of(api("post", "experiments/", {"spec": SPEC}))
    assert (status, fields[0]["path"]) == (400, "workspace")
    assert "dojo, other" in fields[0]["message"]


def test_the_same_key_creates_once_and_not_something_else(api: Script) -> None:
    once = api("post", "experiments/", {"spec": SPEC}, **{"Idempotency-Key": "a"}).json()
    again = api("post", "experiments/", {"spec": SPEC}, **{"Idempotency-Key": "a"}).json()
    assert once["id"] == again["id"]
    status, message, _ = error_of(
        api("post", "experiments/", {"spec": SPEC | {"steps": 6}}, **{"Idempotency-Key": "a"})
    )
    assert (status, "Use a new key" in message) == (400, True)
    assert Run.objects.count() == 1


def test_seeds_and_a_sweep_make_several_runs(api: Script) -> None:
    body = {"spec": SPEC, "seeds": [1, 2], "sweep": {"method.w_judge": [0.3, 0.5]}}
    created = api("post", "experiments/", body).json()
    assert [(run["seed"], run["overrides"]) for run in created["runs"][::-1]] == [
        (1, {"method.w_judge": 0.3}),
        (2, {"method.w_judge": 0.3}),
        (1, {"method.w_judge": 0.5}),
        (2, {"method.w_judge": 0.5}),
    ]
    status, _, fields = error_of(api("post", "experiments/", {"spec": SPEC, "sweep": {"steps": [0]}}))
    assert (status, fields) == (400, [{"path": "steps", "message": "with steps = 0: must be at least 1 (you wrote 0)"}])


def test_team_templates_are_saved_read_renamed_and_retired(api: Script) -> None:
    api("post", "templates/", {"name": "Mild", "spec": SPEC})
    saved = api("post", "templates/", {"name": "Mild", "note": "longer", "spec": SPEC | {"steps": 7}}).json()
    assert [(each["number"], each["note"]) for each in saved["versions"]] == [(2, "longer"), (1, "")]
    path = f"templates/{saved['id']}/"
    changed = api("patch", path, {"name": "Very mild", "retired": True}).json()
    assert (changed["name"], changed["retired_at"] is None) == ("Very mild", False)
    assert [each["newest"] for each in api("get", "templates/").json()["results"]] == [2]


def test_a_clone_points_to_a_run_one_can_see(api: Script, cyn: User, run_in: MakeRun) -> None:
    run = run_in("succeeded")
    assert api("post", "experiments/", {"spec": SPEC, "parent": str(run.pk)}).json()["parent"] == str(run.pk)
    own = Workspace.objects.create(name="Cyn's", slug="cyns")
    Membership.objects.create(workspace=own, user=cyn, role="owner")
    assert Script(cyn)("post", "experiments/", {"spec": SPEC, "parent": str(run.pk)}).status_code == 404


def test_another_run_is_launched_with_another_seed(api: Script, experiment: Experiment) -> None:
    path = f"experiments/{experiment.pk}/runs/"
    first = api("post", path, {}, **{"Idempotency-Key": "k"}).json()
    again = api("post", path, {}, **{"Idempotency-Key": "k"}).json()
    other = api("post", path, {"seed": 12}).json()
    assert first["id"] == again["id"]
    assert [(run["number"], run["seed"]) for run in (first, other)] == [(1, 0), (2, 12)]
    assert error_of(api("post", path, {"seed": -1}))[2][0]["path"] == "seed"


def test_lists_are_filtered_and_paged(api: Script, run_in: MakeRun) -> None:
    runs = [run_in("queued") for _ in range(3)] + [run_in("running")]
    assert len(api("get", "runs/?status=queued").json()["results"]) == 3
    assert len(api("get", f"runs/?experiment={runs[0].experiment_id}&search=light&method=mae").json()["results"]) == 4
    assert api("get", "runs/?workspace=elsewhere").json()["results"] == []
    assert error_of(api("get", "runs/?status=lost"))[0] == 400
    page = api("get", "runs/?limit=3").json()
    following = api("get", page["next"].partition("/api/v1/")[2]).json()
    seen = [run["id"] for run in page["results"] + following["results"]]
    assert sorted(seen) == sorted(str(run.pk) for run in runs)
    assert following["next"] is None
    assert [e["name"] for e in api("get", "experiments/?search=first&status=running").json()["results"]] == [
        "First light"
    ]
    assert api("get", "experiments/?status=failed").json()["results"] == []
    assert api("get", "experiments/?workspace=elsewhere").status_code == 404


def test_a_list_of_runs_takes_the_same_queries_whatever_its_length(
    api: Script, run_in: MakeRun, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    for _ in range(12):
        run_in("queued")
    with django_assert_max_num_queries(4):
        assert len(api("get", "runs/").json()["results"]) == 12


def test_a_run_is_controlled(api: Script, run_in: MakeRun) -> None:
    path = f"runs/{run_in('running').pk}/"
    assert api("post", f"{path}checkpoint/").json()["status"] == "running"
    assert [api("post", f"{path}pause/").json()["status"] for _ in range(2)] == ["pausing", "pausing"]
    status, message, _ = error_of(api("post", f"{path}resume/"))
    assert (status, "still saving its checkpoint" in message) == (409, True)
    assert api("post", f"{path}stop/").json()["status"] == "cancelling"


def test_only_operators_change_the_priority(api: Script, olga: User, run_in: MakeRun) -> None:
    path = f"runs/{run_in('queued').pk}/"
    assert error_of(api("patch", path, {"priority": 3}))[0] == 403
    assert Script(olga)("patch", path, {"priority": 3}).json()["priority"] == 3
    assert error_of(Script(olga)("patch", path, {"priority": 300}))[2][0]["path"] == "priority"
    assert Script(olga)("patch", path, {"before": None}).json()["priority"] == 3
    assert error_of(Script(olga)("patch", path, {}))[0] == 400


def test_a_queued_run_says_what_it_waits_for_and_a_failed_one_what_to_do(api: Script, run_in: MakeRun) -> None:
    queued, failed = run_in("queued"), run_in("failed", failure_kind="out_of_memory")
    assert api("get", f"runs/{queued.pk}/").json()["waiting_reason"] == "waits for a worker; none is running"
    assert "engine.max_batch" in api("get", f"runs/{failed.pk}/").json()["explanation"]


def test_metrics_are_read_by_name(api: Script, told: Run) -> None:
    path = f"runs/{told.pk}/metrics/"
    names = api("get", path).json()["names"]
    assert {"reward/solver", "eval/accuracy_sampled"} <= set(names)
    series = api("get", f"{path}?names=reward/solver,nothing/here").json()["series"]
    assert series["reward/solver"]["steps"] == list(range(1, 21))
    assert series["nothing/here"] == {"steps": [], "values": [], "low": [], "high": [], "total": 0}
    thinned = api("get", f"{path}?names=reward/solver&max_points=10").json()["series"]["reward/solver"]
    assert thinned["total"] == 20 > len(thinned["steps"])


def test_events_are_read_in_order_without_gaps(api: Script, told: Run) -> None:
    path, after, seen = f"runs/{told.pk}/events/", 0, []
    for _ in range(100):
        page = api("get", f"{path}?after={after}&limit=7").json()
        seen += [event["seq"] for event in page["results"]]
        after = page["next_after"]
        if not page["more"]:
            break
    assert seen == list(range(1, told.last_seq + 1))
    kinds = {event["kind"] for event in api("get", f"{path}?kinds=log,state").json()["results"]}
    assert kinds == {"log", "state"}


def test_samples_are_listed_and_read_in_full(api: Script, told: Run) -> None:
    path = f"runs/{told.pk}/samples/"
    page = api("get", f"{path}?limit=5").json()
    older = api("get", f"{path}?limit=200&before={page['next_before']}").json()
    assert len(page["results"]) + len(older["results"]) == 40
    first = api("get", f"{path}{page['results'][0]['seq']}/").json()
    assert first["data"]["turns"][0]["role"] == "proposer"
    assert api("get", f"{path}?show=kept&role=judge&search=what").json()["results"]
    assert api("get", f"{path}999999/").status_code == 404


def test_samples_are_narrowed_and_ordered_as_on_the_page(api: Script, told: Run) -> None:
    path = f"runs/{told.pk}/samples/"
    proposals = api("get", f"{path}?kind=proposal&limit=200").json()["results"]
    assert {each["kind"] for each in proposals} == {"proposal"}
    best = api("get", f"{path}?order=best&limit=3").json()
    rewards = [each["reward_mean"] for each in best["results"]]
    assert (rewards, best["next_before"], best["next_offset"]) == (sorted(rewards, reverse=True), None, 3)
    after = api("get", f"{path}?order=best&limit=3&offset=3").json()["results"]
    assert rewards[-1] >= after[0]["reward_mean"]
    assert not {each["seq"] for each in best["results"]} & {each["seq"] for each in after}
    least = api("get", f"{path}?reward_from={rewards[-1]}&order=worst").json()["results"]
    assert least[0]["reward_mean"] >= rewards[-1]
    assert error_of(api("get", f"{path}?order=best&before=9"))[2] == [
        {"path": "before", "message": "The order best goes on with offset."}
    ]
    assert error_of(api("get", f"{path}?kind=poem"))[2][0]["path"] == "kind"
    lines = b"".join(api("get", f"runs/{told.pk}/export/?what=samples&form=jsonl&kind=proposal"))
    assert {json.loads(line)["seq"] for line in lines.splitlines()} == {each["seq"] for each in proposals}


def test_a_search_goes_through_all_runs(api: Script, told: Run, cyn: User) -> None:
    assert "Say what you look for" in error_of(api("get", "samples/"))[1]
    found = api("get", "samples/?search=what").json()
    assert found["results"][0]["run"] == str(told.pk)
    assert "what" in found["results"][0]["snippet"]["text"].lower()
    assert (found["count"] > 30, found["next_page"], len(found["results"])) == (True, 2, 30)
    assert api("get", "samples/?search=what&workspace=nowhere").json()["count"] == 0
    assert Script(cyn)("get", "samples/?search=what").json()["results"] == []


def test_evaluations_checkpoints_and_logs_are_read(api: Script, told: Run) -> None:
    path = f"runs/{told.pk}/"
    evaluations = api("get", f"{path}evaluations/").json()
    assert [found["step"] for found in evaluations] == [0, 10, 20]
    assert set(evaluations[0]["scores"]) == {"accuracy_sampled", "accuracy_greedy"}
    assert [found["path"] for found in api("get", f"{path}checkpoints/").json()] == [
        "checkpoints/step-000020",
        "checkpoints/step-000010",
    ]
    lines = api("get", f"{path}logs/").json()["results"]
    assert {line["level"] for line in lines} == {"state", "info", "warning"}


def test_a_share_link_is_made_listed_and_taken_back(api: Script, told: Run) -> None:
    path = f"runs/{told.pk}/share-links/"
    made = api("post", path, {"days": 7}).json()
    assert made["url"].startswith("http://testserver/s/")
    listed = api("get", path).json()
    assert [link["id"] for link in listed] == [made["id"]]
    assert "url" not in listed[0]
    assert api("delete", f"{path}{made['id']}/").status_code == 204
    assert api("get", path).json() == []


def test_tokens_are_made_listed_and_revoked(api: Script) -> None:
    made = api("post", "tokens/", {"name": "second", "days": 30}).json()
    assert made["secret"].startswith("kmt_")
    listed = api("get", "tokens/").json()["results"]
    assert {token["name"] for token in listed} == {"script", "second"}
    assert not any("secret" in token or "digest" in token for token in listed)
    assert api("delete", f"tokens/{made['id']}/").status_code == 204
    assert api("get", "me/", Authorization=f"Bearer {made['secret']}").status_code == 401


def test_too_many_writes_are_told_when_to_come_back(api: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WriteThrottle, "rate", "2/min", raising=False)
    answers = [api("post", "specs/validate/", {"spec": SPEC}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2].headers["Retry-After"]) > 0
    assert api("get", "me/").status_code == 200


def test_without_redis_the_api_works_unthrottled(api: Script, settings: Any) -> None:
    away = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1"}
    settings.CACHES = {"default": away}
    assert api("get", "me/").status_code == 200
    assert api("post", "experiments/", {"spec": SPEC}).status_code == 201


def test_workspaces_are_listed_with_their_members(api: Script) -> None:
    assert [found["slug"] for found in api("get", "workspaces/").json()["results"]] == ["dojo"]
    members = api("get", "workspaces/dojo/").json()["members"]
    assert [(member["user"]["name"], member["role"]) for member in members] == [("Ada", "owner"), ("Ben", "viewer")]


def test_a_run_that_is_not_there_is_not_found(api: Script) -> None:
    status, message, _ = error_of(api("get", f"runs/{uuid4()}/"))
    assert (status, "no such run" in message) == (404, True)


def test_the_openapi_document_is_valid_and_complete(client: Client, ada: User) -> None:
    warnings = StringIO()
    call_command(
        "spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", stdout=StringIO(), stderr=warnings
    )
    assert warnings.getvalue() == ""
    client.force_login(ada)
    schemas = client.get("/api/v1/schema/").json()["components"]["schemas"]
    assert {"ExperimentSpec", "MethodSpec", *(method.Spec.__name__ for method in all_methods())} <= set(schemas)
    mapping = schemas["MethodSpec"]["discriminator"]["mapping"]
    assert set(mapping) == {method.slug for method in all_methods()}


def test_every_reference_of_the_spec_schema_leads_somewhere() -> None:
    components = spec_components()
    text = str(components)
    names = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(components)


def test_the_web_never_loads_torch() -> None:
    code = "import django; django.setup(); import webapp.urls, webapp.asgi, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_runs_of_other_workspaces_stay_out_of_lists(api: Script, cyn: User, run_in: MakeRun) -> None:
    mine = run_in("running")
    own = Workspace.objects.create(name="Cyn's", slug="cyns")
    Membership.objects.create(workspace=own, user=cyn, role="owner")
    theirs = Experiment.objects.create(workspace=own, name="Secret", method="mae", spec=mine.spec, created_by=cyn)
    make_run(theirs)
    assert [run["id"] for run in api("get", "runs/").json()["results"]] == [str(mine.pk)]
    assert [run["experiment_name"] for run in Script(cyn)("get", "runs/").json()["results"]] == ["Secret"]
