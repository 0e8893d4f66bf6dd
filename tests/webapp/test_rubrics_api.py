"""Rubrics, dry runs and gradings by the API and by the command line."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tests.factories import START_T, tell
from tests.webapp.test_api import Script, error_of
from tests.webapp.test_cli import Terminal, home, kumite, server, signed_in  # noqa: F401
from training_core.spec.rubrics import RUBRICS, digest_of
from webapp.accounts.models import User
from webapp.cli.errors import Exit
from webapp.cli.library_arguments import KINDS
from webapp.experiments.models import Run
from webapp.fleet.models import Worker
from webapp.jobs.services import JobClaim, claim_job, finish_job
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db(transaction=True)
STRICT = "Grade {answer} to {question}. Write <score>1</score> to <score>10</score>."


def judged(seq: int, answer: str, score: int, *, right: bool) -> dict[str, Any]:
    """An answer that was paid 0.5 judge, and the verdict on it: 10 is 1, 1 is 0."""
    value = (score - 1) / 9
    head = {"role": "solver", "text": f"<answer>{answer}</answer>", "parsed": answer, "correct": right, "trained": True}
    head |= {"rewards": {"judge": value}, "parts": {"judge": 0.5 * value}, "reward": 0.5 * value}
    verdict = {"role": "judge", "text": f"<score>{score}</score>", "parsed": str(score), "parent": 0}
    data = {"episode": f"{seq}-s0", "title": "3+4", "turns": [head, verdict], "facts": {}}
    return {"seq": seq, "kind": "sample", "step": seq, "t": START_T + seq, "data": data}


@pytest.fixture
def run(run_in: Callable[..., Run]) -> Run:
    """The judge accepted 7 rightly, and 8 and 9 wrongly."""
    run = run_in("succeeded")
    tell(run, [judged(1, "7", 10, right=True), judged(2, "8", 10, right=False), judged(3, "9", 10, right=False)])
    return run


@pytest.fixture
def api(ada: User, workspace: Workspace) -> Script:
    return Script(ada)


def grades(claim: JobClaim) -> dict[str, Any]:
    """Says 1 of the answer 8 and 10 of all others."""
    scores = [1 if item["answer"] == "8" else 10 for item in claim.payload["items"]]
    items = [
        {"id": item["id"], "value": (score - 1) / 9, "scores": [score], "verdict": f"<score>{score}</score>"}
        for item, score in zip(claim.payload["items"], scores, strict=True)
    ]
    return {"items": items, "unreadable": 0.0, "agreement": None}


@contextmanager
def worker(outcome: Callable[[JobClaim], dict[str, Any]]) -> Iterator[None]:
    """Carries out one job while the block runs."""
    found = Worker.objects.get_or_create(
        name="w", defaults={"host": "h", "boot_id": "b", "pid": 1, "start_ticks": 1, "last_beat_at": timezone.now()}
    )[0]

    def do() -> None:
        while (claim := claim_job(worker=found)) is None:
            time.sleep(0.02)
        finish_job(claim=claim, result=outcome(claim))
        connection.close()

    thread = threading.Thread(target=do)
    thread.start()
    yield
    thread.join(60)


def test_a_rubric_is_made_versioned_and_retired(api: Script) -> None:
    made = api("post", "rubrics/", {"name": "Strict", "kind": "answer", "text": STRICT, "note": "begun"})
    rubric = made.json()
    assert (made.status_code, rubric["newest"], rubric["workspace"]) == (201, 1, "dojo")
    assert (rubric["places"], rubric["reads"]) == (["question", "answer"], "score")
    path = f"rubrics/{rubric['id']}/"
    saved = api("post", f"{path}versions/", {"text": "Grade {answer}", "note": "shorter"}).json()
    assert [(each["number"], each["note"]) for each in saved["versions"]] == [(2, "shorter"), (1, "begun")]
    assert saved["versions"][1]["digest"] == digest_of(STRICT)
    assert saved["versions"][0]["hints"][0].startswith("It never asks for <score>")
    assert api("post", f"{path}versions/", {"text": "Grade {answer}"}).json()["newest"] == 2
    assert [each["name"] for each in api("get", "rubrics/?kind=answer").json()["results"]] == ["Strict"]
    assert api("get", "rubrics/?kind=pair").json()["results"] == []

    assert api("patch", path, {"retired": True}).json()["retired_at"]
    assert api("get", "rubrics/").json()["results"] == []
    assert [each["id"] for each in api("get", "rubrics/?retired=true").json()["results"]] == [rubric["id"]]


def test_what_cannot_be_kept_or_tried_is_refused_in_a_sentence(api: Script, run: Run) -> None:
    body = {"name": "Strict", "kind": "answer", "text": STRICT}
    path = f"rubrics/{api('post', 'rubrics/', body).json()['id']}/"
    assert "is there already" in error_of(api("post", "rubrics/", body))[1]
    assert "never shows the answer" in error_of(api("post", f"{path}versions/", {"text": "Grade it."}))[1]
    assert error_of(api("post", "rubrics/", {**body, "kind": "poem"}))[2][0]["path"] == "kind"
    assert error_of(api("post", "rubrics/", {"name": "No text", "kind": "answer"}))[2][0]["path"] == "text"
    dry = {"run": str(run.pk)}
    status, message, _ = error_of(api("post", f"{path}dry-runs/", {**dry, "version": 7}))
    assert (status, message) == (400, "Strict has no version 7; its newest is 1.")
    assert "never shows the answer" in error_of(api("post", f"{path}dry-runs/", {**dry, "text": "Hm"}))[1]
    judge = {"run": str(run.pk), "step": 9}
    assert "no checkpoint of step 9" in error_of(api("post", f"{path}dry-runs/", {**dry, "judge": judge}))[1]
    assert "Give either run or subject" in error_of(api("post", "gradings/", {}))[1]
    assert "Say whose weights judge" in error_of(api("post", "gradings/", {"subject": "mae/answer"}))[1]
    assert "never shows the answer" in error_of(api("post", "gradings/", {**dry, "text": "Hm"}))[1]
    pair = {"name": "Pair", "kind": "pair", "text": "{first} or {second}?"}
    body = {**dry, "rubric": api("post", "rubrics/", pair).json()["id"]}
    assert "does not grade answers" in error_of(api("post", "gradings/", body))[1]


def test_a_dry_run_and_a_grading_tell_what_was_and_what_would_be(api: Script, run: Run) -> None:
    rubric = api("post", "rubrics/", {"name": "Strict", "kind": "answer", "text": STRICT}).json()
    asked = api("post", f"rubrics/{rubric['id']}/dry-runs/", {"run": str(run.pk)})
    assert (asked.status_code, asked.json()["outcome"], asked.json()["status"]) == (201, None, "queued")
    with worker(grades):
        pass
    done = api("get", f"dry-runs/{asked.json()['id']}/").json()
    found = done["outcome"]
    # Before, all three were accepted and one of them is right; now 8 is refused.
    assert (done["status"], found["agreed"], found["agree"], found["num_known"], found["num_flips"]) == (
        "succeeded",
        1,
        2,
        3,
        1,
    )
    (line,) = [each for each in found["lines"] if each["flips"]]
    assert (line["answer"], line["truth"], line["value_before"], line["value"]) == ("8", False, 1.0, 0.0)
    assert (line["reward_before"], line["reward"]) == (0.5, 0.0)

    graded = api("post", "gradings/", {"run": str(run.pk), "rubric": rubric["id"]}).json()
    assert (graded["rubric"], graded["num_items"], graded["findings"]) == ("Strict, version 1", 3, None)
    with worker(grades):
        pass
    found = api("get", f"gradings/{graded['id']}/").json()["findings"]
    assert [each["answer"] for each in found["flips"]] == ["8"]
    shares = [found[side]["agreement"]["value"] for side in ("was", "would")]
    assert shares == [pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert [each["id"] for each in api("get", f"gradings/?run={run.pk}").json()["results"]] == [graded["id"]]


def test_the_command_line_keeps_tries_and_grades_with_rubrics(
    signed_in: None,  # noqa: F811
    kumite: Terminal,  # noqa: F811
    run: Run,
    tmp_path: Path,
) -> None:
    file = tmp_path / "strict.txt"
    file.write_text(STRICT, encoding="utf-8")
    assert "No rubric matches" in kumite("rubrics")
    assert "with --kind" in kumite("rubric-save", "Strict", str(file), expect=Exit.WRONG_INPUT)
    assert "version 1 now" in kumite("rubric-save", "Strict", str(file), "--kind", "answer")
    file.write_text(f"{STRICT} Now.", encoding="utf-8")
    assert "version 2 now" in kumite("rubric-save", "Strict", str(file), "--note", "sooner")
    assert "Strict" in kumite("rubrics", "--kind", "answer")
    assert kumite("rubric", "Strict", "--version", "1") == f"{STRICT}\n"
    assert kumite("rubric", "Strict") == f"{STRICT} Now.\n"
    assert f"-{STRICT}\n+{STRICT} Now.\n" in kumite("rubric", "Strict", "--against", "1")
    assert "no version 3" in kumite("rubric", "Strict", "--version", "3", expect=Exit.NOT_FOUND)
    with worker(grades):
        told = kumite("dry-run", "Strict", "last")
    assert "accepts 1.00" in told
    assert "refuses 0.00 !" in told
    assert "In line with the truth: 1 before, 2 now, of 3. 1 of 3 verdicts flip" in told
    with worker(grades):
        told = kumite("grade-again", "last", "--rubric", "Strict", "--version", "2")
    assert "1 of 3 verdicts flip" in told
    assert "no more" in kumite("rubric-retire", "Strict")
    assert "There is no rubric 'Strict'" in kumite("rubric", "Strict", expect=Exit.NOT_FOUND)
    assert "again" in kumite("rubric-retire", "Strict", "--back")


def test_the_command_line_knows_every_kind() -> None:
    assert tuple(RUBRICS) == KINDS
