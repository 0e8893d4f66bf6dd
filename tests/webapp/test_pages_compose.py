"""The compose page: the same validation as everywhere, form and YAML in step, one launch per click."""

import json
import re
from typing import Any

import pytest
import yaml
from django.test import Client

from tests.core.test_spec_forms import as_posted
from tests.factories import make_experiment, make_run
from training_core.methods.registry import find_method
from training_core.spec.io import dump_dict, dump_yaml, parse_spec
from webapp.accounts.models import User
from webapp.experiments.models import Experiment, Run
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
STARTER = dump_dict(parse_spec(find_method("mae").presets[0].spec))


@pytest.fixture
def page_of_ada(client: Client, ada: User, workspace: Workspace) -> Client:
    client.force_login(ada)
    return client


def form(spec: dict[str, Any] = STARTER, **changes: Any) -> dict[str, Any]:
    """What the page's form sends; a change of None leaves an input out."""
    sent: dict[str, Any] = {"method": "mae", "preset": "starter", "idempotency_key": "key", **as_posted("mae", spec)}
    sent |= {path.replace("__", "."): value for path, value in changes.items()}
    return {path: value for path, value in sent.items() if value is not None}


def state_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script id="compose-state" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_page_shows_the_first_preset_and_every_group(page_of_ada: Client) -> None:
    page = page_of_ada.get("/compose/").content.decode()
    assert f'value="{STARTER["name"]}"' in page
    assert all(
        f">{title}</legend>" in page for title in ("General", "Model", "Task", "Roles", "Learning", "Checkpoints")
    )
    assert "Valid, ready to launch" in page


def test_launch_creates_the_experiment_and_goes_to_its_run(page_of_ada: Client) -> None:
    response = page_of_ada.post("/compose/", form(action="launch", steps="7"))
    run = Run.objects.get()
    assert response.headers["Location"] == f"/runs/{run.pk}/"
    assert (run.experiment.spec["steps"], run.status, run.total_steps) == (7, "queued", 7)
    assert run.experiment.spec == {**STARTER, "steps": 7}


def test_double_click_launches_once(page_of_ada: Client) -> None:
    first, second = (page_of_ada.post("/compose/", form(action="launch")).headers["Location"] for _ in range(2))
    assert first == second
    assert Run.objects.count() == 1


def test_edit_after_going_back_launches_another_experiment(page_of_ada: Client) -> None:
    locations = {page_of_ada.post("/compose/", form(action="launch", steps=n)).headers["Location"] for n in ("7", "8")}
    assert len(locations) == 2


def test_viewer_cannot_launch(client: Client, ben: User, workspace: Workspace) -> None:
    client.force_login(ben)
    assert client.post("/compose/", form(action="launch")).status_code == 403
    assert "You are a viewer of Dojo" in client.get("/compose/").content.decode()
    assert Experiment.objects.count() == 0


def test_person_without_a_workspace_is_led_to_make_one(client: Client, cyn: User) -> None:
    client.force_login(cyn)
    response = client.post("/compose/", form(action="launch"), follow=True)
    assert b"needs a workspace to stand in" in response.content
    assert Experiment.objects.count() == 0


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"steps": "0"}, "f-steps", "must be at least 1"),
        ({"steps": "many"}, "f-steps", "must be a whole number"),
        ({"steps": ""}, "f-steps", "must be a whole number"),
        ({"name": ""}, "f-name", "must not be empty"),
        ({"method__w_quality": "3"}, "f-method-w_quality", "must be at most 1"),
        ({"task__max_digits": "9"}, "f-task-max_digits", "must be at most 6"),
        ({"task__min_digits": "4"}, "f-task-kind", "is larger than max_digits"),
        ({"task__kind": "poker"}, "f-task-kind", "is not known here"),
        ({"task__operations": None}, "f-task-operations", "needs at least 1 of its choices"),
        ({"method__optimizer__betas": "0.9, 2"}, "f-method-optimizer-betas", "must be at most 1"),
        ({"model__source": "../../etc passwd; rm"}, None, None),
        ({"model__source": "no such shape"}, "f-model-source", "neither 'starter'"),
    ],
)
def test_wrong_value_is_told_at_its_field(
    page_of_ada: Client, changes: dict[str, Any], field: str | None, sentence: str
) -> None:
    page = page_of_ada.post("/compose/check/", form(**changes), headers=HTMX).content.decode()
    errors = state_of(page)["errors"]
    assert list(errors) == ([field] if field else [])
    assert not field or sentence in errors[field]


