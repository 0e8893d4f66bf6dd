"""The index of samples says of every sample what its event says, however the row came to be."""

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.db import connection

from tests.factories import mae_events, next_attempt, tell
from tests.shapes import kuhn_poker, preference_pair, sample_event, search_tree, tic_tac_toe
from webapp.experiments.models import Run
from webapp.telemetry.models import Sample
from webapp.telemetry.sample_index import findings, group_key, is_without_signal, words


@pytest.fixture
def run(run_in: Callable[..., Run]) -> Run:
    return run_in("running")


def turn(role: str = "solver", text: str = "4", **more: Any) -> dict[str, Any]:
    return {"role": role, "text": text, **more}


def sample(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"episode": "1-0", "title": "What is 2 + 2?", "turns": list(turns), **more}


ODD = [
    sample(),
    sample(turn(trained=True, reward=0.5), turn(trained=True, reward=0.5)),
    sample(turn(trained=True, reward=0.5, advantage=0.0), turn(trained=True, reward=0.5, advantage=-0.1)),
    sample(
        turn(
            "proposer",
            "<question>\N{LATIN CAPITAL LETTER E WITH ACUTE}cole\t\u2192 x_1  3.14</question>",
            correct=False,
        )
    ),
    sample(
        turn(text="a" * 200),
        title="  What\n is  2 + 2? ",
        facts={"reference": "What is 1?", "solved": 0.25, "kept": False},
    ),
    sample(turn(), facts={"solved": True, "result": 3.0, "reject_reason": "no question tag"}),
    sample(turn("judge"), facts={"practice": True}),
    sample(turn("judge"), practice=True),
    sample(turn("demonstration", correct=True), turn("player", correct=False)),
    sample(turn("demonstration", correct=True)),
]


def rows(run: Run) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(s) FROM telemetry_sample s WHERE run_id = %s ORDER BY seq", [run.pk])
        return [json.loads(row) if isinstance(row, str) else row for (row,) in cursor.fetchall()]


def test_the_backfill_finds_what_storing_finds(run: Run) -> None:
    shapes = [*ODD, tic_tac_toe(), kuhn_poker(), preference_pair("He has 19", "He has 18"), search_tree()]
    events = mae_events(6)
    tell(run, events + [sample_event(len(events) + 1 + n, shape) for n, shape in enumerate(shapes)])
    stored = rows(run)
    assert len(stored) == 12 + len(shapes)
    Sample.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(import_module("webapp.telemetry.migrations.0002_samples").BACKFILL)
        later = import_module("webapp.telemetry.migrations.0005_sample_kinds")
        cursor.execute(later.FILL)
        cursor.execute(later.ANSWERS)
    for old, new in zip(rows(run), stored, strict=True):
        assert old == {**new, "roles": old["roles"], "reward_mean": old["reward_mean"]}
        assert old["reward_mean"] == pytest.approx(new["reward_mean"])
        for ours, theirs in zip(old["roles"], new["roles"], strict=True):
            assert ours == theirs | {"reward": pytest.approx(theirs["reward"], abs=0.0011)}


def test_a_later_attempt_takes_the_rows_it_rewrites_along(run: Run) -> None:
    tell(run, [sample_event(seq, sample(turn(text=f"first {seq}"))) for seq in (1, 2, 3)])
    next_attempt(run)
    tell(run, [sample_event(2, sample(turn(text="second")))])
    assert list(Sample.objects.filter(run=run).order_by("seq").values_list("seq", flat=True)) == [1, 2]
    assert "'second'" in rows(run)[1]["search"]


def test_a_question_has_one_key_whatever_its_spaces() -> None:
    assert group_key("What is\n 2 + 2? ") == group_key("What is 2 + 2?") != group_key("what is 2 + 2?")
    assert findings(sample(parent="What  is 1?")).parent_key == group_key("What is 1?")


def test_words_are_numbers_names_and_letters_in_any_script() -> None:
    assert words("f_1(x)=3.14, \N{LATIN CAPITAL LETTER E WITH ACUTE}COLE; 12+7=19") == [
        "f_1",
        "x",
        "3",
        "14",
        "\xe9cole",
        "12",
        "7",
        "19",
    ]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([], False),
        ([turn(trained=True, reward=1.0)], False),
        ([turn(trained=True, reward=1.0), turn(trained=True, reward=1.0)], True),
        ([turn(trained=True, reward=1.0), turn(trained=True, reward=0.5)], False),
        ([turn(reward=1.0), turn(reward=1.0)], False),
        ([turn(trained=True, reward=1.0, advantage=0.0)], True),
        ([turn(trained=True, reward=1.0, advantage=0.0), turn(trained=True, reward=1.0, advantage=0.3)], False),
        (
            [turn(trained=True, reward=1.0), turn(trained=True, reward=1.0), turn("judge", trained=True, reward=0.0)],
            False,
        ),
    ],
)
def test_signal_is_told_by_advantages_and_before_them_by_rewards(turns: list, expected: bool) -> None:
    assert is_without_signal(turns) is expected


def test_rewards_verdicts_and_reasons_are_summed_up_by_hand() -> None:
    found = findings(
        sample(
            turn("proposer", "<question>", reward=0.2),
            turn(reward=1.0, correct=True),
            turn(reward=0.6, correct=False, discarded="advantage 0"),
            turn("judge", "<score>9</score>", correct=False),
        )
    )
    assert (found.reward_min, found.reward_mean, found.reward_max) == (0.2, pytest.approx(0.6), 1.0)
    assert (found.num_right, found.num_wrong, found.solved, found.disagrees, found.made) == (1, 1, 0.5, 1, True)
    assert found.discard_reason == "advantage 0"
