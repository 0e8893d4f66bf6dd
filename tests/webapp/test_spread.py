"""How rewards are spread: counted by hand."""

from itertools import pairwise
from typing import Any

import pytest

from tests.factories import START_T, make_experiment, make_run, tell
from webapp.accounts.models import User
from webapp.experiments.models import Run
from webapp.telemetry.spread import NUM_COLUMNS, spreads
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada))


def sample(seq: int, step: int, **rewards: list[float | None]) -> dict[str, Any]:
    """A sample in which each role was paid so."""
    turns = [
        {"role": role, "text": "…", "reward": reward, "trained": True}
        for role, paid in rewards.items()
        for reward in paid
    ]
    data = {"episode": f"q/{step}/{seq}", "title": "17 + 25", "turns": turns}
    return {"seq": seq, "kind": "sample", "step": step, "t": START_T + seq, "data": data}


def test_rewards_are_counted_by_level(run: Run) -> None:
    tell(run, [sample(1, 1, solver=[0.0, 0.0, 1.0, 0.52]), sample(2, 2, solver=[1.0, 1.0]), sample(3, 2, judge=[-1.0])])
    solver, judge = spreads(run)
    assert (solver.title, judge.title) == ("Solver", "Judge")
    assert ((solver.low, solver.high), (judge.low, judge.high)) == ((0, 1), (-1, 1))
    first, second = solver.columns
    assert (first.step, first.count, first.quarters) == (1, 4, (0.0, 0.0, 0.26, 0.64, 1.0))
    # Twenty levels of 10 units each, from 200 at the foot: 1.0 is in the uppermost, 0.52 in the eleventh, 0.0 in the lowest.
    assert [(cell.x, cell.y, cell.width) for cell in first.cells] == [(0, 0, 500), (0, 90, 500), (0, 190, 500)]
    assert first.cells[2].words == "Step 1, 0 to 0.05: 2 of 4 (50%)"
    assert [(cell.x, cell.y) for cell in second.cells] == [(500, 0)]
    assert [(cell.y, cell.width) for cell in solver.bars] == [(0, 1000)]
    assert solver.words == "All 2 rewards of step 2 are 1: nothing tells them apart."


def test_it_says_how_many_get_the_least_and_the_most(run: Run) -> None:
    tell(run, [sample(1, 7, solver=[0.0] * 3 + [0.5] + [3.0] * 4)])
    (solver,) = spreads(run)
    assert (solver.low, solver.high) == (0, 3)
    assert solver.words == (
        "Of 8 rewards of step 7 half lie between 0 and 3, the middle one is 1.75; "
        "38% get the least, 0, and 50% the most, 3."
    )
    tell(run, [sample(2, 8, solver=[0.0] + [1.0] * 4)])
    assert (
        spreads(run)[0].words == "Of 5 rewards of step 8 half or more are 1; 20% get the least, 0, and 80% the most, 1."
    )


def test_a_long_run_shows_whole_steps_at_even_distances_up_to_the_moment(run: Run) -> None:
    tell(run, [sample(n, n, solver=[n / 1000]) for n in range(1, 201)])
    (now,), (then,) = spreads(run), spreads(run, at=30)
    steps = [column.step for column in now.columns]
    assert (len(steps), steps[0], steps[-1]) == (NUM_COLUMNS, 1, 200)
    assert {b - a for a, b in pairwise(steps)} == {4, 5}
    assert [column.step for column in then.columns] == list(range(1, 31))


def test_who_is_paid_nothing_is_not_shown(run: Run) -> None:
    tell(run, [sample(1, 1, solver=[None, None])])
    assert spreads(run) == []
