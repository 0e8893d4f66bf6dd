"""Orders, review and calibration sets by the API and by the command line."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kumite as recorder
from tests.factories import START_T, next_attempt, tell
from tests.webapp.test_api import Script, error_of
from tests.webapp.test_cli import Terminal, home, kumite, server, signed_in  # noqa: F401
from webapp.accounts.models import User
from webapp.cli.errors import Exit
from webapp.experiments.models import Run
from webapp.orders.models import RunOrder
from webapp.review.models import Verdict
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db(transaction=True)
LR = "method.optimizer.lr"


def judged(seq: int, episode: str, verdict: str, *, truth: bool | None = None) -> dict[str, Any]:
    """An answer to 3+4 with one verdict on it."""
    answer: dict[str, Any] = {"role": "solver", "text": "<answer>7</answer>", "parsed": "7", "correct": truth}
    word = {"role": "judge", "text": f"<score>{verdict}</score>", "parsed": verdict, "parent": 0}
    data = {"episode": episode, "title": "3+4", "layout": "thread", "turns": [answer, word], "facts": {}}
    return {"seq": seq, "kind": "sample", "step": seq, "t": START_T, "data": data}


def answer(seq: int, order: int, **data: Any) -> dict[str, Any]:
    told = {"order": order, "command": "knob", "by": "Ada", "what": LR, "before": 1e-6, "after": 0.5, "obeyed": True}
    return {
        "seq": seq,
        "kind": "change",
        "step": 2,
        "t": START_T,
        "data": {**told, "update": 3, "text": "Done.", **data},
    }


@pytest.fixture
def api(ada: User, workspace: Workspace) -> Script:
    return Script(ada)


@pytest.fixture
def run(run_in: Callable[..., Run]) -> Run:
    run = run_in("running")
    tell(run, [judged(1, "1-s0", "1"), judged(2, "2-s0", "9")])
    return run


def test_an_order_is_given_once_and_its_answer_is_read(api: Script, run: Run) -> None:
    path, body = f"runs/{run.pk}/orders/", {"command": "knob", "path": LR, "value": 0.5}
    given = api("post", path, body, **{"Idempotency-Key": "k1"})
    assert (given.status_code, given.json()["number"], given.json()["waiting"]) == (201, 1, True)
    assert api("post", path, body, **{"Idempotency-Key": "k1"}).json()["number"] == 1
    other = api("post", path, {**body, "value": 0.25}, **{"Idempotency-Key": "k1"})
    assert error_of(other)[:2] == (400, "The idempotency key 'k1' already gave another order. Use a new key.")

    tell(run, [answer(3, 1)])
    found = api("get", f"{path}1/").json()
    assert (found["waiting"], found["obeyed"], found["answer_seq"]) == (False, True, 3)
    assert (found["fate"], found["answer"]["after"], found["answer"]["update"]) == ("Done.", 0.5, 3)
    tell(next_attempt(run), [judged(3, "3-s0", "9")])
    assert api("get", f"{path}1/").json()["waiting"] is True


def test_what_an_order_lacks_or_has_too_much_is_named(api: Script, run: Run, run_in: Callable[..., Run]) -> None:
    path = f"runs/{run.pk}/orders/"
    assert error_of(api("post", path, {"command": "overrule", "episode": "1-s0"}))[2] == [
        {"path": "turn", "message": "This field is required."},
        {"path": "value", "message": "This field is required."},
    ]
    assert error_of(api("post", path, {"command": "knob", "path": LR, "value": 0.1, "turn": 3}))[2][0]["path"] == "turn"
    assert error_of(api("post", path, {"command": "knob", "path": LR, "value": 7}))[2][0]["path"] == LR
    body = {"command": "question", "action": "add", "question": "1+1"}
    assert "has ended" in error_of(api("post", f"runs/{run_in('succeeded').pk}/orders/", body))[1]
    assert not RunOrder.objects.exists()
    listed = [api("post", path, {**body, "question": f"{number}+1"}).json()["number"] for number in range(3)]
    assert listed == [1, 2, 3]
    page = api("get", f"{path}?limit=2").json()
    assert [each["number"] for each in page["results"]] == [3, 2]
    assert page["next"]


def test_the_judges_word_and_the_truth_are_told_after_the_answer(api: Script, run: Run) -> None:
    queue = api("get", f"review/?run={run.pk}").json()
    assert {(each["episode"], each["turn"], each["kind"]) for each in queue} == {
        ("1-s0", 0, "answer"),
        ("2-s0", 0, "answer"),
    }
    assert not {"judge", "truth", "mine"} & queue[0].keys()
    named = f"review/item/?run={run.pk}&episode=1-s0&turn=0"
    assert api("get", named).json()["judge"] is None

    body = {"run": str(run.pk), "episode": "1-s0", "turn": 0, "label": "right", "note": "3+4 is 7"}
    said = api("post", "review/item/", body).json()
    assert (said["judge"]["value"], said["mine"]["overrules"], said["mine"]["saw_judge"]) == (0.0, True, False)
    assert (said["mine"]["order"]["command"], said["mine"]["order"]["payload"]["value"]) == ("overrule", 1.0)
    assert api("post", "review/item/", body).json()["mine"]["at"] == said["mine"]["at"]
    assert (Verdict.objects.count(), RunOrder.objects.count()) == (1, 1)
    assert [each["episode"] for each in api("get", f"review/?run={run.pk}").json()] == ["2-s0"]

    assert api("delete", named).status_code == 204
    assert RunOrder.objects.order_by("-number").values_list("payload__value", flat=True)[0] is None
    assert api("delete", named).status_code == 404
    assert api("get", named).json()["mine"] is None


def test_a_calibration_set_is_listed_frozen_once_and_saved(
    api: Script, run: Run, settings: Any, tmp_path: Path
) -> None:
    settings.ARTIFACTS_DIR = tmp_path
    for episode in ("1-s0", "2-s0"):
        body = {"run": str(run.pk), "episode": episode, "turn": 0, "label": "right"}
        assert api("post", "review/item/", body).status_code == 200
    (found,) = api("get", "calibration-sets/").json()
    assert (found["subject"], found["num_items"], found["num_right"]) == ("mae/answer", 2, 2)
    assert (found["judges"]["agreement"]["value"], found["judges"]["false_reject"]["value"]) == (0.5, 0.5)
    made = api("post", "calibration-sets/", {"subject": "mae/answer"}).json()
    assert made == api("post", "calibration-sets/", {"subject": "mae/answer"}).json()
    file = api("get", f"calibration-sets/{made['id']}/file/")
    rows = b"".join(file.streaming_content).decode().splitlines()
    assert (len(rows), made["num_lines"], made["version"]) == (2, 2, 1)
    assert error_of(api("post", "calibration-sets/", {"subject": "none"}))[0] == 400


def test_the_command_line_takes_part(
    signed_in: None,  # noqa: F811
    kumite: Terminal,  # noqa: F811
    run: Run,
    tmp_path: Path,
    settings: Any,
) -> None:
    settings.ARTIFACTS_DIR = tmp_path
    item = f"{str(run.pk)[:8]}/1-s0/0"
    assert item in kumite("review")
    assert "hidden" in kumite("review", "--item", item)
    told = kumite("verdict", item, "right")
    assert "refuses: 0%" in told
    assert "on its way" in told
    assert '"overrules": true' in kumite("verdict", item, "right", "--json")
    assert "Waits for the run's next step." in kumite("set", "last", f"{LR}=0.5")
    assert "turn 0 of 1-s0 is right" in kumite("orders", "last")
    tell(run, [answer(3, 2)])
    assert "Done." in kumite("orders", "last")
    assert "Waits" in kumite("overrule", "last", "1-s0", "0", "back")
    assert '"number": 4' in kumite("question", "last", "add", "1+1", "--answer", "2", "--json")
    assert "mae/answer" in kumite("calibration")
    assert "with 1 lines" in kumite("calibration", "--save", "mae/answer", "--out", str(tmp_path / "set.jsonl"))
    assert (tmp_path / "set.jsonl").read_text().count("\n") == 1
    assert "Taken back" in kumite("verdict", item, "back")
    assert "does not name an item" in kumite("verdict", "nothing", "right", expect=Exit.WRONG_INPUT)


def test_a_program_that_has_nothing_to_tell_sends_signs_of_life(
    signed_in: None,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUMITE_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setattr("kumite.recorder.BEAT_S", 0.0)
    recorder.init(project="Outside", name="quiet")
    deadline, heard = time.monotonic() + 60, set()
    while len(heard) < 3 and time.monotonic() < deadline:
        heard |= set(Run.objects.values_list("heard_at", flat=True))
        time.sleep(0.05)
    recorder.finish()
    assert len(heard) >= 3
    assert Run.objects.get().status == "succeeded"
