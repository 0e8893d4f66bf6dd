"""Intervals, kappa, onsets and shares of a change against figures worked out by hand."""

import pytest

from webapp.telemetry.attribution import attribute
from webapp.telemetry.statistics import Confusion, Interval, onset, wilson


def limits(interval: Interval | None) -> tuple[float, float, float]:
    assert interval is not None
    return interval.value, interval.low, interval.high


def test_wilsons_interval_is_that_of_the_textbook() -> None:
    # 8 of 10: scale 1.38415, centre (0.8 + 0.19207) / 1.38415, reach 1.95996 sqrt(0.016 + 0.0096036) / 1.38415
    assert limits(wilson(8, 10)) == pytest.approx((0.8, 0.49016, 0.94331), abs=1e-4)
    assert limits(wilson(0, 20)) == pytest.approx((0.0, 0.0, 0.16113), abs=1e-4)
    assert limits(wilson(20, 20)) == pytest.approx((1.0, 0.83887, 1.0), abs=1e-4)
    assert wilson(0, 0) is None


def test_agreement_is_counted_beyond_chance() -> None:
    table = Confusion(right_accepted=20, right_refused=5, wrong_accepted=10, wrong_refused=15)
    # p_o = 0.7, p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5, kappa = 0.4, error = sqrt(0.21 / 50) / 0.5 = 0.12961
    assert limits(table.kappa()) == pytest.approx((0.4, 0.4 - 0.25403, 0.4 + 0.25403), abs=1e-4)
    assert limits(table.accuracy())[0] == 0.7
    assert limits(table.false_accept())[0] == 0.4
    assert limits(table.false_reject())[0] == 0.2


def test_where_nothing_varies_there_is_nothing_beyond_chance() -> None:
    assert Confusion(right_accepted=30).kappa() is None
    assert Confusion().kappa() is None
    assert Confusion(right_accepted=30).false_accept() is None


def test_a_gap_is_open_since_the_step_its_climb_began() -> None:
    shut = [0.0, 0.02, -0.02, 0.01, -0.01, 0.02, -0.02, 0.0]
    opened = onset([*shut, 0.0, 0.01, 0.1, 0.1, 0.1, 0.1], [0.02] * 14)
    assert opened is not None
    # S: 0, 0, then 4.5, 9.0 with error 0.02 and slack 0.5: over 5 at place 11, since place 10.
    assert (opened.place, opened.seen_at) == (10, 11)
    assert opened.before == pytest.approx(0.0)


def test_a_gap_that_only_scatters_never_opens() -> None:
    noise = [0.03, -0.02, 0.01, -0.03, 0.02, -0.01, 0.0, 0.0] * 12
    assert onset(noise, [0.02] * len(noise)) is None
    assert onset([0.5] * 8, [0.1] * 8) is None


def test_the_parts_of_a_change_explain_all_of_it() -> None:
    parts = attribute({"judge": 0.20, "format": 0.25}, {"judge": 0.36, "format": 0.21, "bonus": 0.08})
    assert {part.term: part.share for part in parts} == {
        "judge": pytest.approx(0.8),
        "format": pytest.approx(-0.2),
        "bonus": pytest.approx(0.4),
    }
    assert sum(part.share or 0 for part in parts) == pytest.approx(1, abs=1e-12)
    assert sum(part.change for part in parts) == pytest.approx(0.65 - 0.45, abs=1e-12)


def test_a_whole_that_hardly_moved_explains_nothing() -> None:
    assert [part.share for part in attribute({"a": 0.5, "b": 0.1}, {"a": 0.501, "b": 0.1})] == [None, None]
