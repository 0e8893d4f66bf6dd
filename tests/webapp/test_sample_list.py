"""The list of samples: what was played comes first in its step, practice is told apart, and answers are chips."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from tests.factories import next_attempt, tell
from tests.shapes import kuhn_poker, preference_pair, sample_event, search_tree
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.telemetry import selectors
from webapp.telemetry.finding import SampleFilter
from webapp.telemetry.models import RunSummary, Sample
from webapp.telemetry.rows import Answer, answers_of
from webapp.telemetry.sample_index import findings, group_key


def turn(role: str = "solver", **more: Any) -> dict[str, Any]:
    return {"role": role, "text": "said", **more}


def sample(title: str, *turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"episode": title, "title": title, "turns": list(turns), **more}


QUESTION = sample("asked", turn(reward=0.5), turn(reward=1.0))
PROPOSAL = sample("made", turn("proposer"), turn())
UNTAGGED = sample("nothing asked", turn("proposer"), discarded="no question tag")
PRACTICE = sample("asked", turn("judge", reward=1.0), practice=True)
STEP = [QUESTION, UNTAGGED, PROPOSAL, PRACTICE]


@pytest.fixture
def run(run_in: Callable[..., Run]) -> Run:
    """Two steps of four samples each, in the order in which they were written."""
    found = run_in("running")
    tell(found, [sample_event(seq, STEP[(seq - 1) % 4], step=1 + (seq - 1) // 4) for seq in range(1, 9)])
    return found


def seqs(run: Run, **wanted: Any) -> list[int]:
    before = wanted.pop("before", None)
    rows = selectors.samples(run, SampleFilter(**wanted), before=before, limit=3)
    return [row["seq"] for row in rows]


@pytest.mark.parametrize(
    ("data", "kind", "rank"),
    [
        (QUESTION, "question", 2),
        (PROPOSAL, "proposal", 2),
        (UNTAGGED, "proposal", 1),
        (PRACTICE, "practice", 0),
        (sample("of an earlier version", turn("judge"), facts={"practice": True}), "practice", 0),
        (kuhn_poker(), "game", 2),
        (preference_pair("19", "18"), "question", 2),
        (search_tree(), "search", 2),
        (sample("nobody spoke"), "question", 1),
    ],
)
def test_a_sample_is_what_it_is_made_of(data: dict[str, Any], kind: str, rank: int) -> None:
    assert (findings(data).kind, findings(data).rank) == (kind, rank)


def test_what_was_answered_leads_its_step_and_practice_ends_it_page_by_page(run: Run) -> None:
    assert seqs(run) == [7, 5, 6]
    assert seqs(run, before=6) == [8, 3, 1]
    assert seqs(run, before=1) == [2, 4]
    assert seqs(run, kind="played") == [7, 5, 6]
    assert seqs(run, kind="played", before=6) == [3, 1, 2]
    assert seqs(run, kind="practice") == [8, 4]
    assert seqs(run, kind="proposal") == [7, 6, 3]
    assert selectors.neighbours(run, 6) == (8, 5)
    assert selectors.neighbours(run, 6, SampleFilter(kind="played")) == (3, 5)


def test_kinds_are_counted_for_the_run_and_for_a_step_also_when_events_are_rewritten(run: Run) -> None:
    assert selectors.num_samples(run) == {"question": 2, "proposal": 4, "practice": 2}
    assert selectors.num_samples(run, 2) == {"question": 1, "proposal": 2, "practice": 1}
    next_attempt(run)
    tell(run, [sample_event(4, QUESTION, step=1)])
    assert selectors.num_samples(run) == {"question": 2, "proposal": 2}


def test_the_migration_finds_the_kinds_that_storing_finds(run: Run) -> None:
    known = list(Sample.objects.order_by("seq").values_list("kind", "rank"))
    counted = selectors.num_samples(run)
    Sample.objects.update(kind="question", rank=2)
    RunSummary.objects.all().delete()
    migration = import_module("webapp.telemetry.migrations.0005_sample_kinds")
    with connection.cursor() as cursor:
        cursor.execute(migration.FILL)
        cursor.execute(migration.COUNT)
    assert list(Sample.objects.order_by("seq").values_list("kind", "rank")) == known
    assert selectors.num_samples(run) == counted


def test_answers_are_told_with_reward_truth_length_and_the_first_verdict() -> None:
    turns = [
        ["proposer", "2 + 2", 0.2, True, 8, None],
        ["judge", "7", None, None, 5, 0],
        ["solver", "4", 1.0, True, 12, 0],
        ["solver", None, 0.12345, False, None, 0],
        ["judge", "9", None, True, 5, 2],
        ["judge", "1", None, False, 5, 2],
    ]
    assert answers_of(turns) == [
        Answer("solver", "4", 1.0, True, 12, "9", True),
        Answer("solver", None, 0.123, False, 0, None, None),
    ]


def test_a_line_brings_the_answers_of_its_sample_from_the_list_and_from_the_socket(run: Run) -> None:
    tell(run, [sample_event(9, sample("q", turn(parsed="a" * 40, reward=0.5, num_tokens=3)), step=3)])
    line = selectors.samples(run, limit=1)[0]
    assert line["answers"] == [Answer("solver", "a" * 16, 0.5, None, 3, None, None)]
    slim = next(event.slim for event in selectors.slim_events(run.pk) if event.seq == 9)  # type: ignore[attr-defined]
    assert answers_of(slim["turns"]) == line["answers"]


def test_practice_is_no_occasion_on_which_a_question_was_asked(run: Run, ada: User) -> None:
    client = Client()
    client.force_login(ada)
    page = client.get(reverse("run_group", args=[run.pk, group_key("asked")]))
    assert page.context["question"]["count"] == 2
    listed = client.get(reverse("run_groups", args=[run.pk])).context["groups"]
    assert {each["title"]: each["count"] for each in listed} == {"asked": 2, "made": 2, "nothing asked": 2}
    html = client.get(reverse("run_sample", args=[run.pk, 8])).content.decode()
    assert "a role rehearsed by itself" in html
    assert "The same question through time" not in html
