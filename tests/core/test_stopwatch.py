"""Seconds by name, nested, raised through and from several threads."""

import subprocess
import sys
import threading
import time

import pytest

from training_core.stopwatch import Stopwatch


def test_seconds_of_a_name_add_up_and_are_taken_once():
    watch = Stopwatch()
    for _ in range(3):
        with watch("decode"):
            time.sleep(0.01)
    taken = watch.take()
    assert set(taken) == {"decode"}
    assert taken["decode"] >= 0.03
    assert watch.take() == {}


def test_a_part_contains_the_parts_inside_it():
    watch = Stopwatch()
    with watch("rollout"), watch("decode"):
        time.sleep(0.01)
    taken = watch.take()
    assert taken["rollout"] >= taken["decode"] >= 0.01


def test_a_name_inside_itself_counts_once():
    watch = Stopwatch()
    begin = time.perf_counter()
    with watch("forward"), watch("forward"):
        time.sleep(0.02)
    passed = time.perf_counter() - begin
    assert 0.02 <= watch.take()["forward"] <= passed


def test_a_part_that_raises_is_counted_and_can_be_entered_again():
    watch = Stopwatch()
    with pytest.raises(ZeroDivisionError), watch("backward"):
        time.sleep(0.01)
        _ = 1 / 0
    with watch("backward"):
        time.sleep(0.01)
    assert watch.take()["backward"] >= 0.02


def test_two_threads_may_hold_the_same_name_at_once():
    watch = Stopwatch()
    both_inside = threading.Barrier(2)

    def part() -> None:
        with watch("rollout"):
            both_inside.wait(timeout=10)
            time.sleep(0.01)

    threads = [threading.Thread(target=part) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.take()["rollout"] >= 0.02


def test_a_block_that_is_still_running_counts_with_the_next_taking():
    watch = Stopwatch()
    with watch("update"):
        assert watch.take() == {}
    assert set(watch.take()) == {"update"}


def test_the_device_is_waited_for_before_every_reading():
    readings = []
    watch = Stopwatch(synchronize=lambda: readings.append(time.perf_counter()))
    with watch("forward"):
        pass
    assert len(readings) == 2


def test_importing_the_stopwatch_does_not_load_torch():
    code = "import sys, training_core.stopwatch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
