"""What a feed keeps of the newest events: only what is true, without a gap, and only for viewers who hold what is before it."""

from webapp.live.replay import Batch, Position
from webapp.live.tail import MOST_KEPT, Tail


def batch(first: int, last: int, *, attempt: int = 1) -> Batch:
    events = tuple({"seq": seq, "attempt": attempt} for seq in range(first, last + 1))
    return Batch(events=events, to=Position(after=last, attempt=attempt))


def seqs(tail: Tail, after: int, attempt: int = 1) -> list[int] | None:
    found = tail.after(Position(after=after, attempt=attempt))
    return None if found is None else [event["seq"] for event in found.events]


def test_viewers_a_little_apart_are_served_and_others_are_not() -> None:
    tail = Tail()
    assert seqs(tail, 0) is None
    tail.take(batch(11, 13))
    tail.take(batch(14, 15))
    assert (seqs(tail, 10), seqs(tail, 13), seqs(tail, 15)) == ([11, 12, 13, 14, 15], [14, 15], [])
    assert seqs(tail, 9) is None
    assert seqs(tail, 16) is None
    assert seqs(tail, 13, attempt=0) is None
    found = tail.after(Position(after=13, attempt=1))
    assert found is not None
    assert found.text == '[{"seq":14,"attempt":1},{"seq":15,"attempt":1}]'
    assert found.to == Position(after=15, attempt=1)


def test_a_later_attempt_ends_what_was_known() -> None:
    tail = Tail()
    tail.take(batch(11, 15))
    mixed = (*batch(16, 16).events, *batch(17, 18, attempt=2).events)
    tail.take(Batch(events=mixed, to=Position(after=18, attempt=2)))
    assert seqs(tail, 15) is None
    assert seqs(tail, 16, attempt=2) == [17, 18]
    tail.take(Batch(to=Position(after=12, attempt=2), reset=True))
    assert seqs(tail, 16, attempt=2) is None


def test_no_more_is_kept_than_fits_and_a_gap_begins_anew() -> None:
    tail = Tail()
    tail.take(batch(1, MOST_KEPT))
    tail.take(batch(MOST_KEPT + 1, MOST_KEPT + 5))
    assert len(tail.events) == len(tail.texts) == MOST_KEPT
    assert seqs(tail, 4) is None
    assert (seqs(tail, 5) or [])[0] == 6
    tail.take(batch(MOST_KEPT + 9, MOST_KEPT + 9))
    assert seqs(tail, MOST_KEPT + 5) is None
