"""Samples of every layout, and leagues: what the page draws, and that model text stays text in each of them."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import make_experiment, make_run, tell
from tests.shapes import evaluation_event, kuhn_poker, league, preference_pair, sample_event, search_tree, tic_tac_toe
from training_core.methods.base import Role
from training_core.methods.card import Chart
from training_core.spec.events import SampleData
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.experiments.services import create_share_link
from webapp.pages.hues import hues
from webapp.telemetry.differences import MAX_EDITS, difference
from webapp.telemetry.leagues import read_league
from webapp.telemetry.lens import Lens
from webapp.telemetry.trees import read_tree
from webapp.telemetry.turns import read_turns
from webapp.workspaces.models import Workspace

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
NO_METHOD = Lens(slug="none", title="None")
SHAPES = [tic_tac_toe(), kuhn_poker(), preference_pair("He has 19", "He has 18"), search_tree()]


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada))


@pytest.fixture
def read(run: Run, ada: User, client: Client) -> Callable[[dict[str, Any]], str]:
    """The sample's part of the page."""

    def open_it(data: dict[str, Any]) -> str:
        tell(run, [sample_event(run.last_seq + 1, data)])
        client.force_login(ada)
        response = client.get(reverse("run_sample", args=[run.pk, run.last_seq]) + "?part")
        assert response.status_code == 200
        return response.content.decode()

    return open_it


def words_of(pieces: list[Any]) -> list[tuple[str, bool]]:
    return [(piece.text, piece.differs) for piece in pieces]


@pytest.mark.parametrize("data", SHAPES, ids=lambda data: data["title"])
def test_the_shapes_follow_the_contract(data: dict[str, Any]) -> None:
    assert SampleData.model_validate(data).layout == data["layout"]


def test_words_that_differ_are_marked_on_both_sides() -> None:
    left, right = difference("the quick brown fox", "the slow brown dog jumps")
    assert words_of(left) == [("the ", False), ("quick", True), (" brown ", False), ("fox", True)]
    assert words_of(right) == [("the ", False), ("slow", True), (" brown ", False), ("dog jumps", True)]


def test_text_without_words_is_compared_by_characters() -> None:
    left, right = difference("12+34=46", "12+34=45")
    assert words_of(left) == [("12+34=4", False), ("6", True)]
    assert words_of(right) == [("12+34=4", False), ("5", True)]


@pytest.mark.parametrize(
    ("left", "right"),
    [("", ""), ("a", ""), ("same words", "same words"), ("x " * 5000, "y " * 5000), ("ab" * 9000, "ba" * 9000)],
)
def test_a_difference_leaves_both_texts_whole(left: str, right: str) -> None:
    pieces = difference(left, right)
    assert ["".join(piece.text for piece in side) for side in pieces] == [left, right]


def test_texts_too_far_apart_are_different_between_their_common_ends() -> None:
    many = MAX_EDITS + 1
    left, right = difference("start " + "a b " * many + "end", "start " + "c d " * many + "end")
    assert words_of(left) == [("start ", False), ("a b " * (many - 1) + "a b", True), (" end", False)]
    assert words_of(right)[1][0].startswith("c d c d")


def test_a_board_is_drawn_after_every_move(read: Callable[[dict[str, Any]], str]) -> None:
    html = read(tic_tac_toe())
    assert html.count('class="board"') == 7
    assert html.count("data-marked") == 7
    first = html.split('class="board"')[1]
    assert first.count("<span>X</span>") == 1
    tints = re.findall(r'class="move__player"><span class="role-mark" data-hue="(\d)"', html)
    assert tints[0::2] == [tints[0]] * 4
    assert tints[1::2] == [tints[1]] * 3
    assert tints[0] != tints[1]
    assert 'aria-label="After move 7"' in html


def test_cards_and_pot_are_drawn_where_there_is_no_board(read: Callable[[dict[str, Any]], str]) -> None:
    html = read(kuhn_poker())
    assert 'class="board"' not in html
    assert '<span class="card" data-face="K">K</span>' in html
    assert "<dt>pot</dt><dd>4</dd>" in html
    assert "not legal" in html
    assert html.count("The position before this turn.") == 1


def test_chosen_and_rejected_stand_side_by_side(read: Callable[[dict[str, Any]], str]) -> None:
    html = read(preference_pair("He has 12 + 7 = 19", "He has 12 - 7 = 5"))
    assert 'He has 12 <ins class="piece">+</ins> 7 = <ins class="piece">19</ins>' in html
    assert 'He has 12 <del class="piece">-</del> 7 = <del class="piece">5</del>' in html
    assert "margin +1.68" in html
    assert "log-ratio <b>−1.27</b>" in html
    assert html.index("Tom has 12 apples and buys") < html.index("Chosen and rejected")