def test_rule_across_fields_is_told_above_the_form(page_of_ada: Client) -> None:
    nothing = {f"method__w_{name}": "0" for name in ("quality", "difficulty", "format")}
    page = page_of_ada.post("/compose/check/", form(**nothing), headers=HTMX).content.decode()
    assert "so the Proposer could earn nothing" in page
    assert "1 thing to correct" in page


def test_wrong_form_is_shown_again_with_what_was_typed(page_of_ada: Client) -> None:
    response = page_of_ada.post("/compose/", form(action="launch", steps="1e9x"))
    page = response.content.decode()
    assert response.status_code == 422
    assert 'value="1e9x"' in page
    assert "must be a whole number (you wrote &#x27;1e9x&#x27;)" in page
    assert Experiment.objects.count() == 0


def test_form_changes_appear_in_the_yaml(page_of_ada: Client) -> None:
    page = page_of_ada.post(
        "/compose/check/", form(steps="123", method__judge__kind="frozen"), headers=HTMX
    ).content.decode()
    written = yaml.safe_load(state_of(page)["yaml"])
    assert (written["steps"], written["method"]["judge"]) == (123, {"kind": "frozen"})


def test_yaml_changes_appear_in_the_form(page_of_ada: Client) -> None:
    spec = dump_dict(
        parse_spec({**STARTER, "steps": 321, "task": {"kind": "strings"}, "model": {"adapter": {"rank": 4}}})
    )
    page = page_of_ada.post("/compose/yaml/", form(yaml=yaml.safe_dump(spec)), headers=HTMX).content.decode()
    assert 'name="steps" value="321"' in page
    assert 'name="task.max_length"' in page
    assert 'name="model.adapter.rank" value="4"' in page
    assert 'name="task.max_digits"' not in page
    assert '<div id="compose-check" hx-swap-oob="innerHTML">' in page


def test_yaml_and_form_meet_again_after_a_round_trip(page_of_ada: Client) -> None:
    page = page_of_ada.post("/compose/check/", form(seed="9", method__rehearsal=""), headers=HTMX).content.decode()
    text = state_of(page)["yaml"]
    back = state_of(page_of_ada.post("/compose/yaml/", form(yaml=text), headers=HTMX).content.decode())
    assert (back["errors"], back["yaml"]) == ({}, text)
    assert back["changed"] == ["f-seed", "f-method-rehearsal"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps: [", "not valid YAML at line 1"),
        ("- a", "a spec is a mapping"),
        ("method: {name: mae}\nstepz: 1", "stepz: this field is not known here"),
        ("!!python/object/apply:os.system [ls]", "not valid YAML"),
        ("x" * 300_000, "larger than 256 KiB"),
        ("", "a spec is a mapping"),
    ],
)
def test_wrong_yaml_changes_nothing_and_says_why(page_of_ada: Client, text: str, sentence: str) -> None:
    response = page_of_ada.post("/compose/yaml/", form(yaml=text), headers=HTMX)
    assert sentence in response.content.decode()
    assert response.headers["HX-Retarget"] == "#yaml-errors"


def test_yaml_works_without_scripts(page_of_ada: Client) -> None:
    spec = dump_dict(parse_spec({**STARTER, "steps": 77}))
    assert (
        b'name="steps" value="77"'
        in page_of_ada.post("/compose/", form(action="yaml", yaml=yaml.safe_dump(spec))).content
    )
    wrong = page_of_ada.post("/compose/", form(action="yaml", yaml="steps: ["))
    assert wrong.status_code == 422
    assert b"not valid YAML" in wrong.content


