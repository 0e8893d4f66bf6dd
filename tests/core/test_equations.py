"""Formulas of cards: how they are read, what is refused, which variant a spec chooses."""

import copy

import pytest

from training_core.methods.arithmetic import read_sum
from training_core.methods.card import common_equations
from training_core.methods.equations import check_knobs, read_equation
from training_core.methods.mae import MaeSpec
from training_core.methods.registry import all_methods
from training_core.spec.equations import equations_of
from training_core.spec.forms import find_field
from training_core.spec.io import parse_spec
from training_core.spec.online import OnlineSpec
from training_core.spec.preference import PreferenceSpec

PAID = {
    "title": "What is paid",
    "formula": r"<R> = <w> \cdot <Q> + \mean[<F>]",
    "help": "A sentence.",
    "source": "Paper, section 1",
    "result": "R",
    "symbols": {
        "R": {"latex": "R_P", "name": "reward", "metric": "reward/proposer"},
        "w": {"latex": "w_q", "name": "weight", "knob": "method.w_quality"},
        "Q": {"latex": "Q", "name": "quality", "metric": "reward_term/proposer_quality"},
        "F": {"latex": "F", "name": "format", "metric": "reward_term/proposer_format", "absent": 0},
    },
    "check": "w * Q + F",
}


def changed(**changes):
    raw = copy.deepcopy(PAID)
    for key, value in changes.items():
        raw[key] = {**raw[key], **value} if isinstance(value, dict) and key in raw else value
    return raw


@pytest.mark.parametrize(
    ("text", "comes_to"),
    [
        ("a + b * 2 - 1", 7.0),
        ("-a ** 2", -4.0),
        ("a / (b - 3 / 1)", None),
        ("min(a, b, 1) + max(a, b)", 4.0),
        ("abs(a - b)", 1.0),
        ("log(exp(a))", 2.0),
        ("sigmoid(a - 2) + sigmoid(-1000)", 0.5),
        ("clip(a, 0, 1)", 1.0),
        ("log(a - 2)", None),
        ("a ** 5000", None),
    ],
)
def test_a_sum_is_reckoned(text, comes_to):
    assert read_sum(text).of({"a": 2.0, "b": 3.0}) == (comes_to if comes_to is None else pytest.approx(comes_to))


@pytest.mark.parametrize(
    "text",
    [
        *("a +", "open('x')", "a.b", "a[0]", "[1, 2]", "lambda: 1", "a if b else 1", "'x'", "True", "a < b", "max(a)"),
        *("log(a, b)", "log(a, base=b)", "(lambda: 1)()", "f'{a}'", "a @ b", "~a", "a and b", "1j", "a" * 400),
    ],
)
def test_what_is_no_sum_is_refused(text):
    with pytest.raises(ValueError, match=r"sum|number"):
        read_sum(text)


