"""When waiting runs start: slots are given in the order of the queue and come back when their runs end."""

from uuid import UUID, uuid4

from webapp.compare.forecast import Waiting, starts


def _queue(*runs: tuple[int, float | None]) -> list[Waiting]:
    return [Waiting(run_id=uuid4(), num_slots=slots, needs_s=needs) for slots, needs in runs]


def _seconds(queue: list[Waiting], busy: list[float | None], free: int) -> list[float | None]:
    found: dict[UUID, float | None] = starts(queue, busy, free)
    return [found[waiting.run_id] for waiting in queue]


def test_runs_follow_each_other_on_one_slot() -> None:
    # the slot is free after 100 s; then 60 s and 30 s of work
    assert _seconds(_queue((1, 60), (1, 30), (1, 10)), [100.0], 0) == [100, 160, 190]


def test_a_free_slot_is_taken_at_once() -> None:
    assert _seconds(_queue((1, 60), (1, 30)), [100.0], 1) == [0, 60]


def test_a_run_on_two_slots_waits_for_the_later_of_them() -> None:
    assert _seconds(_queue((2, 50), (1, 5)), [30.0, 80.0], 0) == [80, 130]


def test_nothing_is_told_after_a_run_of_unknown_length_or_without_enough_slots() -> None:
    assert _seconds(_queue((1, None), (1, 5)), [30.0], 0) == [30, None]
    assert _seconds(_queue((3, 5)), [30.0, None], 1) == [None]
