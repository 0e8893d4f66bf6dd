"""Searching trees of edits, against trees worked out by hand."""

import math

import pytest

from training_core.play.scheduler import Gather, run
from training_core.play.tree_search import Draft, Shape, search


class Value(float):
    """A verdict that is its own value."""

    @property
    def value(self):
        return float(self)


class World:
    """A tree written down: the edits of each answer, in order, and what each answer is worth."""

    def __init__(self, edits, values):
        self.edits, self.values = edits, values
        self.expanded, self.judged = [], []

    async def expand(self, node, n):
        self.expanded.append(node.answer)
        found = self.edits.get(node.answer, "")[:n]
        return [Draft(answer=answer, source=f"{node.answer}>{answer}") for answer in found]

    async def judge(self, answer):
        self.judged.append(answer)
        value = self.values[answer]
        return None if math.isnan(value) else Value(value)

    def search(self, **shape):
        async def gather(episodes):
            return await Gather(list(episodes))

        full = Shape(**{"branch": 3, "beam": 2, "depth": 3, "gate": 0.5} | shape)
        episode = search("r", Value(0.2), shape=full, expand=self.expand, judge=self.judge, gather=gather)
        return run(episode, engine=None)


def answers(tree):
    return "".join(node.answer for node in tree.nodes)


def test_breadth_first_expands_the_best_of_each_level_until_one_passes():
    world = World(
        {"r": "abc", "b": "def", "c": "ghi", "a": "xyz"},
        {"a": 0.0, "b": 0.4, "c": 0.2, "d": 0.4, "e": 0.6, "f": 0.0, "g": 1.0, "h": 0.0, "i": 0.0},
    )
    tree = world.search()
    assert world.expanded == ["r", "b", "c"]  # a is the third best and not expanded
    assert answers(tree) == "rabcdefghi"
    assert tree.solution.answer == "g"  # the best of the level, not the first that passes
    assert (tree.solution.depth, tree.solution.parent.answer, tree.solution.draft.source) == (2, "c", "c>g")


def test_breadth_first_stops_with_the_level_that_passes():
    world = World({"r": "ab"}, {"a": 0.6, "b": 1.0})
    tree = world.search()
    assert tree.solution.answer == "b"
    assert world.expanded == ["r"]


def test_a_full_tree_has_three_and_six_and_six_nodes_and_fails_without_a_guess():
    names = iter("abcdefghijklmno")
    world = World({}, {})

    async def expand(node, n):
        return [Draft(answer=next(names), source="") for _ in range(n)]

    async def judge(answer):
        return Value(0.4)

    world.expand, world.judge = expand, judge
    tree = world.search()
    assert len(tree.nodes) - 1 == 15
    assert tree.solution is None


def test_depth_first_goes_down_the_best_child_and_comes_back():
    world = World(
        {"r": "ab", "a": "cd", "b": "ef"},
        {"a": 0.4, "b": 0.2, "c": 0.0, "d": 0.2, "e": 0.8, "f": 0.0},
    )
    tree = world.search(order="dfs", depth=2)
    assert world.expanded == ["r", "a", "b"]
    assert tree.solution.answer == "e"
    deep = World({"r": "ab", "a": "cd", "d": "e", "c": "f"}, {**world.values, "c": 0.1, "e": 1.0})
    assert deep.search(order="dfs").solution.answer == "e"
    assert deep.expanded == ["r", "a", "d"]


def test_depth_first_takes_no_more_children_than_the_beam():
    world = World({"r": "abc"}, {"a": 0.1, "b": 0.3, "c": 0.2})
    world.search(order="dfs", beam=1)
    assert world.expanded == ["r", "b"]


def test_an_identical_answer_is_judged_once_and_counted_as_a_repeat():
    world = World({"r": "aab", "a": "bra", "b": "aaa"}, {"a": 0.4, "b": 0.2})
    tree = world.search(depth=2)
    assert world.judged == ["a", "b"]
    assert tree.num_repeats == 1 + 2 * 3
    assert [node.value for node in tree.nodes[1:4]] == [0.4, 0.4, 0.2]


def test_an_edit_that_changes_nothing_keeps_the_verdict_of_the_root():
    world = World({"r": "ra"}, {"a": 0.1})
    tree = world.search(depth=1)
    assert [node.value for node in tree.nodes] == [0.0, 0.2, 0.1]  # the root itself counts 0
    assert tree.solution is None


def test_an_answer_without_a_verdict_is_dropped():
    world = World({"r": "ab"}, {"a": math.nan, "b": 0.9})
    tree = world.search()
    assert answers(tree) == "rb"
    assert tree.solution.answer == "b"


def test_nothing_is_expanded_once_the_nodes_are_used_up():
    world = World({"r": "abc", "a": "def", "b": "ghi"}, dict.fromkeys("abcdefghi", 0.1))
    assert len(world.search(max_nodes=3).nodes) - 1 == 3
    assert world.expanded == ["r"]


@pytest.mark.parametrize(("gate", "solved"), [(0.5, False), (0.4, True)])
def test_the_gate_itself_is_not_passed(gate, solved):
    world = World({"r": "a"}, {"a": 0.5})
    assert (world.search(depth=1, gate=gate).solution is not None) is solved


def test_a_root_without_edits_ends_the_search():
    tree = World({}, {}).search()
    assert answers(tree) == "r"
    assert tree.solution is None