def test_variant_of_a_union_brings_its_own_inputs(page_of_ada: Client) -> None:
    strings = page_of_ada.post("/compose/block/?path=task", form(task__kind="strings"), headers=HTMX).content.decode()
    off = page_of_ada.post("/compose/block/?path=model.adapter", form(), headers=HTMX).content.decode()
    lora = page_of_ada.post(
        "/compose/block/?path=model.adapter", form(model__adapter="lora"), headers=HTMX
    ).content.decode()
    assert 'name="task.max_length" value="6"' in strings
    assert "name=" not in off
    assert 'name="model.adapter.rank" value="16"' in lora


@pytest.mark.parametrize("path", ["nothing", "", "steps", "method.w_quality"])
def test_block_that_is_none_does_not_exist(page_of_ada: Client, path: str) -> None:
    assert page_of_ada.post(f"/compose/block/?path={path}", form(), headers=HTMX).status_code == 404


def test_differences_name_what_changed_since_the_preset(page_of_ada: Client) -> None:
    same = page_of_ada.post("/compose/check/", form(), headers=HTMX).content.decode()
    other = page_of_ada.post("/compose/check/", form(steps="61"), headers=HTMX).content.decode()
    assert "None." in same
    assert re.search(r"Steps</span>.*<del>\d+</del> <ins>61</ins>", other)


def test_clone_brings_the_runs_settings_and_remembers_its_parent(
    page_of_ada: Client, ada: User, workspace: Workspace
) -> None:
    run = make_run(make_experiment(workspace, ada, steps=44, seed=12), "succeeded")
    page = page_of_ada.get(f"/compose/?clone={run.pk}").content.decode()
    assert 'name="steps" value="44"' in page
    assert "Clone of First light #1" in page
    page_of_ada.post("/compose/", form(run.spec, action="launch", clone=str(run.pk), preset="", steps="45"))
    assert Experiment.objects.get(spec__steps=45).parent == run


def test_clone_of_a_foreign_run_does_not_exist(client: Client, cyn: User, ada: User, workspace: Workspace) -> None:
    run = make_run(make_experiment(workspace, ada), "succeeded")
    client.force_login(cyn)
    assert client.post("/compose/check/", form(clone=str(run.pk)), headers=HTMX).status_code == 404


def test_estimate_stands_beside_the_form(page_of_ada: Client) -> None:
    page = page_of_ada.post(
        "/compose/check/", form(model__source="Qwen/Qwen2.5-3B", method__rehearsal=""), headers=HTMX
    ).content.decode()
    assert "3 G parameters" in page
    assert "very slow on a CPU" in page


def test_hostile_values_come_back_as_text(page_of_ada: Client) -> None:
    name = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    for path in ("/compose/", "/compose/check/"):
        page = page_of_ada.post(path, form(name=name, steps="<b>1</b>")).content.decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<b>1</b>" not in page


def test_experiment_page_lists_what_differs_from_the_preset(page_of_ada: Client) -> None:
    page_of_ada.post("/compose/", form(action="launch", steps="61"))
    page = page_of_ada.get(f"/experiments/{Experiment.objects.get().pk}/").content.decode()
    assert "<ins>61</ins>" in page
    assert dump_yaml(parse_spec(Experiment.objects.get().spec)).splitlines()[1] in page


def test_spec_of_an_older_version_is_shown_as_unreadable_instead_of_failing(
    page_of_ada: Client, ada: User, workspace: Workspace
) -> None:
    old = Experiment.objects.create(
        workspace=workspace, name="Old", method="gone", spec={"method": {"name": "gone"}}, created_by=ada
    )
    assert b"can no longer be read" in page_of_ada.get(f"/experiments/{old.pk}/").content
    assert b"gone" in page_of_ada.get("/runs/?group=1").content