def test_a_formula_is_written_with_letters_and_with_numbers():
    equation = read_equation(PAID)
    assert equation.latex == r"{R_P} = {w_q} \cdot {Q} + \mathrm{E}[{F}]"
    # The numbers of a check are means already, so nothing is averaged once more.
    assert equation.right_side({"w": "0.5", "Q": "0.8"}) == r"{0.5} \cdot {0.8} + [{F}]"
    told = read_equation(changed(check="", unchecked="It differs from token to token."))
    assert told.right_side({}) == r"{w_q} \cdot {Q} + \mathrm{E}[{F}]"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"formula": "<R> = <w> <Q> <F> <X>"}, "<X>, which is no symbol"),
        ({"formula": "<R> = <w> <Q>"}, "'F' does not stand in the formula"),
        ({"formula": r"<w> <Q> <F> = <R>"}, "must begin with `<R> =`"),
        ({"result": "w"}, "'w' must be a symbol with a metric"),
        ({"check": ""}, "give either `check`"),
        ({"unchecked": "Both."}, "give either `check`"),
        ({"check": "w * Q + X"}, "'X', which is no symbol with a number"),
        ({"check": "w * R"}, "'R', which is no symbol with a number on the right"),
        ({"check": "w * Q +"}, "cannot be read as a sum"),
        ({"relation": "nearly"}, "is none of equal, at_least, at_most"),
        ({"symbols": {"F": {"name": "format", "metric": "format"}}}, "'F' has no `latex`"),
        ({"beside": {"z": {"name": "nothing"}}}, "neither knob nor metric"),
    ],
)
def test_an_equation_that_does_not_fit_together_is_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(").replace("*", r"\*")):
        read_equation(changed(**changes))


@pytest.mark.parametrize(
    "path", ["method.w_qualitty", "method.optimizer.speed", "w_quality", "learner.ahead", "method."]
)
def test_a_knob_that_the_spec_does_not_have_is_refused(path):
    good = read_equation(changed(symbols={"w": {"latex": "w", "name": "weight", "knob": "method.optimizer.lr"}}))
    check_knobs([good], MaeSpec)
    for wrong in (
        read_equation(changed(symbols={"w": {"latex": "w", "name": "weight", "knob": path}})),
        read_equation(changed(when={path: 1})),
    ):
        with pytest.raises(ValueError, match="does not have"):
            check_knobs([wrong], MaeSpec)


@pytest.mark.parametrize(
    ("relation", "fitting"), [("equal", [0.5, 0.50001]), ("at_least", [0.5, 0.6, 0.49999]), ("at_most", [0.5, 0.4])]
)
def test_what_was_measured_lies_to_the_sum_as_the_relation_says(relation, fitting):
    equation = read_equation(changed(relation=relation))
    assert [value for value in (0.4, 0.49999, 0.5, 0.50001, 0.6) if equation.fits(0.5, value)] == pytest.approx(
        sorted({*fitting, 0.49999, 0.5, 0.50001})
    )


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.slug)
def test_every_knob_of_a_method_stands_in_its_form(method):
    symbols = [symbol for equation in method.equations for symbol in (*equation.symbols, *equation.beside)]
    for path in (symbol.knob for symbol in symbols if symbol.knob):
        assert find_field(method.slug, path) is not None, path


def test_common_formulas_are_of_what_the_families_have():
    for equation in common_equations():
        family = PreferenceSpec if equation.when[0][0].startswith("method.preference") else OnlineSpec
        if equation.when[0][1][0] not in {"sppo", "sppo_single"} and "ipo" not in equation.when[0][1]:
            check_knobs([equation], family)


ADVANTAGES = ["reinforce_plus_plus", "group_relative", "leave_one_out", "mean", "role_conditioned", "none"]


@pytest.mark.parametrize("kind", ADVANTAGES)
def test_each_advantage_has_one_formula_for_every_trained_role(kind):
    spec = parse_spec({"method": {"name": "mae", "advantage": {"kind": kind}}})
    found = [applied for equation, applied in equations_of(spec) if equation.measured == "advantage/{role}"]
    assert [[each.label for each in applied] for applied in found] == [["Proposer", "Solver", "Judge"]]
    assert found[0][1].equation.measured == "advantage/solver"


@pytest.mark.parametrize("kind", ["sppo", "sppo_single", "dpo", "ipo"])
def test_each_loss_of_pairs_has_a_margin_and_a_loss(kind):
    spec = parse_spec({"method": {"name": "sppo", "preference": {"kind": kind}}})
    measured = [equation.measured for equation, _ in equations_of(spec)]
    assert measured.count("preference/margin") == measured.count("loss/preference") == 1


def test_a_knob_chooses_the_variant():
    def formulas(**knobs):
        found = equations_of(parse_spec({"method": {"name": "mae", **knobs}}))
        return [equation.check for equation, _ in found if equation.title == "How hard a question is"]

    assert formulas() == ["p * (1 - v)"]
    assert formulas(difficulty="frontier", difficulty_needs_quality=True) == ["p * 4 * v * (1 - v)"]


def test_a_penalty_is_shown_only_where_there_is_one():
    def titles(**loss):
        found = equations_of(parse_spec({"method": {"name": "mae", "loss": loss}}))
        return [equation.title for equation, _ in found if "penalty" in equation.title]

    assert titles() == []
    assert titles(kl_coef=0.01) == ["The penalty for leaving the reference"]


def test_a_methods_own_words_take_the_place_of_common_ones():
    found = equations_of(parse_spec({"method": {"name": "spin"}}))
    assert [equation.title for equation, _ in found] == ["How far the player tells the two apart", "The loss of a pair"]


def test_policies_with_names_of_their_own_report_under_them():
    found = equations_of(parse_spec({"method": {"name": "pasodoble"}}))
    applied = next(applied for equation, applied in found if equation.measured == "loss/total")
    assert [(each.label, each.equation.measured) for each in applied] == [
        ("Proposer", "loss/total/proposer"),
        ("Solver", "loss/total/solver"),
    ]
