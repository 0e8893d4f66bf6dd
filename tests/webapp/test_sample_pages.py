"""Reading and finding samples: sums written out, answers side by side, words, two runs beside one another, tokens."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse

from tests.factories import make_experiment, make_run, tell
from tests.shapes import kuhn_poker, preference_pair, sample_event, search_tree
from training_core.play.records import Rollout
from training_core.play.requests import Completion
from training_core.play.step_log import StepLog, turn_of
from training_core.token_files import TokenFiles
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.services import create_share_link
from webapp.fleet.folders import run_folder
from webapp.telemetry.finding import SampleFilter, hit_pattern, text_query
from webapp.telemetry.groups import twins
from webapp.telemetry.passages import passages_of
from webapp.telemetry.reckoning import reckonings
from webapp.telemetry.sample_index import group_key
from webapp.workspaces.models import Workspace

QUESTION = "What is 12 + 7?"


def solver(
    answer: str, *, reward: float, advantage: float = 0.0, right: bool | None = None, **more: Any
) -> dict[str, Any]:
    judged = 2 * reward - 1
    return {
        "role": "solver",
        "text": f"<think>12 + 7 is {answer}, I think.</think><answer>{answer}</answer>",
        "parsed": answer,
        "rewards": {"judge": judged, "format": 1.0},
        "parts": {"judge": judged / 2, "format": 0.5},
        "reward": reward,
        "advantage": advantage,
        "baseline": 0.75,
        "divisor": 0.25,
        "trained": True,
        "num_tokens": 9,
        "correct": right,
        **more,
    }


def asked(*turns: dict[str, Any], title: str = QUESTION, episode: str = "1-s0", **more: Any) -> dict[str, Any]:
    return {"episode": episode, "title": title, "turns": list(turns), **more}


VERDICT = {"role": "judge", "text": "<think>Plainly so.</think><score>10</score>", "parsed": "10", "correct": False}
MIXED = asked(
    solver("19", reward=1.0, advantage=1.0, right=True),
    {**VERDICT, "parent": 0, "correct": True},
    solver("18", reward=0.5, advantage=-1.0, right=False),
    {**VERDICT, "parent": 2},
)
EVEN = asked(solver("17", reward=0.5, right=False), solver("16", reward=0.5, right=False), episode="2-s0")
TIE = {**asked(solver("1", reward=0.5), title="What is 1?", episode="3-p0"), "discarded": "no question tag"}


@pytest.fixture
def as_() -> Callable[[User], Client]:
    def signed_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return signed_in


@pytest.fixture
def run(run_in: Callable[..., Run]) -> Run:
    found = run_in("running")
    shapes = [MIXED, EVEN, TIE, kuhn_poker(), preference_pair("He has 19", "He has 18"), search_tree()]
    tell(found, [sample_event(seq, shape, step=seq) for seq, shape in enumerate(shapes, start=1)])
    return found


def read(client: Client, name: str, *args: Any, **query: str) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return str(response.content.decode())


def titles(html: str) -> list[str]:
    return re.findall(r'class="found__title"[^>]*>([^<]*)<', html)


def test_a_reward_and_an_advantage_are_written_out_as_sums() -> None:
    first, _, second, _ = reckonings(MIXED["turns"])
    assert first is not None and second is not None
    assert [(term.name, term.value, term.weight, term.part) for term in first.terms] == [
        ("judge", 1.0, 0.5, 0.5),
        ("format", 1.0, 0.5, 0.5),
    ]
    assert (first.adds_up, first.above, first.is_divided, first.is_scaled) == (True, 0.25, True, False)
    assert [term.weight for term in second.terms] == [0.5, 0.5]  # 0 x 0.5 tells no weight, the sibling does
    (other,) = reckonings([{"role": "a", "rewards": {"x": 1.0, "y": 2.0}, "reward": 2.0}])
    assert other is not None
    assert not other.adds_up


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("plain", ["text"]),
        ("", ["text"]),
        ("<think>a</think>b", ["think", "text"]),
        ("a <think>never ends", ["text", "think"]),
        ("see\n```python\nx = 1\n```\nand", ["text", "code", "text"]),
        ("```\n<think>code</think>\n```", ["code"]),
    ],
)
def test_passages_are_the_text_to_the_letter(text: str, kinds: list[str]) -> None:
    found = passages_of(text)
    assert [passage.kind for passage in found] == kinds
    assert "".join(passage.text for passage in found) == text


@pytest.mark.parametrize(
    ("typed", "query", "hits"),
    [
        ("divis", "divis:*", ["divisible"]),
        ("17", "17", ["17"]),
        ("17*", "17:*", ["17", "170"]),
        ('"to be"', "to <-> be", ["to be"]),
        ("3.14 or", "3 <-> 14 & or", ["3.14"]),
        ("f_1(x)", "f_1 <-> x", ["f_1(x"]),
        ("% &", None, []),
        ('"', None, []),
    ],
)
def test_words_become_a_query_and_what_it_finds_can_be_marked(typed: str, query: str | None, hits: list[str]) -> None:
    assert text_query(typed) == query
    pattern = hit_pattern(typed)
    text = "divisible by 17 and 170, to be 3.14, f_1(x)"
    assert ([hit[0] for hit in pattern.finditer(text)] if pattern else []) == hits


def test_a_filter_and_its_address_are_the_same() -> None:
    wanted = SampleFilter(show="zero", step_from=2, reward_to=0.5, text="a b")
    assert wanted.query == "show=zero&step_from=2&reward_to=0.5&text=a+b"
    given = {"show": "zero", "step_from": "2", "step_to": "x", "reward_from": "nan", "reward_to": "0.5", "text": "a b"}
    assert SampleFilter.from_query(given) == wanted
    assert SampleFilter().is_open


def test_a_sample_shows_siblings_sums_flags_and_verdicts_beside(
    run: Run, ada: User, as_: Callable[[User], Client]
) -> None:
    html = read(as_(ada), "run_sample", run.pk, 1)
    assert re.findall(r'id="turn-(\d)"', html) == ["0", "1", "2", "3"]
    assert re.findall(r'data-to-turn="(\d)"', html) == ["0", "2"]
    assert "0.50 + 0.50 = reward 1.00 − 0.75 → advantage +1.00" in html
    assert "over all completion tokens of the role" in html
    assert html.count('class="judged"') == 2
    assert "no signal" not in html
    html = read(as_(ada), "run_sample", run.pk, 2)
    assert "no signal" in html
    assert "all earned the same" in html
    assert "no question tag" in read(as_(ada), "run_sample", run.pk, 3)


def test_neighbours_follow_the_filter(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    html = read(as_(ada), "run_sample", run.pk, 3, show="wrong")
    assert re.findall(r'samples/(\d)/\?show=wrong" rel="(\w+)"', html) == [("2", "prev"), ("4", "next")]


@pytest.mark.parametrize(
    ("query", "steps"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"order": "oldest"}, [1, 2, 3, 4, 5, 6]),
        ({"text": "plainly"}, [1]),
        ({"text": "plain"}, [1]),
        ({"text": '"12 + 7"'}, [3, 2, 1]),
        ({"text": "12 19"}, [5, 1]),
        ({"text": "nowhere"}, []),
        ({"show": "zero"}, [3, 2]),
        ({"show": "discarded"}, [3]),
        ({"show": "disagreement"}, [1]),
        ({"role": "solver", "step_from": "2", "step_to": "3"}, [3, 2]),
        ({"reward_from": "0.7", "reward_to": "0.8"}, [1]),
        ({"order": "spread", "role": "solver"}, [1, 3, 2]),
    ],
)
def test_samples_are_found(query: dict, steps: list[int], run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    html = read(as_(ada), "run_find", run.pk, **query)
    assert [int(step) for step in re.findall(r"<span>step (\d)</span>", html)] == steps


def test_hits_are_shown_where_they_are(run: Run, ada: User, as_: Callable[[User], Client]) -> None:
    html = read(as_(ada), "run_find", run.pk, text="plain")
    assert "<mark>Plainly</mark>" in html
    assert f'/runs/{run.pk}/samples/1/?text=plain#turn-1"' in html


def test_the_search_goes_over_the_runs_one_may_see(
    run: Run, workspace: Workspace, ada: User, cyn: User, as_: Callable[[User], Client]
) -> None:
    other = make_run(make_experiment(workspace, ada, name="Second light"))
    tell(other, [sample_event(1, MIXED)])
    html = read(as_(ada), "search", text="plainly")
    assert titles(html) == [QUESTION, QUESTION]
    assert html.index("Second light run 1") < html.index("First light run 1")
    assert titles(read(as_(ada), "search", text="plainly", workspace="elsewhere")) == []
    assert titles(read(as_(cyn), "search", text="plainly")) == []
    assert "Type words" in read(as_(ada), "search")


def test_a_question_is_read_through_time_and_two_answers_word_by_word(
    run: Run, ada: User, as_: Callable[[User], Client]
) -> None:
    key = group_key(QUESTION)
    html = read(as_(ada), "run_group", run.pk, key)
    assert "Played 2 times, from step 1 to 2" in html
    assert "25 % solved" in html  # the mean of one half and none
    assert html.count('class="answer"') == 4
    html = read(as_(ada), "run_group", run.pk, key, left="1.0", right="2.1")
    assert re.findall(r"<(del|ins) class=\"piece\">(\d+)</", html) == [
        ("del", "19"),
        ("del", "19"),
        ("ins", "16"),
        ("ins", "16"),
    ]
    assert "Word by word" not in read(as_(ada), "run_group", run.pk, key, left="1.9", right="x")
    assert as_(ada).get(reverse("run_group", args=[run.pk, "0" * 16])).status_code == 404
    listed = read(as_(ada), "run_groups", run.pk, order="hard")
    assert listed.index("What is 12 + 7?") < listed.index("Tom has 12 apples")
    assert QUESTION in read(as_(ada), "run_part", run.pk, "groups")


def test_two_runs_are_compared_where_they_differ_most(
    run: Run, workspace: Workspace, ada: User, cyn: User, as_: Callable[[User], Client]
) -> None:
    other = make_run(make_experiment(workspace, ada, name="Second light"))
    right = asked(solver("19", reward=1.0, advantage=0.0, right=True))
    tell(other, [sample_event(1, right), sample_event(2, TIE)])
    found, total = twins(run.pk, other.pk, "solved")
    assert total == 2
    assert [(twin.title, twin.solved, twin.gap) for twin in found] == [
        (QUESTION, (0.25, 1.0), 0.75),
        ("What is 1?", (None, None), None),
    ]
    html = read(as_(ada), "run_twin", run.pk, other.pk)
    assert "2 questions met by both" in html
    html = read(as_(ada), "run_twin", run.pk, other.pk, key=group_key(QUESTION))
    assert html.index("Best answer of each") < html.index("Second light run 1</h2>")
    assert as_(ada).get(reverse("run_twin", args=[run.pk, run.pk])).status_code == 404
    assert as_(cyn).get(reverse("run_twin", args=[run.pk, other.pk])).status_code == 404
    assert reverse("run_twin", args=[run.pk, other.pk]) in read(as_(ada), "run_group", run.pk, group_key(QUESTION))


def test_shared_links_read_the_same_pages_but_no_other_runs(run: Run, workspace: Workspace, ada: User) -> None:
    tell(make_run(make_experiment(workspace, ada, name="Second light")), [sample_event(1, MIXED)])
    _, secret = create_share_link(actor=ada, run_id=run.pk)
    for name, args in (
        ("share_find", ()),
        ("share_groups", ()),
        ("share_group", (group_key(QUESTION),)),
        ("share_sample", (1,)),
    ):
        html = read(Client(), name, secret, *args)
        assert "Second light" not in html
        assert f"/runs/{run.pk}" not in html


def test_tokens_are_given_where_the_run_wrote_them(
    run: Run, ada: User, as_: Callable[[User], Client], settings: LazySettings, tmp_path: Path
) -> None:
    settings.ARTIFACTS_DIR = tmp_path
    url = reverse("run_tokens", args=[run.pk, 1])
    assert as_(ada).get(url).json() == {"turns": {}}
    log, said = (
        StepLog(),
        Completion(text="19", prompt_ids=(), token_ids=(1, 9), logprobs=(-0.5, -1.5), entropies=(), ended=True),
    )
    turn = turn_of("solver", said, "19")
    log.new_sample("1-s0", QUESTION).turns.append(turn)
    log.learn(Rollout(role="solver", group="g", completion=said, reward=1.0, turn=turn), train=True)
    run_folder(run.pk).mkdir(parents=True)
    TokenFiles(run_folder(run.pk), keep=1).write(1, log.batch(), str)
    expected = {
        "ids": [1, 9],
        "texts": ["1", "9"],
        "logprobs": [-0.5, -1.5],
        "entropies": [],
        "learner": [],
        "advantage": None,
    }
    assert as_(ada).get(url).json() == {"turns": {"0": expected}}
