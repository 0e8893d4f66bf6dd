"""The run page, its parts and its share link: who sees what, and that model text stays text."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import mae_events, make_experiment, make_run, metric_events, next_attempt, tell
from tests.wire import floats, lines_of
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.services import create_share_link, revoke_share_link
from webapp.telemetry.state import stage_of
from webapp.telemetry.tabs import TABS
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    run = make_run(make_experiment(workspace, ada))
    tell(run, mae_events(10))
    return run


@pytest.fixture
def as_(client: Client) -> Callable[[User | None], Client]:
    def signed_in(user: User | None) -> Client:
        if user is not None:
            client.force_login(user)
        return client

    return signed_in


def config_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script id="run-config" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def addresses(run: Run) -> list[str]:
    sample = run.events.filter(kind="sample").values_list("seq", flat=True).first()
    parts = [reverse("run_part", args=[run.pk, part]) for part in ("head", "vitals", *(tab.slug for tab in TABS))]
    names = ("run", "run_state", "run_series", "run_samples", "run_log")
    return [*(reverse(name, args=[run.pk]) for name in names), reverse("run_sample", args=[run.pk, sample]), *parts]


@pytest.mark.parametrize(("who", "status"), [("ada", 200), ("ben", 200), ("cyn", 404), ("anonymous", 302)])
def test_every_address_of_a_run_opens_only_to_its_workspace(
    who: str, status: int, run: Run, ada: User, ben: User, cyn: User, as_: Callable[[User | None], Client]
) -> None:
    client = as_({"ada": ada, "ben": ben, "cyn": cyn}.get(who))
    assert {client.get(address).status_code for address in addresses(run)} == {status}


def test_the_tabs_are_those_of_the_list_and_a_share_link_has_only_its_own(
    run: Run, ada: User, as_: Callable[[User | None], Client], client: Client
) -> None:
    _, secret = create_share_link(actor=ada, run_id=run.pk)
    shared = re.findall(
        r'class="tabs__tab" href="#(\w+)"', client.get(reverse("share", args=[secret])).content.decode()
    )
    assert "log" in shared
    assert "history" not in shared
    own = re.findall(r'class="tabs__tab" href="#(\w+)"', as_(ada).get(reverse("run", args=[run.pk])).content.decode())
    assert own[0] == "live"
    assert set(shared) < set(own)


def test_the_page_holds_what_its_socket_goes_on_from(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    config = config_of(as_(ada).get(reverse("run", args=[run.pk])).content.decode())
    assert config["position"] == {"after": run.last_seq, "attempt": 1}
    assert config["root"] == f"/runs/{run.pk}/"
    assert [chart["title"] for chart in config["groups"][0]["charts"]][:2] == ["Held-out accuracy", "Reward per role"]
    assert config["state"]["status"] == "running"


def test_charts_that_every_method_has_follow_its_own(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    config = config_of(as_(ada).get(reverse("run", args=[run.pk])).content.decode())
    charts = {chart["title"]: chart for group in config["groups"] for chart in group["charts"]}
    split = charts["Where a step's time goes"]
    assert (split["kind"], split["overlaps"], charts["Mismatch"]["on_demand"]) == ("stack", False, True)
    whole = next(line for line in split["series"] if line["name"] == "time/rollout_s")
    assert whole["rest"] == {"parts": ["time/decode_s", "time/prefill_s"], "whole": "Play"}
    series = lines_of(as_(ada).get(reverse("run_series", args=[run.pk])).json())
    assert series["time/decode_s"]["steps"] == series["time/rollout_s"]["steps"] == list(range(1, 11))


def test_every_trained_policy_has_a_line_of_its_own(
    workspace: Workspace, ada: User, as_: Callable[[User], Client]
) -> None:
    separate = make_run(make_experiment(workspace, ada, weights={"kind": "separate"}, learner={"ahead": 1}))
    config = config_of(as_(ada).get(reverse("run", args=[separate.pk])).content.decode())
    charts = {chart["title"]: chart for group in config["groups"] for chart in group["charts"]}
    names = [line["name"] for line in charts["Mismatch"]["series"]]
    assert names == ["mismatch/kl/proposer", "mismatch/kl/solver", "mismatch/kl/judge"]
    assert charts["Update"]["series"][0]["label"] == "Gradient norm, proposer"
    assert charts["Where a step's time goes"]["overlaps"]


def test_a_page_of_a_run_that_is_being_rewritten_names_the_attempt_it_holds(
    run: Run, ada: User, as_: Callable[[User], Client]
) -> None:
    next_attempt(run)
    config = config_of(as_(ada).get(reverse("run", args=[run.pk])).content.decode())
    assert config["state"]["attempt"] == 2
    assert config["position"]["attempt"] == 1


def test_a_viewer_reads_but_gets_no_buttons(run: Run, ben: User, as_: Callable[[User], Client]) -> None:
    html = as_(ben).get(reverse("run", args=[run.pk])).content.decode()
    assert reverse("run_control", args=[run.pk, "pause"]) not in html
    assert "read only" in html


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        ("queued", {"stop", "share"}),
        ("running", {"pause", "checkpoint", "stop", "share"}),
        ("pausing", {"stop", "share"}),
        ("paused", {"resume", "stop", "share"}),
        ("cancelling", {"share"}),
        ("succeeded", {"share"}),
        ("failed", {"share"}),
    ],
)
def test_the_buttons_are_those_the_state_allows(
    status: str, offered: set[str], workspace: Workspace, ada: User, as_: Callable[[User], Client]
) -> None:
    run = make_run(make_experiment(workspace, ada), status)
    html = as_(ada).get(reverse("run", args=[run.pk])).content.decode()
    assert set(re.findall(rf'action="/runs/{run.pk}/(\w+)/"', html)) == offered


@pytest.mark.parametrize(
    "status", ["queued", "claimed", "starting", "running", "pausing", "paused", "cancelling", "succeeded", "timed_out"]
)
def test_a_run_without_any_event_shows_what_comes(
    status: str, workspace: Workspace, ada: User, as_: Callable[[User], Client]
) -> None:
    run = make_run(make_experiment(workspace, ada), status)
    assert as_(ada).get(reverse("run", args=[run.pk])).status_code == 200
    assert "No evaluation yet" in as_(ada).get(reverse("run_part", args=[run.pk, "evaluation"])).content.decode()


def test_a_failed_run_says_why_before_anything_else(
    workspace: Workspace, ada: User, as_: Callable[[User], Client]
) -> None:
    run = make_run(
        make_experiment(workspace, ada),
        "failed",
        failure_kind="out_of_memory",
        failure_text="CUDA out of memory",
        traceback="Traceback: <b>somewhere</b>",
    )
    html = as_(ada).get(reverse("run", args=[run.pk])).content.decode()
    assert html.index("The run needed more memory than its slot has") < html.index("CUDA out of memory")
    assert html.index("CUDA out of memory") < html.index("Traceback: &lt;b&gt;somewhere")


def test_a_waiting_run_says_what_it_waits_for(workspace: Workspace, ada: User, as_: Callable[[User], Client]) -> None:
    run = make_run(make_experiment(workspace, ada), "queued")
    assert "waits for a worker; none is running" in as_(ada).get(reverse("run", args=[run.pk])).content.decode()


def test_series_are_exact_and_end_where_asked(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    url = reverse("run_series", args=[run.pk])
    answer = as_(ada).get(url, {"name": ["reward/solver", "eval/accuracy_sampled", "nothing"]}).json()
    lines = lines_of(answer)
    assert lines["reward/solver"]["steps"] == list(range(1, 11))
    assert len(lines["reward/solver"]["y"]) == 10
    assert lines["eval/accuracy_sampled"]["steps"] == [0, 10]
    assert lines["nothing"] == {"steps": [], "y": [], "total": 0}
    assert answer["marks"] == [{"step": 10, "kind": "checkpoint", "text": "Checkpoint"}]
    early = lines_of(as_(ada).get(url, {"name": "reward/solver", "up_to": "8"}).json())
    assert early["reward/solver"]["steps"] == [1]


def test_a_long_line_comes_with_its_extremes_and_more_of_it_on_a_zoom(
    workspace: Workspace, ada: User, as_: Callable[[User], Client]
) -> None:
    """300 values n / 10 at 100 places are stretches of 3 steps; the last of them holds the points 297 to 299 and 300 alone."""
    run = make_run(make_experiment(workspace, ada))
    tell(run, metric_events(300))
    url = reverse("run_series", args=[run.pk])
    line = lines_of(as_(ada).get(url, {"name": "reward/solver", "pixels": "100"}).json())["reward/solver"]
    assert (line["steps"][:2], line["total"]) == ([2, 5], 300)
    assert line["y"][1] == pytest.approx(0.4)
    assert (line["low"][1], line["high"][1]) == pytest.approx((0.3, 0.5))
    close = lines_of(as_(ada).get(url, {"name": "reward/solver", "x_from": "10", "x_to": "14"}).json())
    assert close["reward/solver"] == {"steps": [10, 11, 12, 13, 14], "y": [1.0, 1.1, 1.2, 1.3, 1.4], "total": 5}


def test_steps_are_laid_along_time_tokens_and_questions(
    workspace: Workspace, ada: User, as_: Callable[[User], Client]
) -> None:
    run = make_run(make_experiment(workspace, ada))
    values = [{"tokens/sampled_total": 100.0 * n, "reward/solver": 0.5} for n in (1, 2, 4)]
    tell(run, [{**event, "data": {"values": said}} for event, said in zip(metric_events(3), values, strict=True)])
    url = reverse("run_series", args=[run.pk])
    along = {axis: as_(ada).get(url, {"along": axis}).json()["along"] for axis in ("time", "tokens", "questions", "")}
    assert floats(along["time"]["x"]) == [0.0, 1.0, 2.0]
    assert floats(along["tokens"]["x"]) == [100.0, 200.0, 400.0]
    assert floats(along["questions"]["x"]) == []
    assert along[""] is None


@pytest.mark.parametrize("parameters", [{"pixels": "x"}, {"x_from": "-1"}, {"up_to": "9" * 30}])
def test_a_number_that_makes_no_sense_reads_as_not_given(
    parameters: dict[str, str], run: Run, ada: User, as_: Callable[[User], Client]
) -> None:
    assert as_(ada).get(reverse("run_series", args=[run.pk]), parameters).status_code == 200


def test_samples_come_in_pages_without_overlap(workspace: Workspace, ada: User, as_: Callable[[User], Client]) -> None:
    run = make_run(make_experiment(workspace, ada))
    tell(run, mae_events(40))
    url, seen, before = reverse("run_samples", args=[run.pk]), [], ""
    for _ in range(2):
        page = as_(ada).get(url, {"before": before} if before else {}).json()
        seen += [row["seq"] for row in page["rows"]]
        before = page["next"]
    assert before is None
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == 80


@pytest.mark.parametrize("show", ["disagreement", "wrong", "right", "discarded", "kept", "rejected"])
def test_samples_can_be_narrowed_to_a_kind(show: str, run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    rows = as_(ada).get(reverse("run_samples", args=[run.pk]), {"show": show}).json()["rows"]
    fits = {
        "disagreement": lambda row: row["disagrees"] > 0,
        "wrong": lambda row: any(tally["wrong"] for tally in row["roles"] if tally["role"] == "solver"),
        "right": lambda row: any(tally["right"] for tally in row["roles"] if tally["role"] == "solver"),
        "discarded": lambda row: row["why"] is not None,
        "kept": lambda row: row["kept"] is True,
        "rejected": lambda row: row["kept"] is False,
    }[show]
    everything = as_(ada).get(reverse("run_samples", args=[run.pk])).json()["rows"]
    assert rows == [row for row in everything if fits(row)]
    assert rows


def test_samples_can_be_searched_by_their_words(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    url = reverse("run_samples", args=[run.pk])
    title = as_(ada).get(url).json()["rows"][3]["title"]
    found = as_(ada).get(url, {"text": title.upper()}).json()["rows"]
    assert [row["title"] for row in found] == [title]
    assert as_(ada).get(url, {"text": "%"}).json()["rows"] == []
    assert as_(ada).get(url, {"text": "tens ones"}).json()["rows"]
    assert as_(ada).get(url, {"text": '"tens ones"'}).json()["rows"] == []
    assert as_(ada).get(url, {"text": "te"}).json()["rows"] == []
    assert as_(ada).get(url, {"text": "te*"}).json()["rows"]
    assert as_(ada).get(url, {"text": "ones first, then tens", "step": "4"}).json()["rows"][0]["step"] == 4


def test_the_log_can_be_narrowed(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    tell(
        run, [{"seq": run.last_seq + 1, "kind": "log", "step": 9, "t": 1.5, "data": {"level": "error", "text": "Oops"}}]
    )
    url = reverse("run_log", args=[run.pk])
    assert [row["text"] for row in as_(ada).get(url, {"level": "error"}).json()["rows"]] == ["Oops"]
    assert [row["text"] for row in as_(ada).get(url, {"text": "LOADING"}).json()["rows"]] == [
        "Loading the starter model"
    ]


def test_a_sample_reads_as_a_tree_with_terms_and_verdicts(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    seq = run.events.filter(kind="sample").values_list("seq", flat=True)[0]
    html = as_(ada).get(reverse("run_sample", args=[run.pk, seq])).content.decode()
    assert re.findall(r'data-depth="(\d)" data-role="(\w+)"', html)[:3] == [
        ("0", "proposer"),
        ("1", "solver"),
        ("2", "judge"),
    ]
    assert "well-posed" in html
    assert "agrees with the truth" in html or "against the truth" in html
    assert "advantage" in html
    assert "&lt;think&gt;" in html


def test_turns_of_any_shape_can_be_read(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    turns = [{"role": f"player_{n % 2}", "text": f"move {n}", "parent": n - 1 if n else None} for n in range(40)]
    turns.append({"role": "referee", "text": "x" * 5000, "parent": 99})
    data = {"episode": "9-9", "title": "A long game", "turns": turns}
    tell(run, [{"seq": run.last_seq + 1, "kind": "sample", "step": 9, "t": 2.0, "data": data}])
    html = as_(ada).get(reverse("run_sample", args=[run.pk, run.last_seq])).content.decode()
    assert html.count('class="turn"') == 41
    assert "Show all 5000 characters" in html
    assert "Player 0 20" in html


def test_a_sample_that_is_none_is_not_found(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    assert as_(ada).get(reverse("run_sample", args=[run.pk, 1])).status_code == 404
    assert as_(ada).get(reverse("run_part", args=[run.pk, "engine"])).status_code == 404


def test_hostile_text_stays_text_everywhere(workspace: Workspace, ada: User, as_: Callable[[User], Client]) -> None:
    run = make_run(make_experiment(workspace, ada, name=HOSTILE[:100]), failure_text=HOSTILE)
    turn = {"role": HOSTILE, "text": HOSTILE, "parsed": HOSTILE, "note": HOSTILE, "rewards": {HOSTILE: 1.0}}
    item = {"question": HOSTILE, "expected": HOSTILE, "answer": HOSTILE, "correct": False}
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("sample", {"episode": "1-1", "title": HOSTILE, "turns": [turn], "facts": {HOSTILE: HOSTILE}}),
        ("evaluation", {"suite": HOSTILE, "num_items": 1, "scores": {HOSTILE: 0.5}, "items": [item]}),
        ("checkpoint", {"path": HOSTILE, "num_bytes": 1, "digest": HOSTILE}),
        ("log", {"level": "info", "text": HOSTILE}),
        ("state", {"phase": "running", "text": HOSTILE}),
    ]
    tell(run, [{"seq": n, "kind": k, "step": 1, "t": 1.0, "data": d} for n, (k, d) in enumerate(kinds, start=1)])
    for address in [*addresses(run), reverse("run_sample", args=[run.pk, 1]) + "?part"]:
        response = as_(ada).get(address)
        assert response.status_code == 200
        if response["Content-Type"].startswith("text/html"):
            assert "<img src=x" not in response.content.decode()
            assert "<script>alert" not in response.content.decode()


def test_before_and_after_stand_side_by_side(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    html = as_(ada).get(reverse("run_part", args=[run.pk, "evaluation"])).content.decode()
    assert "Held-out items" in html
    assert "41.0%" in html
    assert "points" in html


def test_the_vital_signs_are_told_in_words(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    html = as_(ada).get(reverse("run_part", args=[run.pk, "vitals"])).content.decode()
    assert "points better than at the start" in html
    assert "tells right from wrong" in html


def test_a_share_link_shows_the_run_and_nothing_more(run: Run, ada: User, client: Client) -> None:
    link, secret = create_share_link(actor=ada, run_id=run.pk)
    page = client.get(reverse("share", args=[secret]))
    html = page.content.decode()
    assert page.status_code == 200
    assert config_of(html)["root"] == f"/s/{secret}/"
    for hidden in (str(ada), ada.email, str(run.pk), "/compose/", "csrfmiddlewaretoken", "History"):
        assert hidden not in html
    assert page["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
    assert client.get(reverse("share_samples", args=[secret])).json()["rows"]
    assert client.get(reverse("share_part", args=[secret, "history"])).status_code == 404
    revoke_share_link(actor=ada, run_id=run.pk, link_id=link.pk)
    assert client.get(reverse("share", args=[secret])).status_code == 404
    assert client.get(reverse("share_series", args=[secret])).status_code == 404


@pytest.mark.parametrize(("who", "status"), [("ada", 302), ("ben", 403), ("cyn", 404), ("anonymous", 302)])
def test_a_share_link_is_taken_back_by_editors_only(
    who: str, status: int, run: Run, ada: User, ben: User, cyn: User, client: Client
) -> None:
    link, secret = create_share_link(actor=ada, run_id=run.pk)
    if user := {"ada": ada, "ben": ben, "cyn": cyn}.get(who):
        client.force_login(user)
    assert client.post(reverse("run_share_revoke", args=[run.pk, link.pk])).status_code == status
    assert client.get(reverse("share", args=[secret])).status_code == (404 if who == "ada" else 200)


def test_no_part_of_a_run_can_be_changed_by_its_page(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    assert {as_(ada).post(address).status_code for address in addresses(run)} == {405}


def test_a_run_whose_method_is_gone_can_still_be_read(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    run.experiment.method = "forgotten"
    run.experiment.save()
    response = as_(ada).get(reverse("run", args=[run.pk]))
    assert response.status_code == 200
    assert "not installed here" in response.content.decode()


def test_the_time_left_comes_from_the_last_steps(
    workspace: Workspace, ada: User, as_: Callable[[User], Client]
) -> None:
    run = make_run(make_experiment(workspace, ada))
    tell(run, metric_events(20))
    state = as_(ada).get(reverse("run_state", args=[run.pk])).json()["state"]
    assert state["steps_per_s"] == 1.0
    assert state["seconds_left"] == 40.0
    assert state["progress"] == "Step 20 of 60"


def test_the_time_left_is_a_range_while_the_pace_changes(
    workspace: Workspace, ada: User, as_: Callable[[User], Client]
) -> None:
    run = make_run(make_experiment(workspace, ada))
    events = metric_events(30)
    for event in events[20:]:
        event["t"] += event["step"] - 20  # from step 21 on a step takes two seconds
    tell(run, events)
    state = as_(ada).get(reverse("run_state", args=[run.pk])).json()["state"]
    # 29 steps in 39 s, and 9 in 18 s at last: 30 steps are left.
    assert state["time"].startswith("40 s to 1 min left")
    assert state["stage"] == "learning"


@pytest.mark.parametrize(
    ("status", "stage"),
    [
        ("queued", "queued"),
        ("claimed", "queued"),
        ("starting", "preparing"),
        ("running", "playing"),
        ("failed", "done"),
    ],
)
def test_the_way_of_a_run_is_told_from_the_queue_on(status: str, stage: str, workspace: Workspace, ada: User) -> None:
    assert stage_of(make_run(make_experiment(workspace, ada), status)) == stage