def test_a_pair_of_equal_texts_says_so(read: Callable[[dict[str, Any]], str]) -> None:
    html = read(preference_pair("He has 19", "He has 19"))
    assert "the two texts are the same" in html
    assert '<ins class="piece">19' not in html


@pytest.mark.parametrize("pairs", [[], [{"chosen": 1, "rejected": 99}]])
def test_a_sample_without_a_usable_pair_shows_its_turns(
    pairs: list[dict[str, int]], read: Callable[[dict[str, Any]], str]
) -> None:
    html = read(preference_pair("He has 19", "He has 18", pairs=pairs))
    assert "No pair came out of this sample" in html
    assert html.count('class="turn"') == 3


def test_a_tree_marks_the_path_to_what_was_chosen() -> None:
    data = search_tree()
    tree = read_tree(data, read_turns(data, NO_METHOD))
    assert [node.turn.index for node in tree.nodes if node.on_path] == [0, 2, 4]
    assert sum(branch.on_path for branch in tree.branches) == 2
    assert {node.turn.index: node.part for node in tree.nodes if node.part} == {0: "rejected", 4: "chosen"}


def test_no_two_nodes_of_a_tree_overlap_and_parents_stand_left() -> None:
    data = search_tree()
    nodes = read_tree(data, read_turns(data, NO_METHOD)).nodes
    assert len({(node.x, node.y) for node in nodes}) == len(nodes)
    assert all(nodes[node.turn.parent].x < node.x for node in nodes if node.turn.parent is not None)
    columns = {x: sorted(node.y for node in nodes if node.x == x) for x in {node.x for node in nodes}}
    assert all(b - a >= 40 for column in columns.values() for a, b in pairwise(column))


def test_arrow_keys_lead_from_node_to_node() -> None:
    data = search_tree()
    nodes = read_tree(data, read_turns(data, NO_METHOD)).nodes
    assert (nodes[0].left, nodes[0].right, nodes[0].up, nodes[0].down) == (None, 1, None, None)
    assert (nodes[2].left, nodes[2].right, nodes[2].up, nodes[2].down) == (0, 4, 1, 3)
    assert (nodes[6].left, nodes[6].right, nodes[6].up, nodes[6].down) == (3, None, 5, None)


def test_a_tree_is_drawn_and_told_as_a_list(read: Callable[[dict[str, Any]], str]) -> None:
    html = read(search_tree())
    assert html.count("data-step ") == 7
    assert html.count('class="turn"') == 7
    assert "value <b>1.00</b>" in html
    assert "on the chosen path" in html


@pytest.mark.parametrize("layout", ["thread", "game", "pairs", "tree"])
def test_a_sample_without_turns_can_be_opened(layout: str, read: Callable[[dict[str, Any]], str]) -> None:
    assert "step" in read({"episode": "1-1", "title": "", "turns": [], "layout": layout})


@pytest.mark.parametrize("layout", ["thread", "game", "pairs", "tree"])
def test_hostile_text_stays_text_in_every_layout(layout: str, read: Callable[[dict[str, Any]], str]) -> None:
    scene = {"grid": [[HOSTILE, "X"]], "marked": [0, 0], "facts": {HOSTILE: HOSTILE, "cards": HOSTILE}}
    turn = {"role": HOSTILE, "text": HOSTILE, "parsed": HOSTILE, "note": HOSTILE, "scene": scene, "value": 0.5}
    other = {**turn, "text": HOSTILE + " and more", "parent": 0}
    pairs = [{"chosen": 0, "rejected": 1}]
    data = {"episode": "1-1", "title": HOSTILE, "turns": [turn, other], "layout": layout, "pairs": pairs}
    html = read({**data, "facts": {"result": HOSTILE}})
    assert "<img" not in html
    assert "<script" not in html


@pytest.mark.parametrize("data", SHAPES, ids=lambda data: data["title"])
def test_the_stream_tells_the_shape_of_a_sample(data: dict[str, Any], run: Run, ada: User, client: Client) -> None:
    tell(run, [sample_event(1, data)])
    client.force_login(ada)
    row = client.get(reverse("run_samples", args=[run.pk])).json()["rows"][0]
    assert (row["layout"], row["num_turns"]) == (data["layout"], len(data["turns"]))
    assert row["num_pairs"] == len(data.get("pairs", []))
    assert row["result"] == data["facts"].get("result")


