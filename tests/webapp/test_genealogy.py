"""Families of questions and the map of their novelty, on a tree small enough to count by hand."""

from collections.abc import Callable
from typing import Any

import pytest
from django.http import Http404
from django.test import Client
from django.urls import reverse

from tests.factories import tell
from tests.shapes import sample_event
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.telemetry.genealogy import dead, families, family_tree, fruitful, questions_of
from webapp.telemetry.novelty import compare, contamination, novelty_map
from webapp.telemetry.sample_index import group_key


def made(title: str, parent: str | None, *, solved: float, kept: bool) -> dict[str, Any]:
    turns = [{"role": "proposer", "text": f"<question>{title}</question>"}]
    facts = {"kept": kept, "solved": solved}
    return {"episode": title, "title": title, "parent": parent, "turns": turns, "facts": facts}


MADE = [
    made("12 + 7", "3 + 4", solved=0.8, kept=True),  # from a seed that was never made here
    made("112 + 7", "12 + 7", solved=0.4, kept=True),
    made("112 + 17", "112 + 7", solved=0.2, kept=False),
    made("12 + 7", "112 + 17", solved=0.6, kept=False),  # made again: it stays where it first stood
    made("lone", None, solved=1.0, kept=True),
    made("12 - 7", "12 + 7", solved=0.5, kept=False),
]


@pytest.fixture
def run(run_in: Callable[..., Run]) -> Run:
    found = run_in("running")
    tell(found, [sample_event(seq, data, step=seq) for seq, data in enumerate(MADE, start=1)])
    return found


def test_a_family_is_counted_from_its_seed(run: Run) -> None:
    tree = questions_of(run)
    assert {node.title: node.depth for node in tree.values()} == {
        "": 0,
        "12 + 7": 1,
        "112 + 7": 2,
        "112 + 17": 3,
        "lone": 0,
        "12 - 7": 2,
    }
    (family,) = families(tree)
    assert (family.size, family.num_kept, family.generations, family.last_step) == (4, 2, 3, 6)
    assert family.path == ((1, 0.8), (2, pytest.approx(0.45)), (3, 0.2))
    assert fruitful([family]) == [family]
    assert dead([family], 6) == []
    assert dead([family], 9) == [family]  # its last child came at step 6 of 9


def test_the_tree_of_a_question_goes_up_to_the_seed_and_down_to_the_last(run: Run, ada: User) -> None:
    found = family_tree(run, group_key("112 + 7"))
    assert [each.title for each in found["ancestors"]] == ["3 + 4", "12 + 7"]
    assert [each.title for each in found["descendants"]] == ["112 + 17"]
    assert found["ancestors"][1].solved == pytest.approx(0.7)  # over both times it was played
    with pytest.raises(Http404):
        family_tree(run, "0" * 16)
    client = Client()
    client.force_login(ada)
    html = client.get(reverse("run_family", args=[run.pk, group_key("3 + 4")])).content.decode()
    assert "A seed: it was there before the first step. 4 questions grew from it, 2 of them kept." in html
    html = client.get(reverse("run_part", args=[run.pk, "questions"])).content.decode()
    assert "Most fruitful families" in html
    assert html.count("<circle") == 6


def test_equal_texts_are_not_new_and_others_are() -> None:
    novelty, owner = compare(["What is 12 + 7 in words?", "what is  12 + 7 in words?", "Reverse the letters of house"])
    assert novelty[:2] == [1.0, 0.0]
    assert novelty[2] > 0.9
    assert owner == [0, 0, 2]


def test_a_run_of_one_question_has_one_group(run_in: Callable[..., Run]) -> None:
    run = run_in("running")
    assert novelty_map(run) is None
    tell(run, [sample_event(seq, made("What is 12 + 7?", None, solved=0.5, kept=True), step=seq) for seq in (1, 2, 3)])
    found = novelty_map(run)
    assert found is not None
    assert [(each.size, each.first_step, each.last_step) for each in found.clusters] == [(3, 1, 3)]
    assert found.novelty == pytest.approx(1 / 3)


def test_questions_that_equal_held_out_items_are_counted(run: Run) -> None:
    assert contamination(run) is None
    item = {"question": "12  + 7", "expected": "19", "answer": "19", "correct": True}
    data = {"suite": "held_out", "num_items": 9, "scores": {"accuracy_sampled": 0.5}, "items": [item]}
    reserved = {**made("5 + 5", None, solved=0.0, kept=False), "discarded": "reserved for evaluation"}
    tell(run, [{"seq": 7, "kind": "evaluation", "step": 7, "t": 1.0, "data": data}, sample_event(8, reserved, step=8)])
    assert contamination(run) == {"num_items": 1, "num_equal": 2, "num_reserved": 1}
