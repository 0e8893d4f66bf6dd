"""The formulas of a method with the numbers of a run in them: put together by hand, and beside what was measured."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import START_T, make_experiment, make_run, tell
from webapp.accounts.models import User
from webapp.experiments.models import EXTERNAL, Run
from webapp.experiments.services import create_share_link
from webapp.orders.models import OrderKind, RunOrder
from webapp.telemetry.formulas import Formula, Reckoned, as_latex, sheet
from webapp.workspaces.models import Workspace

pytestmark = pytest.mark.django_db

PAID = {
    "reward_term/proposer_quality": 0.71,
    "reward_term/proposer_difficulty": 0.42,
    "reward_term/proposer_format": 1.0,
    "reward/proposer": 0.71,  # a third of 2.13
}


@pytest.fixture
def run(workspace: Workspace, ada: User) -> Run:
    return make_run(make_experiment(workspace, ada))


def told(seq: int, step: int, **changes: float) -> dict[str, Any]:
    """The metrics of a step, of which some differ: ``reward/proposer`` is ``reward__proposer`` here."""
    values = {**PAID, **{name.replace("__", "/"): value for name, value in changes.items()}}
    return {"seq": seq, "kind": "metric", "step": step, "t": START_T + seq, "data": {"values": values}}


def formula(run: Run, title: str, at: int | None = None) -> Formula:
    found = sheet(run, at=at)
    assert found is not None
    return next(each for each in found.formulas if each.title == title)


def reckoned(run: Run, title: str, at: int | None = None) -> Reckoned:
    return formula(run, title, at).reckoned[0]


def test_the_numbers_are_put_together_and_agree(run: Run) -> None:
    tell(run, [told(1, 1, reward__proposer=0.5), told(2, 2)])
    paid = reckoned(run, "What the Proposer is paid")
    assert paid.numbers == r"{0.333} \cdot {0.71} + {0.333} \cdot {0.42} + {0.333} \cdot {1} = 0.71"
    assert (paid.tone, paid.words) == ("good", "0.71 was measured: it agrees.")
    cells = {cell.latex: cell for cell in paid.cells}
    assert (cells["R_P"].value, cells["R_P"].metric) == ("0.71", "reward/proposer")
    assert cells["R_P"].points == [(1, 0.5), (2, 0.71)]
    assert (cells["w_q"].value, cells["w_q"].knob, cells["w_q"].is_live) == ("0.333", "method.w_quality", True)


def test_what_differs_is_said_with_its_size(run: Run) -> None:
    tell(run, [told(1, 1, reward__proposer=0.76), told(2, 2, reward__proposer=-0.71)])
    then, now = (reckoned(run, "What the Proposer is paid", at) for at in (1, None))
    found = sheet(run)
    assert found is not None
    assert found.words == "0 agree, 1 differs"
    assert then.tone == now.tone == "bad"
    assert then.words.startswith("0.76 was measured, but the formula gives 0.71: 0.05 too much. Nothing known explains")
    assert now.words.startswith("-0.71 was measured, but the formula gives 0.71: 1.42 too little.")


def test_a_step_asked_for_shows_its_own_numbers(run: Run) -> None:
    tell(run, [told(n, n, reward_term__proposer_quality=n / 10) for n in range(1, 6)])
    found = sheet(run, at=3)
    assert found is not None
    assert found.step == 3
    paid = reckoned(run, "What the Proposer is paid", 3)
    assert next(cell for cell in paid.cells if cell.latex == "Q").points == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert r"\cdot {0.3} +" in paid.numbers
    beyond = sheet(run, at=99)
    assert beyond is not None
    assert beyond.step == 5


def test_a_knob_that_was_turned_counts_from_the_update_that_saw_it(run: Run) -> None:
    RunOrder.objects.create(
        run=run,
        number=1,
        kind=OrderKind.KNOB,
        payload={},
        acked_seq=1,
        outcome={"what": "method.w_quality", "after": 0.5, "update": 2, "obeyed": True},
    )
    tell(run, [told(1, 1), told(2, 2, reward__proposer=0.5 * 0.71 + 1.42 / 3)])
    assert reckoned(run, "What the Proposer is paid", 1).tone == "good"
    turned = reckoned(run, "What the Proposer is paid")
    assert (turned.tone, turned.cells[1].value) == ("good", "0.5")


def test_numbers_of_different_steps_are_not_held_against_one_another(run: Run) -> None:
    later = {"seq": 2, "kind": "metric", "step": 2, "t": START_T + 2, "data": {"values": {"reward/proposer": 0.2}}}
    tell(run, [told(1, 1), later])
    paid = reckoned(run, "What the Proposer is paid")
    assert paid.tone == "plain"
    assert paid.words == "The numbers are of steps 1 and 2, so they are not held against one another."
    assert [cell.step for cell in paid.cells if cell.metric] == [None, 1, 1, 1]


def test_a_bound_is_no_equation(workspace: Workspace, ada: User) -> None:
    run = make_run(make_experiment(workspace, ada, method={"name": "mae", "difficulty": "frontier"}))
    # Two questions, solved 0.2 and 0.8 of the time: each pays 0.64, the formula of the mean 0.5 says 1.
    values = {"questions__posed": 1.0, "questions__solved": 0.5}
    tell(run, [told(1, 1, **values, reward_term__proposer_difficulty=0.64)])
    hard = reckoned(run, "How hard a question is")
    assert (hard.tone, hard.words) == ("good", "0.64 was measured. By these numbers it can be at most 1.")
    tell(run, [told(2, 2, **values, reward_term__proposer_difficulty=1.1)])
    assert reckoned(run, "How hard a question is").words.startswith(
        "1.1 was measured, but the formula gives at most 1: 0.1 too much."
    )


def test_what_is_switched_off_counts_as_nothing(workspace: Workspace, ada: User) -> None:
    spec = {"name": "mae", "loss": {"entropy_coef": 0, "dual_clip": None}}
    run = make_run(make_experiment(workspace, ada, method=spec))
    tell(run, [told(1, 1, loss__total=0.25, loss__policy=0.25, loss__clip_share=0.125)])
    whole = reckoned(run, "The loss as a whole")
    assert (whole.numbers, whole.tone) == (r"{0.25} - {0} \cdot {0} + {0} = 0.25", "good")
    clipped = reckoned(run, "The clipped policy loss")
    assert [cell.value for cell in clipped.beside] == ["0.125", "off", ""]
    assert clipped.words.startswith("Advantage and ratio differ from token to token")
    assert clipped.numbers.startswith(r"0.25 = \mathrm{E}\left[\max(-{A} {\rho}")


def test_only_roles_that_tell_something_are_shown(run: Run) -> None:
    title = "Advantage, REINFORCE++"
    assert [each.label for each in formula(run, title).reckoned] == ["Proposer"]
    numbers = {"": 0.5, "_reward": 0.8, "_baseline": 0.6, "_divisor": 0.4}
    roles = ("solver", "judge")
    tell(run, [told(1, 1, **{f"advantage__{role}{part}": n for role in roles for part, n in numbers.items()})])
    shown = formula(run, title).reckoned
    assert [each.label for each in shown] == ["Solver", "Judge"]
    assert shown[0].numbers == r"\frac{{0.8} - {0.6}}{{0.4}} = 0.5"
    assert shown[0].tone == "good"
    assert shown[0].hue != shown[1].hue


def test_before_the_first_step_there_are_letters_and_knobs(run: Run) -> None:
    paid = reckoned(run, "What the Proposer is paid")
    assert (paid.numbers, paid.tone) == ("", "plain")
    assert paid.words.startswith("Without a number so far: mean reward of the Proposer; ")
    assert [cell.value for cell in paid.cells] == ["", "0.333", "", "0.333", "", "0.333", ""]


def test_advantages_that_cancel_out_are_0_and_not_what_rounding_leaves(workspace: Workspace, ada: User) -> None:
    run = make_run(make_experiment(workspace, ada, method={"name": "mae", "advantage": {"kind": "group_relative"}}))
    tell(run, [told(1, 1, advantage__solver=-3e-17), told(2, 2, advantage__solver=5e-17)])
    cancelled = reckoned(run, "Advantage within a group")
    assert (cancelled.tone, cancelled.words) == ("good", "0 was measured: it agrees.")
    assert (cancelled.cells[0].value, cancelled.cells[0].points) == ("0", [(1, 0.0), (2, 0.0)])


def test_runs_without_a_known_method_have_none(run: Run) -> None:
    run.experiment.method = EXTERNAL
    assert sheet(run) is None
    run.experiment.method, run.spec = "mae", {"method": {"name": "mae", "gone": 1}}
    assert sheet(run) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.7104, "0.71"),
        (-2.0, "{-2}"),
        (1.23e-6, r"1.23 \times 10^{-6}"),
        (1e-12, "0"),
        (1000, "1000"),
        (2.5e7, r"2.5 \times 10^{7}"),
    ],
)
def test_figures_are_written_as_latex(value: float, text: str) -> None:
    assert as_latex(value) == text


def test_the_tab_shows_them_to_members_and_by_a_link(run: Run, ada: User, client: Client) -> None:
    client.force_login(ada)
    part = reverse("run_part", args=[run.pk, "rewards"])
    empty = client.get(part).content.decode()
    assert "numbers come with the first step" in empty
    assert r"\[{R_P} = {w_q} \cdot {Q}" in empty
    tell(run, [told(1, 1, reward__proposer=0.76), told(2, 2)])
    html = client.get(part).content.decode()
    assert "with the numbers of step 2: all sums agree; " in html
    assert "0.71 was measured: it agrees." in html
    assert 'href="#steer">method.<wbr>w_<wbr>quality<wbr></a>' in html
    then = client.get(reverse("run_part", args=[run.pk, "formulas"]), {"at": 1}).content.decode()
    assert "0.76 was measured, but the formula gives 0.71" in then
    _, secret = create_share_link(actor=ada, run_id=run.pk)
    client.logout()
    shared = client.get(reverse("share_part", args=[secret, "rewards"])).content.decode()
    assert "0.71 was measured: it agrees." in shared
    assert "#steer" not in shared


def test_the_page_of_a_method_lists_its_formulas_and_their_variants(ada: User, client: Client) -> None:
    client.force_login(ada)
    html = client.get(reverse("method", args=["mae"])).content.decode()
    assert r"\[{D} = {p} \cdot (1 - {v})\]" in html
    assert "Instead, with difficulty: frontier." in html
    assert "<code>method.<wbr>w_<wbr>quality<wbr></code> 0.333" in html
