"""Runs of several processes."""

import subprocess
import sys

import pytest

from training_core.distributed.parallel import Alone, deal, neighbours


def test_one_process_does_all_of_the_work_itself():
    alone = Alone()
    assert (alone.rank, alone.size) == (0, 1)
    assert alone.gather_lists(alone.share("abc")) == ["a", "b", "c"]
    assert alone.all_sum({"loss": 2.0}) == {"loss": 2.0}
    assert alone.broadcast("x") == "x"


def test_one_process_needs_no_torch():
    code = "import sys, training_core.distributed.parallel; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 14])
def test_parts_are_even_and_together_give_the_whole(count, size):
    parts = [neighbours(range(count), rank=rank, size=size) for rank in range(size)]
    assert [item for part in parts for item in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_dealt_hands_hold_every_index_once_and_cost_about_the_same():
    costs = [50, 3, 3, 20, 20, 8, 8, 8, 1, 29]
    hands = deal(costs, 3)
    assert sorted(index for hand in hands for index in hand) == list(range(len(costs)))
    totals = [sum(costs[index] for index in hand) for hand in hands]
    assert max(totals) - min(totals) <= 3
