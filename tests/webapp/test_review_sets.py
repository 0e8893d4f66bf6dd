"""What is made of people's answers: calibration sets, data sets of picked samples, and answers graded again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import tell
from tests.webapp.test_review import answer, give, sample
from training_core.spec.tasks import JsonlTask
from training_core.tasks.registry import make_domain
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.jobs.models import Job
from webapp.jobs.weights import Moment
from webapp.library.datasets import save_dataset
from webapp.library.models import DatasetVersion
from webapp.review import services
from webapp.review.regrading import Findings, own_prompt
from webapp.review.sets import calibration_sets, demonstration, preference
from webapp.workspaces.models import Membership, Workspace
from webapp.workspaces.selectors import PermissionDenied

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(run_in: Callable[..., Run], settings: Any, tmp_path: Path) -> Run:
    settings.ARTIFACTS_DIR, settings.DATA_DIR = tmp_path, tmp_path / "data"
    run = run_in("succeeded")
    events = [
        sample(1, 1, "1-s0", answer("7", [10], correct=True), answer("8", [10], correct=False)),
        sample(2, 2, "2-s0", answer("9", [1], correct=False)),
    ]
    tell(run, events)
    return run


def rows_of(made: DatasetVersion) -> list[dict[str, Any]]:
    return [json.loads(line) for line in made.path.read_text().splitlines()]


def test_a_calibration_set_holds_the_word_of_most_people_in_versions(
    run: Run, ada: User, ben: User, workspace: Workspace
) -> None:
    Membership.objects.filter(user=ben).update(role="editor")
    give(ada, run, "1-s0", "right")
    give(ada, run, "1-s0", "wrong", turn=3)
    give(ada, run, "2-s0", "right")
    give(ben, run, "2-s0", "wrong")  # one against one: not in the set
    (found,) = calibration_sets(workspace)
    assert (found.subject, len(found.items), found.num_right) == ("mae/answer", 2, 1)
    assert found.meter.agreement is not None
    assert found.meter.agreement.value == 0.5  # the judge accepted both

    made = services.make_calibration_set(actor=ada, workspace=workspace, subject="mae/answer")
    assert services.make_calibration_set(actor=ada, workspace=workspace, subject="mae/answer") == made
    assert [(row["question"], row["right"], row["judge_value"]) for row in rows_of(made)] == [
        ("3+4", True, 1.0),
        ("3+4", False, 1.0),
    ]
    give(ben, run, "2-s0", "right")
    later = services.make_calibration_set(actor=ada, workspace=workspace, subject="mae/answer")
    assert (later.number, later.num_lines) == (2, 3)
    with pytest.raises(ValueError, match="Nothing there"):
        services.make_calibration_set(actor=ada, workspace=workspace, subject="spin/answer")


def test_rows_of_a_sample_prefer_what_people_say() -> None:
    data = sample(1, 1, "1-s0", answer("7", [10], correct=True), answer("8", [10], correct=False))["data"]
    row = demonstration(data, {})
    assert row == {"question": "3+4", "answer": "7", "completion": "<answer>7</answer>"}
    pair = preference(data, {})
    assert pair is not None
    assert (pair["chosen"], pair["rejected"]) == ("<answer>7</answer>", "<answer>8</answer>")
    turned = preference(data, {1: "wrong", 3: "right"})
    assert turned is not None
    assert turned["answer"] == "8"
    assert demonstration(data, {1: "wrong", 3: "wrong"}) is None
    same = sample(1, 1, "1-s0", answer("7", [10]), answer("8", [10]))["data"]
    assert preference(same, {}) is None


def test_picked_samples_become_a_file_that_a_task_reads(run: Run, ada: User, ben: User, workspace: Workspace) -> None:
    services.toggle_mark(actor=ada, run_id=run.pk, episode="1-s0", kind="tag", tag="good")
    made = services.make_picked_set(
        actor=ada, workspace=workspace, form="sft", name="Good ones", kind="tag", tag="good"
    )
    (row,) = rows_of(made)
    assert (row["question"], row["answer"], row["episode"]) == ("3+4", "7", "1-s0")
    lines = [json.dumps({"question": f"{n}+1", "answer": n + 1}) for n in range(60)]
    made.path.write_text("\n".join([json.dumps(row), *lines]))
    task = make_domain(JsonlTask(path=str(made.path), answer_field="answer"))
    assert task.truth("3+4") == "7"  # type: ignore[union-attr]
    with pytest.raises(PermissionDenied):
        services.make_picked_set(actor=ben, workspace=workspace, form="sft", name="x", kind="tag", tag="good")
    with pytest.raises(ValueError, match="holds something else: demonstrations"):
        save_dataset(actor=ada, workspace=workspace, name="Good ones", chunks=[b"{}"])
    with pytest.raises(ValueError, match="no form"):
        services.make_picked_set(actor=ada, workspace=workspace, form="x", name="x", kind="tag", tag="good")


def ended(job: Job, values: list[float]) -> None:
    items = [
        {"id": item["id"], "value": value, "scores": [1], "verdict": "<score>1</score>"}
        for item, value in zip(job.payload["items"], values, strict=True)
    ]
    result = {"items": items, "unreadable": 0.0, "agreement": None}
    Job.objects.filter(pk=job.pk).update(status="succeeded", finished_at=timezone.now(), result=result)


def test_answers_graded_again_show_the_reward_that_would_have_been_and_what_flips(run: Run, ada: User) -> None:
    again = services.grade_run_again(actor=ada, run=run, judge=Moment(run=run, step=0), num_samples=10)
    assert [(item["id"], item["answer"], item["right"]) for item in again.job.payload["items"]] == [
        ("1/1", "7", True),
        ("1/3", "8", False),
        ("2/1", "9", False),
    ]
    assert (again.edited, again.job.payload["template"]) == (False, "")
    ended(again.job, [1.0, 0.25, 0.0])
    again.refresh_from_db()
    found = Findings(again)
    assert [flip.given.id for flip in found.flips] == ["1/3"]
    # Step 1: values 1, 1 become 1, 1/4; rewards of 1/2 each change by w_judge = 1/2 times that.
    assert found.curves == [
        {"step": 1, "number": 2, "was": 1.0, "would": 0.625, "reward": 0.5, "reward_would": pytest.approx(0.3125)},
        {"step": 2, "number": 1, "was": 0.0, "would": 0.0, "reward": 0.5, "reward_would": 0.5},
    ]
    assert found.was.agreement is not None and found.would.agreement is not None
    assert (found.was.agreement.hits, found.would.agreement.hits) == (2, 3)


def test_a_judge_is_tried_on_a_calibration_set_with_other_words(run: Run, ada: User, workspace: Workspace) -> None:
    give(ada, run, "1-s0", "right")
    words = "Grade {answer} to {question}."
    again = services.grade_set_again(
        actor=ada, workspace=workspace, subject="mae/answer", judge=Moment(run=run, step=0), template=words
    )
    assert (again.edited, again.job.payload["template"], again.num_items) == (True, words, 1)
    assert "{answer}" in own_prompt(run.spec)
    with pytest.raises(ValueError, match="never shows the answer"):
        services.grade_set_again(
            actor=ada, workspace=workspace, subject="mae/answer", judge=Moment(run=run, step=0), template="Hm"
        )


def test_the_pages_make_sets_and_ask_judges(run: Run, ada: User, client: Client) -> None:
    client.force_login(ada)
    give(ada, run, "1-s0", "right")
    services.toggle_mark(actor=ada, run_id=run.pk, episode="1-s0", kind="pin")
    client.post(reverse("review_sets"), {"subject": "mae/answer"})
    client.post(reverse("review_sets"), {"marked": "pin:", "form": "preference", "name": "Pairs"})
    page = client.get(reverse("review_sets")).text
    assert "mae/answer" in page
    assert "Pairs, version 1" in page
    file = client.get(reverse("dataset_file", args=[DatasetVersion.objects.get(dataset__form="preference").pk]))
    assert b"chosen" in b"".join(file.streaming_content)  # type: ignore[arg-type]
    page = client.get(reverse("grade_again")).text
    assert f'value="{run.pk}/0/main"' in page
    form = {"of": f"run:{run.pk}", "judge": f"{run.pk}/0/main", "samples": "10", "n": "1", "template": ""}
    asked = client.post(reverse("grade_again"), form)
    assert "Waits for a worker" in client.get(asked.headers["Location"]).text
    ended(Job.objects.get(), [0.0, 0.0, 0.0])
    assert "2 of 3" in client.get(asked.headers["Location"]).text
    assert "no whole number" in client.post(reverse("grade_again"), {**form, "n": "many"}).text
