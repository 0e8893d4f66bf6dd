"""Events that plainly follow the contract are known without pydantic, which still has the last word on all others."""

from typing import Any

import pytest
from pydantic import ValidationError

from tests.factories import mae_events
from tests.shapes import preference_pair, search_tree
from training_core.spec import events
from webapp.telemetry.contract import _plainly_fits, validate

TURN = {"role": "solver", "text": "4"}
SAMPLE = {"episode": "1-0", "title": "2 + 2", "turns": [TURN]}
KNOWN = [
    SAMPLE,
    {**SAMPLE, "pairs": [{"chosen": 0, "rejected": 1}]},
    {**SAMPLE, "turns": []},
    {
        **SAMPLE,
        "turns": [{**TURN, "reward": 1, "rewards": {"judge": 0.5, "format": 1}, "parent": None, "trained": True}],
    },
    {**SAMPLE, "facts": {"kept": True, "truth": "4", "solved": 0.5, "none": None}, "layout": "pairs", "practice": True},
]
ODD: list[tuple[dict[str, Any], bool]] = [
    ({**SAMPLE, "turns": [{**TURN, "reward": "0.5"}]}, True),
    ({**SAMPLE, "turns": [{**TURN, "scene": {"facts": {"pot": "2"}}}]}, True),
    ({**SAMPLE, "pairs": [{"chosen": -1, "rejected": 1}]}, False),
    ({**SAMPLE, "turns": [{"role": "solver"}]}, False),
    ({**SAMPLE, "turns": [{**TURN, "colour": "red"}]}, False),
    ({**SAMPLE, "turns": [{**TURN, "rewards": {"judge": None}}]}, False),
    ({**SAMPLE, "turns": [{**TURN, "rewards": [1]}]}, False),
    ({**SAMPLE, "turns": TURN}, False),
    ({**SAMPLE, "turns": [None]}, False),
    ({**SAMPLE, "layout": "cube"}, False),
    ({**SAMPLE, "facts": {"list": []}}, False),
    ({**SAMPLE, 3: "three"}, False),
    ({"title": "no turns", "episode": "1"}, False),
]


@pytest.mark.parametrize("data", KNOWN)
def test_a_plain_sample_is_known_at_once(data: dict[str, Any]) -> None:
    assert _plainly_fits(events.SampleData)(data)
    events.SampleData.model_validate(data)


@pytest.mark.parametrize(("data", "is_right"), ODD)
def test_what_is_not_plain_is_left_to_pydantic(data: dict[str, Any], is_right: bool) -> None:
    for _ in range(2):  # also once its shape is remembered
        assert not _plainly_fits(events.SampleData)(data)
    if is_right:
        validate(events.SampleData, data)
    else:
        with pytest.raises(ValidationError):
            validate(events.SampleData, data)


def test_what_runs_write_is_plain() -> None:
    samples = [event["data"] for event in mae_events(3) if event["kind"] == "sample"]
    assert all(map(_plainly_fits(events.SampleData), [*samples, search_tree()]))
    logs = [event["data"] for event in mae_events(3) if event["kind"] == "log"]
    assert all(map(_plainly_fits(events.LogData), logs))
    validate(events.SampleData, preference_pair("19", "18"))
