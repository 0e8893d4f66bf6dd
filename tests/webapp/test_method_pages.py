"""How pages draw and word a method: its flow, its document, its scores."""

import re
from pathlib import Path

import pytest
from django.conf import LazySettings

from training_core.methods.base import SelfPlay
from training_core.methods.card import Chart, FlowEdge, FlowNode
from training_core.methods.registry import all_methods
from training_core.spec.forms import form_of
from webapp.pages.documents import method_document
from webapp.pages.flow import NODE_HEIGHT, draw
from webapp.pages.hues import hues
from webapp.telemetry.comparison import titled_scores
from webapp.telemetry.lens import Lens
from webapp.telemetry.series import Ends
from webapp.telemetry.vitals import headline_rule


def _box(name: str, x: int) -> FlowNode:
    return FlowNode(id=name, label=name, kind="data", x=x, y=0)


def test_an_arrow_that_bows_under_boxes_stays_within_the_drawing() -> None:
    row = [_box("first", 0), _box("second", 1), _box("third", 2)]
    straight = draw(row, [FlowEdge(source="first", target="second", label="")], roles=())
    bowed = draw(row, [FlowEdge(source="third", target="first", label="back")], roles=())
    assert straight.height == NODE_HEIGHT + 28
    assert bowed.height > bowed.edges[0].label_y > straight.height


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.slug)
def test_the_drawing_of_a_method_names_boxes_like_its_roles_so_that_they_take_their_colour(
    method: type[SelfPlay],
) -> None:
    boxes = {node.id for node in method.flow_nodes if node.kind == "role"}
    roles = [role.name for role in method.roles(method.Spec(name=method.slug))]
    assert boxes & set(roles), f"none of the boxes {sorted(boxes)} is called like one of the roles {roles}"


def test_the_players_keep_their_colours_when_an_opponent_joins() -> None:
    players = hues(["player_0", "player_1"])
    assert hues(["player_0", "player_1", "opponent"]) == {**players, "opponent": 2}
    assert len({*players.values(), 2}) == 3


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.slug)
def test_no_two_parts_of_a_form_and_no_two_knobs_in_one_are_called_the_same(method: type[SelfPlay]) -> None:
    groups = form_of(method.slug)
    titles = [group.title for group in groups]
    assert sorted(set(titles)) == sorted(titles)
    for group in groups:
        labels = [field.label for field in group.fields]
        assert sorted(set(labels)) == sorted(labels), group.title


def test_each_line_of_equations_wraps_by_itself_and_stays_text(settings: LazySettings, tmp_path: Path) -> None:
    (tmp_path / "docs" / "methods").mkdir(parents=True)
    text = "# Shadow\n\n```\nloss   a < b & c\n\nstep   <script>alert(1)</script>\n```\n"
    (tmp_path / "docs" / "methods" / "shadow.md").write_text(text, encoding="utf-8")
    settings.BASE_DIR = tmp_path
    page = method_document("shadow")
    assert page is not None
    assert re.findall('<span class="line">(.*?)</span>', page) == [
        "loss   a &lt; b &amp; c",
        " ",
        "step   &lt;script&gt;alert(1)&lt;/script&gt;",
    ]


def test_scores_stand_in_the_order_and_words_of_the_charts() -> None:
    charts = (
        Chart(title="Loss", series=(("loss/policy", "Pairs"),), help=""),
        Chart(title="Against random", series=(("eval/win", "Won"), ("eval/auc", "AUC")), help=""),
        Chart(title="By seat", series=(("eval/win", "All seats"),), help=""),
    )
    lens = Lens(slug="own", title="Own", charts=charts)
    assert titled_scores(["value_first", "auc", "win", "a"], lens) == [
        ("win", "Against random: Won"),
        ("auc", "Against random: AUC"),
        ("a", "A"),
        ("value_first", "Value first"),
    ]


@pytest.mark.parametrize(
    ("first", "last", "tone"), [(-0.06, 0.06, "good"), (0.06, -0.06, "bad"), (0.5, 0.501, "plain"), (0.0, 0.0, "plain")]
)
def test_a_headline_that_is_no_share_is_judged_by_its_sign_too(first: float, last: float, tone: str) -> None:
    rule = headline_rule(Lens(slug="own", title="Own", headline="eval/gain"))
    assert rule.judge(Ends(first=first, last=last, step=8))[0] == tone