def test_a_shared_sample_can_be_stepped_through_too(run: Run, ada: User, client: Client) -> None:
    tell(run, [sample_event(1, tic_tac_toe())])
    _, secret = create_share_link(actor=ada, run_id=run.pk)
    html = client.get(reverse("share_sample", args=[secret, 1])).content.decode()
    assert "run/sample" in html
    assert 'class="board"' in html


def league_of(run: Run, ada: User, client: Client) -> str:
    client.force_login(ada)
    return client.get(reverse("run_part", args=[run.pk, "league"])).content.decode()


def evaluation_of(run: Run, ada: User, client: Client) -> str:
    client.force_login(ada)
    return client.get(reverse("run_part", args=[run.pk, "evaluation"])).content.decode()


def test_the_league_is_sorted_by_rating_and_shows_who_beats_whom(run: Run, ada: User, client: Client) -> None:
    names = ["random", "step 20", "step 40"]
    tell(run, [evaluation_event(1, league(names[:2]), step=20), evaluation_event(2, league(names, shift=5), step=40)])
    html = league_of(run, ada, client)
    assert re.findall(r'class="league__name">([^<]+)</th>', html) == ["step 40", "step 20", "random"]
    assert 'data-heat="3">0.65</td>' in html
    assert "from 1.08e+03 to 1.08e+03" in html  # how the rating of step 20 moved
    assert "at step 40" in html


def test_a_league_without_opponents_says_what_comes(run: Run, ada: User, client: Client) -> None:
    tell(run, [evaluation_event(1, league([]), step=0)])
    assert "Nobody has played yet" in league_of(run, ada, client)
    tell(run, [evaluation_event(2, league(["current"]), step=10)])
    html = league_of(run, ada, client)
    assert "One player alone" in html
    assert "Who beats whom" not in html


def test_an_evaluation_without_a_league_shows_none(run: Run, ada: User, client: Client) -> None:
    tell(run, [evaluation_event(1, None, step=0)])
    assert "No league yet" in league_of(run, ada, client)


def test_a_rating_without_bound_ends_with_the_axis() -> None:
    found = league(["random", "perfect"])
    found["players"][1]["high"] = None  # infinity, as it is stored
    read = read_league([(1, found)])
    assert read is not None
    assert [player.name for player in read.players] == ["perfect", "random"]
    assert read.players[0].bar.end == 100.0


def test_a_league_with_a_ragged_table_becomes_a_log_line(run: Run, ada: User, client: Client) -> None:
    broken = league(["a", "b"])
    broken["matrix"].pop()
    tell(run, [evaluation_event(1, broken, step=0)])
    assert run.events.get(seq=1).kind == "log"


def test_roles_of_any_name_have_hues_of_their_own() -> None:
    assert hues(["player_0", "player_1"]) == {"player_0": 1, "player_1": 3}
    assert hues(["player_0", "player_1", "opponent"]) == {"player_0": 1, "player_1": 3, "opponent": 2}
    assert hues(["proposer", "solver", "judge"]) == {"proposer": 5, "solver": 1, "judge": 4}
    assert hues(["actor", "refiner", "opponent"]) == {"actor": 1, "refiner": 3, "opponent": 2}
    many = hues(f"role {n}" for n in range(8))
    assert len(set(many.values())) == 8


def test_every_line_of_a_chart_has_a_tint_of_its_own_and_roles_keep_theirs() -> None:
    seats = tuple(
        Role(name=f"player_{n}", title=f"Player {n}", policy="main", trained=True, reads="", writes="") for n in (0, 1)
    )
    series = tuple(
        (name, name)
        for name in (
            "eval/win_rate",
            "reward/player_1",
            "length/player_0_tokens",
            "length/player_0_cut",
            "kl/loss/player_1",
        )
    )
    chart = Chart(title="All", series=series, help="")
    lens = Lens(slug="x", title="X", roles=seats, charts=(chart,))
    tints = [line["tint"] for line in lens.chart_groups[0]["charts"][0]["series"]]
    assert tints == ["series-2", "series-3", "series-1", "series-4", "series-5"]


def test_less_is_better_where_the_method_says_so(workspace: Workspace, ada: User, client: Client) -> None:
    experiment = make_experiment(workspace, ada, method={"name": "spo"})
    experiment.method = "spo"
    experiment.save()
    run = make_run(experiment)
    for seq, (step, score) in enumerate(((0, 0.4), (5, 0.1), (10, 0.2)), start=1):
        data = {"suite": "held_out", "num_items": 9, "scores": {"exploitability_average": score}}
        tell(run, [{"seq": seq, "kind": "evaluation", "step": step, "t": 1.0, "data": data}])
    html = evaluation_of(run, ada, client)
    assert "Best, step 5" in html
    assert re.search(r'badge--good">\s*−0.2\s*<', html)
